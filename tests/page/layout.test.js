import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fitting, grid, spotlight, wanted } from '../../web/layout.js';

const LAPTOP = { width: 1280, height: 800 };
const PHONE = { width: 374, height: 740 };
const SIZES = [LAPTOP, PHONE, { width: 844, height: 390 }, { width: 1920, height: 1080 }, { width: 768, height: 1024 }, { width: 320, height: 480 }];

function shape(rects) {
  return `${new Set(rects.map(({ y }) => y)).size} rows of ${Math.max(...rects.map(({ y }) => rects.filter((r) => r.y === y).length))}`;
}

function apart(rects) {
  rects.forEach((a, i) => rects.slice(i + 1).forEach((b) => {
    const overlap = a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
    assert.ok(!overlap, `${JSON.stringify(a)} and ${JSON.stringify(b)} overlap`);
  }));
}

function inside(rects, { width, height }) {
  for (const r of rects) {
    assert.ok(r.x >= 0 && r.y >= 0 && r.x + r.width <= width + 1 && r.y + r.height <= height + 1,
      `${JSON.stringify(r)} leaves ${width} by ${height}`);
    assert.ok(r.width > 40 && r.height > 20, `${JSON.stringify(r)} is too small`);
  }
}

test('the grid of a laptop is the one that was drawn', () => {
  assert.deepEqual([1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 16].map((count) => [count, shape(grid(count, LAPTOP))]), [
    [1, '1 rows of 1'], [2, '1 rows of 2'], [3, '2 rows of 2'], [4, '2 rows of 2'], [5, '2 rows of 3'], [6, '2 rows of 3'],
    [7, '3 rows of 3'], [9, '3 rows of 3'], [10, '3 rows of 4'], [12, '3 rows of 4'], [16, '4 rows of 4'],
  ]);
});

test('every tile of every grid has its place, its shape and no neighbour under it', () => {
  for (const size of SIZES) {
    for (let count = 1; count <= 16; count += 1) {
      const rects = grid(count, size);
      assert.equal(rects.length, count);
      inside(rects, size);
      apart(rects);
      for (const { width, height } of rects) assert.ok(Math.abs(width / height - 16 / 9) < 0.05);
    }
  }
});

test('a large tile and its strip share the stage', () => {
  for (const size of SIZES) {
    for (const aspect of [16 / 9, 4 / 3, 9 / 16]) {
      for (let count = 0; count <= 15; count += 1) {
        const { large, strip } = spotlight(count, { ...size, aspect });
        assert.equal(strip.length, count);
        inside([large, ...strip], size);
        apart([large, ...strip]);
        for (const small of strip) assert.ok(small.width <= large.width, `${count} at ${size.width}x${size.height}`);
      }
    }
  }
});

test('nothing has a place where there is no room', () => {
  assert.deepEqual(grid(3, { width: 0, height: 0 }), []);
  assert.deepEqual(grid(0, LAPTOP), []);
});

test('a picture is cropped by a tenth at most', () => {
  assert.equal(fitting(16 / 9, 16 / 9), 'cover');
  assert.equal(fitting(16 / 10, 16 / 9), 'cover');
  assert.equal(fitting(4 / 3, 16 / 9), 'contain');
  assert.equal(fitting(9 / 16, 16 / 9), 'contain');
});

test('what is asked for is at least what is shown, in few steps', () => {
  assert.deepEqual([0, 1, 90, 91, 400, 720, 3000].map(wanted), [0, 90, 90, 180, 540, 720, 1080]);
});
