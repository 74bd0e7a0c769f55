// What a browser in the device's place takes: `node receive.mjs BENCH [--members 1,2,4,8]
// [--seconds 10] [--way film-vp8,film-h264]`, as `make bench-receive` calls it with its own program.
//
// The members are those of benches/receive.rs, in the same process of their own. A page without any
// other work shows all of them in a grid of 1920x1080 and plays them; what is counted is the
// browser with all of its processes. Prints a table in Markdown.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { chromium, until } from './support.js';
import { familyUsage, usage } from './usage.js';

const { values, positionals: [bench] } = parseArgs({
  allowPositionals: true,
  options: {
    members: { type: 'string', default: '1,2,4,8' },
    seconds: { type: 'string', default: '10' },
    way: { type: 'string', default: 'film-vp8,film-h264' },
  },
});
if (!bench) throw new Error('the program of benches/receive.rs is missing');
const members = values.members.split(',').map(Number);
const seconds = Number(values.seconds);

/** In the page: one connection for each member, which offers. */
function prepare() {
  const grid = document.body.appendChild(document.createElement('div'));
  document.body.style.margin = '0';
  grid.style.cssText = 'display: grid; width: 1920px; height: 1080px; background: #101418; gap: 12px; place-content: center';
  const links = [];
  globalThis.join = async (number, sdp) => {
    const link = new RTCPeerConnection();
    links[number] = link;
    const video = grid.appendChild(document.createElement('video'));
    video.autoplay = true;
    link.ontrack = ({ streams: [stream], track }) => {
      video.srcObject ??= stream ?? new MediaStream();
      if (!stream) video.srcObject.addTrack(track);
    };
    link.onicecandidate = ({ candidate }) => globalThis.say(number, candidate?.candidate ?? null);
    const columns = Math.ceil(Math.sqrt(links.length));
    grid.style.gridTemplateColumns = `repeat(${columns}, ${Math.floor(1860 / columns)}px)`;
    for (const { style } of grid.children) style.width = '100%';
    await link.setRemoteDescription({ type: 'offer', sdp });
    await link.setLocalDescription();
    return link.localDescription.sdp;
  };
  globalThis.candidate = (number, candidate) => candidate && links[number].addIceCandidate({ candidate, sdpMLineIndex: 0 });
  globalThis.frames = () => [...grid.children].map((video) => video.getVideoPlaybackQuality().totalVideoFrames);
}

/** One table: the same members, more and more of them. */
async function measure(way) {
  const browser = await chromium({ args: ['--window-size=1920,1200'] });
  const others = spawn(bench, ['--way', way], { env: { ...process.env, ROOMD_RECEIVE: 'receivers' }, stdio: ['pipe', 'pipe', 'inherit'] });
  const say = (word) => others.stdin.write(`${JSON.stringify(word)}\n`);
  try {
    const page = await browser.newPage();
    await page.setViewport({ width: 1920, height: 1080 });
    await page.exposeFunction('say', (number, candidate) => say({ Candidate: [number, candidate] }));
    await page.evaluate(prepare);
    const early = new Map();
    const described = new Set();
    createInterface({ input: others.stdout }).on('line', async (line) => {
      const { Description, Candidate } = JSON.parse(line);
      if (Description) {
        const [number, sdp] = Description;
        say({ Description: [number, await page.evaluate((number, sdp) => globalThis.join(number, sdp), number, sdp)] });
        described.add(number);
        for (const candidate of early.get(number) ?? []) await page.evaluate((...it) => globalThis.candidate(...it), number, candidate);
      } else if (Candidate) {
        const [number, candidate] = Candidate;
        if (described.has(number)) await page.evaluate((...it) => globalThis.candidate(...it), number, candidate);
        else early.set(number, [...early.get(number) ?? [], candidate]);
      }
    });
    const rows = [];
    let open = 0;
    const pass = async (time) => {
      const end = Date.now() + time * 1_000;
      await until('the time is over', () => Date.now() >= end, { within: time * 1_000 + 10_000, every: 250 });
    };
    const { pid } = browser.process();
    const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);
    for (const count of members) {
      for (; open < count; open += 1) {
        say({ Open: open });
        const number = open;
        await until('its picture', async () => (await page.evaluate(() => globalThis.frames()))[number] > 0, { within: 30_000 });
      }
      await pass(4);
      const look = async () => ({
        at: Date.now(),
        cpu: usage(pid).cpu + sum(Object.values(familyUsage(pid))),
        frames: sum(await page.evaluate(() => globalThis.frames())),
      });
      const before = await look();
      await pass(seconds);
      const after = await look();
      const time = after.at - before.at;
      rows.push({ count, cpu: (after.cpu - before.cpu) * 100 / time, frames: (after.frames - before.frames) * 1_000 / time / count });
    }
    const line = (name, of) => console.log(`| ${name} | ${rows.map(of).join(' | ')} |`);
    console.log(`\n## Chromium, ${way}\n`);
    line('members', ({ count }) => count);
    console.log(`|---|${'---|'.repeat(rows.length)}`);
    line('shown of each, a second', ({ frames }) => frames.toFixed(1));
    line('CPU in all, % of a core', ({ cpu }) => cpu.toFixed(1));
  } finally {
    others.stdin.end();
    others.kill();
    await browser.close();
  }
}

for (const way of values.way.split(',')) await measure(way);
