// Everything that sounds, on one tape: a sound server whose sinks are the channels of one card, so
// that a recording of that card has every microphone and every loudspeaker on one clock. And a
// screen that can be read while it is written.

import { spawn } from 'node:child_process';
import { openSync, readSync, closeSync, existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { until } from './support.js';

export const RATE = 48_000;
/** What the card renders ahead of its time at most, in ms; what a microphone gives is so much younger than a real one. */
export const BLOCK_MS = 5;

const SECOND = 1_000;

function ended(child) {
  return new Promise((resolve) => {
    child.once('exit', resolve);
    child.once('error', resolve);
  });
}

/** A sound card with a line for each name: a sink `NAME`, and what is played there as the source `hears-NAME`. */
export class Desk {
  /** @param {string[]} lines their names, in the order of the channels */
  static async start(lines) {
    const desk = new Desk();
    desk.lines = lines;
    desk.home = await mkdtemp(join(tmpdir(), 'roomd-desk-'));
    const socket = join(desk.home, 'sound');
    const places = lines.map((_, at) => `aux${at}`);
    desk.modules = [
      `module-null-sink sink_name=desk rate=${RATE} channels=${lines.length} channel_map=${places} format=s16le`,
      ...lines.flatMap((line, at) => [
        `module-remap-sink sink_name=${line} master=desk channels=1 channel_map=mono master_channel_map=aux${at} remix=no`,
        `module-remap-source source_name=hears-${line} master=desk.monitor channels=1 channel_map=mono master_channel_map=aux${at} remix=no`,
      ]),
      `module-native-protocol-unix socket=${socket} auth-anonymous=1`,
    ];
    desk.env = { PULSE_SERVER: `unix:${socket}`, HOME: desk.home, XDG_RUNTIME_DIR: desk.home };
    desk.server = spawn('pulseaudio', [
      '-n', '--daemonize=no', '--use-pid-file=no', '--exit-idle-time=-1', '--disable-shm=yes', '--log-level=error',
      ...desk.modules.map((module) => `--load=${module}`),
    ], { env: { ...process.env, ...desk.env }, stdio: ['ignore', 'ignore', 'inherit'] });
    desk.gone = ended(desk.server);
    await until('pulseaudio listens (is it installed?)', () => existsSync(socket), { within: 10 * SECOND });
    desk.players = new Map();
    await desk.#record();
    return desk;
  }

  /** What makes ALSA's `PCM` of each line: `NAME` to play, `hears-NAME` to hear. */
  async alsa() {
    const file = join(this.home, 'asound.conf');
    const names = this.lines.flatMap((line) => [line, `hears-${line}`]);
    await writeFile(file, ['</usr/share/alsa/alsa.conf>', ...names.map((name) => `pcm.${name} { type pulse server "${this.env.PULSE_SERVER}" device "${name}" }`), ''].join('\n'));
    return { ALSA_CONFIG_PATH: file };
  }

  /** For a program whose default microphone and loudspeaker are these lines. */
  at(microphone, loudspeaker) {
    return { PULSE_SERVER: this.env.PULSE_SERVER, PULSE_SOURCE: `hears-${microphone}`, PULSE_SINK: loudspeaker };
  }

  #client(program, words, stdio) {
    return spawn(program, words, { env: { ...process.env, ...this.env }, stdio });
  }

  async #record() {
    const tape = this.#client('parec', [
      '--raw', '--device=desk.monitor', '--format=s16le', `--rate=${RATE}`, `--channels=${this.lines.length}`,
      `--channel-map=${this.lines.map((_, at) => `aux${at}`)}`, '--no-remix', `--latency-msec=${BLOCK_MS}`,
    ], ['ignore', 'pipe', 'inherit']);
    this.tape = tape;
    this.tapeEnded = ended(tape);
    this.chunks = [];
    this.frames = 0;
    /** Where the tape begins on the clock of this process: no sample is read before it is there. */
    this.begins = Infinity;
    let rest = Buffer.alloc(0);
    const frame = 2 * this.lines.length;
    tape.stdout.on('data', (data) => {
      const now = performance.timeOrigin + performance.now();
      const all = rest.length ? Buffer.concat([rest, data]) : data;
      const whole = all.length - (all.length % frame);
      rest = all.subarray(whole);
      this.chunks.push({ at: this.frames, data: all.subarray(0, whole) });
      // Nobody reads what is older than a minute and a half.
      while (this.frames - this.chunks[0].at > 90 * RATE) this.chunks.shift();
      this.frames += whole / frame;
      this.begins = Math.min(this.begins, now - (this.frames / RATE) * SECOND);
    });
    await until('the tape runs', () => this.frames > 0);
  }

  /** The number of the sample that is recorded at this moment, in ms since the epoch. */
  frameOf(moment) {
    return Math.round(((moment - this.begins) / SECOND) * RATE);
  }

  momentOf(frame) {
    return this.begins + (frame / RATE) * SECOND;
  }

  /** So many samples of a line, from the one with this number on; -1 to 1. */
  read(line, from, count) {
    const channel = this.lines.indexOf(line);
    const width = this.lines.length;
    const out = new Float32Array(count);
    for (const { at, data } of this.chunks) {
      const length = data.length / 2 / width;
      for (let frame = Math.max(from, at); frame < Math.min(from + count, at + length); frame += 1) {
        out[frame - from] = data.readInt16LE(((frame - at) * width + channel) * 2) / 32_768;
      }
    }
    return out;
  }

  /** What was recorded before this sample is needed no more. */
  forget(before) {
    this.chunks = this.chunks.filter(({ at, data }) => at + data.length / 2 / this.lines.length > before);
  }

  /** Plays into a line, as soon as it can be. @param {Float32Array} samples */
  play(line, samples) {
    let player = this.players.get(line);
    if (!player) {
      player = this.#client('pacat', ['--raw', `--device=${line}`, '--format=s16le', `--rate=${RATE}`, '--channels=1', '--latency-msec=20'], ['pipe', 'ignore', 'inherit']);
      player.stdin.on('error', () => {});
      this.players.set(line, player);
    }
    const bytes = Buffer.alloc(samples.length * 2);
    samples.forEach((sample, at) => bytes.writeInt16LE(Math.round(Math.max(-1, Math.min(1, sample)) * 32_767), at * 2));
    player.stdin.write(bytes);
  }

  /** Makes what is heard of a line fainter, by so many dB. */
  async fainter(line, db) {
    // PulseAudio's loudness is the cube root of its amplitude.
    const volume = Math.round(65_536 * 10 ** (-db / 60));
    const done = this.#client('pactl', ['set-source-volume', `hears-${line}`, String(volume)], 'inherit');
    await ended(done);
    if (done.exitCode !== 0) throw new Error('pactl changes no volume');
  }

  /** Waits until the tape has this sample. */
  reaches(frame) {
    return until('the tape goes on', () => this.frames >= frame, { within: 10 * SECOND + ((frame - this.frames) / RATE) * SECOND, every: 20 });
  }

  async stop() {
    for (const player of this.players.values()) player.kill();
    this.tape.kill();
    await this.tapeEnded;
    this.server.kill();
    await this.gone;
    await rm(this.home, { recursive: true, force: true });
  }
}

/** An X server whose picture is a file. */
export class Screen {
  static async start(width, height) {
    const screen = new Screen();
    screen.home = await mkdtemp(join(tmpdir(), 'roomd-screen-'));
    screen.server = spawn('Xvfb', ['-displayfd', '1', '-screen', '0', `${width}x${height}x24`, '-fbdir', screen.home, '-nolisten', 'tcp', '-noreset'], { stdio: ['ignore', 'pipe', 'ignore'] });
    screen.gone = ended(screen.server);
    let text = '';
    screen.server.stdout.on('data', (data) => (text += data));
    await until('Xvfb runs (is it installed?)', () => /\d+\n/.test(text));
    screen.display = `:${text.trim()}`;
    screen.file = openSync(join(screen.home, 'Xvfb_screen0'), 'r');
    const header = Buffer.alloc(80);
    readSync(screen.file, header, 0, 80, 0);
    // The format of xwd (X11/XWDFile.h): its length, the bytes of a row, and a table of colours.
    screen.pixels = header.readUInt32BE(0) + header.readUInt32BE(19 * 4) * 12;
    screen.row = header.readUInt32BE(12 * 4);
    return screen;
  }

  /** How bright the pixel is, 0 to 255. */
  bright(x, y) {
    const pixel = Buffer.alloc(4);
    readSync(this.file, pixel, 0, 4, this.pixels + y * this.row + x * 4);
    return pixel[1];
  }

  async stop() {
    closeSync(this.file);
    this.server.kill();
    await this.gone;
    await rm(this.home, { recursive: true, force: true });
  }
}
