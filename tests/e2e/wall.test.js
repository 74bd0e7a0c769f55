// The wall in a call: who has which tile, whose camera is off, and who is large.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Device, WITHIN } from './device.js';
import { chromium, Member, until } from './support.js';

let browser;
before(async () => {
  browser = await chromium();
});
after(() => browser?.close());

test('everybody has a tile, whoever shows nothing too, and who speaks can be large', { timeout: 8 * WITHIN }, async (t) => {
  const device = await Device.start();
  t.after(() => device.stop());
  const visit = async (name, number) => {
    const member = await Member.open(browser, await device.invitation(), { name, number, viewport: { width: 640, height: 400 } });
    t.after(() => member.close());
    await member.join();
    await member.inside();
    return member;
  };
  const ann = await visit('Ann', 4);
  const bob = await visit('Bob', 5);
  await device.shows(ann, bob);

  const tiles = async () => {
    const { room, screen } = await device.status();
    const name = (tile) => room.links.find(({ link }) => link === tile.link)?.name;
    return Object.fromEntries(screen.tiles.map((tile) => [name(tile), tile]));
  };
  const alike = await tiles();
  assert.deepEqual(Object.keys(alike).sort(), ['Ann', 'Bob']);
  assert.equal(alike.Ann.width, alike.Bob.width);
  assert.ok(alike.Ann.x < alike.Bob.x, 'in the order of coming');

  await bob.page.click('#cam');
  await until('Bob has a tile without a picture', async () => (await tiles()).Bob.seen === false, { within: WITHIN });
  assert.equal((await tiles()).Ann.seen, true);
  await bob.page.click('#cam');
  await until('and with one', async () => (await tiles()).Bob.seen === true, { within: WITHIN });
  await device.shows(ann, bob);

  assert.equal(await device.command('layout', 'speaker'), 'The wall shows who spoke last large.\n');
  // Bob says nothing, and Ann goes on.
  await bob.page.click('#mic');
  await until('Ann is large, and Bob is beside', async () => {
    const now = await tiles();
    return now.Ann.width > 2 * now.Bob.width && now.Bob.x > now.Ann.x + now.Ann.width;
  }, { within: WITHIN });
  const small = (await tiles()).Bob.height;
  await until('Bob is asked for so much', async () => (await bob.person('Atrium')).link.shown === small, { within: WITHIN });
  await device.shows(ann, bob);
  await device.command('layout', 'grid');
  await until('both are alike again', async () => {
    const now = await tiles();
    return now.Ann.width === now.Bob.width;
  }, { within: WITHIN });

  // The room itself, by a link that nobody has.
  const own = async () => (await device.status()).screen.tiles.find(({ link }) => link === 'a'.repeat(26));
  assert.equal(await own(), undefined);
  assert.equal(await device.command('layout', '--self-view', 'on'), 'The wall shows this room as well.\n');
  await until('the room sees itself', async () => (await own())?.seen === true, { within: WITHIN });
  assert.ok((await own()).width * 2 < (await tiles()).Ann.width, 'small, in the corner');
  await device.command('camera', 'off');
  await until('nothing of it is there with its camera off', async () => await own() === undefined, { within: WITHIN });
  await device.command('camera', 'on');
  await until('and again', async () => (await own())?.seen === true, { within: WITHIN });
  assert.deepEqual(JSON.parse(await device.command('layout', '--self-view', 'off', '--json')), { layout: 'grid', self_view: false });
  await until('the room sees the others only', async () => await own() === undefined, { within: WITHIN });
  await assert.rejects(device.command('layout', 'row'), /possible values: grid, speaker/);
  for (const { errors } of [ann, bob]) assert.deepEqual(errors, []);
});
