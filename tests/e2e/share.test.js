// The shared screen: a tab with a text of ten points is shared beside the camera, and is read off the
// wall's own pixels; others see it large; it goes with the button, with its owner, and with the
// tab. And one who only presents.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { Device, WITHIN } from './device.js';
import { enlarged, read } from './letters.js';
import { chromium, Member, serve, until } from './support.js';

/** The tab that the browser shares unasked. */
const TITLE = 'Figures of the quarter';

/** Ten points are 13.333 CSS pixels. Plain words, and figures as a table has them. */
const LINES = [
  'The committee agreed that every meeting room should be booked before noon.',
  'Rainfall in April was 37 millimetres, which is less than half the usual amount.',
  'Please send the signed contract to the office in Hamburg by Friday afternoon.',
  'Item 4182: six boxes of paper, 259 euros, delivered on the third of March.',
  'Nobody expected the harbour bridge to reopen earlier than the summer of 2031.',
  'Quarterly revenue rose from 1540 to 1688 thousand, mostly through repairs.',
  'Turn the valve slowly, wait for the green lamp, and then close the cover.',
  'Her lecture about glaciers begins at 18 hours in the large hall upstairs.',
];
/** What the tab plays when it does, in hertz. */
const TONE = 2_300;
const TEXT = `<!doctype html><title>${TITLE}</title>
<body style="margin:0;background:#fff;color:#111;font:10pt/1.6 'DejaVu Sans',sans-serif">
<main style="padding:40px;columns:2;column-gap:60px">${LINES.map((line) => `<p style="margin:0 0 12px">${line}</p>`).join('')}</main>
<footer style="position:absolute;bottom:0;right:0;width:24px;height:24px;background:#d00"></footer></body>`;

let browser;
before(async () => {
  browser = await chromium({ audible: true, args: [`--auto-select-tab-capture-source-by-title=${TITLE}`] });
});
after(() => browser?.close());

const small = { width: 640, height: 400 };

/** A tab beside that of `member`, which is shared when it shares. @param {{ sounds?: boolean }} options */
async function document(member, { sounds = false } = {}) {
  const tab = await member.context.newPage();
  await tab.setViewport({ width: 1920, height: 1080 });
  await tab.setContent(TEXT);
  if (sounds) {
    await tab.evaluate((pitch) => {
      window.sound = new AudioContext();
      const oscillator = new OscillatorNode(window.sound, { frequency: pitch });
      oscillator.connect(new GainNode(window.sound, { gain: 0.4 })).connect(window.sound.destination);
      oscillator.start();
    }, TONE);
  }
  await member.page.bringToFront();
  return tab;
}

async function visit(t, device, name, number, { more = '', ...options } = {}) {
  const member = await Member.open(browser, `${await device.invitation()}${more}`, { name, number, viewport: small, ...options });
  t.after(() => member.close());
  return member;
}

/** The members of the device's room that are screens. */
const screens = async (device) => (await device.status()).room.members.filter((member) => member.of);

/** The tile on the wall of a screen, or of a person; undefined where it has none. */
async function tileOf(device, name, screen) {
  const { room, screen: wall } = await device.status();
  const member = room.members.find((one) => one.name === name && Boolean(one.of) === screen);
  const link = member && room.links.find(({ peer }) => peer === member.member);
  return link && wall.tiles.find((tile) => tile.link === link.link);
}

const wordsOf = (text) => text.toLowerCase().match(/[a-z0-9]+/g) ?? [];

/** Which part of the words of the text was read. */
function share(text) {
  const read = new Set(wordsOf(text));
  const wanted = wordsOf(LINES.join(' '));
  return wanted.filter((word) => read.has(word)).length / wanted.length;
}

/** What the wall shows of a screen. */
async function readsOnWall(device, page, name) {
  const file = join(device.folder, 'wall.png');
  await device.command('snapshot', '--force', file);
  const tile = await tileOf(device, name, true);
  return tile ? read(await enlarged(page, await readFile(file), tile)) : '';
}

/** What a page shows of a tile: how large, how large its picture is, and whether it is seen. */
const shownOn = (member, name) => member.page.evaluate((wanted) => {
  const tile = [...document.querySelectorAll('.tile')].find((other) => other.querySelector('.name').textContent === wanted);
  const video = tile?.querySelector('video');
  return tile && { width: tile.clientWidth, seen: tile.classList.contains('seen'), picture: `${video.videoWidth}x${video.videoHeight}`, contain: tile.classList.contains('contain') };
}, name);

test('a text of ten points is read off the wall, and others see it large', { timeout: 12 * WITHIN }, async (t) => {
  const device = await Device.start();
  t.after(() => device.stop());
  const ann = await visit(t, device, 'Ann', 4);
  const bob = await visit(t, device, 'Bob', 5, { viewport: { width: 1280, height: 800 } });
  for (const member of [ann, bob]) {
    await member.join();
    await member.inside();
  }
  await device.shows(ann, bob);
  await document(ann);

  await ann.page.keyboard.press('s');
  await until('Ann’s screen is in the room', async () => (await screens(device)).length === 1, { within: WITHIN });
  await until('it is large on the wall, and people beside it', async () => {
    const [screen, face] = [await tileOf(device, 'Ann', true), await tileOf(device, 'Ann', false)];
    return screen?.seen && face && screen.width > 3 * face.width;
  }, { within: WITHIN });

  let best = 0;
  await until('nine words in ten are read off the wall', async () => {
    best = Math.max(best, share(await readsOnWall(device, bob.page, 'Ann')));
    return best >= 0.9;
  }, { within: 2 * WITHIN, every: 500 }).catch((error) => {
    throw new Error(`${error.message}: ${best}`);
  });
  t.diagnostic(`${Math.round(best * 100)} % of the words were read`);

  // The same in the other browser, whole, and as large as it is.
  const seen = await until('Bob sees it large', async () => {
    const [screen, face] = [await shownOn(bob, 'Ann’s screen'), await shownOn(bob, 'Ann')];
    return screen?.seen && screen.width > 3 * face.width && screen;
  }, { within: WITHIN });
  assert.deepEqual([seen.picture, seen.contain], ['1920x1080', true]);
  assert.equal(await bob.page.$eval('#people-count', (count) => count.textContent), '3', 'a screen is nobody');
  assert.equal(await shownOn(ann, 'Ann’s screen'), undefined, 'whose it is sees no tile of it');
  assert.equal(await ann.page.$eval('#sharing', (it) => it.hidden), false);
  // He can go back, and back again.
  const enlarge = '.tile.screen .enlarge';
  await bob.page.focus(enlarge);
  await bob.page.keyboard.press('Enter');
  await until('all are alike', async () => (await shownOn(bob, 'Ann’s screen')).width === (await shownOn(bob, 'Ann')).width);
  await bob.page.focus(enlarge);
  await bob.page.keyboard.press('Enter');
  await until('the screen is large again', async () => (await shownOn(bob, 'Ann’s screen')).width > 3 * (await shownOn(bob, 'Ann')).width);

  // Nothing is sent to a screen, and what stands still on it stays where it is.
  const link = await device.status().then(({ room }) => room.links.find(({ sends }) => !sends));
  assert.ok(link, 'the device knows that it sends nothing there');
  const stats = (await device.status()).media.links[link.link];
  assert.equal(stats.video_out.delivered, 0);
  for (const end = Date.now() + 4_000; Date.now() < end;) {
    assert.ok(share(await readsOnWall(device, bob.page, 'Ann')) >= 0.9, 'it is there all the time');
  }

  // A browser goes to the tab that is shared.
  await ann.page.bringToFront();
  const stopped = Date.now();
  await ann.page.click('#sharing button');
  await until('it is gone from Bob’s page', async () => (await shownOn(bob, 'Ann’s screen')) === undefined, { within: 1_000, every: 20 });
  t.diagnostic(`gone after ${Date.now() - stopped} ms`);
  await until('and from the wall', async () => (await screens(device)).length === 0, { within: 2_000 });
  await device.shows(ann, bob);
  for (const { errors } of [ann, bob]) assert.deepEqual(errors, []);
});

test('one who only presents joins with neither camera nor microphone, and a phone is not offered it', { timeout: 10 * WITHIN }, async (t) => {
  const device = await Device.start();
  t.after(() => device.stop());
  const refused = await visit(t, device, 'Rob', 6, { devices: { screen: 'NotAllowedError' } });
  await refused.page.waitForSelector('#join:not(:disabled)');
  await refused.page.click('#present');
  await until('why nothing is shared is said at the door', () => refused.page.$eval('#door-words', (it) => !it.hidden && /no screen was chosen/.test(it.textContent)));
  assert.equal(await refused.page.evaluate(() => window.fakeDevices.tracks.video.readyState), 'live', 'the camera is as it was');
  await refused.join();
  await refused.inside();
  await refused.page.keyboard.press('s');
  await until('and in the room', () => refused.page.$eval('#toast', (it) => !it.hidden && /no screen was chosen/.test(it.textContent)));

  const phone = await visit(t, device, 'Pia', 7, { devices: { screen: 'none' }, viewport: { width: 390, height: 844, hasTouch: true, isMobile: true } });
  await phone.page.waitForSelector('#join:not(:disabled)');
  for (const id of ['#present-field', '#share', '#share-key']) assert.equal(await phone.page.$eval(id, (it) => it.hidden), true, id);

  const ann = await visit(t, device, 'Ann', 4);
  await ann.page.waitForSelector('#join:not(:disabled)');
  await until('her camera is open at the door', () => ann.page.evaluate(() => window.fakeDevices.tracks?.video.readyState === 'live'));
  await document(ann);
  await ann.page.type('#name', 'Ann');
  await ann.page.focus('#present');
  await ann.page.keyboard.press('Enter');
  await ann.inside();
  assert.deepEqual(await ann.page.evaluate(() => Object.values(window.fakeDevices.tracks).map((track) => track.readyState)), ['ended', 'ended']);
  assert.deepEqual((await ann.room()).self.media, { audio: false, video: false });
  await until('her screen is on the wall', async () => (await tileOf(device, 'Ann', true))?.seen, { within: WITHIN });
  await until('and can be read there', async () => share(await readsOnWall(device, phone.page, 'Ann')) >= 0.9, { within: 2 * WITHIN, every: 500 });
  const { media } = (await device.status()).room.members.find(({ name, of }) => name === 'Ann' && !of);
  assert.deepEqual([media.audio, media.video], [false, false]);
  // The browser's own button.
  await ann.page.evaluate(() => {
    const [track] = window.fakeDevices.screen.getVideoTracks();
    track.stop();
    track.dispatchEvent(new Event('ended'));
  });
  await until('it ends with it', async () => (await screens(device)).length === 0, { within: WITHIN });
  assert.equal(await ann.page.$eval('#sharing', (it) => it.hidden), true);
  for (const { errors } of [refused, phone, ann]) assert.deepEqual(errors, []);
});

test('it is announced to nobody, its sound is played and is no voice, and it goes with its owner', { timeout: 12 * WITHIN }, async (t) => {
  const device = await Device.start({ privacy: 'admit = "ask"' });
  t.after(() => device.stop());
  // By the code on the wall: her own sound does not pass, and that of her screen does.
  const ann = await visit(t, device, 'Ann', 4, { more: '&here' });
  await ann.join();
  await ann.inside();
  await document(ann, { sounds: true });
  const privacy = async () => (await device.status()).privacy;
  await until('she waits', async () => (await privacy()).hold === 'asking', { within: WITHIN });
  await ann.page.keyboard.press('s');
  await until('her screen is in the room', async () => (await screens(device)).length === 1, { within: WITHIN });
  assert.deepEqual((await privacy()).visitors, ['Ann'], 'a screen is no visitor');
  assert.equal((await device.status()).screen.tiles.length, 0, 'the wall shows who waits, and nothing of theirs');
  assert.ok((await device.played(TONE)) < 0.1, 'nor plays it');

  await device.command('admit');
  await until('the wall shows it', async () => (await tileOf(device, 'Ann', true))?.seen, { within: WITHIN });
  await until('and plays it', async () => (await device.played(TONE)) > 0.8, { within: WITHIN });
  const { room, speaking } = await device.status();
  const link = room.links.find(({ sends }) => !sends).link;
  assert.ok(!speaking.order.includes(link), 'it is no voice');
  assert.match(await device.says(), /Ann’s screen +connected/);

  await ann.page.close();
  await until('it goes with her tab', async () => (await device.status()).room.members.length === 0, { within: 5_000 });

  // A tab that dies says nothing.
  const bob = await visit(t, device, 'Bob', 5);
  await bob.join();
  await bob.inside();
  await document(bob);
  await bob.page.keyboard.press('s');
  await device.command('admit').catch(() => {});
  await until('Bob’s screen is large', async () => (await tileOf(device, 'Bob', true))?.seen, { within: WITHIN });
  const dying = await bob.page.createCDPSession();
  void dying.send('Page.crash').catch(() => {});
  await until('it is not large for long', async () => {
    const [screen, face] = [await tileOf(device, 'Bob', true), await tileOf(device, 'Bob', false)];
    return !screen || (!screen.seen && screen.width === face?.width);
  }, { within: WITHIN });
  await until('and goes', async () => (await device.status()).room.members.length === 0, { within: 2 * WITHIN });
});

test('a screen outlives the server', { timeout: 8 * WITHIN }, async (t) => {
  const server = await serve();
  t.after(() => server.stop());
  const pin = await server.pin();
  const members = [];
  for (const [name, number] of [['Ann', 4], ['Bob', 5]]) {
    const member = await Member.open(browser, `${server.url}${server.at}#pin=${pin}`, { name, number, viewport: small });
    t.after(() => member.close());
    await member.join();
    await member.inside();
    members.push(member);
  }
  const [ann, bob] = members;
  await bob.sees(ann);
  await document(ann);
  await ann.page.keyboard.press('s');
  const shared = async () => {
    const { people } = await bob.room();
    return people.find(({ of }) => of)?.link;
  };
  await until('Bob sees it', async () => (await shownOn(bob, 'Ann’s screen'))?.seen, { within: WITHIN });
  const before = await shared();
  await server.kill();
  await until('everybody notices', async () => (await ann.room()).state === 'reconnecting' && (await bob.room()).state === 'reconnecting', { within: WITHIN });
  await server.run();
  await until('all are back', async () => {
    const room = await bob.room();
    const owner = room.people.find(({ of }) => !of);
    const screen = room.people.find(({ of }) => of);
    return room.state === 'joined' && owner?.link?.state === 'live' && screen?.link?.state === 'live' && !screen.link.kept && screen.of === owner.member;
  }, { within: WITHIN });
  const after_ = await shared();
  assert.deepEqual([after_.id, after_.generation], [before.id, before.generation], 'the same link, untouched');
  assert.equal((await shownOn(bob, 'Ann’s screen')).seen, true);
});
