// Measures what docs/benchmarks.md publishes: `make bench`. Prints a table in Markdown, and writes
// target/bench/device.json.

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';

import { Member, Roomd, chromium, until } from './support.js';
import { usage } from './usage.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const STARTS = 10;
const JOINS = 20;
const SETTLE_SECONDS = 5;
const IDLE_SECONDS = 20;
/** So many at once tell what each costs. */
const PEERS = 3;

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const spread = (values) => `${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)}`;
const folder = await mkdtemp(join(tmpdir(), 'roomd-bench-'));
const config = join(folder, 'roomd.toml');
// What is measured is how long it takes, not how long it waits for people to look up.
await writeFile(config, '[privacy]\nadmit = "auto"\n');
const start = () => Roomd.start({ command: ['run'], args: ['--pipelines', `${ROOT}pipelines`, '--config', config] });

/** Until the device is in its room and `/health` says so. */
async function ready(roomd) {
  const status = () => execFileSync('curl', ['-sk', `${roomd.url}health`], { encoding: 'utf8' });
  await until('the device is ready', () => JSON.parse(status()).members === 1, { every: 5 });
}

const starts = [];
for (let run = 0; run <= STARTS; run += 1) {
  const before = performance.now();
  const roomd = await start();
  await ready(roomd);
  // The first fills GStreamer's registry and the disk's cache.
  if (run > 0) starts.push(performance.now() - before);
  await roomd.stop();
}

const roomd = await start();
await ready(roomd);
// Right after the start a key is made for all links, once.
await new Promise((resolve) => setTimeout(resolve, SETTLE_SECONDS * 1000));
const idleBefore = usage(roomd.child.pid);
await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1000));
const idle = usage(roomd.child.pid);
const idleCpu = (idle.cpu - idleBefore.cpu) / (IDLE_SECONDS * 10);

const pin = await roomd.pin();
const browser = await chromium();
const joins = [];
for (let run = 0; run <= JOINS; run += 1) {
  const member = await Member.open(browser, roomd.url, { name: 'Bench' });
  await member.page.waitForSelector('#join:not(:disabled)');
  await member.page.evaluate(() => {
    const look = () => {
      const video = [...document.querySelectorAll('.tile:not(.self) video')].find((each) => each.videoWidth > 0 && each.currentTime > 0);
      if (video) window.firstPicture = performance.now();
      else requestAnimationFrame(look);
    };
    document.querySelector('#join').addEventListener('click', () => {
      window.clicked = performance.now();
      look();
    }, { capture: true });
  });
  await member.join({ pin });
  const took = await until('a picture', () => member.page.evaluate(() => window.firstPicture && window.firstPicture - window.clicked), { within: 30_000 });
  if (run > 0) joins.push(took);
  await member.close();
  await until('the member is gone', () => JSON.parse(execFileSync('curl', ['-sk', `${roomd.url}health`], { encoding: 'utf8' })).members === 1, { within: 60_000 });
}

// What each further member costs, when encoders, camera and mix run already.
const peers = [];
const present = [];
for (let count = 1; count <= PEERS; count += 1) {
  const member = await Member.open(browser, roomd.url, {
    name: `Peer ${count}`, devices: { width: 320, height: 180, fps: 15 }, viewport: { width: 400, height: 300 },
  });
  present.push(member);
  await member.join({ pin });
  await until('pictures come in from all', async () => {
    const { links } = (await roomd.status()).media;
    return Object.values(links).filter(({ frames_in: frames }) => frames > 30).length === count;
  }, { within: 60_000 });
  peers.push(usage(roomd.child.pid));
}
for (const member of present) await member.close();
await browser.close();
await roomd.stop();
const one = peers[0];
const each = (what) => (peers.at(-1)[what] - one[what]) / (PEERS - 1);

const figures = { starts, idle: { ...idle, cpu: idleCpu }, joins, peers };
mkdirSync(`${ROOT}target/bench`, { recursive: true });
writeFileSync(`${ROOT}target/bench/device.json`, JSON.stringify(figures, null, 2));
console.log(`On ${cpus().length} cores of ${cpus()[0].model}, with the camera and microphone that stand in for missing ones.

| what | aim | median | from to |
|---|---|---|---|
| start to ready, warm registry, ms | under 1000 | ${median(starts).toFixed(0)} | ${spread(starts)} |
| join to the first picture in Chromium, loopback, ms | under 500 | ${median(joins).toFixed(0)} | ${spread(joins)} |
| memory with nobody in the room, MB | under 60 | ${idle.mb.toFixed(0)} | |
| CPU with nobody in the room, % of a core | under 1 | ${idleCpu.toFixed(1)} | |
| of that its own, without the pages of programs and libraries, MB | | ${idle.ownMb.toFixed(0)} | |
| threads with nobody, with one member, for each further one | | ${idle.threads}, ${one.threads}, ${each('threads').toFixed(0)} | |
| descriptors with nobody, with one member, for each further one | | ${idle.descriptors}, ${one.descriptors}, ${each('descriptors').toFixed(0)} | |
| memory with one member, for each further one, MB | | ${one.mb.toFixed(0)}, ${each('mb').toFixed(1)} | |`);
