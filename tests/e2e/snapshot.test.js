// `roomd snapshot`: what the wall shows, in a file of whoever asks.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { codesIn, DEVICE, Device, WITHIN } from './device.js';
import { chromium, Member, until } from './support.js';

let browser;
before(async () => {
  browser = await chromium();
});
after(() => browser?.close());

/** Width, height and the colour of one pixel of a PNG. */
const look = (page, picture, x, y) => page.evaluate(async (text, at) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes]));
  const canvas = Object.assign(document.createElement('canvas'), { width: bitmap.width, height: bitmap.height });
  const context = canvas.getContext('2d');
  context.drawImage(bitmap, 0, 0);
  return { width: bitmap.width, height: bitmap.height, colour: [...context.getImageData(...at, 1, 1).data] };
}, picture.toString('base64'), [x, y]);

test('the waiting picture and then who is there, and no file is replaced unasked', { timeout: 8 * WITHIN }, async (t) => {
  const device = await Device.start();
  t.after(() => device.stop());
  const file = join(device.folder, 'wall.png');
  const ann = await Member.open(browser, await device.invitation(), { name: 'Ann', number: 4, viewport: { width: 640, height: 400 } });
  t.after(() => ann.close());

  assert.equal(await device.command('snapshot', file), `Saved ${file}, 1920x1080 pixels.\n`);
  const waiting = await look(ann.page, await readFile(file), 4, 4);
  assert.deepEqual([waiting.width, waiting.height], [1920, 1080]);
  // `ground` of the design, as far as a picture of half the colours can say.
  for (const [at, wanted] of [16, 20, 24].entries()) assert.ok(Math.abs(waiting.colour[at] - wanted) <= 3, String(waiting.colour));
  const [empty] = await codesIn(ann.page, await readFile(file), [{ x: 0, y: 0, ...waiting }]);
  assert.equal(empty, null, 'nobody is on it');

  await ann.join();
  await ann.inside();
  await device.shows(ann);
  await assert.rejects(device.command('snapshot', file), /is there already; --force/);
  const shown = async () => {
    await device.command('snapshot', '--force', file);
    const [code] = await codesIn(ann.page, await readFile(file), (await device.status()).screen.tiles);
    return code?.number === ann.number ? code : null;
  };
  const first = await until('Ann is on the picture', shown, { within: WITHIN });
  await until('and moves from one to the next', async () => (await shown())?.counter !== first.counter, { within: WITHIN });

  await assert.rejects(device.command('snapshot', join(device.folder, 'no/wall.png')), /cannot be written/);
  await assert.rejects(device.command('snapshot', device.folder), /is not a file/);
  // Its bytes, and nothing else, for another program.
  const piped = await device.command('snapshot', '-', { encoding: 'latin1' });
  const bytes = Buffer.from(piped, 'latin1');
  await writeFile(file, bytes);
  const { width, height } = await look(ann.page, bytes, 0, 0);
  assert.deepEqual([width, height], [1920, 1080]);
  assert.deepEqual(ann.errors, []);
});

test('without a screen there is no picture, and that is said', { timeout: 4 * WITHIN }, async (t) => {
  const device = await Device.start({ screen: false });
  t.after(() => device.stop());
  await assert.rejects(device.command('snapshot', join(device.folder, 'wall.png')), /this device has no screen/);
  await device.roomd.kill();
  await assert.rejects(device.command('snapshot', join(device.folder, 'wall.png')), /no roomd is running here/);
});
