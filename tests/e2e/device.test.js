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
