// A member whose uplink is too little for its pictures: what the others hear and see of it, and who
// is told.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { impossible } from './nat/hosts.js';
import { UplinkRoom } from './uplink.js';
import { WITHIN } from './remote.js';
import { until } from './support.js';

/** What a page takes to find out what its line carries. */
const SETTLE_MS = 30_000;
/** As long as a paused picture waits, and a trial more. */
const WATCH_MS = 30_000;
/** No silence may be longer, */
const SILENCE_MS = 1_000;
/** but for what a voice lacked as well that no line limits: so long it may wait for a processor without excusing anything. */
const BREATH_MS = 200;

const pass = async (ms) => {
  const end = Date.now() + ms;
  await until('the time is over', () => Date.now() >= end, { within: ms + 5_000, every: 250 });
};

/** Everybody has heard the one at home all the time. Returns what arrived. */
async function assertHeard(room, t) {
  const arrived = await room.arrived();
  for (const [name, { silence, control, fps, height }] of Object.entries(arrived)) {
    t.diagnostic(`${name}: the longest silence ${silence} ms, of the machine ${control} ms${fps === undefined ? '' : `, ${fps.toFixed(1)} frames/s of ${height} lines`}`);
  }
  const silent = Object.entries(arrived).filter(([, { silence, control }]) => silence > SILENCE_MS + Math.max(0, control - BREATH_MS));
  assert.deepEqual(silent, [], 'nobody missed more than a second of sound');
  return arrived;
}

/** The links of the one at home, by the others' names: each has been one all the time. */
async function links(room) {
  const { people } = await room.member.room();
  return Object.fromEntries(people.map(({ name, link }) => [name, `${link.id}/${link.generation}`]));
}

test('behind 1 Mbit/s a member of a room of six keeps sound with everybody', { skip: impossible(), timeout: 300_000 }, async (t) => {
  const room = await UplinkRoom.make({ uplink: '1mbit', members: 6, device: true });
  t.after(() => room.end());
  await pass(SETTLE_MS);
  const before = await links(room);
  await room.watch();
  await pass(WATCH_MS);
  await assertHeard(room, t);
  const { uplink } = await room.member.room();
  t.diagnostic(`what each picture may be: ${JSON.stringify(uplink)}`);
  assert.ok(uplink.paused || uplink.kbps < 300, `the page knows that its line is small: ${JSON.stringify(uplink)}`);
  assert.deepEqual(await links(room), before, 'no link was built again for it');
  for (const { name, errors } of [room.member, ...room.others]) assert.deepEqual(errors, [], name);
});

test('behind an uplink for sound alone pictures are paused, and everybody is told', { skip: impossible(), timeout: 300_000 }, async (t) => {
  const room = await UplinkRoom.make({ uplink: '180kbit', members: 3 });
  t.after(() => room.end());
  const said = (member, name) => member.page.evaluate((wanted) => {
    const tile = [...document.querySelectorAll('.tile')].find((other) => other.querySelector('.name').textContent.startsWith(wanted));
    const trouble = tile.querySelector('.trouble');
    return { text: trouble.hidden ? '' : trouble.querySelector('.long').textContent, seen: tile.classList.contains('seen') };
  }, name);
  await until('the pictures are paused', async () => (await room.member.room()).uplink.paused, { within: WITHIN });
  const before = await links(room);
  await room.watch();
  for (const other of room.others) {
    await until(`${other.name} is told instead of seeing a frozen picture`, async () => {
      const { text, seen } = await said(other, 'Home');
      return /^Picture paused: .+ too slow\. Sound goes on\.$/.test(text) && !seen;
    }, { within: WITHIN });
  }
  await until('the one at home is told on its own tile', async () => /others hear you but do not see you\.$/.test((await said(room.member, 'Home')).text), { within: WITHIN });
  // Longer than a picture may be dark, in which nobody builds a link again.
  await pass(12_000);
  await assertHeard(room, t);
  assert.deepEqual(await links(room), before, 'no link was built again for it');
});
