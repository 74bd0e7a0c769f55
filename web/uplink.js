// @ts-check
/**
 * What all links together may send: one page encodes once for every member, and its uplink is one.
 *
 * Sound comes first. What is left is divided into pictures that are alike for all, and when not
 * even the smallest gets through, pictures are paused and sound goes on alone. Each connection has
 * a congestion control of its own, but they know nothing of each other: on a line that carries too
 * little for all, each of them tries again and again what the others have just given up, and the
 * sound of all suffers for it.
 *
 * Figures and times in, a decision out: nothing here touches a connection or a clock.
 *
 * @typedef {import('./codecs.js').Most} Most
 *
 * @typedef {object} Flow How the sending on one link that stands is going.
 * @property {string} id
 * @property {number | null} available kbit/s that the browser takes the way there to carry; not all say
 * @property {number} sent kbit/s, all of it, headers included
 * @property {number | null} loss part of what was sent, where the other side has just said so
 * @property {number | null} rtt in milliseconds, where the other side has just said so
 * @property {number} cap kbit/s that the picture there takes if nothing limits it; 0 without a picture
 */

import { UNLIMITED } from './codecs.js';

/** Sound on one link, kbit/s: Opus of 32, and 58 bytes of headers on each of 50 packets a second. */
export const SOUND_KBPS = 55;
/** The smallest picture that is worth its packets. */
export const LEAST_KBPS = 80;
/** What a newcomer takes its uplink to carry, until it has seen more. */
const START_KBPS = 1_500;
/** Part of what the line seems to carry that is used after it was too much. */
const USED = 0.85;
/** A picture that was too much becomes smaller by at least this. */
const LOWER = 0.7;
/** And larger by this, step by step; faster where it has never been too much. */
const HIGHER = 1.25;
const HIGHER_AT_FIRST = 1.5;
/** Between two steps upwards. */
const STEP_MS = 2_000;
const STEP_AFTER_CUT_MS = 4_000;
/** A cut is given this long to work. */
const CUT_WORKS_MS = 4_000;
/** Before the first step upwards after a cut; twice as long each time that it was in vain. */
export const HOLD_MS = { first: 8_000, most: 64_000 };
/** Before a paused picture is tried again; twice as long each time that it was in vain. */
export const PAUSE_MS = { first: 8_000, most: 120_000 };
/** A step, or a trial, that is followed by a cut within this time was in vain. */
const VAIN_MS = 10_000;
/** A line that was enough for so long, which is longer than any hold, is tried as soon as at first. */
const WELL_MS = 150_000;
/** Connections notice the same crowd at different moments. */
const STRAINED_MS = 4_000;
/** A browser that lowers its estimate to this part of what it has just been has met a queue. */
const FELL = 0.85;
/** How many samples back "just" is. */
const RECENT = 4;
/** Looks are a second apart. Later than this, it is this machine that is short of breath: */
const LATE_MS = 1_300;
/** in a tab that is hidden, browsers take their time, */
const LATE_HIDDEN_MS = 2_500;
/** and what was measured within this time says little of the line. */
const BREATHLESS_MS = 10_000;
/** So much lost is more than a bad moment of a radio. */
const LOSS = 0.05;
/** Waiting in a queue that is ours: so much more than the way takes when it is free. */
const QUEUED_MS = 200;

/** What one link's figures were. */
class Past {
  /** @type {number[]} */
  available = [];
  rtt = Infinity;
  strainedUntil = -Infinity;
  losesUntil = -Infinity;
  waitsUntil = -Infinity;

  forgive() {
    this.available = [];
    this.strainedUntil = -Infinity;
    this.losesUntil = -Infinity;
    this.waitsUntil = -Infinity;
  }
}

export class Uplink {
  /** No picture is sent to anybody. */
  paused = false;
  /** kbit/s for each picture; null before anything is known. @type {number | null} */
  #rate = null;
  /** @type {Map<string, Past>} */
  #past = new Map();
  /** It has been too much before. */
  #scarce = false;
  #hold = HOLD_MS.first;
  #pause = PAUSE_MS.first;
  #changedAt = -Infinity;
  #cutAt = -Infinity;
  /** The earliest time for a step upwards, or for a trial. */
  #riseAt = -Infinity;
  /** How many pictures there were. */
  #pictures = 0;
  /** @type {number | null} */
  #lookedAt = null;
  #lateAt = -Infinity;

  /** The most that a picture may be, whoever it is for. @returns {Most} */
  get most() {
    if (this.paused) return { height: 0, kbps: 0, framerate: 0 };
    const kbps = this.#rate ?? Infinity;
    if (kbps === Infinity) return UNLIMITED;
    const step = STEPS.find(({ from }) => kbps >= from) ?? STEPS[STEPS.length - 1];
    return { height: step.height, kbps: Math.round(kbps), framerate: step.framerate };
  }

  /** Begins before anything is known, with this many others in the room. @param {number} others */
  begin(others) {
    this.#rate = shareOf(START_KBPS, others, others);
    this.#pictures = others;
  }

  /**
   * Looks at all links, about once a second.
   * @param {number} now in milliseconds
   * @param {Flow[]} flows
   * @param {boolean} [visible] whether the page is on a screen
   * @returns {boolean} whether `most` is another than before
   */
  judge(now, flows, visible = true) {
    const before = JSON.stringify(this.most);
    this.#note(now, flows, visible ? LATE_MS : LATE_HIDDEN_MS);
    const pictures = flows.filter(({ cap }) => cap > 0).length;
    // Without a picture there is nothing to lower, and nothing to learn of a larger one.
    if (pictures > 0) {
      this.#crowd(pictures);
      if (this.#mostly((past) => now < past.strainedUntil)) this.#tooMuch(now, flows, pictures);
      else if (now >= this.#riseAt) this.#rise(now, flows);
    }
    return JSON.stringify(this.most) !== before;
  }

  /** One member on a bad line is its own matter; most of them at once are ours. @param {(past: Past) => boolean} is */
  #mostly(is) {
    const all = [...this.#past.values()];
    return all.filter(is).length > all.length / 2;
  }

  /** Keeps the figures of each link, and sees which of them had to wait. @param {number} now @param {Flow[]} flows @param {number} lateMs */
  #note(now, flows, lateMs) {
    const known = new Set(flows.map(({ id }) => id));
    const late = this.#lookedAt !== null && now - this.#lookedAt > lateMs;
    this.#lookedAt = now;
    if (late) this.#lateAt = now;
    for (const id of this.#past.keys()) if (!known.has(id)) this.#past.delete(id);
    for (const { id, available, loss, rtt, cap } of flows) {
      const past = this.#past.get(id) ?? new Past();
      this.#past.set(id, past);
      const demand = SOUND_KBPS + Math.min(this.#rate ?? Infinity, cap);
      const high = Math.max(0, ...past.available);
      const fell = available !== null && available < FELL * high && available < 1.5 * demand;
      const waits = rtt !== null && rtt > past.rtt + QUEUED_MS;
      const loses = (loss ?? 0) >= LOSS;
      if (!late && (fell || waits || loses)) past.strainedUntil = now + STRAINED_MS;
      if (!late && loses) past.losesUntil = now + STRAINED_MS;
      if (!late && waits) past.waitsUntil = now + STRAINED_MS;
      if (available !== null) past.available = [...past.available, available].slice(-RECENT);
      if (rtt !== null) past.rtt = Math.min(past.rtt, rtt);
    }
  }

  /** On a line that is known to be full, a newcomer's picture comes out of the others'. @param {number} pictures */
  #crowd(pictures) {
    if (this.#scarce && this.#rate !== null && this.#pictures > 0 && pictures > this.#pictures) {
      const total = (this.#rate + SOUND_KBPS) * this.#pictures;
      this.#rate = shareOf(total, pictures, pictures);
    }
    this.#pictures = pictures;
  }

  /** @param {number} now @param {Flow[]} flows @param {number} pictures */
  #tooMuch(now, flows, pictures) {
    if (this.paused || now < this.#cutAt + CUT_WORKS_MS) return;
    const inVain = this.#scarce && now - this.#changedAt < VAIN_MS;
    const largest = Math.max(...flows.map(({ cap }) => cap));
    const rate = Math.min(this.#rate ?? Infinity, largest);
    // An estimate that falls makes a picture smaller, but does not end it: on a machine that is short
    // of breath it falls as well.
    const breathless = now - this.#lateAt < BREATHLESS_MS;
    const hopeless = this.#mostly((past) => now < past.losesUntil || (!breathless && now < past.waitsUntil));
    if (rate <= LEAST_KBPS && !hopeless) return;
    this.#scarce = true;
    this.#cutAt = now;
    // What it had to cut for has been seen, and is not to be seen twice.
    for (const past of this.#past.values()) past.forgive();
    if (rate <= LEAST_KBPS) {
      this.paused = true;
      if (inVain) this.#pause = Math.min(PAUSE_MS.most, this.#pause * 2);
      this.#riseAt = now + this.#pause;
      return;
    }
    // An estimate counts only as far as it was tried: an idle connection believes anything.
    const carried = flows.reduce((sum, { available, sent, loss }) => sum + (available === null ? sent * (1 - (loss ?? 0)) : Math.min(available, 1.5 * sent)), 0);
    this.#rate = Math.max(LEAST_KBPS, Math.min(LOWER * rate, shareOf(USED * carried, flows.length, pictures)));
    if (inVain) this.#hold = Math.min(HOLD_MS.most, this.#hold * 2);
    this.#riseAt = now + this.#hold;
  }

  /** @param {number} now @param {Flow[]} flows */
  #rise(now, flows) {
    if (!this.paused && now - this.#cutAt > WELL_MS) {
      this.#hold = HOLD_MS.first;
      this.#pause = PAUSE_MS.first;
    }
    if (this.#rate === Infinity) return;
    const largest = Math.max(...flows.map(({ cap }) => cap));
    this.#changedAt = now;
    if (this.paused) {
      this.paused = false;
      this.#rate = LEAST_KBPS;
      this.#riseAt = now + VAIN_MS;
      return;
    }
    this.#riseAt = now + (this.#scarce ? STEP_AFTER_CUT_MS : STEP_MS);
    const higher = (this.#rate ?? LEAST_KBPS) * (this.#scarce ? HIGHER : HIGHER_AT_FIRST);
    this.#rate = higher >= largest ? Infinity : higher;
  }
}

/** What each of so many pictures may have of a line, when all links have their sound. @param {number} total @param {number} links @param {number} pictures */
function shareOf(total, links, pictures) {
  return Math.max(LEAST_KBPS, (total - links * SOUND_KBPS) / Math.max(1, pictures));
}

/** What a picture of so many kbit/s can be without falling apart. */
const STEPS = [
  { from: 1_300, height: 720, framerate: 30 },
  { from: 750, height: 540, framerate: 30 },
  { from: 400, height: 360, framerate: 30 },
  { from: 200, height: 270, framerate: 20 },
  { from: 120, height: 180, framerate: 15 },
  { from: 0, height: 180, framerate: 8 },
];
