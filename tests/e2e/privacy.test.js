// Who may look in: a join into an empty room is announced by a chime on the device's loudspeaker,
// and seen and heard five seconds later; or it waits until somebody in the room lets it in. Until
// then nothing of the room is sent, and the page says why.

import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { after, before, test } from 'node:test';

import { DEVICE, Device, hearsSpeech, joinToPicture, partAt, watchConnections, visit, WITHIN } from './device.js';
import { codeOnWall } from './letters.js';
import { chromium, fill, Member, until } from './support.js';

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

/** Somebody who has read the code on the wall, and so sits in the room. */
async function companion(device, name, number, options = {}) {
  const member = await Member.open(browser, `${await device.invitation()}&here`, { name, number, viewport: { width: 390, height: 844 }, ...options });
  await member.join();
  await member.inside();
  return member;
}

/** What the plate says, or null where there is none. */
const plate = ({ page }) => page.evaluate(() => {
  const text = (id) => document.querySelector(id).textContent;
  if (document.querySelector('#bell').hidden) return null;
  return { title: text('#bell-title'), text: text('#bell-words'), said: text('#bell-said'), fields: !document.querySelector('#bell-fields').hidden };
});

/** Types a code, and presses one of the two. */
async function type({ page }, code, what = '#bell-in') {
  await page.waitForSelector(`${what}:not(:disabled)`);
  await fill(page, '#bell-code', code);
  await page.click(what);
}

/** The code that the wall shows, once it is another than `before`: the wall is some tenths of a second behind the door. */
const readCode = (device, page, before = null) => until('the wall shows a code', async () => {
  const { code } = await codeOnWall(device, page);
  return code === before ? null : code;
}, { within: WITHIN, every: 100 });

/** Every text in something that was read from JSON. */
const texts = (value) => (typeof value === 'string' ? [value] : value && typeof value === 'object' ? Object.values(value).flatMap(texts) : []);

test('who sits in the room lets in by the code on the wall, and nobody else does', { timeout: 12 * WITHIN }, async (t) => {
  const device = await Device.start({ privacy: 'admit = "ask"' });
  t.after(() => device.stop());
  const heard = () => {
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (text) {
      window.room = this;
      return send.call(this, text);
    };
  };
  const ann = await visit(browser, device, { name: 'Ann', number: 4, before: heard });
  t.after(() => ann.close());
  await until('Ann reads why', async () => /until somebody in the room lets you in/.test(await banner(ann)), { within: WITHIN });
  const ben = await companion(device, 'Ben', 5);
  t.after(() => ben.close());
  await until('Ben is asked', async () => (await plate(ben))?.title === 'Ann is at the door', { within: WITHIN });
  assert.match((await plate(ben)).text, /^The code on the room’s screen lets them in\.$/);
  assert.equal(await plate(ann), null, 'she is not');
  // His camera could show her the wall.
  await until('Ben sends no picture', async () => (await ann.person('Ben'))?.media.video === false, { within: WITHIN });
  assert.match(await banner(ann), /until somebody in the room lets you in/, 'her own words stay');

  // Ann has it, from whomever: it is of no use to her, whatever her page says and however often.
  const code = await readCode(device, ben.page);
  const say = (member, text, letIn = true) => member.page.evaluate((it, let_in) => {
    window.room.send(JSON.stringify({ t: 'admit', link: window.roomd.room.people.find(({ kind }) => kind === 'device').link.id, code: it, let_in }));
  }, text, letIn);
  for (let turn = 0; turn < 5; turn += 1) await say(ann, code);
  await ann.page.evaluate(() => window.room.send(JSON.stringify({ t: 'me', here: true })));
  await until('the device believes where she says she is', async () => (await device.status()).room.members.some(({ name, here }) => name === 'Ann' && here), { within: WITHIN });
  for (let turn = 0; turn < 5; turn += 1) await say(ann, code);
  await ann.page.evaluate(() => window.room.send(JSON.stringify({ t: 'me', here: false })));
  await until('and that she is not', async () => (await device.status()).room.members.some(({ name, here }) => name === 'Ann' && !here), { within: WITHIN });
  const { privacy } = await device.status();
  assert.deepEqual([privacy.open, privacy.tries], [false, 3]);
  await closed(device, ann);

  // It stands on the wall alone.
  const status = await device.status();
  assert.ok(!texts(status).some((text) => text.includes(code)), 'not in the status');
  const spoken = new RegExp(`\\b${code}\\b`);
  assert.doesNotMatch(await device.says(), spoken);
  assert.doesNotMatch(device.roomd.log.join('\n'), spoken);
  for (const { page } of [ann, ben]) {
    assert.doesNotMatch(await page.evaluate(() => document.documentElement.outerHTML), spoken);
    assert.doesNotMatch(await page.evaluate(() => JSON.stringify(window.roomd.room)), spoken);
  }

  // A wrong one costs a try, and Ben reads that.
  const wrong = String((Number(code) + 5_000) % 10_000).padStart(4, '0');
  await type(ben, wrong);
  await until('Ben reads that it was wrong', async () => (await plate(ben))?.said === 'That is not the code. Two tries are left.', { within: WITHIN });
  assert.equal((await device.status()).privacy.open, false);
  // Ann is turned away, and reads so at the door.
  assert.equal(await readCode(device, ben.page), code, 'the wall shows the same');
  await type(ben, code, '#bell-away');
  await until('Ann is at the door of the page', () => ann.page.evaluate(() => document.body.dataset.at === 'door' && /cannot have you in/.test(document.querySelector('#door-words').textContent)), { within: WITHIN });
  assert.equal((await device.status()).privacy.open, false);
  // She comes again, with another code, and is let in.
  await ann.page.click('#join');
  await ann.inside();
  await until('Ben is asked again', async () => (await plate(ben))?.title === 'Ann is at the door', { within: WITHIN });
  assert.equal((await device.status()).privacy.tries, 3);
  await type(ben, await readCode(device, ben.page, code));
  await ann.sees(DEVICE, { within: WITHIN });
  await hearsSpeech(ann, DEVICE.name);
  await device.exchanges('Ann');
  await ann.sees(ben, { within: WITHIN });
  await until('nobody is asked any more', async () => (await plate(ben)) === null, { within: WITHIN });
  const open = await codeOnWall(device, ben.page);
  assert.equal(open.code, null, open.text);
  // Whoever sits in the room leaves like anybody else, by one tap.
  await ben.page.click('#leave');
  await until('Ben has left', async () => !(await device.status()).room.members.some(({ name }) => name === 'Ben'), { within: WITHIN });
  assert.deepEqual([ann, ben].flatMap(({ errors }) => errors), []);
});

test('to guess the code is hopeless, and the wall says who can help', { timeout: 8 * WITHIN }, async (t) => {
  const device = await Device.start({ privacy: 'admit = "ask"' });
  t.after(() => device.stop());
  const eve = await companion(device, 'Eve', 6);
  t.after(() => eve.close());
  await until('Eve is asked', async () => (await plate(eve))?.title === `You are at the door of ${DEVICE.name}`, { within: WITHIN });
  const code = await readCode(device, eve.page);
  for (const left of [2, 1, 0]) {
    await type(eve, String((Number(code) + 1_000 * (left + 3)) % 10_000).padStart(4, '0'));
    await until(`${left} tries are left`, async () => (await device.status()).privacy.tries === left, { within: WITHIN });
  }
  await until('Eve reads it', async () => {
    const said = await plate(eve);
    return said && !said.fields && /too many wrong codes/.test(said.text);
  }, { within: WITHIN });
  await until('the wall says so', async () => {
    const { code: shown, text } = await codeOnWall(device, eve.page);
    return shown === null && /too many wrong codes/.test(text.replace(/\s+/g, ' '));
  }, { within: WITHIN });
  assert.match(device.roomd.log.join('\n'), /a wrong code/);
  assert.equal(await device.command('admit'), 'Eve is let in.\n');
  assert.equal((await device.status()).privacy.open, true);
});
