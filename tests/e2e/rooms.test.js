// Rooms of more than two: two devices and a page, and six members of whom some go and come.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { invitation, RemoteDevice, WITHIN } from './remote.js';
import { chromium, Member, Roomd, until } from './support.js';
import { numbersSeen, screenShows, watchNumbers } from './witness.js';

/** No time without a new frame may be longer. */
const LONGEST_MS = 5_000;

/** What five windows and a device can do on two cores. */
const SMALL = { width: 160, height: 90, fps: 10 };
const VIEWPORT = { width: 640, height: 400 };

let server;
let browser;
before(async () => {
  server = await Roomd.start();
  browser = await chromium();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Somebody at a page, in the room. */
async function visit(room, name, number, { where = browser } = {}) {
  const member = await Member.open(where, await invitation(server, room), { name, number, devices: SMALL, viewport: VIEWPORT });
  await member.join();
  await member.inside();
  return member;
}

/** Nobody's picture under a wrong name. */
async function assertOwnNumbers(member, others) {
  const seen = await numbersSeen(member);
  for (const other of others) {
    assert.deepEqual(Object.keys(seen[other.name] ?? {}), [String(other.number)], `${member.name} has seen of ${other.name}: ${JSON.stringify(seen)}`);
  }
}

/** Frames of each of these have come to `viewer` all the time, on one link each. Returns the longest gaps. */
async function assertSteady(viewer, others) {
  const seen = await viewer.framesSeen();
  const gaps = {};
  for (const { name } of others) {
    const person = seen[name];
    assert.ok(person, `${viewer.name} has a link with ${name}`);
    gaps[`${viewer.name} < ${name}`] = Math.round(person.longest);
    assert.deepEqual(person.links.size, 1, `${viewer.name} has had one link with ${name}: ${[...person.links]}`);
    assert.ok(person.longest < LONGEST_MS, `${viewer.name} has had no frame of ${name} for ${Math.round(person.longest)} ms`);
    if (person.longestSent !== undefined) {
      assert.ok(person.longestSent < LONGEST_MS, `${viewer.name} has sent ${name} nothing for ${Math.round(person.longestSent)} ms`);
    }
  }
  return gaps;
}

test('two devices and a page: all links both ways, and either device killed comes back as itself', { timeout: 600_000 }, async (t) => {
  const room = 'pair';
  const atrium = await RemoteDevice.start({ server, room, name: 'Atrium', number: 1, screen: true });
  t.after(() => atrium.stop());
  const studio = await RemoteDevice.start({ server, room, name: 'Studio', number: 2, screen: true });
  t.after(() => studio.stop());
  const ann = await visit(room, 'Ann', 4);
  t.after(() => ann.close());
  const blank = await browser.newPage();
  t.after(() => blank.close());
  await watchNumbers(ann);

  const everybodySees = async () => {
    await ann.sees(atrium, { within: WITHIN });
    await ann.sees(studio, { within: WITHIN });
    for (const [device, other] of [[atrium, studio], [studio, atrium]]) {
      await device.exchanges('Ann');
      await device.exchanges(other.name);
      const expected = [other.number, ann.number].sort().join();
      let shown;
      await until(`the screen of ${device.name} shows ${expected}`, async () => {
        shown = await screenShows(blank, device.screen, 2);
        if ([...shown].sort().join() !== expected) throw new Error(`it shows ${JSON.stringify(shown)}`);
        return true;
      }, { within: WITHIN, every: 300 });
    }
  };
  await everybodySees();

  for (const [victim, other] of [[atrium, studio], [studio, atrium]]) {
    await ann.watchFrames();
    other.watchFrames();
    const killed = Date.now();
    await victim.kill();
    await until(`${victim.name} is missed`, async () => (await ann.person(victim.name))?.away, { within: WITHIN });
    await victim.run();
    await everybodySees();
    t.diagnostic(`${victim.name} killed, back and seen by all after ${Date.now() - killed} ms`);
    assert.equal((await ann.room()).people.length, 2, 'nobody is seen twice');
    const gaps = { ...await assertSteady(ann, [other]), ...await assertSteady(other, [ann]) };
    t.diagnostic(`meanwhile, longest times without a frame: ${JSON.stringify(gaps)}`);
  }
  await assertOwnNumbers(ann, [atrium, studio]);
  assert.deepEqual(ann.errors, []);
});
