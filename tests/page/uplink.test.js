// The budget of all links, on lines of every kind, in virtual time.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { encodingFor } from '../../web/codecs.js';
import { LEAST_KBPS, SOUND_KBPS, Uplink } from '../../web/uplink.js';

/**
 * Links that share one uplink, each with a congestion control like a browser's: what it takes its
 * way to carry grows by 8 % a second up to half more than it sends, and falls when there is a queue.
 */
class Line {
  now = 0;
  uplink = new Uplink();
  /** What happened: `cut 200`, `pause`, `rise 250`. */
  story = [];
  /** Seconds in which more was to be sent than the line carries. */
  full = 0;

  /** @param {{ kbps: number, links: number, cap?: number, tells?: boolean, bad?: number }} about `bad`: kbit/s of the first link's own way */
  constructor({ kbps, links, cap = 600, tells = true, bad = Infinity }) {
    this.about = { kbps, cap, tells, bad };
    this.links = Array.from({ length: links }, (_, at) => ({ id: `l${at}`, available: 300 }));
    this.uplink.begin(links);
  }

  /** What each picture takes. */
  get picture() {
    const { most } = this.uplink;
    return most.height === 0 ? 0 : Math.min(this.about.cap, most.kbps);
  }

  pass(seconds) {
    for (let second = 0; second < seconds; second += 1) {
      this.now += 1_000;
      const wanted = this.links.map((link, at) => Math.min(SOUND_KBPS + this.picture, Math.max(link.available, SOUND_KBPS), at === 0 ? this.about.bad * 1.2 : Infinity));
      const all = wanted.reduce((sum, one) => sum + one, 0);
      const full = all > this.about.kbps;
      if (full) this.full += 1;
      const flows = this.links.map((link, at) => {
        const sent = Math.min(wanted[at], at === 0 ? this.about.bad : Infinity) * Math.min(1, this.about.kbps / all);
        const queued = full || sent < wanted[at];
        link.available = queued ? 0.85 * sent : Math.max(link.available, Math.min(1.08 * link.available + 4, 1.5 * sent));
        return {
          id: link.id, available: this.about.tells ? link.available : null, sent,
          loss: queued ? 1 - sent / wanted[at] : 0, rtt: queued ? 330 : 30, cap: this.about.cap,
        };
      });
      const before = this.picture;
      this.uplink.judge(this.now, flows);
      const after = this.picture;
      if (after === 0 && before > 0) this.story.push('pause');
      else if (after < before) this.story.push(`cut ${Math.round(after)}`);
      else if (after > before) this.story.push(`rise ${Math.round(after)}`);
    }
    return this.story.splice(0);
  }
}

test('a line that is enough is used in full within seconds, and never cut', () => {
  for (const [kbps, links] of [[10_000, 1], [10_000, 5], [100_000, 7]]) {
    const line = new Line({ kbps, links });
    line.pass(15);
    assert.equal(line.picture, 600, `${links} links on ${kbps}`);
    assert.deepEqual(line.pass(600), []);
    assert.equal(line.uplink.most.kbps, Infinity);
  }
});

test('a line that is too little for all is shared, alike for all, and is hardly ever full', () => {
  for (const [kbps, links] of [[1_000, 5], [1_500, 5], [2_000, 3], [600, 2]]) {
    for (const tells of [true, false]) {
      const line = new Line({ kbps, links, tells });
      line.pass(30);
      const share = (kbps - links * SOUND_KBPS) / links;
      line.full = 0;
      const pictures = [];
      for (let minute = 0; minute < 10; minute += 1) {
        line.pass(60);
        pictures.push(line.picture);
      }
      const what = `${links} links on ${kbps}: ${pictures.map(Math.round)} of ${Math.round(share)}, full ${line.full} s`;
      assert.ok(line.full <= 60, what);
      const mean = pictures.reduce((sum, one) => sum + one, 0) / pictures.length;
      assert.ok(mean > 0.5 * share && mean <= share, what);
      assert.equal(line.uplink.paused, false, what);
    }
  }
});

test('where not even the smallest picture fits there is only sound, and trials are ever rarer', () => {
  const line = new Line({ kbps: 5 * SOUND_KBPS + 100, links: 5 });
  line.pass(25);
  assert.equal(line.uplink.paused, true);
  assert.deepEqual(line.uplink.most, { height: 0, kbps: 0, framerate: 0 });
  line.full = 0;
  const story = line.pass(600);
  const trials = story.filter((what) => what === `rise ${LEAST_KBPS}`).length;
  assert.ok(trials >= 3 && trials <= 8, story.join());
  assert.ok(line.full <= 5 * trials, `full ${line.full} s in ${trials} trials`);
  // The line gets better.
  line.about.kbps = 10_000;
  line.pass(300);
  assert.equal(line.picture, 600);
});

test('a line that gets worse is followed within seconds', () => {
  const line = new Line({ kbps: 10_000, links: 5 });
  line.pass(60);
  line.about.kbps = 1_000;
  line.pass(8);
  line.full = 0;
  line.pass(20);
  assert.ok(line.full <= 4, `full ${line.full} s of 20`);
});

test('one member on a bad line of its own takes nothing from the others', () => {
  for (const links of [2, 3, 5]) {
    const line = new Line({ kbps: 10_000, links, bad: 90 });
    line.pass(15);
    assert.equal(line.picture, 600);
    assert.deepEqual(line.pass(300), []);
  }
});

test('a machine that is short of breath accuses no line, and ends no picture by what it measured', () => {
  const line = new Line({ kbps: 10_000, links: 5 });
  line.pass(30);
  let { now } = line;
  const look = (after, figures) => {
    now += after;
    line.uplink.judge(now, line.links.map(({ id }) => ({ id, available: 30, sent: 50, loss: 0, rtt: 900, cap: 600, ...figures })));
  };
  for (let count = 0; count < 20; count += 1) look(2_000);
  assert.equal(line.uplink.most.kbps, Infinity);
  // Now and then in time, it makes pictures smaller, and that is all.
  for (let count = 0; count < 40; count += 1) look(count % 4 ? 1_000 : 2_000);
  assert.equal(line.uplink.most.kbps, LEAST_KBPS);
  assert.equal(line.uplink.paused, false);
  // What is lost is lost, however late it is seen.
  for (let count = 0; count < 12; count += 1) look(count % 4 ? 1_000 : 2_000, { loss: 0.3 });
  assert.equal(line.uplink.paused, true);
});

test('who sends no picture is not judged by it, and a newcomer to a full line makes all smaller', () => {
  const none = new Line({ kbps: 100, links: 5, cap: 0 });
  none.pass(60);
  assert.equal(none.uplink.paused, false);

  const line = new Line({ kbps: 1_000, links: 2 });
  line.pass(60);
  const before = line.picture;
  line.links.push({ id: 'new', available: 300 });
  line.pass(1);
  assert.ok(line.picture < 0.8 * before, `${line.picture} after ${before}`);
});

test('a limit makes the picture smaller, whatever the others display', () => {
  const of = (shown, most) => encodingFor(shown, 720, most);
  assert.deepEqual(of(360), { active: true, scaleResolutionDownBy: 2, maxBitrate: 600_000, maxFramerate: 30 });
  assert.deepEqual(of(360, { height: 180, kbps: 120, framerate: 15 }), { active: true, scaleResolutionDownBy: 4, maxBitrate: 120_000, maxFramerate: 15 });
  assert.equal(of(90, { height: 180, kbps: 200, framerate: 15 }).maxBitrate, 120_000, 'a thumbnail stays one');
  assert.equal(of(360, { height: 0, kbps: 0, framerate: 0 }).active, false);
  assert.equal(of(0).active, false);
});
