// How well speech is understood over a network that loses packets: `make bench-quality`. Somebody in
// Chromium says the same again and again; what the device and another Chromium play of it is compared
// with what was said by PESQ (ITU-T P.862.2, wide band), which says 1 for bad and 4.6 for the same.
// Runs itself in a network of its own, where packets can be lost; prints a table in Markdown, and
// writes target/bench/quality.json.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { RATE } from './desk.js';
import { Studio, chirp, find, flasher, median, wait } from './studio.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CLIP = process.env.ROOMD_CLIP ?? join(ROOT, 'target/clip');
const OUT = join(ROOT, 'target/bench');
const { values: options } = parseArgs({
  options: {
    /** How often it is said at each loss. */
    count: { type: 'string', default: '8' },
    /** In percent, each way. */
    loss: { type: 'string', default: '0,5,15' },
    /** As in the device's configuration. */
    wait: { type: 'string' },
    /** A Python that has PESQ. */
    python: { type: 'string', default: 'python3' },
    inside: { type: 'boolean', default: false },
  },
});

if (!options.inside) {
  // Two ends of a wire, because browsers do not offer the loopback interface to anybody.
  const script = `ip link set lo up
    ip link add near type veth peer name far
    ip address add 192.0.2.1/24 dev near
    ip link set near up
    ip link set far up
    exec "$0" "$@"`;
  const own = process.getuid() === 0 ? [] : ['--map-root-user'];
  const run = spawnSync('unshare', [...own, '--net', 'sh', '-ec', script, process.execPath, ...process.argv.slice(1), '--inside'], { stdio: 'inherit' });
  process.exit(run.status ?? 1);
}

/** What is addressed to this machine comes over its loopback interface. */
function lose(percent) {
  execFileSync('iptables', ['-F', 'INPUT']);
  if (percent > 0) execFileSync('iptables', ['-A', 'INPUT', '-p', 'udp', '-m', 'statistic', '--mode', 'random', '--probability', String(percent / 100), '-j', 'DROP']);
}

/** The samples of a WAV file as GStreamer writes it: 16 bits, one channel, 48 kHz. */
function samplesOf(file) {
  const bytes = readFileSync(file);
  const from = bytes.indexOf('data') + 8;
  return Float32Array.from({ length: Math.floor((bytes.length - from) / 2) }, (_, at) => bytes.readInt16LE(from + 2 * at) / 32_768);
}

/** 16 kHz, through a filter that leaves what that can carry. */
function narrowed(samples) {
  const half = 48;
  const taps = Float32Array.from({ length: 2 * half + 1 }, (_, at) => {
    const x = at - half;
    const sinc = x === 0 ? 1 : Math.sin((Math.PI * x) / 3.2) / ((Math.PI * x) / 3.2);
    return (sinc / 3.2) * (0.54 + 0.46 * Math.cos((Math.PI * x) / half));
  });
  return Int16Array.from({ length: Math.floor(samples.length / 3) }, (_, at) => {
    let sum = 0;
    for (let tap = -half; tap <= half; tap += 1) sum += (samples[3 * at + tap] ?? 0) * taps[tap + half];
    return Math.round(Math.max(-1, Math.min(1, sum)) * 32_767);
  });
}

const PESQ = `
import sys, numpy, pesq
said, heard = (numpy.frombuffer(open(name, 'rb').read(), numpy.int16).astype(float) / 32768 for name in sys.argv[1:])
print(pesq.pesq(16000, said, heard, 'wb'))
`;
function quality(said, heard) {
  const files = { said: join(OUT, 'said.raw'), heard: join(OUT, 'heard.raw') };
  writeFileSync(files.said, narrowed(said));
  writeFileSync(files.heard, narrowed(heard));
  return Number(execFileSync(options.python, ['-c', PESQ, files.said, files.heard], { encoding: 'utf8' }));
}

/** As much as PESQ was made for, loud as somebody speaks. */
const SECONDS = 8;
const said = samplesOf(join(CLIP, 'microphone.wav')).subarray(0, SECONDS * RATE).map((sample) => sample / 4);
mkdirSync(OUT, { recursive: true });
// Without it there is nothing to measure for.
console.error(`PESQ of the same: ${quality(said, said).toFixed(2)}`);

const LINES = { 'room-ear': 'the device', 'bob-ear': 'another Chromium' };
/** A chirp says where it begins. */
const LEAD = Math.round(1.5 * RATE);
const whole = new Float32Array(LEAD + said.length + RATE / 2);
whole.set(chirp);
whole.set(said, LEAD);

const found = [];
const studio = await Studio.start({ sees: false, wait: options.wait });
try {
  const { desk } = studio;
  await studio.visit('bob', 'Bob', `(${flasher})(true)`);
  const eve = await studio.visit('ann', 'Eve', `(${flasher})(true)`);
  // Handed over once.
  await eve.page.evaluate((samples) => (window.speech = samples), [...whole]);
  for (const loss of options.loss.split(',').map(Number)) {
    lose(loss);
    await wait(5);
    const scores = Object.fromEntries(Object.keys(LINES).map((line) => [line, []]));
    for (let turn = 0; turn < Number(options.count); turn += 1) {
      const from = desk.frames;
      await eve.page.evaluate(() => window.flash(window.speech));
      await desk.reaches(from + whole.length + RATE);
      for (const line of Object.keys(LINES)) {
        const begins = find(desk.read(line, from, 2 * RATE));
        if (begins === null) continue;
        scores[line].push(quality(said, desk.read(line, from + begins + LEAD, said.length)));
      }
    }
    found.push({ loss, scores });
    console.error(loss, JSON.stringify(scores));
  }
} finally {
  await studio.stop();
}
writeFileSync(join(OUT, 'quality.json'), JSON.stringify(found, null, 2));
console.log(`
| PESQ at a loss of | ${found.map(({ loss }) => `${loss} %`).join(' | ')} |
|---|${found.map(() => '---').join('|')}|
${Object.entries(LINES).map(([line, name]) => `| loudspeaker of ${name} | ${found.map(({ scores }) => {
    const all = scores[line];
    return all.length ? `${median(all).toFixed(2)} (${Math.min(...all).toFixed(2)} to ${Math.max(...all).toFixed(2)}, ${all.length} times)` : 'nothing';
  }).join(' | ')} |`).join('\n')}`);
