// A picture of every state that the page has a sentence for, on a laptop and on a phone, to be
// looked at: does a stranger know the next tap?
//
//   node shots.js DIRECTORY [SCENE…]

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FakeServer } from './fake-server.js';
import { chromium, fill, Member, until } from './support.js';

const [directory, ...wanted] = process.argv.slice(2);
if (!directory) throw new Error('node shots.js DIRECTORY [SCENE…]');

const SIZES = {
  laptop: { width: 1280, height: 800 },
  phone: { width: 390, height: 844, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
  landscape: { width: 844, height: 390, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
};

const says = (member, text) =>
  until(`the page says “${text}”`, () => member.page.evaluate((part) => document.body.innerText.includes(part), text));

/** Each scene: a server, a page at the door, and what leads to the picture. */
const SCENES = {
  ready: { async play({ me }) {
    await fill(me.page, '#name', 'Ada Lovelace');
    await says(me, 'You can be heard');
  } },
  asking: { devices: { camera: 'never', microphone: 'never' }, says: 'asks whether' },
  denied: { devices: { camera: 'NotAllowedError', microphone: 'NotAllowedError' }, says: 'does not let this page' },
  'denied-camera': { devices: { camera: 'NotAllowedError' }, says: 'does not let this page' },
  dismissed: { devices: { camera: 'Dismissed', microphone: 'Dismissed' }, says: 'question about' },
  'no-camera': { devices: { camera: 'NotFoundError' }, says: 'No camera found' },
  'no-microphone': { devices: { microphone: 'NotFoundError' }, says: 'No microphone found' },
  neither: { devices: { camera: 'NotFoundError', microphone: 'NotFoundError' }, says: 'watch and listen' },
  busy: { devices: { camera: 'NotReadableError' }, says: 'another program' },
  insecure: { devices: { camera: 'insecure' }, says: 'without a secure connection' },
  'old-browser': { before: () => delete window.RTCPeerConnection, says: 'cannot make video calls' },
  off: { async play({ me }) {
    await says(me, 'Say something').catch(() => {});
    await me.page.click('#door-mic');
    await me.page.click('#door-cam');
    await says(me, 'Your camera is off');
  } },
  pin: { hash: '', async play({ me }) {
    await me.page.waitForSelector('#pin-field:not([hidden])');
    await me.page.evaluate(() => document.querySelector('#join').click());
    await says(me, 'This room has a PIN');
  } },
  'wrong-pin': { hash: '', async play({ me }) {
    await me.join({ pin: '111 111' });
    await says(me, 'not the room');
  } },
  'old-pin': { hash: '', async play({ me }) {
    await me.page.evaluate(() => sessionStorage.setItem('roomd.pin', '999999'));
    await me.page.reload();
    await me.join();
    await says(me, 'has a new PIN');
  } },
  'pin-wait': { server: { refuse: { code: 'pin_wait', retry_ms: 42_000 } }, async play({ me }) {
    await me.join();
    await says(me, 'Too many wrong PINs');
  } },
  'room-full': { server: { refuse: { code: 'room_full' } }, async play({ me }) {
    await me.join();
    await says(me, 'The room is full');
  } },
  version: { server: { refuse: { code: 'version' } }, async play({ me }) {
    await me.join();
    await says(me, 'was updated');
  } },
  'no-room': { server: { refuse: { code: 'no_room' }, room: null, name: null }, async play({ me }) {
    await fill(me.page, '#room', 'atrum');
    await me.join();
    await says(me, 'There is no room');
  } },
  'no-answer': { async play({ me, server }) {
    await me.page.waitForSelector('#join:not(:disabled)');
    await server.kill();
    await me.join();
    await says(me, 'does not answer');
  } },
  left: { async play({ me }) {
    await enter(me);
    await me.page.click('#leave');
    await says(me, 'You left');
  } },
  replaced: { async play({ me, server }) {
    await enter(me);
    server.say({ t: 'bye', why: 'replaced' });
    await says(me, 'in another window');
  } },
  alone: { async play({ me }) {
    await enter(me);
    await says(me, 'Nobody else');
  } },
  two: { async play({ me, another }) {
    await enter(me);
    const bob = await another({ name: 'Bob' });
    await me.sees(bob);
  } },
  quiet: { async play({ me, another }) {
    await enter(me);
    const bob = await another({ name: 'Bob' });
    await me.sees(bob);
    await me.page.evaluate(() => document.activeElement.blur());
    await me.page.waitForFunction(() => document.body.classList.contains('quiet') || innerHeight > innerWidth, { timeout: 15_000 });
  } },
  muted: { async play({ me, another }) {
    await enter(me);
    const bob = await another({ name: 'Bob' });
    await me.sees(bob);
    await bob.page.click('#mic');
    await me.page.click('#mic');
    await me.page.click('#cam');
    await me.page.waitForFunction(() => document.querySelectorAll('.mark.mic:not([hidden])').length === 2);
  } },
  upright: { async play({ me, another }) {
    await enter(me);
    const bob = await another({ name: 'Bob on the way', devices: { width: 180, height: 320 } });
    await me.sees(bob).catch(() => {});
  } },
  six: { async play({ me, another, server }) {
    await enter(me);
    const names = ['Meeting room Atrium', 'Grace Hopper', 'عائشة بنت أحمد', '王小明'];
    for (const name of names) {
      const member = await another({ name, kind: name.startsWith('Meeting') ? 'device' : undefined, devices: { fps: 5 } });
      await me.sees(member);
      if (name === '王小明') await member.page.click('#mic');
    }
    server.addGhost({ name: 'Bartholomew Featherstonehaugh-Cholmondeley', media: { audio: false, video: false }, linked: false });
    await me.page.waitForFunction(() => document.querySelectorAll('.tile').length === 6);
    // Whoever moves sees the controls.
    await me.page.mouse.move(400, 60);
    await me.page.mouse.move(420, 80);
  } },
  names: { async play({ me, server }) {
    await enter(me);
    ghosts(server, 8);
    await me.page.waitForFunction(() => document.querySelectorAll('.tile').length === 9);
  } },
  sixteen: { async play({ me, server }) {
    await enter(me);
    ghosts(server, 15);
    await me.page.waitForFunction(() => document.querySelectorAll('.tile').length === 16);
  } },
  three: { async play({ me, server }) {
    await enter(me);
    ghosts(server, 2);
    await me.page.waitForFunction(() => document.querySelectorAll('.tile').length === 3);
  } },
  large: { async play({ me, another, server }) {
    await enter(me);
    ghosts(server, 4);
    const bob = await another({ name: 'Bob' });
    await me.sees(bob);
    await me.page.evaluate(() => [...document.querySelectorAll('.tile')].find((t) => t.innerText.includes('Bob')).querySelector('.enlarge').focus());
    await me.page.keyboard.press('Enter');
  } },
  lost: { async play({ me, another }) {
    await enter(me);
    const bob = await another({ name: 'Bob' });
    await me.sees(bob);
    // Its browser is gone without a word; the session is kept for a while.
    const client = await bob.page.createCDPSession();
    void client.send('Page.crash').catch(() => {});
    await says(me, 'is reconnecting');
    await until('it counts', () => me.page.evaluate(() => /reconnecting… \d+\ss/.test(document.body.innerText)));
  } },
  'no-route': { server: { ice: [] }, async play({ me, server }) {
    await enter(me);
    server.addGhost({ name: 'Anna', linked: true });
    await until('no way through', () => me.page.evaluate(() => document.body.innerText.includes('No way through')), { within: 120_000, every: 500 });
  } },
  reconnecting: { async play({ me, another, server }) {
    await enter(me);
    const bob = await another({ name: 'Bob' });
    await me.sees(bob);
    await server.kill();
    await says(me, 'Connection to the room lost');
    await until('it counts', () => me.page.evaluate(() => /again… \d+\ss/.test(document.body.innerText)));
  } },
  restarting: { async play({ me, another, server }) {
    await enter(me);
    const bob = await another({ name: 'Bob' });
    await me.sees(bob);
    server.say({ t: 'bye', why: 'restart', retry_ms: 3_000 });
    await says(me, 'is restarting');
  } },
  back: { async play({ me, another, server }) {
    await enter(me);
    const bob = await another({ name: 'Bob' });
    await me.sees(bob);
    await server.kill();
    await server.restart();
    await says(me, 'You’re back');
  } },
  // What drives the browser counts as a touch, so the refusal itself is played.
  sound: { before: () => {
    const { play } = HTMLMediaElement.prototype;
    HTMLMediaElement.prototype.play = function () {
      return this.tagName === 'AUDIO' ? Promise.reject(new DOMException('', 'NotAllowedError')) : play.call(this);
    };
  }, async play({ me, another }) {
    await enter(me);
    await another({ name: 'Bob' });
    await says(me, 'keeps the sound off');
  } },
  unplugged: { async play({ me, another }) {
    await enter(me);
    const bob = await another({ name: 'Bob' });
    await me.sees(bob);
    await me.page.evaluate(() => {
      const { video } = window.fakeDevices.tracks;
      video.stop();
      video.dispatchEvent(new Event('ended'));
    });
    await says(me, 'was unplugged');
  } },
  // A companion, whose room asks who shall be let in.
  'bell': { hash: '#pin=123456&here', async play({ me, server }) {
    await enter(me);
    atTheDoor(server, { hold: 'asking', tries: 3 });
    await says(me, 'Anna is at the door');
  } },
  'bell-wrong': { hash: '#pin=123456&here', async play({ me, server }) {
    await enter(me);
    const room = atTheDoor(server, { hold: 'do_not_disturb', tries: 3 });
    await says(me, 'Anna is at the door');
    await fill(me.page, '#bell-code', '1234');
    await me.page.click('#bell-in');
    await says(me, 'Asking the room');
    server.changeGhost(room, { media: { ...room.media, tries: 2 } });
    await says(me, 'Two tries are left');
  } },
  'bell-spent': { hash: '#pin=123456&here', async play({ me, server }) {
    await enter(me);
    atTheDoor(server, { hold: 'asking', tries: 0 });
    await says(me, 'too many wrong codes');
  } },
  'bell-alone': { hash: '#pin=123456&here', async play({ me, server }) {
    await enter(me);
    server.addGhost({ name: 'Meeting room Atrium', kind: 'device', media: { audio: false, video: false, hold: 'asking', tries: 3 } });
    await says(me, 'The code on the room’s screen lets you in');
  } },
  'at-the-door': { async play({ me, server }) {
    await enter(me);
    server.addGhost({ name: 'Meeting room Atrium', kind: 'device', linked: false, media: { audio: false, video: false, hold: 'asking', tries: 3 } });
    await says(me, 'You are at the door');
  } },
  'turned-away': { async play({ me, server }) {
    await enter(me);
    const room = server.addGhost({ name: 'Meeting room Atrium', kind: 'device', linked: false, media: { audio: false, video: false, hold: 'asking', tries: 3 } });
    await says(me, 'You are at the door');
    server.changeGhost(room, { media: { ...room.media, hold: 'turned_away', tries: undefined } });
    await says(me, 'cannot have you in');
  } },
  companion: { hash: '#pin=123456&here', async play({ me, another }) {
    await enter(me);
    await another({ name: 'Meeting room Atrium', kind: 'device', devices: { fps: 5 } });
    const anna = await another({ name: 'Anna' });
    await me.sees(anna);
  } },
  remote: { hash: '#pin=123456&here', async play({ me, another }) {
    await enter(me);
    const room = await another({ name: 'Meeting room Atrium', kind: 'device', devices: { fps: 5 } });
    await another({ name: 'Anna' });
    await me.sees(room);
    await me.page.click('#people');
    await says(me, 'Speaker large');
  } },
  'camera-off': { async play({ me, another }) {
    await enter(me);
    const bob = await another({ name: 'Bob' });
    await me.sees(bob);
    await bob.page.click('#cam');
    await me.page.waitForSelector('.tile:not(.self) .mark.cam:not([hidden])');
  } },
  'dialog-people': { async play({ me, server }) {
    await enter(me);
    ghosts(server, 5);
    await me.page.click('#people');
  } },
  'dialog-devices': { async play({ me }) {
    await enter(me);
    await me.page.click('#devices');
  } },
  'dialog-keys': { async play({ me }) {
    await enter(me);
    await me.page.keyboard.press('?');
  } },
  stats: { query: '?stats', async play({ me, another }) {
    await enter(me);
    const bob = await another({ name: 'Bob' });
    await me.sees(bob);
    await says(me, 'kbit/s');
  } },
};

async function enter(member) {
  await member.join();
  await member.inside();
}

/** A room that nobody has opened yet, and somebody who would be let in. */
function atTheDoor(server, media) {
  const room = server.addGhost({ name: 'Meeting room Atrium', kind: 'device', media: { audio: false, video: false, ...media } });
  server.addGhost({ name: 'Anna', linked: false, media: { audio: true, video: false } });
  return room;
}

function ghosts(server, count) {
  const names = [
    'Meeting room Atrium', 'Grace', 'Bartholomew Featherstonehaugh-Cholmondeley', 'عائشة بنت أحمد', '王小明', '👩🏽‍🚀 Mae', 'Zoë Ó Briain',
    'иван', 'J', 'Anna Maria', 'Łukasz', 'Noor', 'Ravi', 'Sun-hee', 'Tom & Tina',
  ];
  for (let at = 0; at < count; at += 1) {
    server.addGhost({
      name: names[at], kind: at === 0 ? 'device' : 'browser', linked: false,
      media: { audio: at % 3 !== 1, video: false }, away: at === 3,
    });
  }
}

await mkdir(directory, { recursive: true });
const names = wanted.length > 0 ? wanted : Object.keys(SCENES);
let browser;
let failed = 0;
for (const name of names) {
  const scene = SCENES[name];
  if (!scene) throw new Error(`no scene ${name}`);
  for (const [size, viewport] of Object.entries(SIZES)) {
    if (size === 'landscape' && !['ready', 'two', 'six', 'alone', 'reconnecting'].includes(name)) continue;
    browser ??= await chromium();
    const server = await new FakeServer(scene.server).start();
    const members = [];
    const open = async (options) => {
      const member = await Member.open(browser, server.url + (scene.query ?? '') + (scene.hash ?? '#pin=123456'), options);
      members.push(member);
      return member;
    };
    try {
      const me = await open({
        name: 'Ada Lovelace', number: 1, viewport, before: scene.before,
        devices: size === 'laptop' ? scene.devices : { width: 240, height: 320, ...scene.devices },
      });
      const another = async ({ kind, ...options }) => {
        if (kind) server.kindOf[options.name] = kind;
        const member = await open({ number: members.length + 1, viewport: { width: 320, height: 240 }, ...options });
        await enter(member);
        return member;
      };
      if (scene.says) await says(me, scene.says);
      await scene.play?.({ me, server, another });
      // Every transition has ended.
      await until('it stands still', () => me.page.evaluate(() => document.getAnimations().length === 0));
      await me.shot(join(directory, `${name}-${size}.png`));
      if (me.errors.length > 0 && !['no-answer', 'reconnecting', 'back', 'restarting'].includes(name)) console.log(name, size, me.errors);
      console.log('ok', name, size);
    } catch (error) {
      failed += 1;
      console.log('FAILED', name, size, error.message);
      await members[0]?.shot(join(directory, `${name}-${size}-failed.png`)).catch(() => {});
    }
    await Promise.all(members.map((member) => member.close().catch(() => {})));
    await server.kill().catch(() => {});
  }
}
await browser?.close();
process.exitCode = failed > 0 ? 1 : 0;
