// The page's session and links, played against a server of strings, in virtual time.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Session } from '../../web/signalling.js';
import { FakePeerConnection, Scene, member, room, settle, welcome } from './fakes.js';

function session(scene) {
  return new Session({ url: 'wss://room.example/ws', node: 'tab-00001', world: scene.world, tell: scene.tell });
}

const track = (kind, name = kind, height = 720) => ({ kind, name, getSettings: () => ({ height }) });
const wish = { name: 'Ada', pin: '123456', media: { audio: true, video: true } };

/** A page in the room with `anna`, its link `l1` begun. */
async function joined({ offerer = true, caps, kind = 'browser' } = {}) {
  const scene = new Scene();
  const page = session(scene);
  page.setTracks({ audio: track('audio'), video: track('video') });
  page.join(wish);
  scene.socket.open();
  const anna = member('anna', { kind, ...(caps && { caps }) });
  await scene.hear(welcome(), room([anna, member('me', { name: 'Ada' })], [{ link: 'l1', peer: 'anna', gen: 1, offerer }]));
  return { scene, page, anna };
}

/** The same, with the link connected and media flowing. */
async function live(options) {
  const all = await joined(options);
  const { scene } = all;
  if (options?.offerer ?? true) await scene.hear({ t: 'answer', link: 'l1', gen: 1, from: 'anna', sdp: 'theirs' });
  else await scene.hear({ t: 'offer', link: 'l1', gen: 1, from: 'anna', sdp: 'theirs' });
  scene.pc.become('connected');
  scene.look();
  return all;
}

/** Media flows for some seconds. */
async function flow(scene, pc, seconds, { packets = 50, frames = 30, pictures = 40 } = {}) {
  for (let second = 0; second < seconds; second += 1) {
    const before = pc.total ?? { packets: 0, frames: 0, pictures: 0 };
    pc.total = { packets: before.packets + packets, frames: before.frames + frames, pictures: before.pictures + pictures };
    pc.receive(pc.total.packets, pc.total.frames, pc.total.pictures);
    await scene.clock.advance(1_000);
  }
}

test('a join from the first byte to the offer', async () => {
  const { scene } = await joined();
  assert.deepEqual(scene.look(), [
    'state connecting',
    'dial roomd.v1',
    '→ hello Ada',
    '→ join pin 123456',
    'pc1 new',
    'state joined',
    '→ offer l1/1: offer of pc1',
  ]);
  assert.deepEqual(scene.last('hello').caps, { send: ['vp8', 'h264', 'opus'], recv: ['vp8', 'h264', 'opus'] });
  assert.deepEqual(scene.pc.configuration, {
    iceServers: [{ urls: ['stun:192.0.2.1:3478'] }], iceTransportPolicy: 'all', bundlePolicy: 'max-bundle',
  });
});

test('an offer has audio, then video, both ways, one codec each', async () => {
  const { scene } = await joined();
  assert.deepEqual(
    scene.pc.transceivers.map(({ direction, sender, codecs }) => [direction, sender.track.kind, codecs]),
    [['sendrecv', 'audio', ['audio/opus']], ['sendrecv', 'video', ['video/VP8', 'video/rtx']]],
  );
});

test('the codec is the first of ours that both can send and receive', async () => {
  const { scene } = await joined({ caps: { send: ['vp8', 'h264', 'opus'], recv: ['h264', 'opus'] } });
  assert.deepEqual(scene.pc.transceivers[1].codecs, ['video/H264', 'video/rtx']);
});

test('relay only is obeyed', async () => {
  const scene = new Scene();
  session(scene).join(wish);
  scene.socket.open();
  await scene.hear(welcome({ relay_only: true }),
    room([member('anna'), member('me')], [{ link: 'l1', peer: 'anna', gen: 1, offerer: true }]));
  assert.equal(scene.pc.configuration.iceTransportPolicy, 'relay');
});

test('an offer is answered, and what is sent replaces what the browser prepared', async () => {
  const { scene } = await joined({ offerer: false });
  scene.look();
  await scene.hear({ t: 'offer', link: 'l1', gen: 1, from: 'anna', sdp: 'theirs' });
  assert.deepEqual(scene.look(), ['→ answer l1/1: answer of pc1']);
  assert.deepEqual(
    scene.pc.transceivers.map(({ direction, sender }) => [direction, sender.track.kind]),
    [['sendrecv', 'audio'], ['sendrecv', 'video']],
  );
});

test('another camera that is chosen while an offer is being answered is the one that is sent', async () => {
  const scene = new Scene();
  const page = session(scene);
  page.setTracks({ audio: track('audio', 'old'), video: track('video', 'old') });
  page.join(wish);
  scene.socket.open();
  await scene.hear(welcome(), room([member('anna'), member('me')]), { t: 'link', ev: 'begin', link: 'l1', peer: 'anna', gen: 1, offerer: false });
  scene.onReplace = () => {
    scene.onReplace = null;
    page.setTracks({ audio: track('audio', 'new'), video: track('video', 'new') });
  };
  await scene.hear({ t: 'offer', link: 'l1', gen: 1, sdp: 'theirs' });
  assert.deepEqual(scene.pc.transceivers.map(({ sender }) => [sender.track.kind, sender.track.name]), [['audio', 'new'], ['video', 'new']]);
});

test('without camera and microphone both sections are negotiated all the same', async () => {
  const scene = new Scene();
  const page = session(scene);
  page.join({ name: 'Ada', media: { audio: false, video: false } });
  scene.socket.open();
  await scene.hear(welcome(), room([member('anna'), member('me')], [{ link: 'l1', peer: 'anna', gen: 1, offerer: true }]));
  assert.deepEqual(scene.pc.transceivers.map(({ direction, sender }) => [direction, sender.track]),
    [['sendrecv', null], ['sendrecv', null]]);
  page.setTracks({ audio: null, video: track('video') });
  await settle();
  assert.equal(scene.pc.transceivers[1].sender.track.kind, 'video');
});

test('our candidates wait until our description has been sent', async () => {
  const scene = new Scene();
  scene.eager = true;
  session(scene).join(wish);
  scene.socket.open();
  await scene.hear(welcome(), room([member('anna'), member('me', { name: 'Ada' })], [{ link: 'l1', peer: 'anna', gen: 1, offerer: true }]));
  scene.pc.gather('candidate:later');
  scene.pc.gather('');
  scene.pc.gather(null);
  scene.pc.gather('candidate:after the end');
  scene.pc.gather(null);
  assert.deepEqual(scene.look().slice(-4), [
    '→ offer l1/1: offer of pc1',
    '→ candidate l1/1: candidate:eager',
    '→ candidate l1/1: candidate:later',
    '→ candidate l1/1: null',
  ]);
  assert.deepEqual(scene.last('candidate'), { t: 'candidate', link: 'l1', gen: 1, candidate: null });
});

test('their candidates wait until their description is applied', async () => {
  const { scene } = await joined();
  const candidate = (text) => ({ t: 'candidate', link: 'l1', gen: 1, from: 'anna', candidate: text, mline: 0 });
  await scene.hear(candidate('candidate:1'), candidate(null));
  assert.deepEqual(scene.pc.candidates, []);
  await scene.hear({ t: 'answer', link: 'l1', gen: 1, from: 'anna', sdp: 'theirs' }, candidate('candidate:2'));
  assert.deepEqual(scene.pc.candidates, ['candidate:1', null, 'candidate:2']);
});

test('no generation says more than 64 candidates, the end included', async () => {
  const { scene } = await joined();
  for (let n = 0; n < 100; n += 1) scene.pc.gather(`candidate:${n}`);
  scene.pc.gather(null);
  const said = scene.messages.filter(({ t }) => t === 'candidate');
  assert.equal(said.length, 64);
  assert.equal(said[63].candidate, null);
});

test('one offer and one answer to a generation: what comes beside them changes nothing', async () => {
  const { scene } = await joined();
  const answer = { t: 'answer', link: 'l1', gen: 1, from: 'anna', sdp: 'first' };
  await scene.hear(answer, { ...answer, sdp: 'second' }, { ...answer, t: 'offer', sdp: 'glare' });
  assert.equal(scene.pc.remoteDescription.sdp, 'first');
  await scene.hear({ t: 'link', ev: 'begin', link: 'l1', peer: 'anna', gen: 1, offerer: true });
  assert.equal(scene.connections.length, 1);
  assert.equal(scene.messages.filter(({ t }) => t === 'offer').length, 1);
});

test('messages of another generation or of no link change nothing', async () => {
  const { scene } = await joined();
  await scene.hear({ t: 'link', ev: 'begin', link: 'l1', peer: 'anna', gen: 2, offerer: true });
  assert.deepEqual(scene.connections.map(({ closed }) => closed), [true, false]);
  await scene.hear(
    { t: 'answer', link: 'l1', gen: 1, sdp: 'late' },
    { t: 'answer', link: 'l9', gen: 1, sdp: 'stranger' },
    { t: 'candidate', link: 'l1', gen: 1, candidate: 'candidate:late', mline: 0 },
    { t: 'link', ev: 'begin', link: 'l1', peer: 'anna', gen: 1, offerer: true },
    { t: 'link', ev: 'ended', link: 'l1', peer: 'anna', gen: 1, offerer: true },
    { t: 'from-the-future' },
    'not JSON',
  );
  assert.equal(scene.pc.remoteDescription, null);
  await scene.hear({ t: 'answer', link: 'l1', gen: 2, sdp: 'right' });
  assert.equal(scene.pc.remoteDescription.sdp, 'right');
  assert.deepEqual(scene.pc.candidates, []);
});

test('a description that cannot be used asks for the next generation', async () => {
  const { scene } = await joined({ offerer: false });
  scene.pc.refuses = 'offer';
  scene.look();
  await scene.hear({ t: 'offer', link: 'l1', gen: 1, sdp: 'nonsense' });
  assert.deepEqual(scene.look(), ['→ again l1/1 description']);
});

test('mute, camera off and another camera touch no description', async () => {
  const { scene, page } = await live();
  page.setMedia({ audio: false, video: true });
  page.setTracks({ audio: track('audio'), video: track('video', 'another') });
  await settle();
  page.setMedia({ audio: false, video: false });
  page.setTracks({ audio: track('audio'), video: null });
  await settle();
  assert.deepEqual(scene.look(), [
    '→ me {"media":{"audio":false,"video":true}}',
    '→ me {"media":{"audio":false,"video":false}}',
  ]);
  assert.equal(scene.connections.length, 1);
  assert.equal(scene.pc.transceivers[1].sender.track, null);
});

test('a track that does not fit what was negotiated asks for the next generation', async () => {
  const { scene, page } = await live();
  scene.pc.refuses = 'replaceTrack';
  page.setTracks({ audio: null, video: null });
  await settle();
  assert.deepEqual(scene.look(), ['→ again l1/1 media']);
});

test('the size at which each is displayed travels, and only when it changes', async () => {
  const { scene, page } = await live();
  const [person] = page.people;
  page.show(person.key, 360);
  page.show(person.key, 360);
  page.show(person.key, 0);
  assert.deepEqual(scene.look(), ['→ show l1 360', '→ show l1 0']);
  const video = scene.pc.transceivers[1].sender;
  await scene.hear({ t: 'show', link: 'l1', height: 180 });
  assert.deepEqual(video.parameters.encodings[0], { active: true, scaleResolutionDownBy: 4, maxBitrate: 250_000, maxFramerate: 30 });
  await scene.hear({ t: 'show', link: 'l1', height: 0 });
  assert.equal(video.parameters.encodings[0].active, false);
});

test('a tab that is hidden asks nobody for a picture, and is back at once', async () => {
  const { scene, page } = await live();
  page.show(page.people[0].key, 360);
  scene.onScreen = false;
  page.appear();
  assert.deepEqual(scene.look(), ['→ show l1 360', '→ show l1 0']);
  // What is laid out, who comes and what begins meanwhile asks for nothing either.
  page.show(page.people[0].key, 180);
  await scene.hear({ t: 'member', ev: 'joined', owner: 'anna', member: member('bob') },
    { t: 'link', ev: 'begin', link: 'l2', peer: 'bob', gen: 1, offerer: false });
  page.show(page.people[1].key, 180);
  assert.deepEqual(scene.look(), ['came bob', 'pc2 new', '→ show l2 0']);
  scene.onScreen = true;
  page.appear();
  assert.deepEqual(scene.look(), ['→ show l1 180', '→ show l2 180']);
});

test('a link that begins long after its person has a place asks for the right size', async () => {
  const { scene, page } = await live();
  await scene.hear({ t: 'member', ev: 'joined', owner: 'anna', member: member('bob') });
  page.show(page.people[1].key, 270);
  assert.deepEqual(scene.look(), ['came bob']);
  await scene.hear({ t: 'link', ev: 'begin', link: 'l2', peer: 'bob', gen: 1, offerer: false });
  assert.deepEqual(scene.look(), ['pc2 new', '→ show l2 270']);
  // The server remembers it for every further generation.
  await scene.hear({ t: 'link', ev: 'begin', link: 'l2', peer: 'bob', gen: 2, offerer: false });
  assert.deepEqual(scene.look(), ['pc2 closed', 'pc3 new']);
});

test('a picture that the other side has paused is not dark, and is given time when it goes on', async () => {
  const { scene, page } = await live();
  await flow(scene, scene.pc, 10);
  await scene.hear({ t: 'sending', link: 'l1', paused: 'network' });
  assert.equal(page.people[0].link.paused, 'network');
  await flow(scene, scene.pc, 20, { frames: 0, pictures: 0 });
  await scene.hear({ t: 'sending', link: 'l1' });
  assert.equal(page.people[0].link.paused, null);
  await flow(scene, scene.pc, 8, { frames: 0, pictures: 0 });
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);
  // Called dark a moment before the pause is heard of, it is left alone.
  await flow(scene, scene.pc, 2, { frames: 0, pictures: 0 });
  assert.equal(page.people[0].link.state, 'broken');
  await scene.hear({ t: 'sending', link: 'l1', paused: 'machine' });
  assert.equal(page.people[0].link.state, 'live');
  await flow(scene, scene.pc, 20, { frames: 0, pictures: 0 });
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);
});

test('an uplink that carries no picture sends none, says so on every link, and sound goes on', async () => {
  const { scene, page } = await live();
  const [audio, video] = scene.pc.transceivers.map(({ sender }) => sender);
  const before = { ...video.parameters.encodings[0] };
  // What a browser on a line of 60 kbit/s sees, of which no picture can be cut off.
  let sent = 0;
  const slow = async (seconds) => {
    for (let second = 0; second < seconds; second += 1) {
      scene.pc.receive(100 + second, 100 + second);
      sent += 7_500;
      scene.pc.stats.set('p', { type: 'candidate-pair', state: 'succeeded', nominated: true, bytesSent: sent, packetsSent: 0, availableOutgoingBitrate: 60_000 });
      scene.pc.stats.set('r', { type: 'remote-inbound-rtp', kind: 'video', timestamp: scene.clock.time, fractionLost: 0.2, roundTripTime: 0.5 });
      await scene.clock.advance(1_000);
    }
  };
  await slow(12);
  assert.deepEqual(scene.look(), ['→ sending l1 network']);
  assert.deepEqual([page.paused, page.snapshot().uplink.paused], ['network', 'network']);
  assert.equal(video.parameters.encodings[0].active, false);
  assert.equal(audio.track.kind, 'audio');
  assert.ok(scene.told.some(({ type, paused }) => type === 'uplink' && paused));
  // Who comes meanwhile is told, and so is a server that may not have heard.
  await scene.hear({ t: 'member', ev: 'joined', owner: 'anna', member: member('bob') },
    { t: 'link', ev: 'begin', link: 'l2', peer: 'bob', gen: 1, offerer: false });
  assert.deepEqual(scene.look(), ['came bob', 'pc2 new', '→ sending l2 network']);
  scene.socket.lose();
  await scene.clock.advance(600);
  scene.socket.open();
  await scene.hear(welcome({ resumed: true }),
    room([member('anna'), member('bob'), member('me', { name: 'Ada' })], [{ link: 'l1', peer: 'anna', gen: 1, offerer: true }]));
  assert.ok(scene.look().includes('→ sending l1 network'));
  assert.notDeepEqual(video.parameters.encodings[0], before);
});

test('ICE that fails asks again, with growing pauses, and a success forgives them', async () => {
  const { scene } = await live();
  const fail = async (gen) => {
    scene.pc.become('failed');
    const from = scene.clock.time;
    while (!scene.look().some((line) => line.startsWith(`→ again l1/${gen} path`))) {
      await scene.clock.advance(250);
      assert.ok(scene.clock.time - from < 60_000, 'never asked again');
    }
    const waited = scene.clock.time - from;
    await scene.hear({ t: 'link', ev: 'begin', link: 'l1', peer: 'anna', gen: gen + 1, offerer: true, why: 'path' });
    await scene.hear({ t: 'answer', link: 'l1', gen: gen + 1, sdp: 'theirs' });
    return waited;
  };
  assert.deepEqual([await fail(1), await fail(2), await fail(3), await fail(4)], [0, 2_000, 5_000, 10_000]);
  scene.pc.become('connected');
  await flow(scene, scene.pc, 40);
  scene.look();
  assert.equal(await fail(5), 0);
});

test('a short disconnection is waited for, a long one is not', async () => {
  const { scene, page } = await live();
  scene.pc.become('disconnected');
  assert.equal(page.people[0].link.state, 'broken');
  await scene.clock.advance(4_000);
  scene.pc.become('connected');
  assert.equal(page.people[0].link.state, 'live');
  await flow(scene, scene.pc, 3);
  assert.deepEqual(scene.look(), []);
  scene.pc.become('disconnected');
  await scene.clock.advance(5_000);
  assert.deepEqual(scene.look(), ['→ again l1/1 path']);
});

test('an `again` that nobody answers is repeated, and is no further failure', async () => {
  const { scene, page } = await live();
  scene.pc.become('failed');
  await scene.clock.advance(25_000);
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), Array(3).fill('→ again l1/1 path'));
  assert.equal(page.people[0].link.failures, 1);
});

test('an answer that never comes, and a connection that never stands', async () => {
  const { scene } = await joined();
  scene.look();
  await scene.clock.advance(14_900);
  assert.deepEqual(scene.look(), []);
  await scene.clock.advance(200);
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), ['→ again l1/1 timeout']);
  await scene.hear({ t: 'link', ev: 'begin', link: 'l1', peer: 'anna', gen: 2, offerer: false, why: 'timeout' });
  await scene.hear({ t: 'offer', link: 'l1', gen: 2, sdp: 'theirs' });
  scene.look();
  await scene.clock.advance(22_100);
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), ['→ again l1/2 path']);
});

test('six seconds without a packet are silence', async () => {
  const { scene } = await live();
  await flow(scene, scene.pc, 20);
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);
  await scene.clock.advance(5_900);
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);
  await scene.clock.advance(1_200);
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), ['→ again l1/1 silent']);
});

test('packets without a picture for two seconds are darkness, which has four to end by itself', async () => {
  const { scene, page } = await live();
  await flow(scene, scene.pc, 10);
  await flow(scene, scene.pc, 1, { frames: 0 });
  assert.equal(page.people[0].link.state, 'live');
  await flow(scene, scene.pc, 2, { frames: 0 });
  assert.deepEqual([page.people[0].link.state, page.people[0].link.why], ['broken', 'dark']);
  await flow(scene, scene.pc, 1);
  assert.equal(page.people[0].link.state, 'live');
  await flow(scene, scene.pc, 10);
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);

  await flow(scene, scene.pc, 5, { frames: 0 });
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);
  await flow(scene, scene.pc, 2, { frames: 0 });
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), ['→ again l1/1 dark']);
});

test('a sender that is short of breath is given the time of silence', async () => {
  const { scene } = await live();
  await flow(scene, scene.pc, 10);
  await flow(scene, scene.pc, 9, { frames: 0, pictures: 0 });
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);
  await flow(scene, scene.pc, 2, { frames: 0, pictures: 0 });
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), ['→ again l1/1 dark']);
});

test('the tail of the last picture is no picture that cannot be made', async () => {
  const { scene } = await live();
  await flow(scene, scene.pc, 10);
  await flow(scene, scene.pc, 1, { frames: 0, pictures: 2 });
  await flow(scene, scene.pc, 8, { frames: 0, pictures: 0 });
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);
  await flow(scene, scene.pc, 2, { frames: 0, pictures: 0 });
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), ['→ again l1/1 dark']);
});

test('figures that take their time are asked for once a second all the same', async () => {
  const { scene, anna } = await live();
  let asked = 0;
  let answer;
  const stats = scene.pc.stats;
  scene.pc.getStats = () => {
    asked += 1;
    return new Promise((resolve) => (answer = () => resolve(stats)));
  };
  await scene.clock.advance(1_500);
  assert.equal(asked, 1);
  // The room begins to be looked after anew, while the round of before is still under way.
  await scene.hear(room([anna, member('me', { name: 'Ada' })], [{ link: 'l1', peer: 'anna', gen: 1, offerer: true }]));
  answer();
  await settle();
  scene.pc.getStats = async () => {
    asked += 1;
    return stats;
  };
  await scene.clock.advance(10_000);
  assert.equal(asked, 11);
});

test('figures of a page that was itself asleep accuse nobody', async () => {
  const { scene } = await live();
  await flow(scene, scene.pc, 10);
  scene.clock.time += 60_000;
  await flow(scene, scene.pc, 1, { frames: 0 });
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);
});

test('nobody is called dark who sends no picture, is not shown, or is on no screen', async () => {
  const { scene, page, anna } = await live();
  await flow(scene, scene.pc, 10);
  scene.onScreen = false;
  await flow(scene, scene.pc, 10, { frames: 0 });
  scene.onScreen = true;
  page.show(page.people[0].key, 0);
  await flow(scene, scene.pc, 10, { frames: 0 });
  await scene.hear({ t: 'member', ev: 'changed', owner: 'anna', member: { ...anna, media: { audio: true, video: false } } });
  page.show(page.people[0].key, 360);
  await flow(scene, scene.pc, 10, { frames: 0 });
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);
  // It sends again: first it is given time, then it is missed.
  await scene.hear({ t: 'member', ev: 'changed', owner: 'anna', member: anna });
  await flow(scene, scene.pc, 8, { frames: 0 });
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);
  await flow(scene, scene.pc, 3, { frames: 0 });
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), ['→ again l1/1 dark']);
});

test('a member that sends nothing is not silent', async () => {
  const { scene, anna } = await live();
  await scene.hear({ t: 'member', ev: 'changed', owner: 'anna', member: { ...anna, media: { audio: false, video: false } } });
  await scene.clock.advance(60_000);
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);
});

test('one member asks another for silence on their link, and hears who asks', async () => {
  const { scene, page } = await live();
  page.ask(page.people[0].key, 'mute');
  page.ask(99, 'mute');
  assert.deepEqual(scene.look(), ['→ ask l1 mute']);
  const asked = () => scene.told.filter(({ type }) => type === 'asked').map(({ person, what }) => [person.member.name, what]);
  await scene.hear({ t: 'ask', link: 'l1', from: 'bob', what: 'mute' }, { t: 'ask', link: 'l9', from: 'anna', what: 'mute' });
  assert.deepEqual(asked(), []);
  await scene.hear({ t: 'ask', link: 'l1', from: 'anna', what: 'camera_off' });
  assert.deepEqual(asked(), [['anna', 'camera_off']]);
});

test('a page in the room of a device says so when it joins, whenever it changes, and after a return', async () => {
  const scene = new Scene();
  const page = session(scene);
  page.join({ ...wish, media: { audio: false, video: true }, here: true });
  scene.socket.open();
  const self = (more) => member('me', { name: 'Ada', media: { audio: false, video: true }, ...more });
  await scene.hear(welcome(), room([member('atrium', { kind: 'device' }), self({ here: true })]));
  assert.equal(scene.last('join').here, true);
  assert.equal(page.snapshot().self.here, true);
  scene.look();
  page.setHere(true);
  page.setHere(false);
  assert.deepEqual(scene.look(), ['→ me {"here":false}']);
  assert.equal(page.self.here, false);
  // It was changed while nobody could hear it.
  scene.socket.lose();
  page.setHere(true);
  await scene.clock.advance(1_000);
  scene.socket.open();
  await scene.hear(welcome({ resumed: true }), room([member('atrium', { kind: 'device' }), self()]));
  assert.deepEqual(scene.look().filter((line) => line.startsWith('→ me')), ['→ me {"here":true}']);
});

test('a page in the room misses no sound, and somewhere else it does', async () => {
  const { scene, page, anna } = await live();
  await scene.hear({ t: 'member', ev: 'changed', owner: 'anna', member: { ...anna, media: { audio: true, video: false } } });
  page.setHere(true);
  await scene.clock.advance(60_000);
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);
  page.setHere(false);
  await scene.clock.advance(5_000);
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);
  await scene.clock.advance(3_000);
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), ['→ again l1/1 silent']);
});

test('who sits in the room is sent no sound, and no description is touched', async () => {
  const { scene, anna } = await live();
  const sent = () => scene.pc.transceivers.map(({ sender }) => sender.track?.name ?? null);
  assert.deepEqual(sent(), ['audio', 'video']);
  const changed = (here) => scene.hear({ t: 'member', ev: 'changed', owner: 'anna', member: { ...anna, here } });
  await changed(true);
  assert.deepEqual(sent(), [null, 'video']);
  await scene.hear({ t: 'link', ev: 'begin', link: 'l1', peer: 'anna', gen: 2, offerer: true });
  assert.deepEqual(sent(), [null, 'video'], 'in a later generation neither');
  await scene.hear({ t: 'answer', link: 'l1', gen: 2, from: 'anna', sdp: 'theirs' });
  await changed(false);
  assert.deepEqual(sent(), ['audio', 'video']);
  assert.deepEqual(scene.look().filter((line) => /pc3|again/.test(line)), []);
});

/** A page in the room of a device, and Anna, to both of whom it has a link. */
async function companion({ hold, name = 'Atrium', here = true } = {}) {
  const scene = new Scene();
  const page = session(scene);
  page.setTracks({ audio: null, video: track('video') });
  page.join({ ...wish, media: { audio: false, video: true }, here, place: 'Atrium' });
  scene.socket.open();
  const rooms = { atrium: member('atrium', { kind: 'device', name }) };
  const media = (more) => ({ audio: false, video: false, ...more });
  /** The room says that it waits, or no longer. */
  const says = (more, id = 'atrium') => scene.hear({ t: 'member', ev: 'changed', owner: 'atrium', member: { ...rooms[id], media: media(more) } });
  await scene.hear(welcome(), room([
    { ...rooms.atrium, media: media(hold) }, member('anna'), member('me', { name: 'Ada', here, media: media({ video: true }) }),
  ], [{ link: 'l1', peer: 'atrium', gen: 1, offerer: false }, { link: 'l2', peer: 'anna', gen: 1, offerer: true }]));
  await scene.hear({ t: 'offer', link: 'l1', gen: 1, from: 'atrium', sdp: 'theirs' }, { t: 'answer', link: 'l2', gen: 1, from: 'anna', sdp: 'theirs' });
  const sent = () => scene.connections.map((pc) => pc.transceivers[1].sender.track?.name ?? null);
  return { scene, page, rooms, says, sent };
}

const ASKING = { hold: 'asking', tries: 3 };
const said = (scene) => scene.look().filter((line) => /^→ (me|again)/.test(line));

test('who sits in front of a screen that shows a code sends nobody a picture of it', async () => {
  const { scene, page, says, sent } = await companion({ hold: ASKING });
  assert.deepEqual(sent(), [null, null], 'not even the first');
  assert.deepEqual(said(scene), ['→ me {"media":{"audio":false,"video":false}}']);
  assert.equal(page.covered, true);
  // Another camera that is chosen meanwhile waits as well, and so does whoever comes.
  page.setTracks({ audio: null, video: track('video', 'other') });
  page.setMedia({ audio: false, video: true });
  await scene.hear({ t: 'member', ev: 'joined', owner: 'atrium', member: member('bob') },
    { t: 'link', ev: 'begin', link: 'l3', peer: 'bob', gen: 1, offerer: true });
  assert.deepEqual(sent(), [null, null, null]);
  // The wall shows no code to those who were turned away, and may to whoever comes next.
  await says({ hold: 'turned_away' });
  assert.deepEqual(sent(), [null, null, null]);
  assert.deepEqual(said(scene), []);
  // It comes back by itself, and goes again whenever the room waits.
  await says({});
  assert.deepEqual(sent(), ['other', 'other', 'other']);
  assert.deepEqual(said(scene), ['→ me {"media":{"audio":false,"video":true}}']);
  await says({ hold: 'idle' });
  assert.deepEqual(sent(), ['other', 'other', 'other']);
  await says({ hold: 'left', tries: 3 });
  assert.deepEqual(sent(), [null, null, null]);
  page.setHere(false);
  await settle();
  assert.deepEqual(sent(), ['other', 'other', 'other'], 'it is somewhere else');
  page.setHere(true);
  await settle();
  assert.deepEqual(sent(), [null, null, null]);
  assert.equal(scene.connections.length, 3, 'and no description is touched');
  assert.deepEqual(scene.told.filter(({ type }) => type === 'covered').map(({ covered }) => covered), [true, false, true, false, true]);
});

test('a camera that is off stays off when the code is gone, and a return says what is sent', async () => {
  const { scene, page, says, rooms } = await companion({ hold: ASKING });
  said(scene);
  page.setMedia({ audio: false, video: false });
  await says({});
  assert.deepEqual(said(scene), []);
  page.setMedia({ audio: false, video: true });
  assert.deepEqual(said(scene), ['→ me {"media":{"audio":false,"video":true}}']);
  scene.socket.lose();
  await scene.clock.advance(1_000);
  scene.socket.open();
  const held = { ...rooms.atrium, media: { audio: false, video: false, ...ASKING } };
  const self = member('me', { name: 'Ada', here: true, media: { audio: false, video: true } });
  await scene.hear(welcome({ resumed: true }), room([held, self]));
  assert.deepEqual(said(scene), ['→ me {"media":{"audio":false,"video":false}}']);
});

test('of several rooms it is one’s own that matters', async () => {
  const { scene, says, sent, rooms } = await companion();
  rooms.cellar = member('cellar', { kind: 'device', name: 'Cellar' });
  await scene.hear({ t: 'member', ev: 'joined', owner: 'atrium', member: { ...rooms.cellar, media: { audio: false, video: false, ...ASKING } } });
  assert.deepEqual(sent(), ['video', 'video']);
  await says(ASKING);
  assert.deepEqual(sent(), [null, null]);
  // Where none has the name that is known, it may be any.
  const other = await companion({ name: 'Lobby', hold: ASKING });
  assert.deepEqual(other.sent(), [null, null]);
  // Who is somewhere else has no screen before its camera.
  const away = await companion({ here: false, hold: ASKING });
  assert.deepEqual(away.sent(), ['video', 'video']);
});

test('who was at the door before it sat down is not heard until somebody else is waited for', async () => {
  const { scene, page, says } = await companion({ here: false });
  const called = () => page.people[0].called;
  page.setHere(true);
  await says(ASKING);
  assert.equal(called(), false, 'it sat there when it began');
  page.setHere(false);
  page.setHere(true);
  assert.equal(called(), true, 'and not for a moment');
  await says({ hold: 'asking', tries: 2 });
  assert.equal(called(), true);
  await says({ hold: 'turned_away' });
  assert.equal(called(), false);
  page.setHere(false);
  await says({ hold: 'turned_away' });
  page.setHere(true);
  await says(ASKING);
  assert.equal(called(), false, 'this is another time');
  // A session that goes on is still that member, and a new one is another.
  page.setHere(false);
  page.setHere(true);
  const back = async (resumed) => {
    scene.socket.lose();
    await scene.clock.advance(1_000);
    scene.socket.open();
    const atrium = member('atrium', { kind: 'device', name: 'Atrium', media: { audio: false, video: false, ...ASKING } });
    await scene.hear(welcome({ resumed }), room([atrium, member('me', { name: 'Ada', here: true })]));
    return called();
  };
  assert.equal(await back(true), true);
  assert.equal(await back(false), false);
});

test('a device that is muted is not silent to a page that is hidden', async () => {
  const { scene, page, anna } = await live();
  page.show(page.people[0].key, 360);
  await scene.hear({ t: 'member', ev: 'changed', owner: 'anna', member: { ...anna, media: { audio: false, video: true } } });
  scene.onScreen = false;
  page.appear();
  await scene.clock.advance(60_000);
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), []);
  scene.onScreen = true;
  page.appear();
  await scene.clock.advance(8_000);
  assert.deepEqual(scene.look().filter((line) => line.includes('again')), ['→ again l1/1 silent']);
});

test('the snapshot of a join leaves out what has not begun, and the beginnings follow', async () => {
  const scene = new Scene();
  const page = session(scene);
  page.join(wish);
  scene.socket.open();
  await scene.hear(welcome(), room([member('anna'), member('bob'), member('me', { name: 'Ada' })]),
    { t: 'link', ev: 'begin', link: 'l1', peer: 'anna', gen: 1, offerer: false },
    { t: 'link', ev: 'begin', link: 'l2', peer: 'bob', gen: 1, offerer: true });
  assert.deepEqual(scene.look().slice(4), ['state joined', 'pc1 new', 'pc2 new', '→ offer l2/1: offer of pc2']);
  assert.deepEqual(page.people.map(({ member: { name }, link }) => [name, link.id]), [['anna', 'l1'], ['bob', 'l2']]);
});

test('what we say of ourselves is known here too, for the server tells the others only', async () => {
  const { scene, page } = await live();
  page.setMedia({ audio: false, video: true });
  page.setName('Ada L.');
  assert.deepEqual([page.self.name, page.self.media], ['Ada L.', { audio: false, video: true }]);
  assert.deepEqual(scene.look(), ['→ me {"media":{"audio":false,"video":true}}', '→ me {"name":"Ada L."}']);
});

test('a lost socket touches no picture, and the session is taken up again', async () => {
  const { scene, page } = await live();
  scene.socket.lose();
  await flow(scene, scene.pc, 1);
  assert.deepEqual(scene.look(), ['state reconnecting (lost)', 'dial roomd.v1']);
  scene.socket.open();
  await scene.hear(
    welcome({ secret: 'secret-2', resumed: true }),
    room([member('anna'), member('me', { name: 'Ada' })], [{ link: 'l1', peer: 'anna', gen: 1, offerer: true }]),
  );
  assert.deepEqual(scene.look(), [
    '→ hello Ada resume s1/secret-1 keep l1/1 as offerer', 'state joined', 'back after 1000',
  ]);
  assert.equal(scene.connections.length, 1);
  assert.equal(page.people[0].link.state, 'live');
});

test('what could not be said while the socket was away is said when it is back', async () => {
  const { scene, page } = await live();
  scene.socket.lose();
  page.setMedia({ audio: false, video: true });
  page.show(page.people[0].key, 720);
  scene.pc.gather('candidate:late');
  scene.pc.become('failed');
  await scene.clock.advance(600);
  scene.socket.open();
  await scene.hear(welcome({ resumed: true }),
    room([member('anna'), member('me', { name: 'Ada' })], [{ link: 'l1', peer: 'anna', gen: 1, offerer: true }]));
  assert.deepEqual(scene.look().slice(3), [
    '→ again l1/1 path', '→ show l1 720', '→ me {"media":{"audio":false,"video":true}}', 'state joined', 'back after 600',
  ]);
});

test('a link that was unfinished when the socket was lost starts again', async () => {
  const { scene } = await joined();
  scene.socket.lose();
  await scene.clock.advance(600);
  scene.socket.open();
  scene.look();
  await scene.hear(welcome({ resumed: true }),
    room([member('anna'), member('me', { name: 'Ada' })], [{ link: 'l1', peer: 'anna', gen: 2, offerer: true }]));
  assert.deepEqual(scene.look(), ['pc1 closed', 'pc2 new', 'state joined', 'back after 600', '→ offer l1/2: offer of pc2']);
});

test('a server that counts an unfinished link as finished is asked again', async () => {
  const { scene } = await joined();
  scene.socket.lose();
  await scene.clock.advance(600);
  scene.socket.open();
  scene.look();
  await scene.hear(welcome({ resumed: true }),
    room([member('anna'), member('me', { name: 'Ada' })], [{ link: 'l1', peer: 'anna', gen: 1, offerer: true }]));
  assert.deepEqual(scene.look().slice(0, 1), ['→ again l1/1 resumed']);
});

test('links and members that are not in the snapshot are gone', async () => {
  const { scene, page } = await live();
  scene.socket.lose();
  await scene.clock.advance(600);
  scene.socket.open();
  scene.look();
  await scene.hear(welcome({ resumed: true }), room([member('bob'), member('me', { name: 'Ada' })]));
  assert.deepEqual(scene.look(), ['pc1 closed', 'went anna', 'came bob', 'state joined', 'back after 600']);
  assert.deepEqual(page.people.map(({ member: { name } }) => name), ['bob']);
});

test('a restarted server adopts the link: the same person, the same picture', async () => {
  const { scene, page } = await live();
  const [before] = page.people;
  await scene.hear({ t: 'bye', why: 'restart', retry_ms: 300 });
  await flow(scene, scene.pc, 1);
  assert.deepEqual(scene.look(), ['state reconnecting (restart)', 'dial roomd.v1']);
  scene.socket.open();
  await scene.hear(welcome({ session: 's2', member: 'me2', adopt_ms: 30_000 }), room([member('me2', { name: 'Ada' })]));
  assert.deepEqual(scene.look(), [
    '→ hello Ada resume s1/secret-1 keep l1/1 as offerer', '→ join pin 123456', 'state joined', 'back after 1000',
  ]);
  assert.deepEqual(page.people.map(({ key, link }) => [key, link?.state, link?.kept]), [[before.key, 'live', true]]);
  // Nothing is said on a link that the new server does not know yet.
  page.show(before.key, 360);
  assert.deepEqual(scene.look(), []);

  await scene.hear(
    { t: 'member', ev: 'joined', owner: 'me2', member: member('anna2', { name: 'anna' }) },
    { t: 'link', ev: 'adopted', link: 'l1', peer: 'anna2', gen: 1, offerer: true },
  );
  assert.deepEqual(scene.look(), ['came anna', '→ show l1 360']);
  assert.deepEqual(page.people.map(({ key, member: { member: id }, link }) => [key, id, link?.kept]), [[before.key, 'anna2', false]]);
  await flow(scene, scene.pc, 40);
  assert.equal(page.people[0].link.state, 'live');
  assert.equal(scene.connections.length, 1);
});

test('an adoption that the snapshot already tells', async () => {
  const { scene, page } = await live({ offerer: false });
  scene.socket.lose();
  await flow(scene, scene.pc, 1);
  scene.socket.open();
  await scene.hear(
    welcome({ session: 's2', member: 'me2', adopt_ms: 20_000 }),
    room([member('anna2', { name: 'anna' }), member('me2', { name: 'Ada' })], [{ link: 'l1', peer: 'anna2', gen: 1, offerer: false }]),
  );
  assert.deepEqual(scene.look(), [
    'state reconnecting (lost)', 'dial roomd.v1', '→ hello Ada resume s1/secret-1 keep l1/1', '→ join pin 123456',
    'state joined', 'back after 1000',
  ]);
  assert.deepEqual(page.people.map(({ member: { member: id }, link }) => [id, link.state, link.kept]), [['anna2', 'live', false]]);
});

test('what nobody adopts in time ends', async () => {
  const { scene, page } = await live();
  scene.socket.lose();
  await scene.clock.advance(600);
  scene.socket.open();
  await scene.hear(welcome({ session: 's2', member: 'me2', adopt_ms: 10_000 }), room([member('me2', { name: 'Ada' })]));
  scene.look();
  await flow(scene, scene.pc, 9);
  assert.equal(page.people.length, 1);
  await flow(scene, scene.pc, 2);
  assert.deepEqual(scene.look(), ['pc1 closed', 'went anna']);
  assert.equal(page.people.length, 0);
});

test('a kept link that dies does not wait for the end of the adoption', async () => {
  const { scene, page } = await live();
  scene.socket.lose();
  await scene.clock.advance(600);
  scene.socket.open();
  await scene.hear(welcome({ session: 's2', member: 'me2', adopt_ms: 30_000 }), room([member('me2', { name: 'Ada' })]));
  scene.look();
  scene.pc.become('disconnected');
  assert.deepEqual(scene.look(), ['pc1 closed', 'went anna']);
  assert.equal(page.people.length, 0);
});

test('a link that was silent when the server went is kept, and built again by the next', async () => {
  const { scene, page } = await live();
  scene.socket.lose();
  await scene.clock.advance(8_000);
  assert.equal(page.people[0].link.why, 'silent');
  scene.socket.open();
  await scene.hear(
    welcome({ session: 's2', member: 'me2', adopt_ms: 20_000 }),
    room([member('anna2', { name: 'anna' }), member('me2', { name: 'Ada' })], [{ link: 'l1', peer: 'anna2', gen: 1, offerer: true }]),
  );
  assert.deepEqual(scene.look().slice(-5), [
    '→ hello Ada resume s1/secret-1 keep l1/1 as offerer', '→ join pin 123456', '→ again l1/1 silent', 'state joined', 'back after 8000',
  ]);
  assert.equal(page.people.length, 1);
});

test('a device that restarted with its server takes its own place', async () => {
  const { scene, page } = await live({ kind: 'device' });
  const [before] = page.people;
  scene.socket.lose();
  await scene.clock.advance(600);
  scene.socket.open();
  await scene.hear(welcome({ session: 's2', member: 'me2', adopt_ms: 30_000 }), room([member('me2', { name: 'Ada' })]));
  await scene.hear(
    { t: 'member', ev: 'joined', owner: 'me2', member: member('dev2', { name: 'anna', kind: 'device' }) },
    { t: 'link', ev: 'begin', link: 'l2', peer: 'dev2', gen: 1, offerer: false },
  );
  assert.deepEqual(page.people.map(({ key, member: { member: id }, link }) => [key, id, link.id]), [[before.key, 'dev2', 'l2']]);
  assert.deepEqual(scene.connections.map(({ closed }) => closed), [true, false]);
});

test('a server that keeps nothing gets new links', async () => {
  const { scene } = await live();
  scene.socket.lose();
  await scene.clock.advance(600);
  scene.socket.open();
  scene.look();
  await scene.hear(welcome({ session: 's2', member: 'me2' }));
  assert.deepEqual(scene.look(), ['pc1 closed', '→ join pin 123456']);
});

test('the server is tried again after 0.5 s, then longer up to 5 s, never in step', async () => {
  const { scene, page } = await live();
  const waits = [];
  for (let attempt = 0; attempt < 7; attempt += 1) {
    scene.socket.lose();
    const from = scene.clock.time;
    const { length } = scene.sockets;
    while (scene.sockets.length === length) await scene.clock.advance(50);
    waits.push(scene.clock.time - from);
  }
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
  scene.chance = 0;
  scene.socket.lose();
  await scene.clock.advance(3_550);
  assert.equal(scene.sockets.length, 9);
  // A network that returns is used at once.
  scene.socket.lose();
  page.nudge();
  assert.equal(scene.sockets.length, 10);
});

test('a server that does not answer is given up, dialling and later', async () => {
  const { scene } = await live();
  scene.answersPings = false;
  scene.socket.lose();
  await scene.clock.advance(500);
  await scene.clock.advance(10_000);
  assert.ok(scene.look().filter((line) => line.startsWith('dial')).length >= 1);
  await scene.clock.advance(2_000);
  scene.socket.open();
  await scene.hear(welcome({ resumed: true }),
    room([member('anna'), member('me', { name: 'Ada' })], [{ link: 'l1', peer: 'anna', gen: 1, offerer: true }]));
  scene.look();
  await flow(scene, scene.pc, 15);
  assert.deepEqual(scene.look(), ['→ ping']);
  await scene.hear({ t: 'pong' });
  await flow(scene, scene.pc, 15);
  assert.deepEqual(scene.look(), ['→ ping']);
  await flow(scene, scene.pc, 8);
  assert.deepEqual(scene.look().slice(0, 1), ['state reconnecting (lost)']);
});

test('a wrong PIN says so, and the right one joins on the same socket', async () => {
  const scene = new Scene();
  const page = session(scene);
  page.join({ ...wish, pin: '000000' });
  scene.socket.open();
  await scene.hear(welcome(), { t: 'error', code: 'bad_pin', text: 'wrong', re: 'join' });
  assert.equal(page.state, 'refused');
  assert.equal(scene.stored.has('roomd.pin'), false);
  page.join(wish);
  await scene.hear(room([member('me', { name: 'Ada' })]));
  assert.deepEqual(scene.look(), [
    'state connecting', 'dial roomd.v1', '→ hello Ada', '→ join pin 000000', 'state refused (bad_pin)', 'refused bad_pin',
    'state connecting', '→ join pin 123456', 'state joined',
  ]);
  assert.equal(scene.stored.get('roomd.pin'), '123456');
  // It is the session of the first try: it can be resumed, and a screen can belong to it.
  assert.deepEqual(page.proof, { session: 's1', secret: 'secret-1' });
});

test('a refusal says after how long to come back', async () => {
  const scene = new Scene();
  session(scene).join(wish);
  scene.socket.open();
  await scene.hear(welcome(), { t: 'error', code: 'pin_wait', text: 'wait', re: 'join', retry_ms: 42_000 });
  assert.equal(scene.told.find(({ type }) => type === 'refused').retryMs, 42_000);
  assert.equal(scene.clock.pending, 1, 'only the ping is left');
});

test('a server that cannot take us back yet is waited for', async () => {
  const { scene, page } = await live();
  scene.socket.lose();
  await scene.clock.advance(600);
  scene.socket.open();
  await scene.hear(welcome({ session: 's2', adopt_ms: 30_000 }), { t: 'error', code: 'pin_wait', text: 'wait', re: 'join', retry_ms: 6_000 });
  assert.equal(page.state, 'reconnecting');
  assert.equal(page.people[0].link.state, 'live');
});

test('replaced by another tab ends everything, by word or by close code', async () => {
  for (const end of [(scene) => scene.hear({ t: 'bye', why: 'replaced' }), async (scene) => scene.socket.lose(4409)]) {
    const { scene, page } = await live();
    await end(scene);
    assert.deepEqual(scene.look(), ['pc1 closed', 'state ended (replaced)']);
    await scene.clock.advance(60_000);
    assert.deepEqual(scene.look(), []);
    assert.equal(scene.clock.pending, 0);
    assert.equal(page.people.length, 0);
  }
});

test('leaving says goodbye and leaves nothing behind', async () => {
  const { scene, page } = await live();
  page.leave();
  assert.deepEqual(scene.look(), ['→ bye left', 'pc1 closed', 'state ended (left)']);
  await scene.clock.advance(60_000);
  assert.deepEqual(scene.look(), []);
  assert.equal(scene.clock.pending, 0);
  assert.ok(scene.connections.every((pc) => pc instanceof FakePeerConnection && pc.closed));
});

test('members come, change and go', async () => {
  const { scene, page } = await live();
  const bob = member('bob');
  await scene.hear(
    { t: 'member', ev: 'joined', owner: 'anna', member: bob },
    { t: 'link', ev: 'begin', link: 'l2', peer: 'bob', gen: 1, offerer: false },
    { t: 'member', ev: 'changed', owner: 'anna', member: { ...bob, name: 'Bob the second', away: true } },
  );
  assert.deepEqual(page.people.map(({ member: { name }, link }) => [name, link.id]), [['anna', 'l1'], ['Bob the second', 'l2']]);
  await scene.hear(
    { t: 'link', ev: 'ended', link: 'l2', peer: 'bob', gen: 1, offerer: false },
    { t: 'member', ev: 'left', owner: 'anna', member: bob },
  );
  assert.deepEqual(scene.look(), ['came bob', 'pc2 new', 'pc2 closed', 'went Bob the second']);
});

test('the present generation is replaced when the server says so', async () => {
  const { scene, page } = await live();
  await scene.hear({ t: 'link', ev: 'begin', link: 'l1', peer: 'anna', gen: 2, offerer: true, why: 'dark' });
  assert.deepEqual(scene.look(), ['pc1 closed', 'pc2 new', '→ offer l1/2: offer of pc2']);
  assert.equal(page.people[0].link.state, 'connecting');
});

test('a server that is not there at first is tried for as long as it takes', async () => {
  const scene = new Scene();
  const page = session(scene);
  page.join(wish);
  scene.socket.lose();
  await scene.clock.advance(600);
  scene.socket.open();
  await scene.hear(welcome(), room([member('anna'), member('me', { name: 'Ada' })]));
  assert.deepEqual(scene.look(), [
    'state connecting', 'dial roomd.v1', 'state reconnecting (unreachable)', 'dial roomd.v1', '→ hello Ada',
    '→ join pin 123456', 'state joined',
  ]);
});

test('a certificate that is not the promised one is told until media proves the contrary', async () => {
  const { scene, page } = await live({ offerer: false, kind: 'device' });
  const link = () => page.snapshot().people[0].link;
  // The other side found it: here all looks well.
  await scene.hear({ t: 'link', ev: 'begin', link: 'l1', peer: 'anna', gen: 2, offerer: false, why: 'fingerprint' });
  assert.deepEqual([link().state, link().why], ['broken', 'fingerprint']);
  await scene.hear({ t: 'offer', link: 'l1', gen: 2, from: 'anna', sdp: 'theirs' });
  scene.pc.become('connected');
  await scene.clock.advance(7_000);
  assert.deepEqual([link().state, link().why, link().failures], ['broken', 'fingerprint', 0]);
  // It goes away, as those do who close a connection.
  scene.pc.become('disconnected');
  assert.equal(link().why, 'fingerprint');
  scene.pc.become('connected');
  await flow(scene, scene.pc, 3);
  assert.deepEqual([link().state, link().why], ['live', null]);
});

test('DTLS that fails on a path that works is a matter of certificates', async () => {
  const { scene, page } = await joined({ offerer: true });
  await scene.hear({ t: 'answer', link: 'l1', gen: 1, from: 'anna', sdp: 'theirs' });
  scene.look();
  scene.pc.become('failed', 'connected');
  assert.deepEqual([page.snapshot().people[0].link.why, scene.last('again').why], ['fingerprint', 'fingerprint']);
});
