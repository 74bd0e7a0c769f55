// The server dies and comes back, and nobody in the room is to notice: the device and two pages
// keep every link and every picture.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { invitation, RemoteDevice, WITHIN } from './remote.js';
import { chromium, Member, Roomd, told, until } from './support.js';

/** No time without a new frame may be longer. */
const LONGEST_MS = 5_000;
const ROOM = 'hall';

let server;
let device;
let browser;
let ann;
let ben;

before(async () => {
  server = await Roomd.start();
  device = await RemoteDevice.start({ server, room: ROOM, name: 'Atrium' });
  browser = await chromium();
  const page = await invitation(server, ROOM);
  const devices = { width: 160, height: 90, fps: 10 };
  const viewport = { width: 640, height: 400 };
  ann = await Member.open(browser, page, { name: 'Ann', number: 4, devices, viewport });
  await ann.join();
  ben = await Member.open(browser, page, { name: 'Ben', number: 5, devices, viewport });
  await ben.join();
  await ann.inside();
  await ben.inside();
});

after(async () => {
  await browser?.close();
  await device?.stop();
  await server?.stop();
});

/** Every picture is its own, and moves. */
async function everybodySees() {
  await ann.sees(device, { within: WITHIN });
  await ann.sees(ben, { within: WITHIN });
  await ben.sees(device, { within: WITHIN });
  await ben.sees(ann, { within: WITHIN });
  await device.exchanges('Ann');
  await device.exchanges('Ben');
}

/** The links as the three see them: a name for each direction, and id and generation. */
async function links() {
  const all = {};
  for (const member of [ann, ben]) {
    for (const { name, link } of (await member.room()).people) all[`${member.name} < ${name}`] = `${link?.id}/${link?.generation}/${link?.state}`;
  }
  for (const [name, { link, generation, state }] of Object.entries(await device.links())) {
    all[`Atrium < ${name}`] = `${link}/${generation}/${state === 'connected' ? 'live' : state}`;
  }
  return all;
}

/** What became of each link, as each of the three saw it. */
function stories(seen, start) {
  const lines = Object.entries(seen).flatMap(([viewer, people]) =>
    Object.entries(people).map(([name, { story, longest }]) => `${viewer} < ${name}: ${told(story, start)}; at most ${Math.round(longest)} ms without a frame`));
  return [...lines, ...device.log.slice(-40)].join('\n');
}

async function outlives(downFor) {
  await everybodySees();
  const before = await links();
  assert.equal(Object.keys(before).length, 6);
  for (const member of [ann, ben, device]) await member.watchFrames();

  const killed = Date.now();
  await server.kill();
  await until('the pages have noticed', async () => (await ann.room()).state === 'reconnecting' && (await ben.room()).state === 'reconnecting');
  // The time itself is what is tried.
  await until('it is time', () => Date.now() - killed >= downFor, { within: downFor + 1_000 });
  await server.run();
  const down = Date.now() - killed;
  for (const member of [ann, ben]) await member.inside();
  await until('the device is back', async () => (await device.status()).room.state === 'joined', { within: WITHIN });
  await until('every link is adopted', async () => {
    const kept = [ann, ben].map(async (member) => (await member.room()).people.some(({ link }) => link?.kept));
    return !(await Promise.all(kept)).includes(true) && Object.values(await device.links()).every(({ state }) => state === 'connected');
  }, { within: WITHIN });
  // Longer than the new server adopts: what it does at the end of that is seen as well.
  const adoption = Date.now() + 31_000;
  await until('the time for adoption is over', () => Date.now() > adoption, { within: 35_000 });

  const seen = { Ann: await ann.framesSeen(), Ben: await ben.framesSeen(), Atrium: device.framesSeen() };
  assert.deepEqual(await links(), before, `not one link is rebuilt; since the server was killed:\n${stories(seen, killed)}`);
  const gaps = {};
  for (const [viewer, people] of Object.entries(seen)) {
    assert.equal(Object.keys(people).length, 2, `${viewer} has two others`);
    for (const [name, { longest, longestSent, links }] of Object.entries(people)) {
      gaps[`${viewer} < ${name}`] = Math.round(longest);
      assert.equal(links.size, 1, `${viewer} has had one link with ${name}: ${[...links]}`);
      assert.ok(longest < LONGEST_MS, `${viewer} has had no frame of ${name} for ${Math.round(longest)} ms:\n${stories(seen, killed)}`);
      if (longestSent !== undefined) assert.ok(longestSent < LONGEST_MS, `${viewer} has sent ${name} nothing for ${Math.round(longestSent)} ms`);
    }
  }
  await everybodySees();
  assert.deepEqual([...ann.errors, ...ben.errors].filter((error) => !/WebSocket connection/.test(error)), []);
  return { down, gaps };
}

test('a server that is killed and back within a second takes no link with it', { timeout: 240_000 }, async (t) => {
  const { down, gaps } = await outlives(0);
  t.diagnostic(`down for ${down} ms; longest times without a frame: ${JSON.stringify(gaps)}`);
});

test('a server that is away for a minute takes no link with it', { timeout: 300_000 }, async (t) => {
  const { down, gaps } = await outlives(60_000);
  t.diagnostic(`down for ${down} ms; longest times without a frame: ${JSON.stringify(gaps)}`);
});
