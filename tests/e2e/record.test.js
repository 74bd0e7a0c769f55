// `roomd record`: what the wall shows and the speaker plays, into a file, and nobody who is in it is
// not told.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { codesIn, DEVICE, Device, hearsSpeech, partAt, visit, WITHIN } from './device.js';
import { chromium, until } from './support.js';

let browser;
before(async () => {
  browser = await chromium();
});
after(() => browser?.close());

/** What a page says of recording, or null. It must be seen, and not merely be there. */
const said = (member) => member.page.evaluate(() => {
  const box = document.querySelector('#recording');
  if (box.hidden) return null;
  const { left, top, width, height } = box.getBoundingClientRect();
  const seen = width > 0 && left >= 0 && top >= 0 && left + width <= innerWidth && top + height <= innerHeight && box.checkVisibility({ opacityProperty: true });
  return seen ? box.textContent.trim() : 'hidden';
});
const SENTENCE = `Recording: ${DEVICE.name} keeps what is seen and heard here`;

/** Decodes a file to the end: its pictures as JPEG, the newest last, and its sound as samples. */
async function decode(device, file) {
  const folder = join(device.folder, `decoded-${Date.now()}`);
  await mkdir(folder);
  const words = `filesrc location=${file} ! matroskademux name=file
    file.video_0 ! queue ! h264parse ! avdec_h264 ! videoconvert ! video/x-raw,format=RGB ! jpegenc quality=90 ! multifilesink location=${join(folder, '%06d.jpg')}
    file.audio_0 ! queue ! opusdec ! audioconvert ! audio/x-raw,format=S16LE,rate=48000,channels=1 ! filesink location=${join(folder, 'sound')}`;
  const child = spawn('gst-launch-1.0', ['-q', ...words.split(/\s+/)], { stdio: ['ignore', 'ignore', 'pipe'] });
  let trouble = '';
  child.stderr.on('data', (data) => (trouble += data));
  const code = await new Promise((resolve) => child.once('close', resolve));
  assert.equal(code, 0, trouble);
  const pictures = (await readdir(folder)).filter((name) => name.endsWith('.jpg')).sort().map((name) => join(folder, name));
  const sound = await readFile(join(folder, 'sound'));
  const samples = Float64Array.from({ length: Math.floor(sound.length / 2) }, (_, at) => sound.readInt16LE(2 * at) / 32_768);
  return { pictures, samples };
}

test('who is in the room is recorded and told so, and the file has what was seen and heard', { timeout: 10 * WITHIN }, async (t) => {
  const device = await Device.start();
  t.after(() => device.stop());
  const ann = await visit(browser, device, { viewport: { width: 640, height: 480 }, name: 'Ann', number: 4 });
  t.after(() => ann.close());
  await device.shows(ann);
  const one = (await device.status()).screen.tiles;
  await device.plays([ann]);
  assert.equal(await said(ann), null);

  const file = join(device.folder, 'it.mkv');
  assert.match(await device.command('record', 'start', file), /everybody in the room is told so/);
  await until('Ann reads it', async () => (await said(ann)) === SENTENCE, { within: WITHIN });
  const lines = await ann.page.evaluate(() => document.querySelector('#live').textContent);
  assert.match(lines, /Atrium records from now on/);
  assert.match(await device.says(), new RegExp(`^Recording +to ${file}, for \\d+ s`, 'm'));
  await assert.rejects(device.command('record', 'start', join(device.folder, 'other.mkv')), /recorded already/);

  // Whoever comes later reads it from the first moment, and it does not leave with the bar.
  const bob = await visit(browser, device, { viewport: { width: 640, height: 480 }, name: 'Bob', number: 5 });
  t.after(() => bob.close());
  assert.equal(await said(bob), SENTENCE);
  await device.shows(ann, bob);
  await hearsSpeech(bob, DEVICE.name);
  await until('the bar has left', () => ann.page.evaluate(() => document.body.classList.contains('quiet')), { within: WITHIN });
  assert.equal(await said(ann), SENTENCE);
  // And over a lost connection to the server.
  await ann.page.evaluate(() => window.dispatchEvent(new Event('offline')));
  const first = await stat(file);
  await until('it grows', async () => (await stat(file)).size > first.size + 100_000, { within: WITHIN });

  const two = (await device.status()).screen.tiles;
  assert.match(await device.command('record', 'stop'), new RegExp(`^Recorded \\d+ s to ${file}\\.$`, 'm'));
  await until('both read no more of it', async () => (await said(ann)) === null && (await said(bob)) === null, { within: WITHIN });
  await assert.rejects(device.command('record', 'stop'), /nothing is recorded/);
  await assert.rejects(device.command('record', 'start', file), /is there already/);
  assert.equal(await said(ann), null);

  const { pictures, samples } = await decode(device, file);
  assert.ok(pictures.length > 60, `${pictures.length} pictures`);
  const codes = await codesIn(ann.page, await readFile(pictures.at(-10)), two);
  assert.deepEqual(codes.map((code) => code?.number).sort(), [ann.number, bob.number].sort());
  const alone = await codesIn(ann.page, await readFile(pictures[5]), one);
  assert.equal(alone[0]?.number, ann.number, 'and at first Ann alone');
  const second = samples.subarray(0, 48_000);
  assert.ok(partAt(second, ann.pitch) > 0.5, `Ann is heard in it: ${partAt(second, ann.pitch)}`);
  assert.deepEqual([...ann.errors, ...bob.errors], []);
});

test('a file of a device that was killed can be played up to the end', { timeout: 8 * WITHIN }, async (t) => {
  const device = await Device.start();
  t.after(() => device.stop());
  const ann = await visit(browser, device, { viewport: { width: 640, height: 480 }, name: 'Ann', number: 4 });
  t.after(() => ann.close());
  await device.shows(ann);
  const one = (await device.status()).screen.tiles;
  const file = join(device.folder, 'it.mkv');
  await device.command('record', 'start', file);
  const counter = async () => (await device.shown(ann.page))[0]?.counter ?? null;
  const begun = await until('she is shown', counter, { within: WITHIN });
  const last = await until('eight seconds are recorded', async () => {
    const now = await counter();
    // Fifteen pictures a second.
    return now !== null && ((now - begun) & 0xfff) > 8 * 15 ? now : null;
  }, { within: WITHIN });
  await device.roomd.kill('SIGKILL');
  const { pictures, samples } = await decode(device, file);
  const codes = await Promise.all(pictures.slice(-5).map(async (picture) => (await codesIn(ann.page, await readFile(picture), one))[0]));
  const newest = codes.filter(Boolean).at(-1);
  assert.equal(newest?.number, ann.number);
  // What was on the screen when it was looked at the last time, but for two seconds.
  assert.ok(((newest.counter - last + 2 * 15) & 0xfff) < 0x800, `up to ${newest.counter}, and ${last} was shown`);
  assert.ok(samples.length > 6 * 48_000);
  // It begins again without a word of recording: nobody is recorded by a device that restarts.
  await device.roomd.run();
  await ann.inside();
  await until('the new device is there', async () => (await device.link('Ann'))?.state === 'connected', { within: WITHIN });
  assert.equal(await said(ann), null);
  assert.equal((await device.status()).recording, null);
});

/** How many pixels of a PNG have the colour of what is closed or recorded. */
const stops = (page, picture) => page.evaluate(async (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes]));
  const canvas = Object.assign(document.createElement('canvas'), { width: bitmap.width, height: bitmap.height });
  const context = canvas.getContext('2d');
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const wanted = [0xe5, 0x69, 0x7a];
  let count = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (wanted.every((part, index) => Math.abs(data[at + index] - part) < 24)) count += 1;
  }
  return count;
}, picture.toString('base64'));

test('whoever stands before the wall reads it too, with nobody else there', { timeout: 6 * WITHIN }, async (t) => {
  const device = await Device.start();
  t.after(() => device.stop());
  const page = await browser.newPage();
  t.after(() => page.close());
  const shot = join(device.folder, 'wall.png');
  const seen = async () => {
    await device.command('snapshot', '--force', shot);
    return stops(page, await readFile(shot));
  };
  assert.equal(await seen(), 0);
  await device.command('record', 'start', join(device.folder, 'it.mkv'));
  // Nothing else happens that would have the wall looked at again.
  await until('the wall says it', async () => (await seen()) > 100, { within: 10_000, every: 200 });
  await device.command('record', 'stop');
  await until('the wall says it no more', async () => (await seen()) === 0, { within: 10_000, every: 200 });
});
