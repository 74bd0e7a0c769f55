// Devices that are clients of another server, each a process of its own, and how the links of a
// room go on: generations and frames, as the device's own status tells them.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { statusAt, tell, until } from './support.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ROOMD = process.env.ROOMD_BIN ?? join(ROOT, 'target/debug/roomd');
const CLIP = process.env.ROOMD_CLIP ?? join(ROOT, 'target/clip');

/** Everything is slower by far where several programs share two cores. */
export const WITHIN = 60_000;

/** A screen that everything is composed for and that keeps nothing. */
const UNWATCHED = 'summary = "A screen that nobody watches"\nelements = ["identity", "fakesink"]\nlaunch = "identity ! fakesink sync=true"\n';
const SCREENS = {
  none: () => 'pipeline = "none"',
  unwatched: () => 'pipeline = "unwatched"',
  files: (folder) => `pipeline = "file"\nsettings = { location = ${JSON.stringify(join(folder, '%06d.jpg'))} }`,
};

/** How long a piece of sound is. */
const SOUND_MS = 20;

/** `roomd run`, with the test clip as its camera and microphone, as a member of somebody else's room. */
export class RemoteDevice {
  /**
   * @param {object} options
   * @param {import('./support.js').Roomd} options.server whose room it joins
   * @param {string} [options.url] of the server, where it is not the one that the server prints
   * @param {string} options.room
   * @param {string} options.name
   * @param {number} [options.number] 1 or 2, which is the one in its picture
   * @param {{ width: number, height: number, framerate: number, kbps: number }} [options.video]
   * @param {false | 'files' | 'unwatched'} [options.screen] where what it shows goes: into files, see
   *   `witness.js`, or nowhere. Without one it asks nobody for a picture.
   * @param {string} [options.more] further configuration
   * @param {string[]} [options.through] a command that starts it, such as `ip netns exec device`
   */
  static async start({ server, url = server.url, room, name, number = 1, video = {}, screen = 'unwatched', more = '', through = [] }) {
    const device = new RemoteDevice();
    device.name = name;
    device.number = number;
    device.sees = screen !== false;
    device.through = through;
    device.folder = await mkdtemp(join(tmpdir(), 'roomd-e2e-device-'));
    const camera = join(CLIP, number === 1 ? 'camera.mkv' : `camera-${number}.mkv`);
    const microphone = join(CLIP, 'microphone.wav');
    for (const file of [camera, microphone]) if (!existsSync(file)) throw new Error(`there is no ${file}: make clip`);
    const socket = new URL('ws', url);
    socket.protocol = 'wss:';
    const { width, height, framerate, kbps } = { width: 320, height: 180, framerate: 15, kbps: 400, ...video };
    await mkdir(device.run_, { recursive: true });
    await mkdir(device.screen, { recursive: true });
    await writeFile(device.config, `
name = ${JSON.stringify(name)}
[room]
name = ${JSON.stringify(room)}
pin = ${JSON.stringify(await server.pin())}
[signalling]
url = ${JSON.stringify(socket.href)}
ca = ${JSON.stringify(join(server.state, 'authority.pem'))}
[camera]
pipeline = "file"
settings = { location = ${JSON.stringify(camera)} }
[microphone]
pipeline = "file"
settings = { location = ${JSON.stringify(microphone)} }
[screen]
${SCREENS[screen || 'none'](device.screen)}
[speaker]
pipeline = "none"
[privacy]
admit = "auto"
[video]
codecs = ["vp8"]
width = ${width}
height = ${height}
framerate = ${framerate}
kbps = ${kbps}
${more}`, { mode: 0o600 });
    await cp(join(ROOT, 'pipelines'), device.pipelines, { recursive: true });
    await writeFile(join(device.pipelines, 'screen', 'unwatched.toml'), UNWATCHED);
    await device.run();
    return device;
  }

  get config() {
    return join(this.folder, 'roomd.toml');
  }

  get pipelines() {
    return join(this.folder, 'pipelines');
  }

  get screen() {
    return join(this.folder, 'screen');
  }

  get run_() {
    return join(this.folder, 'run');
  }

  /** Starts it (again), and waits until it is in the room. */
  async run() {
    this.log = [];
    const command = [...this.through, ROOMD, 'run', '--config', this.config, '--pipelines', this.pipelines, '--state-dir', join(this.folder, 'state')];
    const child = spawn(command[0], command.slice(1), {
      env: { ...process.env, RUNTIME_DIRECTORY: this.run_ }, stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    this.ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
    createInterface({ input: child.stdout }).on('line', (line) => this.log.push(line));
    createInterface({ input: child.stderr }).on('line', (line) => this.log.push(line));
    await until(`${this.name} is in the room`, async () => {
      if (child.exitCode !== null) return { dead: true };
      return (await this.status()).room?.state === 'joined';
    }, { within: WITHIN, every: 200 }).then(
      (how) => {
        if (how.dead) throw new Error(`${this.name} ended:\n${this.log.join('\n')}`);
      },
      (error) => {
        throw new Error(`${error.message}\n${this.log.join('\n')}`);
      },
    );
  }

  /** What `roomd status --json` prints. */
  status() {
    return statusAt(this.run_);
  }

  /** The device's view of each link: the room's and the media's in one, by the other's name. */
  async links() {
    const { room, media } = await this.status();
    const links = {};
    for (const link of room.links) links[link.name] = { ...link, media: media?.links[link.link] ?? null };
    return links;
  }

  /** Waits until media goes both ways with `name`, and goes on. */
  async exchanges(name, { within = WITHIN } = {}) {
    const nothing = { link: '', generation: 0, frames_in: 0, sounds_in: 0, video_out: { delivered: 0 }, audio_out: { delivered: 0 } };
    // Without a screen it has asked for no picture.
    const counts = (media) => ({ ...(this.sees && { framesIn: media.frames_in }), soundsIn: media.sounds_in, framesOut: media.video_out.delivered, soundsOut: media.audio_out.delivered });
    const further = (before) => async () => {
      const link = (await this.links())[name];
      const now = link?.media;
      // What a link of before a restart had says nothing.
      const than = link?.link === before.link && now?.generation === before.generation ? counts(before) : counts(nothing);
      if (now?.up && Object.entries(counts(now)).every(([what, count]) => count > than[what])) return { ...now, link: link.link };
      throw new Error(`${link?.words}, up ${now?.up}, generation ${now?.generation}: ${JSON.stringify(now && counts(now))} after ${JSON.stringify(than)}`);
    };
    try {
      const first = await until(`media goes both ways between ${this.name} and ${name}`, further(nothing), { within, every: 250 });
      return await until(`media goes on between ${this.name} and ${name}`, further(first), { within, every: 250 });
    } catch (error) {
      throw new Error(`${error.message}\n${this.log.slice(-40).join('\n')}`);
    }
  }

  /** Notes twice a second, from here on, what came in and went out on each link. */
  watchFrames() {
    clearInterval(this.watching);
    this.notes = [];
    let asking = false;
    this.watching = setInterval(async () => {
      if (asking) return;
      asking = true;
      try {
        const links = await this.links();
        const at = Date.now();
        for (const [name, { link, generation, state, why, media }] of Object.entries(links)) {
          if (media?.up) this.notes.push({ at, name, id: link, generation, state: `${state} ${why ?? ''}`, frames: media.frames_in, sounds: media.sounds_in, sent: media.video_out.delivered });
        }
      } catch {
        // It may be dead on purpose; the gap in the notes says so.
      }
      asking = false;
    }, 500);
  }

  /** As `Member.framesSeen`: for each name the longest times without a new frame and without sound, in ms, and the links it had. */
  framesSeen() {
    const now = Date.now();
    const people = {};
    for (const { at, name, id, generation, state, frames, sounds, sent } of this.notes) {
      const person = (people[name] ??= { longest: 0, longestSent: 0, silence: 0, quiet: 0, links: new Set(), story: [], frames: -1, sounds, sent: -1, at, atSent: at, atSound: at });
      person.links.add(`${id}/${generation}`);
      tell(person.story, `${generation} ${state}`, at);
      if (frames !== person.frames) {
        person.longest = Math.max(person.longest, at - person.at);
        Object.assign(person, { frames, at });
      }
      // Looks may be late themselves, so what counts is what is missing between two of them.
      const missing = Math.max(0, at - person.atSound - SOUND_MS * (sounds - person.sounds));
      person.silence = Math.max(person.silence, person.quiet + missing);
      person.quiet = sounds === person.sounds ? person.quiet + missing : 0;
      Object.assign(person, { sounds, atSound: at });
      if (sent !== person.sent) {
        person.longestSent = Math.max(person.longestSent, at - person.atSent);
        Object.assign(person, { sent, atSent: at });
      }
    }
    for (const person of Object.values(people)) {
      // Who has asked for no picture misses none.
      if (!this.sees) Object.assign(person, { longest: 0, at: now });
      person.longest = Math.max(person.longest, now - person.at);
      person.longestSent = Math.max(person.longestSent, now - person.atSent);
    }
    return people;
  }

  async kill(signal = 'SIGKILL') {
    this.child.kill(signal);
    return this.ended;
  }

  async stop() {
    clearInterval(this.watching);
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const stubborn = setTimeout(() => this.child.kill('SIGKILL'), 10_000);
      await this.kill('SIGTERM');
      clearTimeout(stubborn);
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** The page of `server`'s room `room`, with the PIN in the fragment. */
export async function invitation(server, room, url = server.url) {
  return `${url}#room=${room}&pin=${await server.pin()}`;
}
