// What the browser tests stand on: a server, browsers, and members whose picture and voice can be
// told from everybody else's. Waits are for conditions, and each has a deadline.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import puppeteer from 'puppeteer-core';

import { fakeDevices, readCode } from './camera.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ROOMD = process.env.ROOMD_BIN ?? join(ROOT, 'target/debug/roomd');

/** Starts `BROWSER_PROGRAM`. */
const PLAINLY = fileURLToPath(new URL('browser.sh', import.meta.url));

/** Until what is true, or an error that says what was waited for. */
export async function until(what, look, { within = 15_000, every = 50 } = {}) {
  const end = Date.now() + within;
  let last;
  for (;;) {
    try {
      last = await look();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) {
      const found = last instanceof Error ? last.message : JSON.stringify(last);
      throw new Error(`not within ${within} ms: ${what} (last: ${found})`);
    }
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

// The server.

/** What `roomd status --json` prints, without a process for each look. @param {string} folder of the control socket */
export function statusAt(folder) {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = createConnection(join(folder, 'control'), () => socket.end('{"do":"status"}\n'));
    socket.setTimeout(10_000, () => socket.destroy(new Error(`nobody at ${folder} says how it is`)));
    socket.on('data', (data) => (text += data));
    socket.on('error', reject);
    socket.on('close', () => {
      try {
        resolve(JSON.parse(text));
      } catch (error) {
        reject(error);
      }
    });
  });
}

/** A `roomd` of its own, on a port of its own, in a state directory of its own. */
export class Roomd {
  /** What a page has to add to the address: a server of many rooms wants to be told which. */
  at = '';

  /**
   * @param {{ command?: string[], listen?: string, args?: string[], env?: object, through?: string[] }} options
   *   `through`: a command that starts it, for another network
   */
  static async start({ command = ['serve'], listen = '127.0.0.1:0', args = [], env = {}, through = [] } = {}) {
    if (!existsSync(ROOMD)) throw new Error(`there is no ${ROOMD}: build it, or name one in ROOMD_BIN`);
    const roomd = new Roomd();
    roomd.state = await mkdtemp(join(tmpdir(), 'roomd-e2e-'));
    roomd.command = command;
    if (command[0] === 'serve') roomd.at = '?room=atrium';
    roomd.args = args;
    roomd.env = env;
    roomd.through = through;
    await roomd.run(listen);
    return roomd;
  }

  /** Starts it (again), on the same port if it has had one. */
  async run(listen = `127.0.0.1:${this.port}`) {
    this.log = [];
    const [program, ...words] = [...this.through, ROOMD, ...this.command, '--state-dir', this.state, '--listen', listen, ...this.args];
    const child = spawn(program, words, {
      // The control socket of each is its own, too.
      env: { ...process.env, RUNTIME_DIRECTORY: this.state, ...this.env }, stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    this.ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
    this.url = await new Promise((resolve, reject) => {
      const deadline = setTimeout(() => reject(new Error(`roomd says no address:\n${this.log.join('\n')}`)), 30_000);
      const hear = (line) => {
        this.log.push(line);
        const told = /listening on (https:\/\/[^\s]+)/.exec(line);
        if (told) {
          clearTimeout(deadline);
          resolve(told[1].replace(/\/?$/, '/'));
        }
      };
      createInterface({ input: child.stdout }).on('line', hear);
      createInterface({ input: child.stderr }).on('line', hear);
      void this.ended.then(({ code, signal }) => {
        clearTimeout(deadline);
        reject(new Error(`roomd ended (${code ?? signal}):\n${this.log.join('\n')}`));
      });
    });
    this.port = new URL(this.url).port;
  }

  /** What a command prints that is for this one. @param {...string} words */
  async says(...words) {
    const child = spawn(ROOMD, [...words, '--state-dir', this.state], {
      env: { ...process.env, RUNTIME_DIRECTORY: this.state, ...this.env }, stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    let trouble = '';
    child.stdout.on('data', (data) => (text += data));
    child.stderr.on('data', (data) => (trouble += data));
    const code = await new Promise((resolve) => child.once('close', resolve));
    if (code !== 0) throw new Error(`roomd ${words.join(' ')} ended with ${code}: ${trouble}`);
    return text;
  }

  /** The room's PIN, as the command line tells it. */
  async pin() {
    const child = spawn(ROOMD, ['pin', '--state-dir', this.state], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (data) => (text += data));
    await new Promise((resolve) => child.once('close', resolve));
    const found = /\b(\d{3})\s?(\d{3})\b/.exec(text);
    if (!found) throw new Error('roomd pin says no PIN');
    return found[1] + found[2];
  }

  /** What `roomd status --json` prints. */
  status() {
    return statusAt(this.state);
  }

  async kill(signal = 'SIGKILL') {
    this.child.kill(signal);
    return this.ended;
  }

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const stubborn = setTimeout(() => this.child.kill('SIGKILL'), 10_000);
      await this.kill('SIGTERM');
      clearTimeout(stubborn);
    }
    await rm(this.state, { recursive: true, force: true });
  }
}

/**
 * The server that the tests run against: a real one, or with `E2E_SERVER=fake` the few lines of
 * `fake-server.js`, which is how the page is tried where no roomd has been built.
 */
export async function serve() {
  if (process.env.E2E_SERVER !== 'fake') return Roomd.start();
  const { FakeServer } = await import('./fake-server.js');
  const server = await new FakeServer().start();
  return {
    url: server.url,
    at: '',
    pin: async () => server.settings.pin,
    status: async () => ({ server: { members: server.size } }),
    kill: () => server.kill(),
    run: () => server.restart(),
    stop: () => server.kill().catch(() => {}),
  };
}

// The browsers.

/**
 * Debian's Chromium.
 * @param {{ trusting?: boolean, audible?: boolean, args?: string[], profile?: string, program?: string, sound?: object }} options
 *   `trusting`: takes any certificate; `audible`: tabs sound, without which none can be captured;
 *   `profile`: a directory to use and to leave behind; `program`: what starts it; `sound`: the
 *   environment that leads to a sound server, whose devices it uses and on which it is heard
 */
export function chromium({ trusting = true, audible = false, args = [], profile, program = process.env.CHROMIUM ?? '/usr/bin/chromium', sound } = {}) {
  return puppeteer.launch({
    executablePath: PLAINLY,
    headless: true,
    env: { ...process.env, BROWSER_PROGRAM: program, ...sound },
    // No port: a browser in another network is reached as well.
    pipe: true,
    acceptInsecureCerts: trusting,
    ignoreDefaultArgs: audible || sound ? ['--mute-audio'] : [],
    userDataDir: profile,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-background-timer-throttling',
      '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows',
      ...(audible || sound ? [] : ['--mute-audio']), ...(sound ? ['--use-fake-ui-for-media-stream'] : []),
      '--autoplay-policy=no-user-gesture-required',
      ...args,
    ],
  });
}

/**
 * Debian's Firefox, by WebDriver BiDi. Where there is no sound card its audio contexts never run,
 * so it gets a sound server of its own that plays to nowhere.
 */
export async function firefox({ trusting = true } = {}) {
  const sound = await nowhere();
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
    headless: true,
    acceptInsecureCerts: trusting,
    env: { ...process.env, PULSE_SERVER: sound.server },
    extraPrefsFirefox: {
      'media.autoplay.default': 0,
      'media.autoplay.blocking_policy': 0,
      'media.autoplay.block-webaudio': false,
      'media.peerconnection.ice.loopback': true,
      'media.peerconnection.ice.obfuscate_host_addresses': false,
      'dom.min_background_timeout_value': 4,
      'dom.timeout.throttling_delay': -1,
      'network.captive-portal-service.enabled': false,
      'network.connectivity-service.enabled': false,
      'app.normandy.enabled': false,
      'browser.safebrowsing.downloads.remote.enabled': false,
    },
  }).catch(async (error) => {
    await sound.stop();
    throw error;
  });
  const close = browser.close.bind(browser);
  browser.close = async () => {
    await close();
    await sound.stop();
  };
  return browser;
}

/** A sound server whose speaker is a hole in the ground. */
async function nowhere() {
  const home = await mkdtemp(join(tmpdir(), 'roomd-sound-'));
  const socket = join(home, 'sound');
  const child = spawn('pulseaudio', [
    '-n', '--daemonize=no', '--use-pid-file=no', '--exit-idle-time=-1', '--disable-shm=yes', '--log-level=error',
    '--load=module-null-sink sink_name=nowhere', `--load=module-native-protocol-unix socket=${socket} auth-anonymous=1`,
  ], { env: { ...process.env, HOME: home, XDG_RUNTIME_DIR: home }, stdio: 'ignore' });
  const ended = new Promise((resolve) => {
    child.once('exit', resolve);
    child.once('error', resolve);
  });
  await until('pulseaudio listens (is it installed?)', () => existsSync(socket), { within: 10_000 });
  return {
    server: `unix:${socket}`,
    async stop() {
      child.kill();
      await ended;
      await rm(home, { recursive: true, force: true });
    },
  };
}

// The members.

let numbers = 0;

/** One person at one page. */
export class Member {
  /**
   * @param {import('puppeteer-core').Browser} browser
   * @param {string} url of the page; a `#pin=…` may be part of it
   * @param {{ name?: string, number?: number, pitch?: number, viewport?: object, devices?: object, real?: boolean, before?: Function }} options
   *   `real`: the browser's own devices instead of ours; `before`: runs before the page's own scripts
   */
  static async open(browser, url, { name, number = 1 + (numbers++ % 15), pitch, viewport = { width: 1280, height: 800 }, devices = {}, real = false, before } = {}) {
    const member = new Member();
    member.name = name ?? `Member ${number}`;
    member.number = number;
    // Far enough apart to be told by ear, and no pitch is a multiple of another.
    member.pitch = pitch ?? 300 + 110 * number;
    member.context = await browser.createBrowserContext();
    member.page = await member.context.newPage();
    member.page.setDefaultNavigationTimeout(60_000);
    await member.page.setViewport(viewport);
    member.errors = [];
    member.page.on('pageerror', (error) => member.errors.push(String(error.stack ?? error)));
    member.page.on('console', (line) => {
      if (line.type() === 'error') member.errors.push(line.text());
    });
    if (!real) await member.page.evaluateOnNewDocument(fakeDevices, { number, pitch: member.pitch, ...devices });
    if (before) await member.page.evaluateOnNewDocument(before);
    await member.page.goto(url, { waitUntil: 'load' });
    return member;
  }

  /**
   * Waits for the door, types a name (and a PIN), and joins.
   * @param {{ pin?: string }} options
   */
  async join({ pin } = {}) {
    const { page } = this;
    await page.waitForSelector('#join:not(:disabled)');
    await fill(page, '#name', this.name);
    if (pin !== undefined) {
      await page.waitForSelector('#pin-field:not([hidden])');
      await fill(page, '#pin', pin);
    }
    await page.click('#join');
  }

  /** Waits until it is in the room. */
  inside() {
    return until(`${this.name} is in the room`, () => this.page.evaluate(() => document.body.dataset.at === 'room' && window.roomd.room.state === 'joined'));
  }

  /** What the page knows, as `window.roomd.room`. */
  room() {
    return this.page.evaluate(() => window.roomd.room);
  }

  /** What the page knows of one other member. */
  async person(name) {
    return (await this.room()).people.find((person) => person.name === name) ?? null;
  }

  /** The number and counter in the picture of `name`, as drawn on this page. */
  reads(name) {
    return this.page.evaluate(`(${readCode})([...document.querySelectorAll('.tile.seen')].find((tile) => tile.querySelector('.name').textContent === ${JSON.stringify(name)})?.querySelector('.picture'))`);
  }

  /** The strongest frequency in the voice of `name`, in hertz; 0 for silence. */
  hears(name) {
    return this.page.evaluate((wanted) => {
      const tile = [...document.querySelectorAll('.tile')].find((other) => other.querySelector('.name').textContent === wanted);
      const stream = tile?.querySelector('audio')?.srcObject;
      if (!stream) return 0;
      window.ears ??= { context: new AudioContext(), known: new Map() };
      const { context, known } = window.ears;
      const track = stream.getAudioTracks()[0];
      let analyser = known.get(track);
      if (!analyser) {
        analyser = context.createAnalyser();
        analyser.fftSize = 8192;
        analyser.smoothingTimeConstant = 0;
        context.createMediaStreamSource(stream).connect(analyser);
        known.set(track, analyser);
      }
      const levels = new Float32Array(analyser.frequencyBinCount);
      analyser.getFloatFrequencyData(levels);
      let best = 0;
      for (let bin = 1; bin < levels.length; bin += 1) if (levels[bin] > levels[best]) best = bin;
      return levels[best] < -80 ? 0 : (best * context.sampleRate) / analyser.fftSize;
    }, name);
  }

  /** Waits until the picture of `other` is there, is its own, and moves. */
  async sees(other, { within = 20_000 } = {}) {
    const first = await until(`${this.name} sees ${other.name}`, async () => {
      const code = await this.reads(other.name);
      return code?.number === other.number ? code : null;
    }, { within });
    await until(`the picture of ${other.name} moves for ${this.name}`, async () => {
      const code = await this.reads(other.name);
      return code && code.number === other.number && code.counter !== first.counter;
    }, { within });
  }

  /** Waits until the voice of `other` is there and is its own. */
  async listens(other, { within = 20_000 } = {}) {
    await until(`${this.name} hears ${other.name} at ${other.pitch} Hz`, async () => {
      const pitch = await this.hears(other.name);
      return Math.abs(pitch - other.pitch) < 15;
    }, { within });
  }

  /** Notes twice a second, from here on, how many frames of everybody have come to the page. */
  async watchFrames() {
    await this.page.evaluate(() => {
      clearInterval(window.framesTimer);
      window.frames_ = [];
      window.framesTimer = setInterval(() => {
        const tiles = [...document.querySelectorAll('.tile')];
        for (const { key, name, link } of window.roomd.room.people) {
          const video = tiles.find((tile) => tile.querySelector('.name').textContent === name)?.querySelector('video');
          if (link?.stats) window.frames_.push({ at: Date.now(), key, name, id: link.id, generation: link.generation, state: `${link.state} ${link.why ?? ''}`, frames: video?.getVideoPlaybackQuality().totalVideoFrames ?? 0 });
        }
      }, 500);
    });
  }

  /** What was noted: for each name the longest time without a new frame, in ms, and the links it had. */
  async framesSeen() {
    const notes = await this.page.evaluate(() => ({ now: Date.now(), notes: window.frames_ }));
    const people = {};
    for (const { at, name, id, generation, state, frames } of notes.notes) {
      const person = (people[name] ??= { longest: 0, links: new Set(), story: [], frames: -1, at });
      tell(person.story, `${generation} ${state}`, at);
      person.links.add(`${id}/${generation}`);
      if (frames !== person.frames) {
        person.longest = Math.max(person.longest, at - person.at);
        person.frames = frames;
        person.at = at;
      }
    }
    for (const person of Object.values(people)) person.longest = Math.max(person.longest, notes.now - person.at);
    return people;
  }

  shot(path) {
    return this.page.screenshot({ path });
  }

  async close() {
    await this.context.close();
  }
}

/** A story is what was so and since when, as the wall clock has it: several tell of one moment. */
export function tell(story, what, at) {
  if (story.at(-1)?.what !== what) story.push({ what, at });
}

/** A story in words, with times in seconds since `start`. */
export function told(story, start) {
  return story.map(({ what, at }) => `${((at - start) / 1000).toFixed(1)} s: ${what.trim()}`).join(', ');
}

/** Types into a field, whatever was in it. */
export async function fill(page, selector, text) {
  await page.waitForSelector(selector, { visible: true });
  await page.evaluate((where) => {
    const field = document.querySelector(where);
    field.focus();
    field.select();
  }, selector);
  if (text === '') await page.keyboard.press('Backspace');
  else await page.keyboard.type(text);
}

/** Presses Tab until what is focused matches, and counts how often. */
export async function tabTo(page, selector, { most = 40 } = {}) {
  for (let presses = 0; presses <= most; presses += 1) {
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector)) return presses;
    await page.keyboard.press('Tab');
  }
  throw new Error(`${selector} is not reached by ${most} presses of Tab`);
}
