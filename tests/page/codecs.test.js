import assert from 'node:assert/strict';
import { test } from 'node:test';

import { capabilities, chooseVideo, encodingFor, encodingForScreen, nameOf, preference } from '../../web/codecs.js';
import { capable } from './fakes.js';

test('H.264 counts only as constrained baseline in packetization mode 1', () => {
  const h264 = (sdpFmtpLine) => nameOf({ mimeType: 'video/H264', sdpFmtpLine });
  assert.equal(h264('level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f'), 'h264');
  assert.equal(h264('profile-level-id=42E034; packetization-mode=1'), 'h264');
  assert.equal(h264('packetization-mode=0;profile-level-id=42e01f'), null);
  assert.equal(h264('packetization-mode=1;profile-level-id=42001f'), null);
  assert.equal(h264('packetization-mode=1;profile-level-id=640c1f'), null);
  assert.equal(h264(''), null);
  assert.equal(nameOf({ mimeType: 'video/H264' }), null);
});

test('a browser that says nothing of its codecs has none', () => {
  assert.deepEqual(capabilities(undefined, {}), { send: [], recv: [] });
  assert.deepEqual(capabilities({ getCapabilities: () => null }, capable), { send: [], recv: ['vp8', 'h264', 'opus'] });
  assert.deepEqual(preference(undefined, 'video', 'vp8'), []);
});

test('the codec of a link', () => {
  const caps = (send, recv = send) => ({ send, recv });
  for (const [ours, theirs, expected] of [
    [caps(['vp8', 'h264']), caps(['h264', 'vp8']), 'vp8'],
    [caps(['vp8', 'h264']), caps(['h264']), 'h264'],
    [caps(['vp8']), caps(['h264']), null],
    [caps(['vp8', 'h264']), caps(['h264'], ['vp8', 'h264']), 'h264'],
    [caps([], ['vp8']), caps(['vp8'], []), 'vp8'],
    [caps(['vp8']), caps(['av1', 'something']), null],
  ]) {
    assert.equal(chooseVideo(ours, theirs), expected, JSON.stringify({ ours, theirs }));
  }
});

test('a thumbnail is sent as a thumbnail, and never smaller than it is shown', () => {
  for (const [shown, height] of [[null, 720], [90, 720], [180, 720], [360, 720], [361, 720], [720, 720], [1080, 720], [360, 0]]) {
    const { scaleResolutionDownBy, active } = encodingFor(shown, height);
    assert.ok(active);
    if (height) assert.ok(height / scaleResolutionDownBy >= Math.min(shown ?? height, height), `${shown} of ${height}`);
  }
  assert.equal(encodingFor(0, 720).active, false);
});

test('a screen is sent whole wherever it can be read', () => {
  for (const height of [0, 720, 1080, 1440]) {
    for (const shown of [null, 270, 360, 540, 2160]) {
      const { active, scaleResolutionDownBy, maxFramerate } = encodingForScreen(shown, height);
      assert.deepEqual([active, scaleResolutionDownBy, maxFramerate], [true, 1, 10], `${shown} of ${height}`);
    }
  }
  // However little the line carries.
  const least = { height: 180, kbps: 100, framerate: 8 };
  const { scaleResolutionDownBy, maxBitrate, maxFramerate } = encodingForScreen(540, 1080, least);
  assert.deepEqual([scaleResolutionDownBy, maxBitrate, maxFramerate], [1, 100_000, 8]);
  assert.equal(encodingForScreen(540, 1080, { height: 0, kbps: 0, framerate: 0 }).active, false);
  assert.equal(encodingForScreen(0, 1080).active, false);
  assert.equal(encodingForScreen(90, 1080).scaleResolutionDownBy, 8);
});
