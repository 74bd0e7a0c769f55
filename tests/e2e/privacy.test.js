// Who may look in: a join into an empty room is announced by a chime on the device's loudspeaker,
// and seen and heard five seconds later; or it waits until somebody in the room lets it in. Until
// then nothing of the room is sent, and the page says why.

import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { after, before, test } from 'node:test';

import { DEVICE, Device, hearsSpeech, joinToPicture, partAt, watchConnections, visit, WITHIN } from './device.js';
import { chromium, until } from './support.js';

/** What the loudspeaker plays: samples a second, and the chime's two tones in Hz. */
const RATE = 48_000;
const TONES = [659.26, 523.25];

let browser;
before(async () => {
  browser = await chromium();
});
after(() => browser?.close());

/** How often the chime is in all that the device has played: its first tone, and then its second. */
async function chimes(device) {
  const bytes = await readFile(device.samples).catch(() => Buffer.alloc(0));
  const window = RATE / 20;
  const heard = [];
  for (let from = 0; (from + window) * 4 <= bytes.length; from += window) {
    const left = Float64Array.from({ length: window }, (_, at) => bytes.readInt16LE((from + at) * 4) / 32_768);
    heard.push(TONES.findIndex((pitch) => partAt(left, pitch) > 0.7));
  }
  const told = heard.filter((tone, at) => tone !== heard[at - 1]).join(' ');
  return told.match(/0 (-1 )?1/g)?.length ?? 0;
}

const banner = (member) => member.page.evaluate(() => (document.querySelector('#banner').hidden ? '' : document.querySelector('#banner span').textContent));

/** Nothing of the room is open, nothing has been sent to this member, and nobody is on the screen. */
async function closed(device, member) {
  const status = await device.status();
  // It may have opened between the two looks; then there is nothing to be seen of before.
  if (status.privacy.open) return null;
  const { media, screen, room } = status;
  assert.deepEqual([media.camera, media.microphone, screen.tiles.length], [false, false, 0]);
  const link = room.links.find(({ name }) => name === member.name);
  const flows = media.links[link?.link];
  if (flows) assert.deepEqual([flows.video_out.delivered, flows.audio_out.delivered], [0, 0]);
  return { state: link?.state ?? null, hold: status.privacy.hold };
}

test('who joins an empty room is announced, and who joins a meeting is not', { timeout: 10 * WITHIN }, async (t) => {
  const device = await Device.start({ privacy: 'admit = "chime"' });
  t.after(() => device.stop());
  const ann = await visit(browser, device, { name: 'Ann', number: 4, before: watchConnections });
  t.after(() => ann.close().catch(() => {}));
  await until('Ann reads what will happen', async () => /is being told that you are here/.test(await banner(ann)), { within: WITHIN, every: 50 });
  const { media } = await ann.person(DEVICE.name);
  assert.deepEqual(media, { audio: false, video: false, hold: 'announcing' });

  // As long as it is not open, however slow this machine is, nothing is sent although it is connected.
  let connected = 0;
  await until('it opens', async () => {
    const now = await closed(device, ann);
    if (now?.state === 'connected') connected += 1;
    return now === null;
  }, { within: WITHIN, every: 100 });
  assert.ok(connected > 0, 'it was connected before it opened');
  await ann.sees(DEVICE, { within: WITHIN });
  await hearsSpeech(ann, DEVICE.name);
  await device.shows(ann);
  const waited = await joinToPicture(ann);
  assert.ok(waited >= 5_000, `the first picture came ${waited} ms after the join`);
  assert.equal(await banner(ann), '');
  await until('the chime was played', async () => (await chimes(device)) === 1, { within: WITHIN, every: 250 });

  const bob = await visit(browser, device, { name: 'Bob', number: 5 });
  t.after(() => bob.close().catch(() => {}));
  await bob.sees(DEVICE, { within: WITHIN });
  await device.exchanges('Bob');
  assert.equal(await chimes(device), 1);
  assert.equal((await bob.person(DEVICE.name)).media.hold, undefined);

  // With the last one both are closed at once; somebody else is announced again.
  await ann.close();
  await bob.close();
  await until('nothing is open for nobody', async () => {
    const { privacy, media: own } = await device.status();
    return privacy.visitors.length === 0 && !privacy.open && !own.camera && !own.microphone;
  }, { within: WITHIN });
  const eve = await visit(browser, device, { name: 'Eve', number: 6 });
  t.after(() => eve.close());
  await until('Eve is announced', async () => (await eve.person(DEVICE.name))?.media.hold === 'announcing', { within: WITHIN, every: 50 });
  await eve.sees(DEVICE, { within: WITHIN });
  await until('the chime was played again', async () => (await chimes(device)) === 2, { within: WITHIN, every: 250 });
  assert.deepEqual([ann, bob, eve].flatMap(({ errors }) => errors), []);
});

test('who has to be let in is neither seen nor sees until somebody in the room says so', { timeout: 10 * WITHIN }, async (t) => {
  const device = await Device.start({ privacy: 'admit = "ask"' });
  t.after(() => device.stop());
  await assert.rejects(device.command('admit'), /nobody waits to be let in/);
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
  await until('Ann reads why', async () => /until somebody in the room lets you in/.test(await banner(ann)), { within: WITHIN });
  await until('the chime was played', async () => (await chimes(device)) === 1, { within: WITHIN, every: 250 });
  assert.match(await device.says(), /^Privacy +Ann is waiting to be let in: roomd admit$/m);

  // No microphone opens for the echo either.
  await assert.rejects(device.command('calibrate', '--now'), /somebody waits to be let in/);

  // Nobody lets herself in, whatever her page says, and whoever it says she is.
  for (const what of ['admit', 'unmute', 'camera_on']) {
    await ann.page.evaluate((wish) => window.room.send(JSON.stringify({ t: 'ask', link: window.roomd.room.people[0].link.id, what: wish })), what);
  }
  await ann.page.evaluate(() => window.room.send(JSON.stringify({ t: 'me', here: true, media: { audio: true, video: true } })));
  await until('each is refused', async () => (await ann.page.evaluate(() => window.errors ?? [])).join() === 'bad_field,bad_field,bad_field', { within: WITHIN });
  await ann.page.evaluate(() => window.room.send(JSON.stringify({ t: 'me', here: false })));
  let since = null;
  await until('it stays closed for longer than an announcement takes', async () => {
    const now = await closed(device, ann);
    assert.equal(now?.hold, 'asking');
    if (now.state === 'connected') since ??= Date.now();
    return since !== null && Date.now() - since > 7_000;
  }, { within: WITHIN, every: 250 });

  assert.equal(await device.command('admit'), 'Ann is let in.\n');
  await ann.sees(DEVICE, { within: WITHIN });
  await hearsSpeech(ann, DEVICE.name);
  await device.exchanges('Ann');
  const bob = await visit(browser, device, { name: 'Bob', number: 5 });
  t.after(() => bob.close());
  await bob.sees(DEVICE, { within: WITHIN });

  // Not to be disturbed: kept over a restart, after which everybody is at the door again.
  assert.match(await device.command('do-not-disturb', 'on'), /^Nobody is disturbed/);
  await bob.sees(DEVICE, { within: WITHIN });
  await device.roomd.kill('SIGKILL');
  await rm(device.samples, { force: true });
  await device.roomd.run();
  await until('Ann reads that nobody is to be disturbed', async () => /not to be disturbed/.test(await banner(ann)), { within: WITHIN });
  await until('both are connected', async () => {
    const { room } = await device.status();
    return room.links.length === 2 && room.links.every(({ state }) => state === 'connected');
  }, { within: WITHIN });
  await closed(device, ann);
  assert.equal((await device.status()).privacy.hold, 'do_not_disturb');
  assert.equal(await chimes(device), 0, 'no chime');
  assert.match(await device.command('admit'), /^(Ann, Bob|Bob, Ann) are let in\.\n$/);
  await ann.sees(DEVICE, { within: WITHIN });
});
