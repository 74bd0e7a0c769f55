// The samples of the protocol, as the server reads and writes them: the page understands each of
// the server's, and says nothing that is not in the client's.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Session } from '../../web/signalling.js';
import { Scene, member, room, settle, welcome } from './fakes.js';

const FOLDER = process.env.ROOMD_SAMPLES ?? fileURLToPath(new URL('../samples', import.meta.url));
const samples = existsSync(FOLDER)
  ? readdirSync(FOLDER).filter((name) => name.endsWith('.json')).map((name) => ({ name, message: JSON.parse(readFileSync(join(FOLDER, name), 'utf8')) }))
  : [];
const skip = samples.length === 0 ? `there is no ${FOLDER}` : false;

const of = (side) => samples.filter(({ name }) => name.startsWith(`${side}-`));

function page(scene) {
  const session = new Session({ url: 'wss://room.example/ws', node: 'tab-00001', world: scene.world, tell: scene.tell });
  session.join({ name: 'Ada', pin: '123456', media: { audio: true, video: true } });
  scene.socket.open();
  return session;
}

test('the page understands every sample of the server', { skip }, async () => {
  for (const { name, message } of of('server')) {
    const scene = new Scene();
    const session = page(scene);
    await scene.hear(welcome({ member: 'mb-ann-3k5' }));
    const before = JSON.stringify([session.snapshot(), scene.told.length, scene.sockets.length]);
    if (message.t !== 'room' && message.t !== 'welcome' && message.t !== 'error') await scene.hear(room([member('mb-atrium-1'), member('mb-ann-3k5')]));
    scene.look();
    await scene.hear(message);
    await settle();
    assert.doesNotMatch(scene.look().join(), /bad_json/, name);
    if (['room', 'member', 'error', 'bye'].includes(message.t)) {
      assert.notEqual(JSON.stringify([session.snapshot(), scene.told.length, scene.sockets.length]), before, `${name} changes nothing`);
    }
  }
});

test('the page says nothing that the samples of the client do not have', { skip }, async () => {
  const known = new Map();
  for (const { message } of of('client')) {
    known.set(message.t, new Set([...(known.get(message.t) ?? []), ...Object.keys(message)]));
  }
  const scene = new Scene();
  const session = page(scene);
  await scene.hear(welcome(), room([member('anna'), member('me')], [{ link: 'l1', peer: 'anna', gen: 1, offerer: true }]),
    { t: 'link', ev: 'begin', link: 'l2', peer: 'anna', gen: 1, offerer: false }, { t: 'offer', link: 'l2', gen: 1, sdp: 'theirs' });
  session.setMedia({ audio: false, video: true });
  session.setName('Ada L.');
  session.show(session.people[0].key, 360);
  session.ask(session.people[0].key, 'mute');
  assert.equal(session.admit(session.people[0].key, '4071', true), true);
  session.setHere(true);
  for (const pc of scene.connections) {
    pc.gather('candidate:1');
    pc.gather(null);
  }
  scene.connections[1].become('connected');
  scene.connections[1].become('failed');
  await scene.clock.advance(20_000);
  scene.connections[1].become('connected');
  scene.socket.lose();
  await scene.clock.advance(1_000);
  scene.socket.open();
  await scene.hear(welcome({ resumed: true }));
  session.leave();
  const said = new Set(scene.messages.map(({ t }) => t));
  for (const t of ['hello', 'join', 'offer', 'answer', 'candidate', 'again', 'me', 'show', 'ask', 'ping', 'bye']) assert.ok(said.has(t), `${t} was not said`);
  for (const message of scene.messages) {
    const fields = known.get(message.t);
    assert.ok(fields, `${message.t} is in no sample`);
    for (const field of Object.keys(message)) assert.ok(fields.has(field), `${message.t}.${field} is in no sample`);
  }
});
