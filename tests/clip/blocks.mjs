// How a picture says whose it is and which frame it is. README.md describes the layout.

/** Blocks in a row: four bits of the member's number, twelve of the counter. */
export const COLUMNS = 16;

/** The counter begins again after so many. */
export const COUNTS = 4096;

/** The least difference in brightness, of 255, between a block and its opposite. */
const CONTRAST = 60;

/**
 * The upper row of blocks, from the left; the lower row is its opposite.
 *
 * @param {number} member 0 to 15
 * @param {number} counter 0 to 4095
 * @returns {boolean[]} true for white
 */
export function bits(member, counter) {
  const code = (member << 12) | counter;
  return Array.from({ length: COLUMNS }, (_, column) => ((code >> (15 - column)) & 1) === 1);
}

/**
 * Reads both rows of a plane of brightness, such as the Y of I420 or GRAY8.
 *
 * @param {ArrayLike<number>} plane
 * @param {number} width
 * @returns {{member: number, counter: number} | null} null where the picture says nothing
 */
export function read(plane, width) {
  const block = width / COLUMNS;
  let code = 0;
  for (let column = 0; column < COLUMNS; column++) {
    const x = Math.floor((column + 0.5) * block);
    const upper = plane[Math.floor(0.5 * block) * width + x];
    const lower = plane[Math.floor(1.5 * block) * width + x];
    if (Math.abs(upper - lower) < CONTRAST) return null;
    code = (code << 1) | (upper > lower ? 1 : 0);
  }
  return { member: code >> 12, counter: code & (COUNTS - 1) };
}
