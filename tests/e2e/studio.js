// A device with a loudspeaker, a microphone and a screen that are all there, and two browsers with
// theirs, in one room; and how two pieces of sound are told to be the same.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Desk, RATE, Screen } from './desk.js';
import { Member, Roomd, chromium, until } from './support.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CLIP = process.env.ROOMD_CLIP ?? join(ROOT, 'target/clip');
const LINES = ['ann-mic', 'bob-mic', 'room-mic', 'ann-ear', 'bob-ear', 'room-ear'];

export const median = (values) => quantile(values, 0.5);
export function quantile(values, part) {
  return [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))];
}
export const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

// A signal that is told from everything else by its shape, to a fraction of a millisecond.

const CHIRP_S = 0.08;
const CHIRP_HZ = [400, 3_000];
export const chirp = Float32Array.from({ length: RATE * CHIRP_S }, (_, at) => {
  const t = at / RATE;
  const turns = CHIRP_HZ[0] * t + ((CHIRP_HZ[1] - CHIRP_HZ[0]) / CHIRP_S) * (t * t) / 2;
  return 0.4 * Math.sin(2 * Math.PI * turns) * Math.sin((Math.PI * t) / CHIRP_S);
});
/** The chirp, and silence that drives it out of whatever buffers it. */
export const played = new Float32Array(chirp.length + RATE / 2);
played.set(chirp);

/** One of so many samples is left, which is enough for the signal. */
const STEP = 4;
function thin(samples) {
  return Float32Array.from({ length: Math.floor(samples.length / STEP) }, (_, at) => {
    let sum = 0;
    for (let each = 0; each < STEP; each += 1) sum += samples[at * STEP + each];
    return sum / STEP;
  });
}
/** Less alike is something else, and fainter is noise. */
const ALIKE = 0.3;
const ENERGY = 1e-4;

/** Where in these samples `wanted` begins, as a number of samples; null where it is not. */
export function find(samples, wanted = chirp) {
  const [heard, shape] = [thin(samples), thin(wanted)];
  const own = Math.sqrt(shape.reduce((sum, each) => sum + each * each, 0));
  let best = { at: null, like: ALIKE };
  let energy = 0;
  for (let at = 0; at < shape.length; at += 1) energy += heard[at] ** 2;
  for (let from = 0; from + shape.length < heard.length; from += 1) {
    if (energy > ENERGY) {
      let sum = 0;
      for (let at = 0; at < shape.length; at += 1) sum += heard[from + at] * shape[at];
      const like = Math.abs(sum) / own / Math.sqrt(energy);
      if (like > best.like) best = { at: from * STEP, like };
    }
    energy += heard[from + shape.length] ** 2 - heard[from] ** 2;
  }
  return best.at;
}

// What runs in a page before its own scripts.

/** Its own microphone, and a camera that costs nothing. */
export function ownMicrophone() {
  const { mediaDevices } = navigator;
  const open = mediaDevices.getUserMedia.bind(mediaDevices);
  mediaDevices.getUserMedia = async ({ audio, video }) => {
    const stream = audio ? await open({ audio }) : new MediaStream();
    if (video) {
      const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 180 });
      const pen = canvas.getContext('2d');
      setInterval(() => pen.fillRect(Math.random() * 300, 0, 9, 9), 66);
      stream.addTrack(canvas.captureStream(15).getVideoTracks()[0]);
    }
    return stream;
  };
}

/**
 * A camera, of 640x360 and 30 a second if it is not `slow`, and a microphone. `window.flash(samples)` makes light and sound in
 * the same instant and says when that was, and `window.tone(level)` a steady tone. Pictures are
 * handed over one by one, and not when the browser paints.
 */
export function flasher(slow = false) {
  const rate = 48_000;
  const context = new AudioContext({ latencyHint: 'interactive', sinkId: { type: 'none' }, sampleRate: rate });
  const out = context.createMediaStreamDestination();
  const tone = context.createOscillator();
  const level = context.createGain();
  level.gain.value = 0;
  tone.connect(level).connect(out);
  tone.start();

  const canvas = Object.assign(document.createElement('canvas'), { width: slow ? 160 : 640, height: slow ? 90 : 360 });
  const pen = canvas.getContext('2d', { alpha: false, willReadFrequently: true });
  const track = new MediaStreamTrackGenerator({ kind: 'video' });
  const writer = track.writable.getWriter();
  let bright = false;
  let turn = 0;
  const draw = () => {
    turn += 1;
    pen.fillStyle = bright ? '#fff' : '#333';
    pen.fillRect(0, 0, 640, 360);
    pen.fillStyle = '#777';
    pen.fillRect((turn * 3) % 640, 20, 60, 60);
    void writer.write(new VideoFrame(canvas, { timestamp: performance.now() * 1000 }));
  };
  setInterval(draw, slow ? 500 : 33);
  window.flash = (samples) => {
    const source = context.createBufferSource();
    source.buffer = context.createBuffer(1, samples.length, rate);
    source.buffer.copyToChannel(Float32Array.from(samples), 0);
    source.connect(out);
    bright = true;
    setTimeout(() => (bright = false), 150);
    source.start();
    draw();
    return performance.timeOrigin + performance.now();
  };
  window.tone = (loud) => {
    level.gain.value = loud;
  };
  navigator.mediaDevices.getUserMedia = async ({ audio, video }) => {
    await context.resume();
    return new MediaStream([video && track, audio && out.stream.getAudioTracks()[0]].filter(Boolean));
  };
}

/** Everything that a measurement of sound and pictures needs. */
export class Studio {
  /**
   * @param {{ sees?: boolean, wait?: string }} options `sees`: the device has a camera and a screen;
   *   `wait`: as in its configuration
   */
  static async start({ sees = true, wait = 'auto' } = {}) {
    const studio = new Studio();
    studio.wait = wait;
    studio.endings = [];
    studio.sees = sees;
    try {
      await studio.#build();
    } catch (error) {
      await studio.stop();
      throw error;
    }
    return studio;
  }

  #keep(thing, end = () => thing.stop()) {
    this.endings.push(end);
    return thing;
  }

  async #build() {
    const folder = await mkdtemp(join(tmpdir(), 'roomd-studio-'));
    this.#keep(folder, () => rm(folder, { recursive: true, force: true }));
    this.desk = this.#keep(await Desk.start(LINES));
    // As large as the wall is where nothing else is said.
    if (this.sees) this.screen = this.#keep(await Screen.start(1920, 1080));
    const config = join(folder, 'roomd.toml');
    await writeFile(config, `
name = "Atrium"
[camera]
${this.sees ? `pipeline = "file"\nsettings = { location = ${JSON.stringify(join(CLIP, 'camera.mkv'))} }` : 'pipeline = "no-camera"'}
[screen]
${this.sees ? `pipeline = "x11"\nsettings = { display = "${this.screen.display}" }` : 'pipeline = "none"'}
[microphone]
pipeline = "alsa"
settings = { device = "hears-room-mic" }
[speaker]
pipeline = "alsa"
settings = { device = "room-ear" }
[video]
width = 640
height = 360
[privacy]
admit = "auto"
[wall]
wait = "${this.wait}"
`);
    this.roomd = this.#keep(await Roomd.start({
      command: ['run'], args: ['--pipelines', join(ROOT, 'pipelines'), '--config', config], env: await this.desk.alsa(),
    }));
    this.pin = await this.roomd.pin();
    this.browsers = {};
    for (const name of ['ann', 'bob']) {
      const browser = await chromium({ sound: this.desk.at(`${name}-mic`, `${name}-ear`) });
      this.browsers[name] = this.#keep(browser, () => browser.close());
    }
  }

  /** The device's view of its link with somebody: the room's and the media's in one. */
  async link(name) {
    const { room, media, screen } = await this.roomd.status();
    const { link } = room.links.find((other) => other.name === name) ?? {};
    return { ...media?.links[link], tile: screen?.tiles.find((tile) => tile.link === link) };
  }

  /** Somebody who is in the room and whose sound and pictures come to the device. */
  async visit(browser, name, before) {
    const member = await Member.open(this.browsers[browser], this.roomd.url, { name, real: true, before });
    await member.join({ pin: this.pin });
    await member.inside();
    await until(`${name} and the device see and hear each other`, async () => {
      const { frames_in: frames, sounds_in: sounds } = await this.link(name);
      // Silence is sent as next to nothing.
      return (frames > 30 || !this.sees) && sounds > 0;
    }, { within: 60_000 }).catch((error) => {
      throw new Error([error.message, ...member.errors].join('\n'));
    });
    return member;
  }

  async stop() {
    for (const end of this.endings.reverse()) await end();
  }
}
