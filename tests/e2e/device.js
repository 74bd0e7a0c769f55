// A device in the browser tests: `roomd run` with the clip as its camera and microphone, what it
// shows and plays, what it says of itself, and what a page has really received from it.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { readCode } from './camera.js';
import { Member, Roomd, until } from './support.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ROOMD = process.env.ROOMD_BIN ?? join(ROOT, 'target/debug/roomd');
const CLIP = process.env.ROOMD_CLIP ?? join(ROOT, 'target/clip');

/** Everything here is slower by far where eight programs share two cores. */
export const WITHIN = 45_000;

/** What it plays: samples a second, and channels. */
const RATE = 48_000;
const CHANNELS = 2;

/** What the device is to its visitors: the name, and the number in its pictures. */
export const DEVICE = { name: 'Atrium', number: 1 };

/** The configuration of a device whose camera and microphone are the clip. */
export function clip({ name = DEVICE.name, codecs = ['vp8', 'h264'], offerer = 'device', camera = 'camera.mkv' } = {}) {
  for (const file of [camera, 'microphone.wav']) {
    if (!existsSync(join(CLIP, file))) throw new Error(`there is no ${join(CLIP, file)}: make clip`);
  }
  return `
name = ${JSON.stringify(name)}
[server]
offerer = ${JSON.stringify(offerer)}
[camera]
pipeline = "file"
settings = { location = ${JSON.stringify(join(CLIP, camera))} }
[microphone]
pipeline = "file"
settings = { location = ${JSON.stringify(join(CLIP, 'microphone.wav'))} }
[video]
codecs = ${JSON.stringify(codecs)}
width = 640
height = 360
framerate = 15
kbps = 600
`;
}

/** Somebody who opens the device's page in a browser and joins. */
export async function visit(browser, device, options) {
  const member = await Member.open(browser, await device.invitation(), { viewport: { width: 640, height: 400 }, ...options });
  await member.join();
  await member.inside();
  return member;
}

/** A device with its server, and a directory of its own for what it shows and plays. */
export class Device {
  /**
   * @param {{ config?: string, listen?: string, env?: object, screen?: boolean, privacy?: string }} options
   *   `privacy`: who may look in; without it all opens at once, as most tests want it
   */
  static async start({ config = clip(), listen, env = {}, screen = true, privacy = 'admit = "auto"' } = {}) {
    const device = new Device();
    device.folder = await mkdtemp(join(tmpdir(), 'roomd-e2e-device-'));
    device.pictures = join(device.folder, 'screen');
    device.samples = join(device.folder, 'speaker');
    await mkdir(device.pictures);
    const file = join(device.folder, 'roomd.toml');
    await writeFile(file, `${config}
[screen]
${screen ? `pipeline = "file"\nsettings = { location = ${JSON.stringify(join(device.pictures, '%06d.jpg'))} }` : 'pipeline = "none"'}
[speaker]
pipeline = "file"
settings = { location = ${JSON.stringify(device.samples)} }
[privacy]
${privacy}
`);
    device.env = { RUNTIME_DIRECTORY: device.folder, ...env };
    device.roomd = await Roomd.start({
      command: ['run', '--pipelines', join(ROOT, 'pipelines'), '--config', file],
      listen,
      env: device.env,
    });
    return device;
  }

  get url() {
    return this.roomd.url;
  }

  /** The address that joins without typing. */
  async invitation() {
    return `${this.url}#pin=${await this.roomd.pin()}`;
  }

  /** What a command prints that is for this device. @param {...(string | { encoding: BufferEncoding })} words */
  async command(...words) {
    const { encoding = 'utf8' } = words.find((word) => typeof word === 'object') ?? {};
    words = words.filter((word) => typeof word === 'string');
    const child = spawn(ROOMD, [...words, '--state-dir', this.roomd.state], {
      env: { ...process.env, ...this.env }, stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    let trouble = '';
    child.stdout.setEncoding(encoding);
    child.stdout.on('data', (data) => (text += data));
    child.stderr.on('data', (data) => (trouble += data));
    const code = await new Promise((resolve) => child.once('close', resolve));
    if (code !== 0) throw new Error(`roomd ${words.join(' ')} ended with ${code}: ${trouble}`);
    return text;
  }

  /** What `roomd status` prints. @param {string[]} words further words for it */
  says(...words) {
    return this.command('status', ...words);
  }

  /** What `roomd status --json` prints. */
  async status() {
    return JSON.parse(await this.says('--json'));
  }

  /** What the device knows of its link with somebody: the room's and the media's view in one. */
  async link(name) {
    const status = await this.status();
    const link = status.room.links.find((other) => other.name === name);
    return link ? { ...link, media: status.media?.links[link.link] ?? null } : null;
  }

  /** Waits until pictures and sound go both ways with `name`, and go on. */
  async exchanges(name, { within = WITHIN } = {}) {
    const flows = (before) => async () => {
      const now = (await this.link(name))?.media;
      return now?.up
        && now.frames_in > before.frames_in
        && now.sounds_in > before.sounds_in
        && now.video_out.delivered > before.video_out.delivered
        && now.audio_out.delivered > before.audio_out.delivered
        ? now
        : null;
    };
    const nothing = { frames_in: 0, sounds_in: 0, video_out: { delivered: 0 }, audio_out: { delivered: 0 } };
    const first = await until(`media goes both ways between the device and ${name}`, flows(nothing), { within, every: 250 });
    return until(`media goes on between the device and ${name}`, flows(first), { within, every: 250 });
  }

  /**
   * The numbers and counters in the tiles of its screen; null for a tile that says nothing.
   * @param {import('puppeteer-core').Page} page of any browser, which reads JPEG
   */
  async shown(page) {
    const newest = (await readdir(this.pictures)).filter((name) => name.endsWith('.jpg')).sort().at(-1);
    if (!newest) return [];
    return codesIn(page, await readFile(join(this.pictures, newest)), (await this.status()).screen.tiles);
  }

  /** Waits until its screen has the picture of each of these members, in any order, and all move. */
  async shows(...members) {
    const wanted = members.map(({ number }) => number).sort();
    const look = async () => {
      const codes = await this.shown(members[0].page);
      const numbers = codes.map((code) => code?.number ?? null).sort();
      return JSON.stringify(numbers) === JSON.stringify(wanted) ? new Map(codes.map(({ number, counter }) => [number, counter])) : null;
    };
    const who = members.map(({ name }) => name).join(' and ');
    const first = await until(`the device shows ${who}`, look, { within: WITHIN, every: 200 });
    await until(`${who} move on the device's screen`, async () => {
      const now = await look();
      return now && wanted.every((number) => now.get(number) !== first.get(number));
    }, { within: WITHIN, every: 200 });
  }

  /** Which part of the energy of what it has just played is at this frequency: 1 is a pure tone. */
  async played(frequency) {
    const file = await open(this.samples);
    try {
      const frame = 2 * CHANNELS;
      const { size } = await file.stat();
      const length = Math.min(RATE, Math.floor(size / frame)) * frame;
      const { buffer } = await file.read(Buffer.alloc(length), 0, length, Math.floor(size / frame) * frame - length);
      const left = Float64Array.from({ length: length / frame }, (_, at) => buffer.readInt16LE(at * frame) / 32_768);
      return partAt(left, frequency);
    } finally {
      await file.close();
    }
  }

  /** Waits until the tone of each of these members, and of none of `others`, is what it plays. */
  async plays(members, others = []) {
    await until(`the device plays ${members.map(({ name }) => name).join(' and ')}`, async () => {
      const there = await Promise.all(members.map(({ pitch }) => this.played(pitch)));
      const not = await Promise.all(others.map(({ pitch }) => this.played(pitch)));
      return there.every((part) => part > 0.5 / members.length) && not.every((part) => part < 0.05);
    }, { within: WITHIN, every: 250 });
  }

  async stop() {
    await this.roomd.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/**
 * The same in any picture of its screen. @param {import('puppeteer-core').Page} page
 * @param {Buffer} picture as JPEG or PNG
 * @param {{ x: number, y: number, width: number, height: number }[]} tiles as its status has them
 */
export function codesIn(page, picture, tiles) {
  return page.evaluate(`(${readTiles})(${JSON.stringify(picture.toString('base64'))}, ${JSON.stringify(tiles)}, ${readCode})`);
}

/** In a page: reads each place of a picture. */
async function readTiles(picture, places, read) {
  const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes]));
  return places.map(({ x, y, width, height }) => {
    const tile = Object.assign(document.createElement('canvas'), { width, height });
    tile.getContext('2d').drawImage(bitmap, x, y, width, height, 0, 0, width, height);
    return read(Object.assign(tile, { videoWidth: width, videoHeight: height }));
  });
}

/**
 * The part of the energy at one frequency, by Goertzel's algorithm over windows of 50 ms: wide
 * enough for clocks that differ, narrow enough to tell members apart.
 */
export function partAt(samples, frequency) {
  const window = RATE / 20;
  const turn = 2 * Math.cos((2 * Math.PI * frequency) / RATE);
  let found = 0;
  let energy = 0;
  for (let from = 0; from + window <= samples.length; from += window) {
    let [before, last] = [0, 0];
    for (let at = from; at < from + window; at += 1) {
      [before, last] = [last, samples[at] + turn * last - before];
      energy += samples[at] ** 2;
    }
    found += (2 * (last ** 2 + before ** 2 - turn * last * before)) / window;
  }
  // Silence is no tone, however pure its noise.
  return energy / samples.length < 1e-6 ? 0 : found / energy;
}

/**
 * Remembers each peer connection of the page, and when the first picture of each came out of the
 * decoder. Runs in the page before its own scripts, so it must not use anything from outside.
 */
export function watchConnections() {
  const watched = { connections: [], joined: 0, first: 0 };
  Object.defineProperty(window, 'watched', { value: watched });
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (text) {
    if (!watched.joined && JSON.parse(text).t === 'join') watched.joined = performance.now();
    return send.call(this, text);
  };
  const Plain = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Plain {
    constructor(...words) {
      super(...words);
      const seen = { pc: this, frames: 0, packets: 0 };
      watched.connections.push(seen);
      this.addEventListener('track', ({ track }) => {
        if (track.kind !== 'video' || !('requestVideoFrameCallback' in HTMLVideoElement.prototype)) return;
        const video = document.createElement('video');
        video.muted = true;
        video.srcObject = new MediaStream([track]);
        video.requestVideoFrameCallback(() => {
          watched.first ||= performance.now();
          video.srcObject = null;
        });
        void video.play().catch(() => {});
      });
    }
  };
}

/** Everything that any connection of this page has received since it was loaded, and the last one's codecs. */
export function received(member) {
  return member.page.evaluate(async () => {
    const all = { frames: 0, packets: 0, payloadIn: null, payloadOut: null, mimeIn: null, mimeOut: null, states: [] };
    for (const seen of window.watched.connections) {
      const report = await seen.pc.getStats();
      let frames = 0;
      let packets = 0;
      report.forEach((entry) => {
        if (entry.type === 'inbound-rtp') {
          packets += entry.packetsReceived ?? 0;
          if (entry.kind === 'video') {
            frames += entry.framesDecoded ?? 0;
            const codec = report.get(entry.codecId);
            if (codec) Object.assign(all, { payloadIn: codec.payloadType, mimeIn: codec.mimeType });
          }
        } else if (entry.type === 'outbound-rtp' && entry.kind === 'video') {
          const codec = report.get(entry.codecId);
          if (codec) Object.assign(all, { payloadOut: codec.payloadType, mimeOut: codec.mimeType });
        }
      });
      // A connection that is closed forgets; what it had when it was last asked counts.
      seen.frames = Math.max(seen.frames, frames);
      seen.packets = Math.max(seen.packets, packets);
      all.frames += seen.frames;
      all.packets += seen.packets;
      all.states.push(seen.pc.connectionState);
    }
    return all;
  });
}

/** Milliseconds from `join` to the first picture out of the decoder; null where that cannot be measured. */
export async function joinToPicture(member) {
  const { joined, first } = await member.page.evaluate(() => ({ joined: window.watched.joined, first: window.watched.first }));
  return joined && first ? Math.round(first - joined) : null;
}

/**
 * Waits until the voice of `name` is speech: it is loud at times, and its strongest frequency is
 * not always the same, as that of a tone would be.
 */
export async function hearsSpeech(member, name, { within = WITHIN } = {}) {
  const pitches = new Set();
  await until(`${member.name} hears ${name} speak`, async () => {
    const pitch = await member.hears(name);
    if (pitch > 60 && pitch < 6_000) pitches.add(Math.round(pitch / 25));
    return pitches.size >= 4;
  }, { within, every: 100 });
}

/**
 * Changes one digit of the fingerprint in every description that passes this page's socket, on
 * its way `out` or `in`. Runs in the page before its own scripts; a text, because it needs to know
 * the direction.
 * @param {'out' | 'in'} direction
 */
export function tamper(direction) {
  return `(${change})(${JSON.stringify(direction)}); (${watchConnections})();`;
}

function change(direction) {
  const changed = (text) => {
    const message = JSON.parse(text);
    if (typeof message.sdp !== 'string') return text;
    // The last digit, everywhere in the same way: a description repeats its fingerprint.
    message.sdp = message.sdp.replace(/^(a=fingerprint:.*)([0-9a-f])(\s*)$/gim, (_, line, digit, end) => {
      window.tampered = (window.tampered ?? 0) + 1;
      return line + (digit === '0' ? '1' : '0') + end;
    });
    return JSON.stringify(message);
  };
  const Plain = window.WebSocket;
  window.WebSocket = class extends Plain {
    send(text) {
      super.send(direction === 'out' ? changed(text) : text);
    }

    set onmessage(hear) {
      super.onmessage = hear && ((event) => hear(direction === 'in' ? new MessageEvent('message', { data: changed(event.data) }) : event));
    }

    get onmessage() {
      return super.onmessage;
    }
  };
}
