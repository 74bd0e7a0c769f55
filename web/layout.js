// @ts-check
/**
 * Where each tile goes. Numbers in, numbers out.
 *
 * @typedef {{ x: number, y: number, width: number, height: number }} Rect in CSS pixels
 * @typedef {object} Stage
 * @property {number} width of the space there is
 * @property {number} height
 * @property {number} [gap] between tiles
 */

/** What a tile is, whatever comes in it. */
export const ASPECT = 16 / 9;
const GAP = 8;
/** A strip's tiles are recognisable from this width on. */
const SMALL = 104;

/**
 * The grid: as few rows and columns as look alike on every screen, and tiles as large as they get.
 * @param {number} count
 * @param {Stage} stage
 * @returns {Rect[]}
 */
export function grid(count, { width, height, gap = GAP }) {
  if (count === 0 || width <= 0 || height <= 0) return [];
  const wide = width >= height;
  const shapes = [];
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    if (rows * columns - count >= columns) continue;
    // 1, 1 beside 1, 2x2, 3x2, 3x3, 4x4: on a wide screen never more rows than columns.
    if (wide && rows > columns) continue;
    shapes.push({ columns, rows, ...fit(columns, rows, width, height, gap, ASPECT) });
  }
  // Of tiles that are the same size to the eye, those in fewer columns stand closer together.
  const best = shapes.reduce((a, b) => (b.tileWidth > a.tileWidth * 1.01 ? b : a));
  const { columns, rows, tileWidth, tileHeight } = best;
  const top = (height - rows * tileHeight - (rows - 1) * gap) / 2;
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / columns);
    // The last row is centred, so that nobody sits in a corner beside an empty place.
    const inRow = row === rows - 1 ? count - row * columns : columns;
    const left = (width - inRow * tileWidth - (inRow - 1) * gap) / 2;
    return {
      x: Math.round(left + (index % columns) * (tileWidth + gap)),
      y: Math.round(top + row * (tileHeight + gap)),
      width: Math.floor(tileWidth),
      height: Math.floor(tileHeight),
    };
  });
}

/**
 * One tile large and the others in a strip: below it on an upright screen, beside it on a wide one.
 * @param {number} count of the others
 * @param {Stage & { aspect?: number }} stage `aspect`: of the large picture, which may be upright
 * @returns {{ large: Rect, strip: Rect[] }}
 */
export function spotlight(count, { width, height, gap = GAP, aspect = ASPECT }) {
  const shape = Math.min(ASPECT, Math.max(3 / 4, aspect));
  if (count === 0) {
    const { tileWidth, tileHeight } = fit(1, 1, width, height, gap, shape);
    return { large: centred(tileWidth, tileHeight, 0, 0, width, height), strip: [] };
  }
  return width >= height
    ? beside(count, width, height, gap, shape)
    : below(count, width, height, gap, shape);
}

/** @param {number} count @param {number} width @param {number} height @param {number} gap @param {number} shape */
function beside(count, width, height, gap, shape) {
  // The strip takes what the large tile leaves, but never less than can be recognised.
  const spare = width - height * shape - gap;
  let columns = 1;
  let stripWidth = Math.min(Math.max(SMALL, width / 6, spare), width / 4);
  const rowsIn = (/** @type {number} */ tile) => Math.max(1, Math.floor((height + gap) / (tile / ASPECT + gap)));
  let tileWidth = stripWidth;
  if (rowsIn(tileWidth) < count) {
    const alone = (height - (count - 1) * gap) / count * ASPECT;
    if (alone >= SMALL) {
      tileWidth = alone;
    } else {
      columns = Math.ceil(count / rowsIn(SMALL));
      tileWidth = SMALL;
    }
    stripWidth = columns * tileWidth + (columns - 1) * gap;
  }
  const large = fit(1, 1, width - stripWidth - gap, height, gap, shape);
  const total = large.tileWidth + gap + stripWidth;
  const left = (width - total) / 2;
  const tileHeight = tileWidth / ASPECT;
  const rows = Math.ceil(count / columns);
  const top = (height - rows * tileHeight - (rows - 1) * gap) / 2;
  return {
    large: centred(large.tileWidth, large.tileHeight, left, 0, large.tileWidth, height),
    strip: cells(count, columns, tileWidth, tileHeight, gap, left + large.tileWidth + gap, top, stripWidth),
  };
}

/** @param {number} count @param {number} width @param {number} height @param {number} gap @param {number} shape */
function below(count, width, height, gap, shape) {
  let best = null;
  for (let columns = 2; columns <= Math.max(2, Math.floor((width + gap) / (72 + gap))); columns += 1) {
    const rows = Math.ceil(count / columns);
    const tileWidth = (width - (columns - 1) * gap) / columns;
    const tileHeight = tileWidth / ASPECT;
    const strip = rows * tileHeight + (rows - 1) * gap;
    const large = fit(1, 1, width, height - strip - gap, gap, shape);
    // The large picture is worth four times what all the small ones are together.
    const worth = 4 * large.tileWidth * large.tileHeight + count * tileWidth * tileHeight;
    if (large.tileHeight > 0 && (!best || worth > best.worth)) {
      best = { worth, columns, rows, tileWidth, tileHeight, strip, large };
    }
  }
  if (!best) return { large: centred(width, width / shape, 0, 0, width, height), strip: [] };
  const { columns, tileWidth, tileHeight, strip, large } = best;
  const top = (height - large.tileHeight - gap - strip) / 2;
  return {
    large: centred(large.tileWidth, large.tileHeight, 0, top, width, large.tileHeight),
    strip: cells(count, columns, tileWidth, tileHeight, gap, 0, top + large.tileHeight + gap, width),
  };
}

/** The largest tile of that aspect that stands `columns` times beside and `rows` times above itself. @returns {{ tileWidth: number, tileHeight: number }} @param {number} columns @param {number} rows @param {number} width @param {number} height @param {number} gap @param {number} aspect */
function fit(columns, rows, width, height, gap, aspect) {
  const across = (width - (columns - 1) * gap) / columns;
  const down = (height - (rows - 1) * gap) / rows;
  const tileWidth = Math.max(0, Math.min(across, down * aspect));
  return { tileWidth, tileHeight: tileWidth / aspect };
}

/** @param {number} tileWidth @param {number} tileHeight @param {number} x @param {number} y @param {number} width @param {number} height @returns {Rect} */
function centred(tileWidth, tileHeight, x, y, width, height) {
  return {
    x: Math.round(x + (width - tileWidth) / 2),
    y: Math.round(y + (height - tileHeight) / 2),
    width: Math.floor(tileWidth),
    height: Math.floor(tileHeight),
  };
}

/** @param {number} count @param {number} columns @param {number} tileWidth @param {number} tileHeight @param {number} gap @param {number} x @param {number} y @param {number} width @returns {Rect[]} */
function cells(count, columns, tileWidth, tileHeight, gap, x, y, width) {
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / columns);
    const inRow = Math.min(columns, count - row * columns);
    const left = x + (width - inRow * tileWidth - (inRow - 1) * gap) / 2;
    return {
      x: Math.round(left + (index % columns) * (tileWidth + gap)),
      y: Math.round(y + row * (tileHeight + gap)),
      width: Math.floor(tileWidth),
      height: Math.floor(tileHeight),
    };
  });
}

/**
 * How a picture goes into its tile: cropped while that costs at most a tenth of it, else whole.
 * @param {number} picture its width by its height
 * @param {number} tile the tile's
 * @returns {'cover' | 'contain'}
 */
export function fitting(picture, tile) {
  const kept = Math.min(picture, tile) / Math.max(picture, tile);
  return kept >= 0.9 ? 'cover' : 'contain';
}

/** Heights that `show` names, so that a tile that grows by a pixel asks for nothing new. */
const HEIGHTS = [90, 180, 270, 360, 540, 720, 1080];

/**
 * What to ask for, to fill a tile.
 * @param {number} height of the tile in device pixels
 */
export function wanted(height) {
  if (height <= 0) return 0;
  return HEIGHTS.find((step) => step >= height) ?? 1080;
}
