// A room of which one member is at home, behind an uplink that carries so much and no more: who it
// is made of, and how what that member sends arrives at the others.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { AWAY, Hosts } from './nat/hosts.js';
import { invitation, RemoteDevice, WITHIN } from './remote.js';
import { chromium, Member, Roomd, until } from './support.js';

const ROOM = 'uplink';
/** Small, and large enough for tiles that ask for 180 lines where there are six. */
const VIEWPORT = { width: 800, height: 520 };
/** Who is at home looks at small tiles, for it is not its sight that is measured. */
const VIEWPORT_AT_HOME = { width: 400, height: 300 };
/** A camera that gives an encoder all that it can want to send. */
const CAMERA = { width: 320, height: 180, fps: 15, rate: 8_000, pips: true, busy: true };

/**
 * Keeps the receiver of each track, which knows when the last packet of it was played. Runs in the
 * page before its own scripts.
 */
function keepReceivers() {
  const Plain = window.RTCPeerConnection;
  window.receivers_ = new Map();
  window.RTCPeerConnection = class extends Plain {
    constructor(...words) {
      super(...words);
      this.addEventListener('track', ({ track, receiver }) => window.receivers_.set(track.id, receiver));
    }
  };
}

/** What the page sends as if it knew nothing of its uplink: for comparison. Runs before its own scripts. */
export function withoutBudget() {
  const { setParameters } = window.RTCRtpSender.prototype;
  window.RTCRtpSender.prototype.setParameters = function (parameters) {
    for (const encoding of parameters.encodings ?? []) {
      Object.assign(encoding, { active: true, scaleResolutionDownBy: 2, maxBitrate: 250_000, maxFramerate: 30 });
    }
    return setParameters.call(this, parameters);
  };
}

/** Notes on a page, ten times a second from here on, how what these send arrives. */
function watch(member, names) {
  return member.page.evaluate((wanted) => {
    clearInterval(window.watch_?.timer);
    const begun = performance.now();
    const tiles = [...document.querySelectorAll('.tile')];
    const all = wanted.map((name) => {
      const tile = tiles.find((other) => other.querySelector('.name').textContent === name);
      const frames = () => tile.querySelector('.picture').getVideoPlaybackQuality().totalVideoFrames;
      return { name, tile, frames, before: frames(), silence: 0 };
    });
    const timer = setInterval(() => {
      for (const one of all) {
        const track = one.tile.querySelector('audio').srcObject?.getAudioTracks()[0];
        const [source] = (track && window.receivers_.get(track.id)?.getSynchronizationSources()) ?? [];
        // Chromium counts from 1970 here.
        const heard = source ? source.timestamp - (source.timestamp > 1e12 ? performance.timeOrigin : 0) : begun;
        one.silence = Math.max(one.silence, performance.now() - Math.max(heard, begun));
      }
    }, 100);
    const told = () => Object.fromEntries(all.map(({ name, tile, frames, before, silence }) => [name, {
      silence: Math.round(silence),
      fps: (frames() - before) / ((performance.now() - begun) / 1_000),
      height: tile.querySelector('.picture').videoHeight,
    }]));
    window.watch_ = { timer, told };
  }, names);
}

export class UplinkRoom {
  /** Ends in the order in which they must. @type {(() => Promise<unknown>)[]} */
  #ends = [];
  /** @type {Member[]} those who are not at home */
  others = [];
  device = null;

  /**
   * @param {object} options
   * @param {string} options.uplink as `tc` writes rates: `1mbit`
   * @param {number} options.members of the room, the one at home included
   * @param {boolean} [options.device] one of the others is a device, which only listens
   * @param {object} [options.viewport] of the others
   * @param {object} [options.camera] of the one at home
   * @param {object} [options.cameras] cameras and microphones of the others: by default they only look and listen, so that two cores are enough for all
   * @param {Function} [options.before] runs in the page of the one at home, before its own scripts
   */
  static async make({ uplink, members, device = false, viewport = VIEWPORT, camera = CAMERA, cameras = { camera: 'NotFoundError', microphone: 'NotFoundError' }, before }) {
    const room = new UplinkRoom();
    try {
      await room.#fill({ uplink, members, device, viewport, camera, cameras, before });
    } catch (error) {
      await room.end();
      throw error;
    }
    return room;
  }

  async #fill({ uplink, members, device, viewport, camera, cameras, before }) {
    const folder = await mkdtemp(join(tmpdir(), 'roomd-e2e-uplink-'));
    this.#ends.unshift(() => rm(folder, { recursive: true, force: true }));
    const hosts = await Hosts.make({ script: 'uplink.sh', env: { UPLINK: uplink } });
    this.#ends.unshift(() => hosts.end());
    const server = await Roomd.start({ listen: `${AWAY}:0`, through: hosts.on('away') });
    this.#ends.unshift(() => server.stop());
    const browse = async (host) => {
      const program = await hosts.wrapper(folder, host, process.env.CHROMIUM ?? '/usr/bin/chromium');
      // Names of addresses would have to be asked for by multicast, which takes its time.
      const browser = await chromium({ program, args: ['--disable-features=WebRtcHideLocalIpsWithMdns'] });
      this.#ends.unshift(() => browser.close());
      return browser;
    };
    this.home = await browse('home');
    const away = await browse('away');
    if (device) {
      this.device = await RemoteDevice.start({
        server, room: ROOM, name: 'Atrium', through: hosts.on('away'), screen: false,
        video: { width: 320, height: 180, framerate: 10, kbps: 300 },
      });
      this.#ends.unshift(() => this.device.stop());
    }
    const visit = async (browser, name, number, devices, size, hook) => {
      const member = await Member.open(browser, await invitation(server, ROOM), { name, number, devices, viewport: size, before: hook });
      await member.join();
      await member.inside();
      return member;
    };
    for (let number = 4; this.others.length < members - 1 - (device ? 1 : 0); number += 1) {
      this.others.push(await visit(away, `Away ${number}`, number, cameras, viewport, keepReceivers));
    }
    this.member = await visit(this.home, 'Home', 2, camera, VIEWPORT_AT_HOME, before);
    for (const other of this.others) {
      await until(`${other.name} gets packets from who is at home`, async () => (await other.person('Home'))?.link?.stats?.packets > 0, { within: WITHIN });
    }
    if (this.device) await until('the device gets sound from who is at home', async () => (await this.device.links()).Home?.media?.sounds_in > 0, { within: WITHIN });
  }

  /** From here on. */
  async watch() {
    for (const other of this.others) await watch(other, ['Home', ...(this.device ? [this.device.name] : [])]);
    this.device?.watchFrames();
  }

  /**
   * What was seen since: for each of the others, the longest silence of the one at home in ms, and
   * its picture. `control`: the longest silence of the device, whose way to there nothing limits,
   * so that it is this machine's.
   */
  async arrived() {
    const all = {};
    for (const other of this.others) {
      const { Home: home, ...rest } = await other.page.evaluate(() => window.watch_.told());
      all[other.name] = { ...home, control: Object.values(rest)[0]?.silence ?? 0 };
    }
    if (this.device) all[this.device.name] = { silence: Math.round(this.device.framesSeen().Home.silence), control: 0 };
    return all;
  }

  async end() {
    for (const end of this.#ends) await end().catch(() => {});
  }
}
