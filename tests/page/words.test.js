// Every sentence, as it is read: what is the matter, and at most one thing to do.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as words from '../../web/words.js';

const WANTS = [null, 'asking', 'denied', 'dismissed', 'missing', 'busy', 'failed', 'insecure', 'unplugged'];
const HOLDS = ['announcing', 'asking', 'quiet_hours', 'do_not_disturb', 'idle', 'left', 'turned_away', 'from_the_future'];
const JARGON = /\b(ICE|SDP|STUN|TURN|DTLS|WebRTC|WebSocket|NAT|getUserMedia|undefined|null|error)\b/i;

function everySentence() {
  const said = [];
  for (const camera of WANTS) for (const microphone of WANTS) said.push(words.ofDevices(camera, microphone));
  for (const code of ['need_pin', 'bad_pin', 'pin_wait', 'room_full', 'server_full', 'no_room', 'version', 'from_the_future']) {
    said.push(words.ofRefusal(code, { room: 'atrium', seconds: 42 }), words.ofRefusal(code, { typed: true }));
  }
  for (const seconds of [0, 5, 30, 90]) {
    said.push(words.ofDialling('reconnecting', seconds), words.ofReconnecting('lost', seconds), words.ofReconnecting('restart', seconds));
    for (const state of ['connecting', 'broken']) {
      for (const why of ['path', 'silent', 'dark', 'description', 'fingerprint', null]) {
        for (const failures of [0, 1, 3]) said.push(words.ofTile({ name: 'Anna', state, why, failures, seconds }));
      }
    }
  }
  for (const paused of ['network', 'machine', 'other']) {
    for (const muted of [false, true]) said.push(words.ofTile({ name: 'Anna', state: 'live', why: null, failures: 0, seconds: 9, paused, muted }));
  }
  said.push(words.ofPause(false), words.ofPause(true), words.ofPause(true, 'code'));
  for (const hold of HOLDS) said.push(words.ofHold('Atrium', hold), words.ofClosed(hold));
  for (const why of ['denied', 'system', 'missing', 'failed', 'full', 'replaced', 'refused', 'lost']) said.push(words.ofNoScreen(why));
  for (const why of ['left', 'turned_away', 'replaced', 'removed', null]) said.push(words.ofEnd(why));
  said.push(words.ofDialling('connecting', 0), words.ofReturn(), words.ofBlockedSound(), words.ofAlone(), words.ofMutedSpeech(true), words.ofMutedSpeech(false), words.ofMutedHere(), words.ofOldBrowser());
  return said.filter(Boolean);
}

test('no sentence speaks jargon, shouts, or is long', () => {
  for (const { text, short = '' } of everySentence()) {
    assert.doesNotMatch(text + short, JARGON);
    assert.doesNotMatch(text, /!/);
    assert.ok(text.length <= 170, `${text.length}: ${text}`);
    assert.match(text, /^\p{Lu}.*([.…?]|\d\s(s|min))$/u, text);
    assert.ok(short.length <= 26, short);
  }
});

test('what one can do has a button, and every button does something', () => {
  for (const { text, action, does } of everySentence()) {
    assert.equal(action === undefined, does === undefined, text);
    if (does) assert.ok(['devices', 'join', 'reload', 'secure', 'sound', 'link'].includes(does), does);
    if (/try again\b/i.test(text) && /then try again/.test(text)) assert.equal(does, 'devices', text);
  }
});

test('one matter at a time: the microphone before the camera, the missing last', () => {
  const text = (camera, microphone) => words.ofDevices(camera, microphone)?.text ?? '';
  assert.match(text('denied', 'busy'), /^The microphone is used by another program/);
  assert.match(text('busy', 'missing'), /^The camera is used by another program/);
  assert.match(text('missing', null), /^No camera found/);
  assert.match(text(null, 'missing'), /^No microphone found/);
  assert.match(text('missing', 'missing'), /watch and listen/);
  assert.match(text('insecure', 'missing'), /secure connection/);
  assert.equal(words.ofDevices(null, null), null);
});

test('a network that lets nothing through is called so, after three attempts', () => {
  const tile = (more) => words.ofTile({ name: 'Anna', state: 'broken', why: 'path', failures: 1, seconds: 4, ...more });
  assert.equal(tile({}).text, 'Anna is reconnecting… 4\u00a0s');
  assert.equal(tile({}).details, false);
  assert.deepEqual(tile({ failures: 3 }), {
    text: 'No way through the network between you and Anna. Your network may block video calls.', short: 'No way through', details: true,
  });
  assert.equal(tile({ failures: 3, away: true }).text, 'Anna is reconnecting… 4\u00a0s', 'one who is away is not the network’s fault');
  assert.match(tile({ failures: 3, why: 'dark' }).text, /keeps failing/);
  assert.equal(tile({ state: 'live' }), null);
  assert.equal(tile({ state: 'connecting', failures: 0, seconds: 2 }).text, 'Connecting…');
});

test('somebody in between is named when the other side says so, or when it is found twice', () => {
  const tile = (failures) => words.ofTile({ name: 'Anna', state: 'broken', why: 'fingerprint', failures, seconds: 4 });
  assert.match(tile(0).text, /No secure connection to Anna/);
  assert.match(tile(1).text, /reconnecting/);
  assert.match(tile(2).text, /No secure connection to Anna/);
  assert.match(words.ofReason('fingerprint'), /certificate/);
});

test('a second wrong PIN is a wrong PIN; one that was remembered is an old one', () => {
  assert.match(words.ofRefusal('bad_pin', { typed: true }).text, /not the room’s PIN/);
  assert.match(words.ofRefusal('bad_pin', { typed: false }).text, /has a new PIN/);
  assert.match(words.ofRefusal('pin_wait', { seconds: 75 }).text, /in 1:15\smin\.$/);
});

test('initials of names from everywhere', () => {
  assert.deepEqual(
    ['Ada Lovelace', 'ada', '', '  ', 'Anna Maria von Ort', '王小明', '👩🏽‍🚀 Mae', 'иван петров'].map(words.initials),
    ['AL', 'A', '?', '?', 'AO', '王', '👩🏽‍🚀M', 'ИП'],
  );
});

test('the hue of a member is one of eight, and the same everywhere', () => {
  // The wall computes the same: FNV-1a of the id's bytes, modulo 8.
  assert.deepEqual(['aaaaaaaaaaaaaaaaaaaaaaaaaa', 'b', 'member-01'].map(words.hue), [7, 5, 5]);
  const all = new Set(Array.from({ length: 200 }, (_, n) => words.hue(`member-${n}`)));
  assert.equal(all.size, 8);
});

test('a room may be asked for silence, and never for sound', () => {
  const asks = (media) => words.ofAsking(media, false).map(({ what }) => what);
  assert.deepEqual(asks({ audio: true, video: true }), ['mute', 'camera_off']);
  assert.deepEqual(asks({ audio: false, video: true, no_camera: true }), []);
  assert.deepEqual(asks({ audio: false, video: false }), []);
  // Who sits there sees its screen and hears its loudspeaker.
  const there = words.ofAsking({ audio: true, video: false }, true);
  assert.deepEqual(there.map(({ what }) => what), ['mute', 'quieter', 'louder', 'grid', 'speaker']);
  assert.match(words.ofAsked('Ann', 'mute').text, /^Ann asks you/);
  assert.equal(words.ofAsked('Ann', 'unmute'), null);
});

test('who sits in the room reads so, and is silent for no other reason to the others', () => {
  assert.deepEqual(words.ofHere(), { text: 'You are in this room; the room hears for you', action: 'I am somewhere else', does: 'elsewhere', tone: 'plain' });
  assert.equal(words.ofPerson({ audio: false, video: true }, { here: true }), 'in the room, camera on');
  assert.equal(words.ofPerson({ audio: false, video: false }, { self: true, here: true }), 'you, in the room, camera off');
});

test('who records is named in words', () => {
  assert.equal(words.ofRecording(['Atrium']), 'Recording: Atrium keeps what is seen and heard here');
  assert.equal(words.ofRecording(['Atrium', 'Foyer']), 'Recording: 2 members keep what is seen and heard here');
  assert.equal(words.ofPerson({ audio: true, video: true }, { device: true, recording: true }), 'room device, microphone on, camera on, recording');
});

test('what a person is, in words', () => {
  assert.equal(words.ofPerson({ audio: false, video: true }, { device: true }), 'room device, muted, camera on');
  assert.equal(words.ofPerson({ audio: false, video: true, no_microphone: true, no_camera: true }, { device: true }), 'room device, no microphone, no camera');
  assert.equal(words.ofPerson({ audio: true, video: false }, { self: true, away: true }), 'you, microphone on, camera off, reconnecting');
});

test('a room that is not open says why, and what will happen', () => {
  assert.equal(words.ofHold('Atrium', undefined), null);
  assert.equal(words.ofClosed(undefined), null);
  const said = HOLDS.map((hold) => words.ofHold('Atrium', hold)?.text ?? '');
  assert.equal(new Set(said).size, HOLDS.length, 'each is another sentence');
  assert.ok(said.every((text) => text.includes('Atrium')));
  assert.match(said[0], /open within a few seconds/);
  assert.match(said[1], /until somebody in the room lets you in/);
  // Nobody elsewhere can open it, so there is no button.
  assert.ok(HOLDS.every((hold) => words.ofHold('Atrium', hold)?.action === undefined));
  assert.equal(words.ofClosed('idle'), null, 'it is open still');
  assert.equal(words.ofPerson({ audio: false, video: false, hold: 'asking' }, { device: true }), 'room device, not open yet');
  assert.equal(words.ofPerson({ audio: false, video: false, hold: 'asking' }, { device: true, recording: true }), 'room device, not open yet, recording');
  assert.equal(words.ofPerson({ audio: true, video: true, hold: 'idle' }, { device: true }), 'room device, microphone on, camera on');
});

test('a screen is called after its owner, who is said to share it', () => {
  assert.equal(words.ofScreen('Anna'), 'Anna’s screen');
  assert.equal(words.ofPerson({ audio: true, video: true }, { screen: true }), 'shared screen');
  assert.equal(words.ofPerson({ audio: false, video: true }, { screen: true, away: true }), 'shared screen, reconnecting');
  assert.equal(words.ofPerson({ audio: true, video: false }, { sharing: true }), 'microphone on, camera off, sharing the screen');
  assert.equal(words.ofScreenChange('Anna', true), 'Anna shares their screen.');
  assert.equal(words.ofScreenChange('Anna', false), 'Anna shares their screen no longer.');
});

test('who sits in the room reads who is at the door, and how to let them in', () => {
  const bell = (names, more = {}) => words.ofBell({ room: 'Atrium', hold: 'asking', tries: 3, names, ...more });
  assert.deepEqual(bell(['Anna']), { title: 'Anna is at the door', text: 'The code on the room’s screen lets them in.', admit: 'Let in', away: 'Turn away' });
  assert.equal(bell(['Anna', 'Bo']).title, 'Anna and Bo are at the door');
  assert.equal(bell(['Anna', 'Bo', 'Cy']).title, 'Anna, Bo and one other are at the door');
  assert.equal(bell(['Anna', 'Bo', 'Cy', 'Di']).title, 'Anna, Bo and 2 others are at the door');
  // Alone one lets oneself in, and turns nobody away.
  assert.deepEqual(bell([]), { title: 'You are at the door of Atrium', text: 'The code on the room’s screen lets you in.', admit: 'Let me in', away: null });
  assert.match(bell(['Anna'], { hold: 'do_not_disturb' }).text, /^Do not disturb is on\. The code/);
  assert.equal(bell(['Anna'], { hold: 'left' }).away, null);
  assert.match(bell(['Anna'], { tries: 0 }).text, /somebody at the device/);
  // Who was at the door is not heard, whatever the code: what helps is said, and nothing offered.
  const called = bell(['Anna'], { called: true });
  assert.match(called.text, /Leave, and join again by scanning its screen\.$/);
  assert.ok(called.text.length <= 170, called.text);
  assert.equal(called.away, null);
  assert.deepEqual([2, 1].map((tries) => words.ofCode('wrong', tries)), ['That is not the code. Two tries are left.', 'That is not the code. One try is left.']);
});

test('one’s own screen is not said to be shared before anybody sees it', () => {
  assert.match(words.ofOwnScreen('starting', 1), /^Starting…/);
  assert.match(words.ofOwnScreen('starting', 9), /does not answer/);
  assert.equal(words.ofOwnScreen('on', 9), 'You are sharing your screen');
});
