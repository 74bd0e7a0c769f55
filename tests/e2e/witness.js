// Whose picture was seen under whose name: on a page, all the time; on a device's screen, now.

import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { readCode } from './camera.js';

/** Notes on the page, from here on, every number that is read in the picture of each name. */
export function watchNumbers(member) {
  return member.page.evaluate((read) => {
    clearInterval(window.numbersTimer);
    const readCode = window.eval(`(${read})`);
    window.numbers_ = {};
    window.numbersTimer = setInterval(() => {
      for (const tile of document.querySelectorAll('.tile.seen')) {
        const name = tile.querySelector('.name').textContent;
        const code = readCode(tile.querySelector('.picture'));
        if (code) ((window.numbers_[name] ??= {})[code.number] ??= 0, (window.numbers_[name][code.number] += 1));
      }
    }, 400);
  }, readCode.toString());
}

/** What was noted: for each name, how often each number was read. */
export function numbersSeen(member) {
  return member.page.evaluate(() => window.numbers_);
}

/** The latest picture of a device's screen. Their numbers begin again when the device does. */
async function latest(folder) {
  let latest = null;
  for (const name of await readdir(folder)) {
    if (!name.endsWith('.jpg')) continue;
    const path = join(folder, name);
    const { mtimeMs } = await stat(path);
    if (!latest || mtimeMs > latest.mtimeMs) latest = { path, mtimeMs };
  }
  return latest && readFile(latest.path);
}

/**
 * Reads a device's screen: the number in each tile, where the device says that it is; null for what
 * says nothing.
 * @param {import('puppeteer-core').Page} page a blank one, which can decode pictures
 * @param {import('./remote.js').RemoteDevice} device
 */
export async function screenShows(page, device) {
  const { screen } = await device.status();
  const picture = await latest(device.screen);
  if (!picture || !screen) return [];
  return page.evaluate(async (data, tiles, read) => {
    const readCode = window.eval(`(${read})`);
    const image = new Image();
    image.src = `data:image/jpeg;base64,${data}`;
    await image.decode();
    return tiles.map(({ x, y, width, height }) => {
      const canvas = document.createElement('canvas');
      canvas.width = 320;
      canvas.height = 180;
      canvas.getContext('2d').drawImage(image, x, y, width, height, 0, 0, 320, 180);
      canvas.videoWidth = 320;
      canvas.videoHeight = 180;
      return readCode(canvas)?.number ?? null;
    });
  }, picture.toString('base64'), screen.tiles, readCode.toString());
}
