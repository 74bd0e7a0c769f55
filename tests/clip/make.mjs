// Writes the test clip into a folder, unless it is there already: node tests/clip/make.mjs FOLDER
//
// GStreamer encodes, espeak-ng speaks; each step is ended after three minutes.

import { execFile, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { COLUMNS, COUNTS, bits, read } from './blocks.mjs';

const WIDTH = 1280;
const HEIGHT = 720;
const RATE = 30;
const FRAMES = 256;
/** The film begins again where the counter does. */
const COUNTS_PER_FRAME = COUNTS / FRAMES;
const STEP_LIMIT_MS = 180_000;

/** Who is seen in which file. */
const CAMERAS = { 'camera.mkv': 1, 'camera-2.mkv': 2 };

const SPEECH =
  'Good morning, and welcome to the meeting room. ' +
  'The camera is on the wall, the microphone is on the table, and nobody has to install anything. ' +
  'If you can hear this sentence to its end, sound reaches you.';

await main(process.argv[2]);

async function main(folder) {
  if (!folder) throw new Error('say where: node tests/clip/make.mjs FOLDER');
  const stamp = await stampOfSources();
  if (await isMade(folder, stamp)) {
    console.log(`clip: ${folder} is up to date`);
    return;
  }
  const started = Date.now();
  await mkdir(path.dirname(path.resolve(folder)), { recursive: true });
  const making = await mkdtemp(`${path.resolve(folder)}.making-`);
  try {
    for (const [name, member] of Object.entries(CAMERAS)) {
      await film(path.join(making, name), member);
      await proofread(path.join(making, name), member);
    }
    await speak(path.join(making, 'microphone.wav'));
    await writeFile(path.join(making, 'stamp'), stamp);
    await chmod(making, 0o755);
    await rm(folder, { recursive: true, force: true });
    await rename(making, folder);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  console.log(`clip: made ${folder} in ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

/** A picture that moves all over, with the blocks on top. */
async function film(file, member) {
  const encoder = spawn(
    'gst-launch-1.0',
    [
      '-q',
      ...['fdsrc', 'fd=0', 'blocksize=1382400', '!'],
      ...['rawvideoparse', 'format=i420', `width=${WIDTH}`, `height=${HEIGHT}`, `framerate=${RATE}/1`, '!'],
      ...['jpegenc', 'quality=80', '!'],
      ...['matroskamux', 'min-index-interval=500000000', '!'],
      ...['filesink', `location=${file}`],
    ],
    { stdio: ['pipe', 'inherit', 'inherit'], timeout: STEP_LIMIT_MS, killSignal: 'SIGKILL' },
  );
  const ended = once(encoder, 'exit');
  // The exit status says it better than the broken pipe.
  encoder.stdin.on('error', () => {});
  for (let frame = 0; frame < FRAMES; frame++) {
    if (!encoder.stdin.write(picture(member, frame))) {
      await Promise.race([once(encoder.stdin, 'drain'), ended]);
    }
    if (encoder.exitCode !== null || encoder.signalCode !== null) break;
  }
  encoder.stdin.end();
  const [status, signal] = await ended;
  if (status !== 0) throw new Error(`gst-launch-1.0 could not write ${file}: ${signal ?? status}`);
}

/** One frame as I420: bands of brightness that run to the right, colours that run down. */
function picture(member, frame) {
  const luma = WIDTH * HEIGHT;
  const chroma = luma / 4;
  const image = Buffer.alloc(luma + 2 * chroma);

  // A whole number of periods in a turn of the counter: the film has no seam where it begins again.
  const turn = (2 * Math.PI * frame) / FRAMES;
  const row = Buffer.alloc(WIDTH);
  for (let y = 0; y < HEIGHT; y++) {
    if (y % 4 === 0) {
      for (let x = 0; x < WIDTH; x++) {
        const wave = Math.sin(x / 90 - 8 * turn + y / 200) + Math.sin(y / 60 + 5 * turn);
        row[x] = 110 + 35 * wave;
      }
    }
    row.copy(image, y * WIDTH);
  }
  for (let y = 0; y < HEIGHT / 2; y++) {
    const at = luma + (y * WIDTH) / 2;
    const hue = y / 60 - 4 * turn + member;
    image.fill(128 + 50 * Math.sin(hue), at, at + WIDTH / 2);
    image.fill(128 + 50 * Math.cos(hue), at + chroma, at + chroma + WIDTH / 2);
  }

  const block = WIDTH / COLUMNS;
  bits(member, frame * COUNTS_PER_FRAME).forEach((white, column) => {
    for (let y = 0; y < 2 * block; y++) {
      const at = y * WIDTH + column * block;
      image.fill(white === y < block ? 235 : 16, at, at + block);
    }
  });
  for (const plane of [luma, luma + chroma]) {
    image.fill(128, plane, plane + (WIDTH / 2) * block);
  }
  return image;
}

/** Decodes the film at the size of a thumbnail: every frame must still say who and which it is. */
async function proofread(file, member) {
  const [width, height] = [160, 90];
  const gray = await output('gst-launch-1.0', [
    '-q',
    ...['filesrc', `location=${file}`, '!', 'matroskademux', '!', 'jpegdec', '!'],
    ...['videoscale', '!', 'videoconvert', '!', `video/x-raw,format=GRAY8,width=${width},height=${height}`, '!'],
    ...['fdsink', 'fd=1'],
  ]);
  const frames = gray.length / (width * height);
  if (frames !== FRAMES) throw new Error(`${file} has ${frames} frames, not ${FRAMES}`);
  for (let frame = 0; frame < frames; frame++) {
    const plane = gray.subarray(frame * width * height, (frame + 1) * width * height);
    const said = read(plane, width);
    if (said?.member !== member || said.counter !== frame * COUNTS_PER_FRAME) {
      throw new Error(`frame ${frame} of ${file} says ${JSON.stringify(said)}`);
    }
  }
}

async function speak(file) {
  const spoken = `${file}.spoken`;
  run('espeak-ng', ['-v', 'en-gb', '-s', '150', '-a', '150', '-w', spoken, SPEECH]);
  run('gst-launch-1.0', [
    '-q',
    ...['filesrc', `location=${spoken}`, '!', 'wavparse', '!', 'audioconvert', '!'],
    ...['audioresample', 'quality=10', '!', 'audio/x-raw,format=S16LE,rate=48000,channels=1', '!'],
    ...['wavenc', '!', 'filesink', `location=${file}`],
  ]);
  await rm(spoken);
  const { size } = await stat(file);
  const seconds = size / (2 * 48_000);
  if (seconds < 8 || seconds > 30) throw new Error(`${file} lasts ${seconds.toFixed(1)} s`);
}

/** The made files depend on nothing but the text of this folder. */
async function stampOfSources() {
  const here = path.dirname(fileURLToPath(import.meta.url));
  const hash = createHash('sha256');
  for (const name of (await readdir(here)).filter((name) => name.endsWith('.mjs')).sort()) {
    hash.update(name).update(await readFile(path.join(here, name)));
  }
  return hash.digest('hex');
}

async function isMade(folder, stamp) {
  try {
    return (await readFile(path.join(folder, 'stamp'), 'utf8')) === stamp;
  } catch {
    return false;
  }
}

function run(program, words) {
  const done = spawnSync(program, words, { stdio: ['ignore', 'inherit', 'inherit'], timeout: STEP_LIMIT_MS });
  if (done.error) throw done.error;
  if (done.status !== 0) throw new Error(`${program} ended with ${done.signal ?? done.status}`);
}

function output(program, words) {
  return new Promise((resolve, reject) => {
    const limits = { encoding: 'buffer', maxBuffer: 64 * 1024 * 1024, timeout: STEP_LIMIT_MS };
    execFile(program, words, limits, (error, stdout) => (error ? reject(error) : resolve(stdout)));
  });
}
