// Whom one speaks to: a browser that trusts the device because a person said so and for no other
// reason, and descriptions that somebody changes on their way.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import puppeteer from 'puppeteer-core';

import { fakeDevices } from './camera.js';
import { clip, DEVICE, Device, hearsSpeech, received, tamper, WITHIN } from './device.js';
import { chromium, Member, tabTo, until } from './support.js';

const run = promisify(execFile);

// A certificate that is trusted because it was installed.

/** An address of this machine that others could use: browsers make no exception for it. */
function ownAddress() {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { family, internal, address } of addresses) {
      if (family === 'IPv4' && !internal) return address;
    }
  }
  throw new Error('this machine has no IPv4 address but loopback, and the test needs one');
}

/** Fetches what nobody vouches for yet, as does a person who clicks the warning away. */
function fetched(url) {
  return new Promise((resolve, reject) => {
    get(url, { rejectUnauthorized: false }, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.once('end', () => resolve({ status: answer.statusCode, type: answer.headers['content-type'], body: Buffer.concat(parts) }));
    }).once('error', reject);
  });
}

test('with the authority installed, Chromium joins without a warning, by keyboard', { timeout: 8 * WITHIN }, async (t) => {
  const device = await Device.start({ listen: `${ownAddress()}:0` });
  t.after(() => device.stop());
  const home = await mkdtemp(join(tmpdir(), 'roomd-e2e-home-'));
  t.after(() => rm(home, { recursive: true, force: true }));
  // No switch of these touches certificates, and the store is this home's own.
  const open = () => puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    acceptInsecureCerts: false,
    userDataDir: join(home, 'profile'),
    env: { ...process.env, HOME: home, XDG_DATA_HOME: join(home, '.local/share'), XDG_CONFIG_HOME: join(home, '.config') },
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--mute-audio',
      // For the tone that stands for a microphone: it begins before anything was pressed.
      '--autoplay-policy=no-user-gesture-required',
    ],
  });

  const stranger = await open();
  try {
    const page = await stranger.newPage();
    await assert.rejects(page.goto(device.url), /ERR_CERT_AUTHORITY_INVALID/, 'nothing vouches for it yet');
  } finally {
    await stranger.close();
  }

  const { status, type, body } = await fetched(new URL('authority.crt', device.url));
  assert.deepEqual([status, type], [200, 'application/x-x509-ca-cert']);
  const file = join(home, 'authority.crt');
  await writeFile(file, body);
  // What a person compares before installing anything.
  const { server } = await device.status();
  const { createHash } = await import('node:crypto');
  const digest = createHash('sha256').update(body).digest('hex').toUpperCase().match(/../g).join(':');
  assert.equal(server.authority.sha256, digest);
  const store = `sql:${join(home, '.pki/nssdb')}`;
  await run('mkdir', ['-p', join(home, '.pki/nssdb')]);
  await run('certutil', ['-d', store, '-N', '--empty-password']);
  await run('certutil', ['-d', store, '-A', '-n', server.authority.name, '-t', 'C,,', '-i', file]);

  const browser = await open();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.setViewport({ width: 640, height: 400 });
  await page.evaluateOnNewDocument(fakeDevices, { number: 7, pitch: 1_070 });
  await page.goto(device.url, { waitUntil: 'load' });
  assert.equal(await page.evaluate(() => isSecureContext && location.protocol), 'https:');

  await page.waitForSelector('#join:not(:disabled)');
  await page.waitForSelector('#pin-field:not([hidden])');
  await tabTo(page, '#name');
  await page.keyboard.type('Gil');
  await tabTo(page, '#pin');
  await page.keyboard.type(await device.roomd.pin());
  await page.keyboard.press('Enter');

  const gil = Object.assign(new Member(), { name: 'Gil', number: 7, pitch: 1_070, page });
  await gil.inside();
  await gil.sees(DEVICE, { within: WITHIN });
  await hearsSpeech(gil, DEVICE.name);
  await device.exchanges('Gil');
  await device.shows(gil);
  await device.plays([gil]);
});

// Descriptions that somebody changes.

describe('one digit of a fingerprint is changed on its way', () => {
  let browser;
  before(async () => {
    browser = await chromium();
  });
  after(() => browser?.close());

  for (const offerer of ['device', 'browser']) {
    for (const direction of ['out', 'in']) {
      const to = direction === 'out' ? 'the device' : 'the browser';
      test(`to ${to}, the ${offerer} offers: nothing passes, and both say why`, { timeout: 6 * WITHIN }, async (t) => {
        const device = await Device.start({ config: clip({ offerer }) });
        t.after(() => device.stop());
        const ann = await Member.open(browser, await device.invitation(), {
          name: 'Ann', number: 4, viewport: { width: 640, height: 400 }, before: tamper(direction),
        });
        t.after(() => ann.close());
        await ann.join();
        await ann.inside();

        // Looked at all along: a generation that is over takes its figures with it.
        const passed = { frames_in: 0, sounds_in: 0, video: 0, audio: 0, page: 0, packets: 0, up: 0 };
        const look = async () => {
          const link = await device.link('Ann');
          const { media } = link ?? {};
          if (media) {
            passed.frames_in += media.frames_in;
            passed.sounds_in += media.sounds_in;
            passed.video += media.video_out.delivered;
            passed.audio += media.audio_out.delivered;
            passed.up += media.up ? 1 : 0;
          }
          const page = await received(ann);
          passed.page += page.frames;
          passed.packets += page.packets;
          return { link, generations: page.states.length, tried: await ann.page.evaluate(() => window.tampered ?? 0) };
        };
        const found = await until('the device says why, after more than one attempt', async () => {
          const { link, tried, generations } = await look();
          return tried > 0 && generations > 1 && link?.why === 'fingerprint' ? link : null;
        }, { within: 2 * WITHIN, every: 100 });
        assert.equal(found.state, 'impostor');
        assert.match(found.words, /somebody may be between the two sides: the /);
        assert.match(await device.says(), /^Ann +not connected, because somebody may be between/m);

        await until('the page says why', async () => {
          await look();
          const person = await ann.person(DEVICE.name);
          const text = await ann.page.evaluate(() => document.querySelector('.tile:not(.self) .trouble').innerText);
          return person.link.why === 'fingerprint' && /No secure connection to Atrium/.test(text);
        }, { within: 2 * WITHIN, every: 100 });
        await ann.page.evaluate(() => document.querySelector('.tile:not(.self) .trouble button').click());
        assert.match(await ann.page.evaluate(() => document.querySelector('#details-dialog').innerText), /a=fingerprint/);

        // A further attempt changes nothing, and neither does the opened gate of somebody else.
        await until('one more attempt', async () => (await look()).generations > 2, { within: 2 * WITHIN, every: 100 });
        await look();
        assert.deepEqual(passed, { frames_in: 0, sounds_in: 0, video: 0, audio: 0, page: 0, packets: 0, up: 0 });
      });
    }
  }
});
