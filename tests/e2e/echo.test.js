// The loudspeaker is joined to the microphone, on a sound card that ALSA opens: what A says
// sounds in the room, and does not come back to A and B. `make bench-echo` says how good the canceller
// is in a room that answers; this says that it works where everything is real but the card.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';

import { RATE, Desk } from './desk.js';
import { Member, Roomd, chromium, until } from './support.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CLIP = process.env.ROOMD_CLIP ?? join(ROOT, 'target/clip');
const WITHIN = 60_000;
const DEVICE = 'Atrium';
/** How much fainter the microphone hears what the loudspeaker plays. The card gives it at once, and exactly so. */
const ECHO_DB = 12;
/** The canceller learns in the first; in the others it is measured. */
const [LEARN_S, MEASURE_S] = [4, 5];

let browser;
before(async () => {
  browser = await chromium();
});
after(() => browser?.close());

/** Runs in a page before its own scripts: no camera, and a microphone that is this recording again and again once `window.speak` is called. */
function recorded(speech) {
  navigator.mediaDevices.getUserMedia = async ({ audio, video }) => {
    const stream = new MediaStream();
    if (audio) {
      const context = new AudioContext({ sinkId: { type: 'none' }, sampleRate: 48_000 });
      const out = context.createMediaStreamDestination();
      const source = context.createBufferSource();
      const bytes = Uint8Array.from(atob(speech), (letter) => letter.charCodeAt(0));
      source.buffer = await context.decodeAudioData(bytes.buffer);
      source.loop = true;
      source.connect(out);
      window.speak = () => source.start();
      stream.addTrack(out.stream.getAudioTracks()[0]);
    }
    if (video) {
      const canvas = Object.assign(document.createElement('canvas'), { width: 160, height: 90 });
      const pen = canvas.getContext('2d');
      setInterval(() => pen.fillRect(Math.random() * 150, 0, 9, 9), 200);
      stream.addTrack(canvas.captureStream(5).getVideoTracks()[0]);
    }
    return stream;
  };
}

/** The power of what a page receives of somebody from here on, as told by `heard`. */
const listen = (member, name) => member.page.evaluate((wanted) => {
  const tile = [...document.querySelectorAll('.tile')].find((other) => other.querySelector('.name').textContent === wanted);
  const context = new AudioContext({ sinkId: { type: 'none' }, sampleRate: 48_000 });
  const ear = context.createAnalyser();
  ear.fftSize = 2048;
  context.createMediaStreamSource(tile.querySelector('audio').srcObject).connect(ear);
  const samples = new Float32Array(ear.fftSize);
  window.ear = { sum: 0, count: 0 };
  setInterval(() => {
    ear.getFloatTimeDomainData(samples);
    for (const sample of samples) window.ear.sum += sample * sample;
    window.ear.count += samples.length;
  }, 40);
}, name);

/** In dB of full scale, of so many seconds. */
async function heard(member, seconds) {
  await member.page.evaluate(() => Object.assign(window.ear, { sum: 0, count: 0 }));
  const { sum, count } = await until(`${member.name} has listened for ${seconds} s`, async () => {
    const ear = await member.page.evaluate(() => ({ ...window.ear }));
    return ear.count > seconds * RATE && ear;
  }, { within: WITHIN, every: 250 });
  return 10 * Math.log10(sum / count + 1e-12);
}

const power = (samples) => 10 * Math.log10(samples.reduce((sum, each) => sum + each * each, 0) / samples.length + 1e-12);

/** A device in that room. */
class Echoing {
  static async start(t, cancel) {
    const echoing = new Echoing();
    echoing.desk = await Desk.start(['loudspeaker']);
    t.after(() => echoing.desk.stop());
    await echoing.desk.fainter('loudspeaker', ECHO_DB);
    const folder = await mkdtemp(join(tmpdir(), 'roomd-echo-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const config = join(folder, 'roomd.toml');
    await writeFile(config, `
name = "${DEVICE}"
[camera]
pipeline = "no-camera"
[microphone]
pipeline = "alsa"
settings = { device = "hears-loudspeaker" }
[speaker]
pipeline = "alsa"
settings = { device = "loudspeaker" }
[screen]
pipeline = "none"
[privacy]
admit = "auto"
[audio]
echo-cancel = "${cancel}"
`);
    echoing.roomd = await Roomd.start({
      command: ['run'], args: ['--pipelines', join(ROOT, 'pipelines'), '--config', config], env: await echoing.desk.alsa(),
    });
    t.after(() => echoing.roomd.stop());
    return echoing;
  }

  /** A speaks, and B is silent: how loud it is in the room, and how loud what comes back at each. */
  async speaks(t, speech) {
    const { desk, roomd } = this;
    const pin = await roomd.pin();
    const members = [];
    for (const name of ['Ann', 'Bob']) {
      const member = await Member.open(browser, roomd.url, { name, real: true, before: `(${recorded})(${JSON.stringify(speech)})`, viewport: { width: 400, height: 300 } });
      t.after(() => member.close());
      await member.join({ pin });
      await member.inside();
      members.push(member);
    }
    const [ann, bob] = members;
    for (const member of members) {
      await until(`${member.name} has sound of the device`, () => member.page.evaluate((wanted) => {
        const tile = [...document.querySelectorAll('.tile')].find((other) => other.querySelector('.name').textContent === wanted);
        return tile?.querySelector('audio')?.srcObject?.getAudioTracks().some((track) => !track.muted);
      }, DEVICE), { within: WITHIN });
      await listen(member, DEVICE);
    }
    await ann.page.evaluate(() => window.speak());
    await until('the speech sounds in the room', () => power(desk.read('loudspeaker', desk.frames - RATE / 2, RATE / 2)) > -45, { within: WITHIN });
    // The canceller learns.
    await Promise.all(members.map((member) => heard(member, LEARN_S)));
    const from = desk.frames;
    const [back, over] = await Promise.all(members.map((member) => heard(member, MEASURE_S)));
    const to = desk.frames;
    return { played: power(desk.read('loudspeaker', from, to - from)), back, over };
  }
}

/** What a busy machine spoils is tried again. */
async function calibrated(roomd, tries = 4) {
  try {
    return await roomd.says('calibrate', '--json');
  } catch (error) {
    if (tries <= 1 || !/another while/.test(error.message)) throw error;
    return calibrated(roomd, tries - 1);
  }
}

test('what a member says does not come back from the room to anybody', { timeout: 8 * WITHIN }, async (t) => {
  const file = join(CLIP, 'microphone.wav');
  assert.ok(existsSync(file), `there is no ${file}: make clip`);
  const speech = (await readFile(file)).toString('base64');
  const plain = await (await Echoing.start(t, 'off')).speaks(t, speech);
  const echoing = await Echoing.start(t, 'on');
  const found = JSON.parse(await calibrated(echoing.roomd));
  t.diagnostic(`calibrated: ${found.delay_ms.toFixed(1)} ms, ${found.level_db.toFixed(1)} dB`);
  const cancelled = await echoing.speaks(t, speech);
  for (const [what, levels] of Object.entries({ 'cancelling off': plain, 'cancelling on': cancelled })) {
    t.diagnostic(`${what}: ${Object.entries(levels).map(([where, level]) => `${where} ${level.toFixed(1)} dBFS`).join(', ')}`);
  }
  for (const who of ['back', 'over']) {
    // Against what is played, which is not as loud in every second.
    const [off, on] = [plain, cancelled].map((levels) => levels[who] - levels.played);
    assert.ok(Math.abs(off + ECHO_DB) < 6, `without cancelling it goes ${who}, ${-off.toFixed(1)} dB fainter`);
    assert.ok(off - on >= 6, `at least 6 dB less of it goes ${who}: ${(off - on).toFixed(1)} dB`);
  }
});
