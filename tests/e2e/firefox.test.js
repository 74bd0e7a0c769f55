// The device and Firefox: both ways, whichever side offers.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { clip, DEVICE, Device, hearsSpeech, joinToPicture, received, watchConnections, WITHIN } from './device.js';
import { firefox, Member, until } from './support.js';

let browser;
before(async () => {
  browser = await firefox();
});
after(() => browser?.close());

for (const offerer of ['device', 'browser']) {
  test(`both ways in VP8, the ${offerer} offers`, { timeout: 6 * WITHIN }, async (t) => {
    const device = await Device.start({ config: clip({ offerer }) });
    t.after(() => device.stop());
    const fay = await Member.open(browser, await device.invitation(), {
      name: 'Fay', number: 6, viewport: { width: 640, height: 400 }, before: watchConnections,
    });
    t.after(() => fay.close());
    await fay.join();
    await fay.inside();

    await fay.sees(DEVICE, { within: WITHIN });
    t.diagnostic(`join to first picture: ${await joinToPicture(fay)} ms`);
    await hearsSpeech(fay, DEVICE.name);
    const media = await device.exchanges('Fay');
    await device.shows(fay);
    await device.plays([fay]);
    assert.equal(media.codec, 'VP8');
    const page = await received(fay);
    assert.deepEqual([page.mimeIn, page.mimeOut], ['video/VP8', 'video/VP8']);
    const link = await device.link('Fay');
    assert.deepEqual([link.state, link.offerer], ['connected', offerer === 'device']);
    await until('congestion feedback arrives', async () => {
      const now = (await device.link('Fay')).media;
      return now.twcc && now.twcc_received_bps > 0;
    }, { within: WITHIN, every: 250 });
  });
}
