// Somebody who reads the code on the wall sits in front of the device's loudspeaker: nothing passes
// between the two microphones and loudspeakers, until that person is somewhere else.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { DEVICE, Device, hearsSpeech, received, watchConnections, WITHIN } from './device.js';
import { chromium, Member, until } from './support.js';

let browser;
before(async () => {
  browser = await chromium();
});
after(() => browser?.close());

const SENTENCE = 'You are in this room; the room hears for you';

/** Runs in the page before its own scripts: which devices it has asked for, and what its socket is. */
const spy = `(${watchConnections})(); (${() => {
  const { mediaDevices } = navigator;
  const { getUserMedia } = mediaDevices;
  window.askedFor = [];
  mediaDevices.getUserMedia = function (constraints) {
    window.askedFor.push(...Object.keys(constraints).filter((kind) => constraints[kind]));
    return getUserMedia.call(this, constraints);
  };
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (text) {
    if (window.socket !== this) this.addEventListener('message', ({ data }) => (window.refusals ??= []).push(...(JSON.parse(data).t === 'error' ? [JSON.parse(data).code] : [])));
    window.socket = this;
    return send.call(this, text);
  };
}})();`;

/** Somebody at the device's page. @param {boolean} here by the code on the wall */
async function visit(device, here, options) {
  const link = `${await device.invitation()}${here ? '&here' : ''}`;
  const member = await Member.open(browser, link, { viewport: { width: 900, height: 700 }, before: spy, ...options });
  await member.join();
  await member.inside();
  return member;
}

const banner = (member) => member.page.evaluate(() => {
  const box = document.querySelector('#banner');
  return box.hidden ? null : { text: box.querySelector('span').textContent, action: box.querySelector('button').hidden ? null : box.querySelector('button').textContent };
});

/** The words of somebody's tile. */
const marks = (member, name) => member.page.evaluate((wanted) => {
  const tile = [...document.querySelectorAll('.tile')].find((other) => other.querySelector('.name').textContent === wanted);
  return tile && [...tile.querySelectorAll('.marks .mark:not([hidden]) span')].map((span) => span.textContent);
}, name);

/** What has gone over this page's connections in sound: packets in and out. */
const sound = (member) => member.page.evaluate(async () => {
  const all = { in: 0, out: 0, playing: [...document.querySelectorAll('.tile audio')].filter((audio) => audio.srcObject).length };
  for (const { pc } of window.watched.connections) {
    (await pc.getStats()).forEach((entry) => {
      if (entry.kind !== 'audio') return;
      if (entry.type === 'inbound-rtp') all.in += entry.packetsReceived;
      if (entry.type === 'outbound-rtp') all.out += entry.packetsSent;
    });
  }
  return all;
});

/** Pictures pass for some seconds, and in all that time no sound between the two. */
async function silent(device, member) {
  const frames = async () => (await device.link(member.name)).media.frames_in;
  const sounds = async () => {
    const { media } = await device.link(member.name);
    return { in: media.sounds_in, out: media.audio_out.delivered };
  };
  const passed = async (count) => {
    const from = await frames();
    await until(`${count} pictures pass`, async () => (await frames()) > from + count, { within: WITHIN });
  };
  // What was on its way has come by then.
  await passed(20);
  const [before, there] = [await sounds(), await sound(member)];
  await passed(100);
  assert.deepEqual(await sounds(), before, 'the device neither takes nor gives sound');
  const now = await sound(member);
  assert.deepEqual([now.in, now.out], [there.in, there.out], 'and the page neither');
  assert.equal(now.playing, 0, 'and plays nobody');
  return now;
}

/** Who sits in the room turns its loudspeaker and arranges its screen, and who does not cannot. */
async function controls(device, here, away) {
  const offered = async ({ page }) => {
    await page.click('#people');
    return page.evaluate(() => [...document.querySelectorAll('#people-list .ask')].map((button) => button.dataset.what));
  };
  assert.deepEqual(await offered(away), ['mute', 'camera_off']);
  await away.page.keyboard.press('Escape');
  assert.deepEqual(await offered(here), ['mute', 'camera_off', 'quieter', 'louder', 'grid', 'speaker']);
  const press = (what) => here.page.click(`#people-list .ask[data-what="${what}"]`);
  const played = (percent) => until(`${away.name} is played at ${percent} %`, async () => (await device.link(away.name)).media.volume === percent, { within: WITHIN });
  await press('quieter');
  await played(90);
  await press('louder');
  await played(100);
  const widths = async () => {
    const { room, screen } = await device.status();
    const of = (name) => screen.tiles.find(({ link }) => link === room.links.find((it) => it.name === name).link).width;
    return [of(away.name), of(here.name)];
  };
  await press('speaker');
  await until('who speaks is large', async () => { const [large, small] = await widths(); return large > 2 * small; }, { within: WITHIN });
  await press('grid');
  await until('both are alike', async () => { const [one, other] = await widths(); return one === other; }, { within: WITHIN });
  await here.page.keyboard.press('Escape');
}

const untouched = async (device, member) => {
  const { generation, state } = await device.link(member.name);
  assert.deepEqual([generation, state], [1, 'connected']);
};

test('who reads the code on the wall is seen and not heard, until it is somewhere else', { timeout: 12 * WITHIN }, async (t) => {
  const device = await Device.start();
  t.after(() => device.stop());
  const ann = await visit(device, true, { name: 'Ann', number: 4 });
  t.after(() => ann.close());
  await ann.sees(DEVICE, { within: WITHIN });
  await device.shows(ann);

  assert.deepEqual(await banner(ann), { text: SENTENCE, action: 'I am somewhere else' });
  assert.deepEqual(await ann.page.evaluate(() => window.askedFor), ['video'], 'it does not even ask for the microphone');
  assert.deepEqual(await silent(device, ann), { in: 0, out: 0, playing: 0 }, 'not one packet since the beginning');
  await until('nobody is to hear the room, so its microphone is closed', async () => (await device.status()).media.microphone === false, { within: WITHIN });
  assert.equal(await device.played(ann.pitch), 0, 'and nothing is played in it');
  assert.match(await device.says(), /^Ann +connected.*in this room/m);
  assert.deepEqual(await marks(ann, 'Ann (you)'), ['In the room']);
  const at = await ann.page.evaluate(() => location.href);
  assert.doesNotMatch(at, /here|pin/, 'the address is clean, so what is copied of it does not say so');

  // The keys and the button of its own microphone say why, and open nothing.
  await ann.page.keyboard.press('m');
  await until('it is told why', () => ann.page.evaluate(() => /the room hears for you/.test(document.querySelector('#toast').textContent)));
  await ann.page.click('#mic');
  assert.deepEqual(await ann.page.evaluate(() => window.askedFor), ['video']);

  // Somebody elsewhere hears the room, and knows why Ann is silent.
  const bob = await visit(device, false, { name: 'Bob', number: 5 });
  t.after(() => bob.close());
  await bob.sees(ann, { within: WITHIN });
  await hearsSpeech(bob, DEVICE.name);
  await device.plays([bob]);
  assert.deepEqual(await marks(bob, 'Ann'), ['In the room']);
  await bob.page.click('#people');
  const said = await bob.page.evaluate(() => [...document.querySelectorAll('#people-list li')].map((item) => item.innerText.replaceAll('\n', ' ')).find((text) => /Ann/.test(text)));
  assert.match(said, /in the room, camera on/);
  await bob.page.keyboard.press('Escape');
  assert.equal((await banner(bob)), null);
  assert.equal(await bob.page.evaluate(() => document.querySelector('#here').hidden), true, 'and is offered none of it');
  await silent(device, ann);
  await controls(device, ann, bob);

  // One tap, and sound flows both ways.
  await ann.page.click('#banner button');
  await device.plays([ann, bob]);
  await hearsSpeech(ann, DEVICE.name);
  await ann.listens(bob, { within: WITHIN });
  await bob.listens(ann, { within: WITHIN });
  assert.equal(await banner(ann), null);
  assert.deepEqual(await marks(bob, 'Ann'), []);
  await untouched(device, ann);

  // And one back.
  await ann.page.click('#here');
  await until('Ann reads it again', async () => (await banner(ann))?.text === SENTENCE);
  await until('the page says so', async () => (await bob.person('Ann')).here, { within: WITHIN });
  await silent(device, ann);
  await device.plays([bob], [ann]);
  await untouched(device, ann);
  assert.deepEqual([...ann.errors, ...bob.errors], []);
});

test('a companion stays one over a lost server and a reload, mutes the room, and cannot unmute it', { timeout: 12 * WITHIN }, async (t) => {
  const device = await Device.start();
  t.after(() => device.stop());
  const ann = await visit(device, true, { name: 'Ann', number: 4 });
  t.after(() => ann.close());
  // A laptop and a telephone in the same room.
  const eve = await visit(device, true, { name: 'Eve', number: 6 });
  t.after(() => eve.close());
  await ann.sees(eve, { within: WITHIN });
  await device.shows(ann, eve);
  await silent(device, ann);
  await silent(device, eve);
  assert.deepEqual(await marks(eve, 'Ann'), ['In the room']);

  await device.roomd.kill('SIGKILL');
  await device.roomd.run();
  await ann.inside();
  await until('the new device is there', async () => (await device.link('Ann'))?.state === 'connected', { within: WITHIN });
  await device.shows(ann, eve);
  assert.equal((await device.status()).room.members.every((member) => member.here), true);
  await silent(device, ann);

  const before = (await received(ann)).frames;
  assert.ok(before > 0);
  await ann.page.reload({ waitUntil: 'load' });
  await until('the door says so', () => ann.page.evaluate((text) => document.querySelector('#here-words').textContent.includes(text), SENTENCE));
  assert.equal(await ann.page.evaluate(() => document.querySelector('#door-pickers [data-what="audio"]').closest('.field').hidden), true);
  await ann.join();
  await ann.inside();
  await ann.sees(DEVICE, { within: WITHIN });
  assert.deepEqual(await banner(ann), { text: SENTENCE, action: 'I am somewhere else' });
  assert.deepEqual(await ann.page.evaluate(() => window.askedFor), ['video']);
  await until('the device has its link', async () => (await device.link('Ann'))?.media?.frames_in > 0, { within: WITHIN });
  assert.deepEqual(await silent(device, ann), { in: 0, out: 0, playing: 0 });

  // The remote control.
  await ann.page.click('#people');
  await ann.page.click('#people-list .ask[data-what="mute"]');
  await until('the room is muted', async () => /^Microphone +muted, by Ann$/m.test(await device.says()), { within: WITHIN });
  for (const what of ['unmute', 'camera_on']) {
    await ann.page.evaluate((wish) => {
      const { link } = window.roomd.room.people.find(({ kind }) => kind === 'device');
      window.socket.send(JSON.stringify({ t: 'ask', link: link.id, what: wish }));
    }, what);
  }
  await until('neither is done', async () => (await ann.page.evaluate(() => window.refusals ?? [])).join() === 'bad_field,bad_field', { within: WITHIN });
  assert.match(await device.says(), /^Microphone +muted, by Ann$/m);
  await ann.page.keyboard.press('Escape');

  // Somewhere else is remembered as well.
  await ann.page.click('#banner button');
  await device.plays([ann], [eve]);
  await ann.page.reload({ waitUntil: 'load' });
  await ann.join();
  await ann.inside();
  assert.equal(await banner(ann), null);
  await device.plays([ann], [eve]);
  assert.equal(await ann.page.evaluate(() => document.querySelector('#here').hidden), false, 'and there is a way back');

  // A link that somebody shared says nothing of the room, even in the same tab.
  await ann.page.goto('about:blank');
  await ann.page.goto(await device.invitation(), { waitUntil: 'load' });
  await ann.join();
  await ann.inside();
  assert.equal(await ann.page.evaluate(() => document.querySelector('#here').hidden), true);
  assert.deepEqual(ann.errors.filter((line) => !/WebSocket|ERR_CONNECTION|Failed to load/.test(line)), []);
});

test('a companion whose camera is off and whose page is hidden is neither silent nor missed', { timeout: 6 * WITHIN }, async (t) => {
  const device = await Device.start();
  t.after(() => device.stop());
  const ann = await visit(device, true, { name: 'Ann', number: 4 });
  t.after(() => ann.close());
  await ann.sees(DEVICE, { within: WITHIN });
  await ann.page.click('#cam');
  await ann.page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { get: () => 'hidden' });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await until('it is sent no picture', async () => (await device.link('Ann')).shown === 0, { within: WITHIN });
  // Twice as long as a link may be silent, on the clock of the page, which looks once a second.
  const from = await ann.page.evaluate(() => performance.now());
  await until('twelve seconds pass', async () => (await ann.page.evaluate(() => performance.now())) > from + 12_000, { within: WITHIN, every: 500 });
  await untouched(device, ann);
  assert.equal((await ann.person(DEVICE.name)).link.state, 'live');
  assert.deepEqual(ann.errors, []);
});
