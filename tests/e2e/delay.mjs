// How late everything is: `make bench-delay`. All sound is on one tape, see `desk.js`; the screen is
// read while it is written. Prints tables in Markdown, and writes target/bench/delay.json.

import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { BLOCK_MS, RATE } from './desk.js';
import { Studio, chirp, find, flasher, median, ownMicrophone, played, quantile, wait } from './studio.js';
import { until } from './support.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const { values: options } = parseArgs({
  options: {
    count: { type: 'string', default: '40' },
    minutes: { type: 'string', default: '5' },
    wait: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
});
/** Signals each way. */
const COUNT = Number(options.count);
/** For how long gaps are counted. */
const MINUTES = Number(options.minutes);
const note = options.verbose ? console.error : () => {};
/** Longer than anything is on its way, in samples. */
const SPAN = RATE;
/** For how long everything settles, in s. */
const SETTLE = 12;
/** From signal to signal, in s, never quite the same. */
const period = () => wait(1.3 + Math.random() * 0.1);
const inMs = (samples) => (samples * 1000) / RATE;

/** How much later what is played into one line is in each of the others, in ms. */
async function across(desk, from, tos) {
  const starts = [];
  for (let turn = 0; turn < COUNT; turn += 1) {
    starts.push(desk.frames);
    desk.play(from, played);
    await period();
  }
  await desk.reaches(starts.at(-1) + 2 * SPAN);
  const delays = Object.fromEntries(tos.map((to) => [to, []]));
  for (const start of starts) {
    const spoken = find(desk.read(from, start, SPAN));
    if (spoken === null) continue;
    for (const to of tos) {
      const heard = find(desk.read(to, start + spoken, SPAN));
      note(from, to, heard === null ? 'nothing' : inMs(heard));
      if (heard !== null) delays[to].push(inMs(heard));
    }
  }
  return delays;
}

/** How long after light and sound are made they are on the screen and at the loudspeaker, in ms. */
async function flashes({ desk, screen, link }, eve) {
  const { tile } = await link('Eve');
  const [x, y] = [Math.round(tile.x + tile.width / 2), Math.round(tile.y + tile.height / 2)];
  const seen = [];
  for (let turn = 0; turn < COUNT; turn += 1) {
    await period();
    const at = await eve.page.evaluate((samples) => window.flash(samples), [...chirp]);
    await until('the flash is on the screen', () => screen.bright(x, y) > 180, { within: 2_000, every: 1 })
      .then(() => seen.push({ at, shown: performance.timeOrigin + performance.now() }), () => note('no flash'));
  }
  if (seen.length === 0) throw new Error('nothing of the flash is on the screen');
  await desk.reaches(desk.frameOf(seen.at(-1).at) + 2 * SPAN);
  return seen.flatMap(({ at, shown }) => {
    const heard = find(desk.read('room-ear', desk.frameOf(at), SPAN));
    note('flash', shown - at, heard === null ? 'nothing' : inMs(heard));
    return heard === null ? [] : [{ picture: shown - at, sound: inMs(heard) }];
  });
}

const WINDOW = RATE / 200;
/** How often a steady tone is not there for 5 ms or more, and for how many ms altogether. */
function gapsIn(samples) {
  const levels = [];
  for (let at = 0; at + WINDOW <= samples.length; at += WINDOW) {
    let sum = 0;
    for (let each = 0; each < WINDOW; each += 1) sum += samples[at + each] ** 2;
    levels.push(Math.sqrt(sum / WINDOW));
  }
  const least = median(levels) / 2;
  const gone = levels.map((level) => level < least);
  return { gaps: gone.filter((each, at) => each && !gone[at - 1]).length, lostMs: 5 * gone.filter(Boolean).length };
}

async function gapsOf(desk, lines) {
  const all = Object.fromEntries(lines.map((line) => [line, { gaps: 0, lostMs: 0 }]));
  let from = desk.frames;
  for (let left = MINUTES * 60; left > 0; left -= 10) {
    await wait(10);
    const to = desk.frames;
    for (const line of lines) {
      const found = gapsIn(desk.read(line, from, to - from));
      note('gaps', line, found);
      for (const what of Object.keys(found)) all[line][what] += found[what];
    }
    from = to;
  }
  return all;
}

async function measure(studio) {
  const { desk } = studio;
  const ann = await studio.visit('ann', 'Ann', ownMicrophone);
  await studio.visit('bob', 'Bob', ownMicrophone);
  // Jitter buffers begin with more than they need, those of browsers and ours.
  await wait(SETTLE);
  const spoken = await across(desk, 'ann-mic', ['room-ear', 'bob-ear']);
  const answered = await across(desk, 'room-mic', ['ann-ear', 'bob-ear']);
  await ann.close();
  const eve = await studio.visit('ann', 'Eve', flasher);
  await wait(SETTLE);
  const flashed = await flashes({ ...studio, link: (name) => studio.link(name) }, eve);
  await eve.page.evaluate(() => window.tone(0.2));
  await wait(5);
  const gaps = await gapsOf(desk, ['room-ear', 'bob-ear']);
  const { picture_delay: picture, sound_delay: sound } = await studio.link('Eve');
  return { spoken, answered, flashed, gaps, stages: { picture, sound } };
}

const studio = await Studio.start({ wait: options.wait });
let result;
try {
  result = await measure(studio);
} finally {
  await studio.stop();
}
mkdirSync(`${ROOT}target/bench`, { recursive: true });
writeFileSync(`${ROOT}target/bench/delay.json`, JSON.stringify({ ...result, minutes: MINUTES }, null, 2));

const row = (what, aim, values) => (values.length === 0
  ? `| ${what} | ${aim} | nothing arrived | | 0 |`
  : `| ${what} | ${aim} | ${median(values).toFixed(0)} | ${quantile(values, 0.05).toFixed(0)} to ${quantile(values, 0.95).toFixed(0)} | ${values.length} |`);
const { spoken, answered, flashed, gaps, stages } = result;
console.log(`On ${cpus().length} cores of ${cpus()[0].model}; microphones are up to ${BLOCK_MS} ms younger than real ones.

| ms | aim | median | 5th to 95th of 100 | count |
|---|---|---|---|---|
${row('microphone of Chromium to loudspeaker of the device', 'under 200', spoken['room-ear'])}
${row('microphone of the device to loudspeaker of Chromium', 'under 200', answered['ann-ear'])}
${row('microphone of Chromium to loudspeaker of another Chromium', '', spoken['bob-ear'])}
${row('camera of Chromium to screen of the device', '', flashed.map(({ picture }) => picture))}
${row('sound made at that instant, to its loudspeaker', '', flashed.map(({ sound }) => sound))}
${row('lip-sync: sound after picture', 'within 45', flashed.map(({ picture, sound }) => sound - picture))}

| ms, as the device says | picture | sound |
|---|---|---|
${['network_ms', 'decode_ms', 'mix_ms', 'wait_ms', 'play_ms'].map((stage) => `| \`${stage}\` | ${stages.picture[stage]} | ${stages.sound[stage]} |`).join('\n')}
${MINUTES > 0 ? `
| a steady tone for ${MINUTES} minutes | gaps of 5 ms or more | an hour, extrapolated | ms lost |
|---|---|---|---|
${Object.entries({ 'room-ear': 'loudspeaker of the device', 'bob-ear': 'loudspeaker of another Chromium' }).map(([line, name]) => `| ${name} | ${gaps[line].gaps} | ${((gaps[line].gaps * 60) / MINUTES).toFixed(0)} | ${gaps[line].lostMs} |`).join('\n')}
` : ''}`);
