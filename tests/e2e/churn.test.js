// Two hundred joins and leaves, and more where those are not enough to tell: nothing is left of them in the device.

import assert from 'node:assert/strict';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { chromium, Member, Roomd, until } from './support.js';
import { usage } from './usage.js';

const PIPELINES = fileURLToPath(new URL('../../pipelines', import.meta.url));
/** What leaks grows in each hundred; memory that is free and in pieces has grown in one now and then (decision 021). */
const JOINS = 100;
const MOST_ROUNDS = 4;
/** From here on everything has been used that is used again. */
const WARM = 20;
const MOST_MB = 3;
/** How soon after the last leave the threads and descriptors are those of the twentieth. */
const SETTLED_MS = 10_000;

/** The device's pipelines, with a screen and a speaker that everything is made for and that keep nothing. */
async function pipelines() {
  const folder = await mkdtemp(join(tmpdir(), 'roomd-e2e-pipelines-'));
  await cp(PIPELINES, folder, { recursive: true });
  const sink = (summary) => `summary = "${summary}"\nelements = ["identity", "fakesink"]\nlaunch = "identity ! fakesink sync=true"\n`;
  await writeFile(join(folder, 'screen', 'unwatched.toml'), sink('A screen that nobody watches'));
  await writeFile(join(folder, 'speaker', 'unheard.toml'), sink('A loudspeaker that nobody hears'));
  return folder;
}

test('two hundred joins and leaves leave no thread, no descriptor and no memory behind', { timeout: 1_200_000 }, async (t) => {
  const folder = await pipelines();
  t.after(() => rm(folder, { recursive: true, force: true }));
  const config = join(folder, 'roomd.toml');
  await writeFile(config, `
[screen]
pipeline = "unwatched"
[speaker]
pipeline = "unheard"
[video]
width = 320
height = 180
framerate = 15
[wall]
# At 1080p one picture more or less on its way is as much as is allowed.
width = 640
height = 360
[privacy]
admit = "auto"
`);
  const device = await Roomd.start({
    command: ['run', '--pipelines', folder, '--config', config],
    // As the service and `make run` have it: docs/decisions/021-one-malloc-arena.md.
    env: { MALLOC_ARENA_MAX: '1' },
  });
  t.after(() => device.stop());
  const browser = await chromium();
  t.after(() => browser.close());
  const ann = await Member.open(browser, `${device.url}#pin=${await device.pin()}`, {
    name: 'Ann', number: 4, devices: { width: 160, height: 90, fps: 10 }, viewport: { width: 400, height: 300 },
  });

  const members = async () => (await (await ann.page.evaluateHandle(async () => (await fetch('/health')).json())).jsonValue()).members;
  const comeAndGo = async () => {
    await ann.join();
    await until('a picture of the device', () => ann.page.evaluate(() => {
      const video = document.querySelector('.tile:not(.self) video');
      return video?.videoWidth > 0 && video.currentTime > 0;
    }), { within: 30_000 });
    await ann.page.click('#leave');
    await ann.page.waitForSelector('#join:not(:disabled)');
    await until('the device is alone', async () => (await members()) === 1);
  };
  const pid = device.child.pid;
  const settled = (than) => until('threads and descriptors are as before', () => {
    const now = usage(pid);
    if (now.threads <= than.threads && now.descriptors <= than.descriptors) return now;
    throw new Error(`${now.threads} threads and ${now.descriptors} descriptors, not ${than.threads} and ${than.descriptors}`);
  }, { within: SETTLED_MS });
  /** The least in a while: what is being taken down at one moment is no leak. */
  const memory = async () => {
    let least = Infinity;
    const end = Date.now() + SETTLED_MS / 2;
    await until('it has been looked at for a while', () => {
      least = Math.min(least, usage(pid).ownMb);
      return Date.now() >= end;
    });
    return least;
  };

  const begun = Date.now();
  let warm;
  const after = [];
  const added = () => after.at(-1).ownMb - after.at(-2).ownMb;
  while (after.length < 2 || (added() >= MOST_MB && after.length < MOST_ROUNDS)) {
    for (let count = 1; count <= JOINS; count += 1) {
      await comeAndGo();
      if (!warm && count === WARM) {
        // Once its link is taken down, and before encoders and camera close, ten seconds after it.
        await until('the last link is taken down', async () => (await device.status()).media.closing === 0, { within: SETTLED_MS });
        warm = usage(pid);
      }
    }
    after.push({ ...await settled(warm), ownMb: await memory() });
  }
  t.diagnostic(`${after.length * JOINS} joins in ${Math.round((Date.now() - begun) / 1000)} s`);
  for (const [when, { mb, ownMb, threads, descriptors }] of [[WARM, warm], ...after.map((it, at) => [(at + 1) * JOINS, it])]) {
    t.diagnostic(`after ${when}: ${mb.toFixed(1)} MB, ${ownMb.toFixed(1)} of it its own, ${threads} threads, ${descriptors} descriptors`);
  }
  assert.ok(added() < MOST_MB, `each ${JOINS} joins have added more than ${MOST_MB} MB, the last ${added().toFixed(1)}`);
  assert.deepEqual(ann.errors, []);
});
