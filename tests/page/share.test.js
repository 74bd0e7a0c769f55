// The shared screen: when its member comes and goes, against a browser and sessions of strings.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Sharing, wanted } from '../../web/share.js';
import { settle } from './fakes.js';

function track(kind) {
  const heard = [];
  return {
    kind, contentHint: '', readyState: 'live', stopped: false,
    addEventListener: (_, run) => heard.push(run),
    stop() {
      this.stopped = true;
      this.readyState = 'ended';
    },
    /** What the browser's own button does. */
    end() {
      this.readyState = 'ended';
      for (const run of heard) run();
    },
  };
}

function stage({ sound = true, owner = 'joined', capture } = {}) {
  const tracks = [track('video'), ...(sound ? [track('audio')] : [])];
  const stream = { getTracks: () => tracks, getVideoTracks: () => tracks.filter(({ kind }) => kind === 'video'), getAudioTracks: () => tracks.filter(({ kind }) => kind === 'audio') };
  const all = {
    tracks,
    owner: { state: owner, self: { name: 'Ada' }, proof: { session: 's1', secret: 'secret-1' } },
    sessions: [],
    log: [],
    asked: [],
  };
  const begin = (tell) => {
    const session = {
      tell,
      setTracks: ({ audio, video }) => all.log.push(`tracks ${video ? 'video' : '-'} ${audio ? 'audio' : '-'}`),
      setMedia: ({ audio }) => all.log.push(`media ${audio ? 'with' : 'without'} sound`),
      join: (wish) => {
        session.wish = wish;
        all.log.push(`join ${wish.role} ${wish.name}, ${wish.media.audio ? 'with' : 'without'} sound`);
      },
      leave: () => all.log.push('leave'),
      snapshot: () => ({ state: 'joined' }),
    };
    all.sessions.push(session);
    return session;
  };
  all.sharing = new Sharing({
    owner: all.owner,
    begin,
    capture: capture === null ? null : async (options) => {
      all.asked.push(options);
      return capture ? capture() : stream;
    },
    changed: (why) => all.log.push(`${all.sharing.state}${why ? ` (${why})` : ''}`),
  });
  all.look = () => all.log.splice(0);
  return all;
}

test('what is chosen is shared by a second member that proves whose it is', async () => {
  const all = stage();
  assert.equal(await all.sharing.start(false), true);
  assert.deepEqual(all.look(), ['asking', 'starting', 'tracks video audio', 'media with sound', 'join sender Ada, with sound']);
  assert.deepEqual(all.sessions[0].wish.of(), { session: 's1', secret: 'secret-1' });
  assert.deepEqual(all.tracks.map(({ contentHint }) => contentHint), ['text', 'music']);
  // It is shared when the room has taken it, and not before.
  all.sessions[0].tell({ type: 'state', state: 'connecting', why: null });
  assert.deepEqual([all.sharing.state, all.look()], ['starting', []]);
  all.sessions[0].tell({ type: 'state', state: 'joined', why: null });
  assert.deepEqual(all.look(), ['on']);
  // A socket that is lost for a moment takes no picture away.
  for (const state of ['reconnecting', 'joined']) all.sessions[0].tell({ type: 'state', state, why: null });
  assert.deepEqual([all.sharing.state, all.look()], ['on', []]);
  // What the page has been told anew is what it proves with.
  all.owner.proof = null;
  assert.equal(all.sessions[0].wish.of(), null);
  all.sharing.stop();
  assert.deepEqual(all.look(), ['leave', 'off']);
  assert.ok(all.tracks.every(({ stopped }) => stopped));
});

test('a screen without sound, and one whose sound ends, say so', async () => {
  const silent = stage({ sound: false });
  await silent.sharing.start(false);
  assert.equal(silent.look().at(-1), 'join sender Ada, without sound');
  assert.equal(silent.sharing.sounds, false);
  const all = stage();
  await all.sharing.start(false);
  all.look();
  all.tracks[1].end();
  assert.deepEqual(all.look(), ['tracks video -', 'media without sound']);
});

test('the browser’s own button ends it', async () => {
  const all = stage();
  await all.sharing.start(false);
  all.look();
  all.tracks[0].end();
  assert.deepEqual(all.look(), ['leave', 'off']);
  all.tracks[0].end();
  assert.deepEqual(all.look(), [], 'once');
});

test('why nothing is shared is said, and it can be tried again', async () => {
  const cases = [
    [Object.assign(new Error('Permission denied'), { name: 'NotAllowedError' }), 'denied'],
    [Object.assign(new Error('Permission denied by system'), { name: 'NotAllowedError' }), 'system'],
    [Object.assign(new Error('none'), { name: 'NotFoundError' }), 'missing'],
    [Object.assign(new Error('no'), { name: 'InvalidStateError' }), 'failed'],
    ['odd', 'failed'],
  ];
  for (const [error, why] of cases) {
    const all = stage({ capture: () => Promise.reject(error) });
    assert.equal(await all.sharing.start(false), false);
    assert.deepEqual(all.look(), ['asking', `off (${why})`]);
    await all.sharing.start(false);
    assert.equal(all.asked.length, 2);
    assert.equal(all.sessions.length, 0);
  }
});

test('a browser that cannot is not asked', async () => {
  const all = stage({ capture: null });
  assert.equal(all.sharing.possible, false);
  assert.equal(await all.sharing.start(false), false);
  assert.deepEqual(all.look(), []);
});

test('what is chosen before the page is in the room waits for it, and goes with it', async () => {
  const all = stage({ owner: 'idle' });
  await all.sharing.start(false);
  assert.deepEqual(all.look(), ['asking', 'starting']);
  all.owner.state = 'connecting';
  all.sharing.follow();
  assert.deepEqual(all.look(), []);
  all.owner.state = 'joined';
  all.sharing.follow();
  assert.equal(all.look().at(-1), 'join sender Ada, with sound');
  // Coming back after a loss it is said again, in the same session.
  all.owner.state = 'reconnecting';
  all.sharing.follow();
  assert.deepEqual(all.look(), []);
  all.owner.state = 'joined';
  all.sharing.follow();
  assert.equal(all.look().at(-1), 'join sender Ada, with sound');
  assert.equal(all.sessions.length, 1);
  all.owner.state = 'ended';
  all.sharing.follow();
  assert.deepEqual(all.look(), ['leave', 'off']);
});

test('a page that is not let in shares nothing', async () => {
  const all = stage({ owner: 'idle' });
  await all.sharing.start(false);
  all.owner.state = 'refused';
  all.sharing.follow();
  assert.deepEqual(all.look(), ['asking', 'starting', 'off']);
  assert.ok(all.tracks.every(({ stopped }) => stopped));
});

test('what is given up while the browser asks is not shared when it has answered', async () => {
  let answer;
  const all = stage();
  const slow = stage({ capture: () => new Promise((resolve) => (answer = resolve)) });
  const started = slow.sharing.start(false);
  await settle();
  slow.sharing.stop();
  const late = { getTracks: () => all.tracks };
  answer(late);
  assert.equal(await started, false);
  assert.ok(all.tracks.every(({ stopped }) => stopped));
  assert.deepEqual(slow.look(), ['asking', 'off']);
});

test('what the server says of it ends it, unless the page itself is about to come back', async () => {
  const on = (all) => {
    all.sessions[0].tell({ type: 'state', state: 'joined', why: null });
    all.look();
  };
  const refusedBy = async (code, before = () => {}) => {
    const all = stage();
    await all.sharing.start(false);
    all.look();
    before(all);
    all.sessions[0].tell({ type: 'refused', code, text: '', retryMs: null });
    return all.look();
  };
  assert.deepEqual(await refusedBy('room_full'), ['leave', 'off (full)']);
  assert.deepEqual(await refusedBy('need_pin'), ['leave', 'off (refused)'], 'nobody has seen it');
  assert.deepEqual(await refusedBy('need_pin', on), ['leave', 'off (lost)']);
  const ended = async (why, owner) => {
    const all = stage();
    await all.sharing.start(false);
    on(all);
    all.owner.state = owner;
    all.sessions[0].tell({ type: 'state', state: 'ended', why });
    return all;
  };
  assert.deepEqual((await ended('replaced', 'joined')).look(), ['leave', 'off (replaced)']);
  assert.deepEqual((await ended('removed', 'joined')).look(), ['leave', 'off (lost)']);
  const all = await ended('removed', 'reconnecting');
  assert.deepEqual(all.look(), ['starting'], 'nobody sees it meanwhile');
  all.owner.state = 'joined';
  all.sharing.follow();
  assert.equal(all.look().at(-1), 'join sender Ada, with sound');
});

test('a screen is asked for at its own size, with few frames; in the room only the room sounds', () => {
  const { video, audio, systemAudio } = wanted(false);
  assert.deepEqual(video, { frameRate: { ideal: 10, max: 10 }, width: { max: 2560 }, height: { max: 1440 } });
  assert.equal(audio.echoCancellation, false);
  assert.deepEqual([audio.suppressLocalAudioPlayback, systemAudio], [false, 'exclude']);
  const here = wanted(true);
  assert.deepEqual([here.audio.suppressLocalAudioPlayback, here.systemAudio], [true, 'include']);
});
