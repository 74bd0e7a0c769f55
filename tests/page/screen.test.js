// A session that sends a screen, and those that are sent one, against a server of strings.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Session } from '../../web/signalling.js';
import { Scene, member, room, settle, welcome } from './fakes.js';

const track = (kind, height = 1080) => ({ kind, getSettings: () => ({ height }) });
const proof = { session: 's0', secret: 'secret-of-the-owner' };
const screen = (id, of) => member(id, { role: 'sender', of });

function session(scene, tracks = { audio: track('audio'), video: track('video') }) {
  const page = new Session({ url: 'wss://room.example/ws', node: 'tab-00001', world: scene.world, tell: scene.tell });
  page.setTracks(tracks);
  return page;
}

/** A screen in the room, its link to `anna` connected. */
async function sharing({ of = () => proof } = {}) {
  const scene = new Scene();
  const page = session(scene);
  page.join({ name: 'Ada', media: { audio: true, video: true }, role: 'sender', of });
  scene.socket.open();
  await scene.hear(welcome());
  if (!of()) return { scene, page };
  await scene.hear(room([member('ada'), member('anna'), screen('me', 'ada')], [{ link: 'l1', peer: 'anna', gen: 1, offerer: true }]));
  await scene.hear({ t: 'answer', link: 'l1', gen: 1, from: 'anna', sdp: 'theirs' });
  scene.pc.become('connected');
  await settle();
  return { scene, page };
}

const encoding = (scene) => scene.pc.transceivers[1].sender.parameters;

test('it joins with the proof of its owner, and is sent nothing', async () => {
  const { scene } = await sharing();
  const { t, ...join } = scene.last('join');
  assert.deepEqual([t, join], ['join', { role: 'sender', media: { audio: true, video: true }, of: proof }]);
  assert.deepEqual(scene.last('show'), { t: 'show', link: 'l1', height: 0 });
  // Nothing is due, so nothing is missing.
  await scene.clock.advance(30_000);
  assert.equal(scene.last('again'), undefined);
});

test('it waits for its owner to be in the room, and is there once', async () => {
  let known = null;
  const { scene, page } = await sharing({ of: () => known });
  assert.equal(scene.last('join'), undefined);
  known = proof;
  page.join({ name: 'Ada', media: { audio: true, video: true }, role: 'sender', of: () => known });
  assert.deepEqual(scene.last('join').of, proof);
  await scene.hear(room([member('ada'), screen('me', 'ada')]));
  const { length } = scene.messages;
  page.join({ name: 'Ada', media: { audio: true, video: true }, role: 'sender', of: () => known });
  assert.equal(scene.messages.length, length, 'it is in the room already');
});

test('it is sent whole and with few frames, and small only where nobody could read it', async () => {
  const { scene } = await sharing();
  assert.equal(encoding(scene).degradationPreference, 'maintain-resolution');
  const at = async (height) => {
    await scene.hear({ t: 'show', link: 'l1', height });
    const { active, scaleResolutionDownBy, maxBitrate, maxFramerate } = encoding(scene).encodings[0];
    return active ? [scaleResolutionDownBy, maxBitrate, maxFramerate] : 'nothing';
  };
  assert.equal((await at(1080))[0], 1);
  const [scale, most, frames] = await at(360);
  assert.deepEqual([scale, frames], [1, 10]);
  assert.ok(most > 1_000_000, String(most));
  assert.deepEqual((await at(180)).slice(0, 1), [6]);
  assert.equal(await at(0), 'nothing');
});

test('on a slow line it loses sharpness and frames before it loses pixels', async () => {
  const { scene } = await sharing();
  let sent = 0;
  let reports = 0;
  for (let second = 0; second < 20; second += 1) {
    sent += 25_000;
    reports += 1;
    scene.pc.stats = new Map([
      ['pair', { type: 'candidate-pair', nominated: true, bytesSent: sent, packetsSent: 0, availableOutgoingBitrate: second < 5 ? 3_000_000 : 200_000 }],
      ['report', { type: 'remote-inbound-rtp', kind: 'video', timestamp: reports, fractionLost: 0.1, roundTripTime: 0.01 }],
    ]);
    await scene.clock.advance(1_000);
  }
  const [{ scaleResolutionDownBy, maxBitrate }] = encoding(scene).encodings;
  assert.ok(maxBitrate < 1_000_000, String(maxBitrate));
  assert.equal(scaleResolutionDownBy, 1);
});

test('whoever has a screen is not shown it, and sends nothing to the screens of others', async () => {
  const scene = new Scene();
  const page = session(scene);
  page.join({ name: 'Ada', media: { audio: true, video: true } });
  scene.socket.open();
  await scene.hear(welcome(), room([member('anna'), member('me'), screen('mine', 'me'), screen('hers', 'anna')], [
    { link: 'l1', peer: 'anna', gen: 1, offerer: true }, { link: 'l2', peer: 'hers', gen: 1, offerer: true },
  ]));
  assert.deepEqual(page.people.map(({ member: { member: id } }) => id), ['anna', 'hers']);
  const sent = scene.connections.map(({ transceivers }) => transceivers.map(({ sender }) => sender.track?.kind ?? null));
  assert.deepEqual(sent, [['audio', 'video'], [null, null]]);
  // Nor when another camera is chosen.
  page.setTracks({ audio: track('audio'), video: track('video') });
  await settle();
  assert.deepEqual(scene.connections[1].transceivers.map(({ sender }) => sender.track), [null, null]);
  scene.look();
  await scene.hear({ t: 'member', ev: 'left', member: screen('mine', 'me'), owner: 'anna' });
  await scene.hear({ t: 'member', ev: 'joined', member: screen('next', 'me'), owner: 'anna' });
  assert.deepEqual(scene.look(), []);
  assert.deepEqual(page.snapshot().people.map(({ of }) => of), [null, 'anna']);
});

test('what proves whose a screen is, is what the last welcome said, while one is in the room', async () => {
  const scene = new Scene();
  const page = session(scene);
  assert.equal(page.proof, null);
  page.join({ name: 'Ada', media: { audio: true, video: true } });
  scene.socket.open();
  await scene.hear(welcome());
  assert.equal(page.proof, null);
  await scene.hear(room([member('me')]));
  assert.deepEqual(page.proof, { session: 's1', secret: 'secret-1' });
  scene.socket.lose();
  assert.equal(page.proof, null);
  await scene.clock.advance(1_000);
  scene.socket.open();
  await scene.hear(welcome({ resumed: true, secret: 'secret-2' }), room([member('me')]));
  assert.deepEqual(page.proof, { session: 's1', secret: 'secret-2' });
});

test('a screen that comes back before its owner tries again; one that never was there is told', async () => {
  const refusal = { t: 'error', code: 'no_owner', text: 'no', re: 'join' };
  const { scene, page } = await sharing();
  scene.socket.lose();
  await scene.clock.advance(1_000);
  scene.socket.open();
  scene.look();
  await scene.hear(welcome({ member: 'me-2' }), refusal);
  assert.equal(page.state, 'reconnecting');
  await scene.clock.advance(5_000);
  assert.ok(scene.look().includes('dial roomd.v1'));

  const other = new Scene();
  const late = session(other);
  late.join({ name: 'Ada', media: { audio: true, video: true }, role: 'sender', of: () => proof });
  other.socket.open();
  await other.hear(welcome(), refusal);
  assert.equal(late.state, 'refused');
});
