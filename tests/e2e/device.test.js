// The device and Chromium: both ways, in each codec, whichever side offers; the browser's own
// devices; what the device says of itself; the device leaving, dying and coming back.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { clip, DEVICE, Device, hearsSpeech, joinToPicture, received, watchConnections, WITHIN } from './device.js';
import { chromium, Member, until } from './support.js';

let browser;
before(async () => {
  browser = await chromium();
});
after(() => browser?.close());

/** Somebody who opens the device's page and joins. */
async function visit(device, options = {}) {
  const member = await Member.open(options.browser ?? browser, await device.invitation(), {
    viewport: { width: 640, height: 400 },
    before: watchConnections,
    ...options,
  });
  await member.join();
  await member.inside();
  return member;
}

describe('the device and Chromium meet', () => {
  for (const codec of ['vp8', 'h264']) {
    for (const offerer of ['device', 'browser']) {
      test(`both ways in ${codec}, the ${offerer} offers`, { timeout: 6 * WITHIN }, async (t) => {
        const device = await Device.start({ config: clip({ codecs: [codec], offerer }) });
        t.after(() => device.stop());
        const ann = await visit(device, { name: 'Ann', number: 4 });
        t.after(() => ann.close());

        await ann.sees(DEVICE, { within: WITHIN });
        t.diagnostic(`join to first picture: ${await joinToPicture(ann)} ms`);
        await hearsSpeech(ann, DEVICE.name);
        const media = await device.exchanges('Ann');
        await device.shows(ann);
        await device.plays([ann]);

        assert.equal(media.codec, codec.toUpperCase());
        const link = await device.link('Ann');
        assert.equal(link.state, 'connected');
        assert.equal(link.offerer, offerer === 'device');
        assert.equal(link.generation, 1, 'the first generation is the last');

        const page = await received(ann);
        const mime = `video/${codec.toUpperCase()}`;
        assert.deepEqual([page.mimeIn, page.mimeOut], [mime, mime]);
        assert.equal(page.payloadIn, page.payloadOut, 'one payload type both ways');
        const offered = await ann.page.evaluate((side) => {
          const [{ pc }] = window.watched.connections;
          const { type, sdp } = pc[side === 'browser' ? 'localDescription' : 'remoteDescription'];
          return { type, payload: Number(/^m=video \S+ \S+ (\d+)/m.exec(sdp)[1]), codec: /^m=video[^]*?^a=rtpmap:\d+ (\w+)/m.exec(sdp)[1] };
        }, offerer);
        assert.deepEqual(offered, { type: 'offer', payload: page.payloadIn, codec: codec.toUpperCase() });
        const stats = (await ann.person(DEVICE.name)).link.stats;
        assert.deepEqual([stats.codecIn, stats.codecOut], [codec.toUpperCase(), codec.toUpperCase()]);

        const feedback = await until('congestion feedback arrives', async () => {
          const now = (await device.link('Ann')).media;
          return now.twcc && now.twcc_received_bps > 0 ? now : null;
        }, { within: WITHIN, every: 250 });
        t.diagnostic(`feedback: ${feedback.twcc_received_bps} bit/s arrive, round trip ${feedback.rtt_ms} ms`);
        assert.deepEqual(ann.errors, []);
      });
    }
  }
});

test("Chromium's own fake devices, through the real getUserMedia", { timeout: 6 * WITHIN }, async (t) => {
  const own = await chromium({ args: ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'] });
  t.after(() => own.close());
  const device = await Device.start();
  t.after(() => device.stop());
  const ann = await visit(device, { browser: own, name: 'Ann', real: true });
  assert.equal(await ann.page.evaluate(() => 'fakeDevices' in window), false);

  await ann.sees(DEVICE, { within: WITHIN });
  await hearsSpeech(ann, DEVICE.name);
  await device.exchanges('Ann');
  const label = await ann.page.evaluate(() => document.querySelector('video#preview, .tile.self .picture').srcObject.getVideoTracks()[0].label);
  assert.match(label, /^fake_device/);
  assert.deepEqual(ann.errors, []);
});

test('each side sends as much as the other shows, and nothing to a device without a screen', { timeout: 10 * WITHIN }, async (t) => {
  const device = await Device.start();
  t.after(() => device.stop());
  const camera = { width: 1280, height: 720, fps: 10 };
  const ann = await visit(device, { name: 'Ann', number: 4, devices: camera });
  t.after(() => ann.close());
  /** The device shows Ann at this height, she knows, and sends no more lines: fewer where her browser finds no time for them. */
  const shows = (height) => until(`Ann is shown at ${height} and sends no more`, async () => {
    const { showing } = await device.link('Ann');
    const { shown, stats } = (await ann.person(DEVICE.name)).link;
    if (showing !== height || shown !== height || !(stats?.heightOut > 0 && stats.heightOut <= height)) throw new Error(JSON.stringify({ showing, shown, lines: stats?.heightOut }));
    return true;
  }, { within: WITHIN, every: 250 });
  await shows(1026);
  await until('the device knows how high Ann shows it', async () => (await device.link('Ann')).shown > 0, { within: WITHIN, every: 250 });
  const bob = await visit(device, { name: 'Bob', number: 5 });
  await shows(508);
  await device.shows(ann, bob);
  await bob.close();
  await shows(1026);
  await device.shows(ann);
  assert.equal((await device.link('Ann')).generation, 1);

  const blind = await Device.start({ screen: false });
  t.after(() => blind.stop());
  const cem = await visit(blind, { name: 'Cem', number: 6 });
  t.after(() => cem.close());
  await cem.sees(DEVICE, { within: WITHIN });
  await until('Cem is told that nobody sees her', async () => (await cem.person(DEVICE.name)).link.shown === 0, { within: WITHIN });
  const frames = async () => (await blind.link('Cem')).media.frames_in;
  const still = await until('no picture of her comes', async () => {
    const before = await frames();
    const since = Date.now();
    await until('a moment is over', () => Date.now() - since > 1_500, { within: WITHIN });
    return (await frames()) === before ? { before } : null;
  }, { within: WITHIN });
  await blind.plays([cem]);
  // Longer than a picture may be missing.
  const since = Date.now();
  await until('ten seconds are over', () => Date.now() - since > 10_000, { within: WITHIN, every: 500 });
  const link = await blind.link('Cem');
  assert.deepEqual([link.state, link.generation, link.showing, link.media.frames_in], ['connected', 1, 0, still.before]);
  for (const { errors } of [ann, cem]) assert.deepEqual(errors, []);
});

test('where its uplink takes no picture, the page says so and sound goes on', { timeout: 6 * WITHIN }, async (t) => {
  // The only tier takes more than what sound leaves.
  const device = await Device.start({ config: `${clip()}tiers = ["360p15"]\nuplink-kbps = 120\n` });
  t.after(() => device.stop());
  const ann = await visit(device, { name: 'Ann', number: 4 });
  t.after(() => ann.close());
  const tile = () => ann.page.evaluate((wanted) => {
    const found = [...document.querySelectorAll('.tile')].find((other) => other.querySelector('.name').textContent === wanted);
    const trouble = found?.querySelector('.trouble');
    return {
      text: !trouble || trouble.hidden ? '' : trouble.querySelector('.long').textContent,
      seen: found?.classList.contains('seen') ?? false,
      frames: found?.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames ?? 0,
    };
  }, DEVICE.name);
  const said = 'Picture paused: the network is too slow. Sound goes on.';
  await until('the page says that the picture is paused', async () => {
    const now = await tile();
    return now.text === said ? now : Promise.reject(new Error(JSON.stringify(now)));
  }, { within: WITHIN });
  await hearsSpeech(ann, DEVICE.name);

  // Longer than a picture may be dark: nobody misses what is paused, and the other way all is well.
  const since = Date.now();
  await until('ten seconds are over', () => Date.now() - since > 10_000, { within: WITHIN, every: 500 });
  assert.deepEqual(await tile(), { text: said, seen: false, frames: 0 });
  await hearsSpeech(ann, DEVICE.name);
  await device.shows(ann);
  await device.plays([ann]);
  const link = await device.link('Ann');
  assert.deepEqual([link.state, link.generation, link.media.video_out.delivered], ['connected', 1, 0]);
  assert.match(link.media.tier, /^paused: /);
  assert.deepEqual(ann.errors, []);
});

test('the status names who is there and what flows; when all have left, nothing runs', { timeout: 8 * WITHIN }, async (t) => {
  const device = await Device.start();
  t.after(() => device.stop());
  const idle = async () => {
    const { media } = await device.status();
    return media && !media.camera && !media.microphone && Object.keys(media.branches).length === 0 ? media : null;
  };
  await until('nothing runs in an empty room', idle, { within: WITHIN });
  assert.match(await device.says(), /^Members +nobody else is here$/m);

  const ann = await visit(device, { name: 'Ann', number: 4 });
  const bob = await visit(device, { name: 'Bob', number: 5 });
  t.after(() => Promise.allSettled([ann.close(), bob.close()]));
  await device.exchanges('Ann');
  await device.exchanges('Bob');
  await device.shows(ann, bob);
  await device.plays([ann, bob]);

  // The figures of the transport are taken once in a while, so those of a link that has just come up are not there yet.
  const flows = ({ frames_in: frames, sounds_in: sounds, bytes_in: bytes, packets_out: packets }) => frames > 0 && sounds > 0 && bytes > 0 && packets > 0;
  await until('something flows on both links', async () => Object.values((await device.status()).media.links).filter(flows).length === 2, { within: WITHIN });
  const status = await device.status();
  assert.equal(status.room.state, 'joined');
  assert.deepEqual(status.room.members.map(({ name, kind }) => [name, kind]).sort(), [['Ann', 'browser'], ['Bob', 'browser']]);
  assert.equal(status.room.links.length, 2);
  for (const link of status.room.links) {
    assert.equal(link.state, 'connected');
    assert.equal(link.why, undefined);
    const media = status.media.links[link.link];
    assert.deepEqual([media.up, media.codec, media.generation], [true, 'VP8', link.generation]);
    assert.ok(flows(media));
  }
  const { media } = status;
  // Both windows are alike, so both are on one tier; which one is for their size and the machine to say.
  const [sound, picture, ...others] = Object.entries(media.branches).sort(([a], [b]) => a.localeCompare(b));
  assert.equal(sound[0], 'OPUS');
  assert.match(picture[0], /^VP8 \d+p\d+$/);
  assert.equal(picture[1].consumers + others.reduce((sum, [, branch]) => sum + branch.consumers, 0), 2, 'each is on one');
  assert.deepEqual([media.camera, media.microphone], [true, true]);
  const pin = await device.roomd.pin();
  const text = await device.says();
  for (const who of ['Ann', 'Bob']) {
    assert.match(text, new RegExp(`^${who} +connected; VP8, generation \\d+, \\d+ pictures sent, \\d+ received`, 'm'));
  }
  for (const said of [text, JSON.stringify(status)]) {
    assert.ok(!said.includes(pin), 'the status holds no PIN');
    assert.doesNotMatch(said, /candidate:|a=|ice-ufrag/, 'and nothing of a description');
  }

  // The page's own button, and a tab that is closed: both leave at once.
  await ann.page.evaluate(() => document.querySelector('#leave').click());
  await until('Ann is gone', async () => (await device.link('Ann')) === null, { within: WITHIN });
  await device.shows(bob);
  await device.plays([bob], [ann]);
  await bob.close();
  await until('Bob is gone', async () => (await device.status()).room.members.length === 0, { within: WITHIN });
  const left = Date.now();
  const empty = (await device.status()).media;
  assert.deepEqual([empty.camera, empty.microphone], [false, false], 'nothing is open for nobody');
  assert.ok(Object.keys(empty.branches).length > 0, 'who comes back at once finds the encoders running');
  await until('nothing runs any more', idle, { within: WITHIN });
  const took = Date.now() - left;
  t.diagnostic(`idle ${took} ms after the last one had left`);
  assert.ok(took < 15_000, `it took ${took} ms`);
});

describe('the device leaves and comes back', () => {
  /** The page is in the room, sees the device, and has one picture of it. */
  async function together(t) {
    const device = await Device.start();
    t.after(() => device.stop());
    const ann = await visit(device, { name: 'Ann', number: 4 });
    t.after(() => ann.close());
    await ann.sees(DEVICE, { within: WITHIN });
    await device.exchanges('Ann');
    return { device, ann };
  }

  const banner = (member) => member.page.evaluate(() => document.querySelector('#banner').innerText);

  /** The same page, not loaded again, is in the room with the device and both are seen. */
  async function again(device, ann) {
    await ann.inside();
    await ann.sees(DEVICE, { within: WITHIN });
    await hearsSpeech(ann, DEVICE.name);
    await device.exchanges('Ann');
    await device.shows(ann);
    await device.plays([ann]);
    await until('there is one device in the room', async () => (await ann.room()).people.length === 1, { within: WITHIN });
    assert.equal(await ann.page.evaluate(() => window.stayed), true, 'the page was never loaded again');
    assert.deepEqual(ann.errors.filter((line) => !/WebSocket|ERR_CONNECTION|Failed to load/.test(line)), []);
  }

  test('SIGTERM says goodbye and ends within five seconds; the page waits, and comes back', { timeout: 8 * WITHIN }, async (t) => {
    const { device, ann } = await together(t);
    await ann.page.evaluate(() => (window.stayed = true));
    const asked = Date.now();
    const ended = await device.roomd.kill('SIGTERM');
    const took = Date.now() - asked;
    t.diagnostic(`SIGTERM to the end: ${took} ms`);
    assert.deepEqual(ended, { code: 0, signal: null }, device.roomd.log.slice(-10).join('\n'));
    assert.ok(took < 5_000, `it took ${took} ms`);
    await until('the page says that the room restarts', async () => /restarting/.test(await banner(ann)), { within: WITHIN });
    await device.roomd.run();
    await again(device, ann);
  });

  test('killed and started again: the page comes back by itself', { timeout: 8 * WITHIN }, async (t) => {
    const { device, ann } = await together(t);
    await ann.page.evaluate(() => (window.stayed = true));
    await device.roomd.kill('SIGKILL');
    await until('the page says that the connection is lost', async () => /lost|not answered/.test(await banner(ann)), { within: WITHIN });
    await device.roomd.run();
    const back = Date.now();
    await again(device, ann);
    t.diagnostic(`both ways again ${Date.now() - back} ms after the device listens`);
  });
});
