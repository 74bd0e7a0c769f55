// The room is muted and its camera closed: by its own command, for as long as nobody opens them
// again, and by a member, who can do nothing else. What the members read is what they hear and see.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { DEVICE, Device, hearsSpeech, visit, WITHIN } from './device.js';
import { chromium, until } from './support.js';

let browser;
before(async () => {
  browser = await chromium();
});
after(() => browser?.close());

/** The struck signs on the device's tile, and whether its picture is there. */
const tile = (member) => member.page.evaluate((name) => {
  const found = [...document.querySelectorAll('.tile')].find((other) => other.querySelector('.name').textContent === name);
  return found && { muted: !found.querySelector('.mark.mic').hidden, dark: !found.querySelector('.mark.cam').hidden, seen: found.classList.contains('seen') };
}, DEVICE.name);

const shows = (member, wanted) => until(`the device's tile says ${JSON.stringify(wanted)}`, async () => {
  const now = await tile(member);
  return Object.entries(wanted).every(([key, value]) => now?.[key] === value);
}, { within: WITHIN });

/** Waits until the microphone is closed, nothing is heard for longer than between two words, and nothing is sent. */
async function silent(device, member) {
  const sound = async () => (await device.link(member.name)).media.audio_out.delivered;
  await until('the microphone is closed', async () => (await device.status()).media.microphone === false, { within: WITHIN });
  const before = await sound();
  let since = null;
  await until('three seconds are silent', async () => {
    if ((await member.hears(DEVICE.name)) > 0) since = null;
    else since ??= Date.now();
    return since !== null && Date.now() - since > 3_000;
  }, { within: WITHIN, every: 100 });
  assert.equal(await sound(), before, 'not one packet of sound is sent');
}

/** The one link is still the very first: nothing was negotiated, and nothing failed. */
async function untouched(device, member) {
  const { generation, state } = await device.link(member.name);
  assert.deepEqual([generation, state], [1, 'connected']);
}

test('muted by its own command, over a restart, until it is opened again', { timeout: 10 * WITHIN }, async (t) => {
  const device = await Device.start();
  t.after(() => device.stop());
  const ann = await visit(browser, device, { name: 'Ann', number: 4 });
  t.after(() => ann.close());
  await ann.sees(DEVICE, { within: WITHIN });
  await hearsSpeech(ann, DEVICE.name);
  await shows(ann, { muted: false, dark: false });

  assert.equal(await device.command('mute'), 'The microphone is muted.\n');
  await shows(ann, { muted: true, dark: false, seen: true });
  await silent(device, ann);
  assert.match(await device.says(), /^Microphone +muted$/m);
  await ann.sees(DEVICE, { within: WITHIN });
  await untouched(device, ann);

  assert.equal(await device.command('camera', 'off'), 'The camera is off.\n');
  await shows(ann, { muted: true, dark: true, seen: false });
  await until('the camera is closed', async () => (await device.status()).media.camera === false, { within: WITHIN });
  assert.deepEqual(JSON.parse(await device.command('camera', 'off', '--json')), { camera: { on: false, there: true } });

  // Nobody finds it open after a power cut, not for a moment.
  await device.roomd.kill('SIGKILL');
  await device.roomd.run();
  await ann.inside();
  await until('the new device is there', async () => (await device.link('Ann'))?.state === 'connected', { within: WITHIN });
  await shows(ann, { muted: true, dark: true, seen: false });
  const { media } = await device.status();
  assert.deepEqual([media.microphone, media.camera], [false, false]);

  assert.equal(await device.command('unmute'), 'The microphone is on.\n');
  assert.equal(await device.command('camera', 'on'), 'The camera is on.\n');
  await ann.sees(DEVICE, { within: WITHIN });
  await hearsSpeech(ann, DEVICE.name);
  await shows(ann, { muted: false, dark: false });
  assert.deepEqual(ann.errors.filter((line) => !/WebSocket|ERR_CONNECTION|Failed to load/.test(line)), []);
});

test('a member mutes the room, and cannot open its microphone again', { timeout: 10 * WITHIN }, async (t) => {
  const device = await Device.start();
  t.after(() => device.stop());
  const heard = () => {
    // Whatever this page's socket is, so that the test can say what the page never would.
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (text) {
      if (window.room !== this) this.addEventListener('message', ({ data }) => (window.errors ??= []).push(...(JSON.parse(data).t === 'error' ? [JSON.parse(data).code] : [])));
      window.room = this;
      return send.call(this, text);
    };
  };
  const ann = await visit(browser, device, { name: 'Ann', number: 4, before: heard });
  t.after(() => ann.close());
  await ann.sees(DEVICE, { within: WITHIN });
  await hearsSpeech(ann, DEVICE.name);

  const asks = () => ann.page.evaluate(() => [...document.querySelectorAll('#people-list .ask')].map((button) => button.textContent));
  await ann.page.click('#people');
  assert.deepEqual(await asks(), ['Mute', 'Camera off']);
  await ann.page.click('#people-list .ask[data-what="mute"]');
  await shows(ann, { muted: true, dark: false });
  await silent(device, ann);
  assert.match(await device.says(), /^Microphone +muted, by Ann$/m);
  await until('there is nothing left to ask of the microphone', async () => (await asks()).join() === 'Camera off', { within: WITHIN });

  await ann.page.click('#people-list .ask[data-what="camera_off"]');
  await shows(ann, { muted: true, dark: true, seen: false });
  await until('the camera is closed', async () => (await device.status()).media.camera === false, { within: WITHIN });
  assert.deepEqual(await asks(), []);

  for (const what of ['unmute', 'camera_on', 'other']) {
    await ann.page.evaluate((wish) => window.room.send(JSON.stringify({ t: 'ask', link: window.roomd.room.people[0].link.id, what: wish })), what);
  }
  await until('each is refused', async () => (await ann.page.evaluate(() => window.errors ?? [])).join() === 'bad_field,bad_field,bad_field', { within: WITHIN });
  await silent(device, ann);
  await shows(ann, { muted: true, dark: true });
  await untouched(device, ann);

  await device.command('unmute');
  await hearsSpeech(ann, DEVICE.name);
  assert.deepEqual(ann.errors, []);
});

test('a device with neither camera nor microphone claims neither, and its slate is seen', { timeout: 6 * WITHIN }, async (t) => {
  const device = await Device.start({
    config: `name = ${JSON.stringify(DEVICE.name)}\n[camera]\npipeline = "no-camera"\n[microphone]\npipeline = "silence"\n[video]\nwidth = 640\nheight = 360\nframerate = 15\nkbps = 600\n`,
  });
  t.after(() => device.stop());
  const ann = await visit(browser, device, { name: 'Ann', number: 4 });
  t.after(() => ann.close());
  await shows(ann, { muted: true, dark: false, seen: true });
  const { media } = await ann.person(DEVICE.name);
  assert.deepEqual(media, { audio: false, video: true, no_microphone: true, no_camera: true });
  await ann.page.click('#people');
  const words = await ann.page.evaluate(() => document.querySelector('#people-list li .dim').textContent);
  assert.equal(words, 'room device, no microphone, no camera');
  assert.equal(await device.command('unmute'), 'The microphone is on, but there is none: silence is sent.\n');
  assert.deepEqual(ann.errors, []);
});
