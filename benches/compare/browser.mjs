// Chromium as a receiver of the comparison: speaks the same lines of JSON as `roomd-compare
// receivers`, and reads the time in each picture that it shows.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

// The browser and how it is started are those of the end-to-end tests.
import { chromium } from '../../tests/e2e/support.js';

/** Nanoseconds in a unit of the time in a picture, as in stamp.rs. */
const UNIT_NS = 100_000;

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const fail = (error) => say({ failed: { why: String(error?.stack ?? error) } });

/** Nanoseconds of the monotonic clock, of a time in a page: milliseconds of the wall clock. */
const monotonic = (() => {
  const wall = (performance.timeOrigin + performance.now()) * 1e6;
  const ahead = wall - Number(process.hrtime.bigint());
  return (milliseconds) => Math.round(milliseconds * 1e6 - ahead);
})();
const nowNs = () => Number(process.hrtime.bigint());

/** In the page. */
function receive(peer) {
  const BITS = 32;
  const link = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const known = { frames: 0, connected: null, first: null, size: null, seen: [] };
  window.links ??= {};
  window.links[peer] = { link, known };
  link.addEventListener('icecandidate', ({ candidate }) => {
    if (candidate?.candidate) void window.tell({ candidate: { peer, mline: candidate.sdpMLineIndex ?? 0, candidate: candidate.candidate } });
  });
  const wall = (time) => performance.timeOrigin + time;
  link.addEventListener('connectionstatechange', () => {
    if (link.connectionState === 'connected') known.connected ??= wall(performance.now());
    if (link.connectionState === 'failed') void window.tell({ failed: { why: `Chromium: peer ${peer}: no connection` } });
  });
  const video = document.createElement('video');
  video.muted = true;
  video.autoplay = true;
  document.body.append(video);
  const stream = new MediaStream();
  link.addEventListener('track', ({ track }) => {
    stream.addTrack(track);
    if (track.kind === 'video') video.srcObject = stream;
  });
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const read = () => {
    const block = Math.floor(video.videoWidth / 80);
    canvas.width = BITS * block;
    canvas.height = 2 * block;
    context.drawImage(video, 0, 0, canvas.width, canvas.height, 0, 0, canvas.width, canvas.height);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const half = Math.floor(block / 2);
    const green = (x, y) => data[4 * (y * canvas.width + x) + 1];
    let number = 0;
    for (let bit = 0; bit < BITS; bit += 1) {
      const upper = green(bit * block + half, half);
      const lower = green(bit * block + half, block + half);
      if (Math.abs(upper - lower) < 60) return null;
      number = number * 2 + (upper > lower ? 1 : 0);
    }
    return number;
  };
  const look = (now, metadata) => {
    known.frames = metadata.presentedFrames;
    known.first ??= wall(now);
    known.size = [metadata.width, metadata.height];
    // Read at once, but its time is when Chromium had it: reading is our own affair.
    const number = read();
    if (number !== null) {
      known.seen.push({ number, at: wall(now), came: metadata.receiveTime && wall(metadata.receiveTime) });
    }
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}

async function main() {
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>Receiver</title>');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const browser = await chromium();
  const page = await browser.newPage();
  page.on('pageerror', fail);
  await page.exposeFunction('tell', say);
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  say('ready');

  const handle = {
    open: ({ peer }) => page.evaluate(receive, peer),
    close: ({ peer }) => page.evaluate((number) => {
      window.links[number]?.link.close();
      delete window.links[number];
    }, peer),
    offer: async ({ peer, sdp }) => {
      const answer = await page.evaluate(async (number, text) => {
        const { link } = window.links[number];
        await link.setRemoteDescription({ type: 'offer', sdp: text });
        await link.setLocalDescription();
        return link.localDescription.sdp;
      }, peer, sdp);
      say({ answer: { peer, sdp: answer } });
    },
    candidate: ({ peer, mline, candidate }) => page.evaluate(
      (number, sdpMLineIndex, text) => window.links[number].link.addIceCandidate({ sdpMLineIndex, candidate: text }), peer, mline, candidate,
    ),
    ask: async () => {
      const all = await page.evaluate(() => Object.entries(window.links ?? {}).map(([number, { known }]) => {
        const copy = { ...known, number: Number(number) };
        known.seen = [];
        return copy;
      }));
      const now = nowNs();
      const peers = {};
      const passages = [];
      for (const { number, frames, connected, first, size, seen } of all) {
        const at = (time) => (time === null ? null : monotonic(time));
        // The picture has the lower 32 bits of the clock.
        const ages = seen.map((one) => (((Math.floor(monotonic(one.at) / UNIT_NS) % 2 ** 32) - one.number) >>> 0)).filter((age) => age < 2 ** 31);
        peers[number] = {
          connected_ns: at(connected), first_frame_ns: at(first), first_decoded_ns: at(first), frames, bytes: 0, sounds: 0, size, ages,
        };
        for (const { number: stamp, at: shown, came } of seen) {
          if (came) passages.push({ place: 'in', frame: stamp, packets: 0, at_ns: monotonic(came) });
          passages.push({ place: 'decoded', frame: stamp, packets: stamp, at_ns: monotonic(shown) });
        }
      }
      say({ received: { at_ns: now, peers, passages } });
    },
  };

  // One after the other: a candidate must not overtake the description before it.
  for await (const text of createInterface({ input: process.stdin })) {
    const line = JSON.parse(text);
    const [what, value] = typeof line === 'string' ? [line] : Object.entries(line)[0];
    if (what === 'stop') break;
    await handle[what]?.(value).catch(fail);
  }
  await browser.close();
  server.close();
}

main().catch((error) => {
  fail(error);
  process.exitCode = 1;
});
