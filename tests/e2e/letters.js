// What a reader of letters makes of what the wall shows.

import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A part of a PNG, so many times as large, as PNG. */
export const enlarged = (page, picture, place, times = 3) => page.evaluate(async (text, { x, y, width, height }, scale) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes]));
  const canvas = Object.assign(document.createElement('canvas'), { width: scale * width, height: scale * height });
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, x, y, width, height, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL('image/png').split(',')[1];
}, picture.toString('base64'), place, times);

/** What a reader of letters makes of a picture. @param {string} picture PNG, in base64 */
export async function read(picture) {
  const child = spawn('tesseract', ['stdin', 'stdout', '--psm', '3', '-l', 'eng'], { stdio: ['pipe', 'pipe', 'ignore'], env: { ...process.env, OMP_THREAD_LIMIT: '1' } });
  let text = '';
  child.stdout.on('data', (data) => (text += data));
  const ended = new Promise((resolve, reject) => {
    child.once('close', resolve);
    child.once('error', (error) => reject(new Error(`no tesseract (make deps-test): ${error.message}`)));
  });
  child.stdin.on('error', () => {});
  child.stdin.end(Buffer.from(picture, 'base64'));
  await ended;
  return text;
}

/**
 * The code of the door as it stands on the wall: four large digits, alone in a line at its left.
 * Nothing else knows it. Of one size the reader of letters takes one in four hundred for another, and
 * one in two hundred for none, and always the same: it is asked for more than one size, and two have
 * to agree.
 * @param {import('./device.js').Device} device
 * @param {import('puppeteer-core').Page} page of any browser
 */
export async function codeOnWall(device, page) {
  const file = join(device.folder, 'door.png');
  await device.command('snapshot', '--force', file);
  const picture = await readFile(file);
  // Its left half, without what stands at the bottom.
  const [width, height] = [picture.readUInt32BE(16), picture.readUInt32BE(20)];
  const place = { x: 0, y: 0, width: Math.floor(width * 0.56), height: Math.floor(height * 0.84) };
  const found = new Set();
  let text;
  for (const size of [1 / 3, 1 / 2, 1]) {
    text = await read(await enlarged(page, picture, place, size));
    const code = text.match(/^\s*(\d{4})\s*$/m)?.[1] ?? null;
    if (found.has(code)) return { text, code };
    found.add(code);
  }
  return { text, code: null };
}
