// How many browsers an uplink and this machine sustain: `node capacity.mjs [--members 2,3,4,5,6,8]
// [--uplink 2mbit] [--seconds 60] [--settle 30] [--picture 640x360@15] [--viewport 900x600] [--others]
// [--free]`. Root only.
//
// One browser is at home behind the uplink and everybody else away; what is measured is how its
// sound and its picture arrive there. `--others` gives the others a camera and a voice as well, so
// that the one at home decodes as much as in a real room, and this machine carries all of it.
// `--free` has the page send as if it knew nothing of its uplink, for comparison. Prints a table in
// Markdown; a row is sustained when nobody missed more than a second of sound.

import { parseArgs } from 'node:util';

import { impossible } from './nat/hosts.js';
import { until } from './support.js';
import { UplinkRoom, withoutBudget } from './uplink.js';
import { familyUsage } from './usage.js';

const { values } = parseArgs({
  options: {
    members: { type: 'string', default: '2,3,4,5,6,8' },
    uplink: { type: 'string', default: '2mbit' },
    seconds: { type: 'string', default: '60' },
    settle: { type: 'string', default: '30' },
    viewport: { type: 'string', default: '900x600' },
    picture: { type: 'string', default: '640x360@15' },
    others: { type: 'boolean', default: false },
    free: { type: 'boolean', default: false },
  },
});
const why = impossible();
if (why) throw new Error(why);
const picture = /^(\d+)x(\d+)@(\d+)$/.exec(values.picture);
if (!picture) throw new Error('--picture is written like 640x360@15');
const [width, height, fps] = picture.slice(1).map(Number);
const viewport = /^(\d+)x(\d+)$/.exec(values.viewport);
if (!viewport) throw new Error('--viewport is written like 900x600');
const camera = { width, height, fps, rate: 8_000, busy: true };
const others = values.others ? { width: 320, height: 180, fps: 15, rate: 8_000, pips: true } : undefined;

const pass = async (seconds) => {
  const end = Date.now() + seconds * 1_000;
  await until('the time is over', () => Date.now() >= end, { within: seconds * 1_000 + 10_000, every: 250 });
};
const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);
const since = (now, before) => sum(Object.entries(now).map(([name, ms]) => ms - (before[name] ?? 0)));

/** One row: a room of so many, from its making to its end. */
async function measure(members) {
  const room = await UplinkRoom.make({
    uplink: values.uplink, members, camera, viewport: { width: Number(viewport[1]), height: Number(viewport[2]) }, ...(others && { cameras: others }), ...(values.free && { before: withoutBudget }),
  });
  try {
    await pass(Number(values.settle));
    const home = room.home.process().pid;
    const from = { at: Date.now(), home: familyUsage(home), all: familyUsage(process.pid) };
    const sent = [];
    let paused = 0;
    await room.watch();
    const end = Date.now() + Number(values.seconds) * 1_000;
    await until('the time is over', async () => {
      const { people, uplink } = await room.member.room();
      sent.push(sum(people.map(({ link }) => link?.stats?.kbpsWire ?? 0)));
      if (uplink.paused) paused += 1;
      return Date.now() >= end;
    }, { within: Number(values.seconds) * 1_000 + 10_000, every: 1_000 });
    const arrived = Object.values(await room.arrived());
    const percent = (ms) => Math.round((100 * ms) / (Date.now() - from.at));
    return {
      silence: Math.max(...arrived.map(({ silence }) => silence)) / 1_000,
      fps: Math.min(...arrived.map((one) => one.fps)),
      height: Math.min(...arrived.map((one) => one.height)),
      kbps: sum(sent) / sent.length,
      paused: Math.round((100 * paused) / sent.length),
      cpuHome: percent(since(familyUsage(home), from.home)),
      cpuAll: percent(since(familyUsage(process.pid), from.all)),
    };
  } finally {
    await room.end();
  }
}

console.log(`Uplink ${values.uplink}, camera ${values.picture}${values.free ? ', without a budget' : ''}${values.others ? ', everybody with a camera' : ''}:\n`);
console.log('| members | longest silence, s | frames/s | lines | sent, kbit/s | paused, % of the time | CPU at home, % of a core | CPU of all, % of a core | sustained |');
console.log('|---|---|---|---|---|---|---|---|---|');
for (const members of values.members.split(',').map(Number)) {
  const row = await measure(members);
  const cells = [members, row.silence.toFixed(1), row.fps.toFixed(1), row.height, row.kbps.toFixed(0), row.paused, row.cpuHome, row.cpuAll, row.silence <= 1 ? 'yes' : 'no'];
  console.log(`| ${cells.join(' | ')} |`);
}
