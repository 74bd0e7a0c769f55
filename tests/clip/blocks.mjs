// How a picture says which member it shows and which frame it is. README.md describes the layout.
//
// The functions stand alone, so that a test can hand their source text to a page.

/** Blocks in a row: eight bits of the member's number, eight of the frame counter. */
export const COLUMNS = 16;

/** The height of the picture in blocks. */
export const ROWS = 9;

/** The counter begins again after this many frames. */
export const FRAMES = 256;

/**
 * The upper row of blocks, from the left; the lower row is its opposite.
 *
 * @param {number} member 0 to 255
 * @param {number} frame any count; its low eight bits are shown
 * @returns {boolean[]} true for white
 */
export function bits(member, frame) {
  const word = ((member & 255) << 8) | (frame & 255);
  return Array.from({ length: 16 }, (_, column) => ((word >> (15 - column)) & 1) === 1);
}

/**
 * Draws both rows onto a canvas that already shows a picture.
 *
 * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context
 * @param {number} member
 * @param {number} frame
 */
export function draw(context, member, frame) {
  const { width, height } = context.canvas;
  const word = ((member & 255) << 8) | (frame & 255);
  for (let column = 0; column < 16; column++) {
    const white = ((word >> (15 - column)) & 1) === 1;
    const left = Math.round((column * width) / 16);
    const right = Math.round(((column + 1) * width) / 16);
    for (let row = 0; row < 2; row++) {
      const top = Math.round((row * height) / 9);
      const bottom = Math.round(((row + 1) * height) / 9);
      context.fillStyle = white === (row === 0) ? '#fff' : '#000';
      context.fillRect(left, top, right - left, bottom - top);
    }
  }
}

/**
 * Reads both rows.
 *
 * @param {(x: number, y: number) => number} brightness 0 to 255, at a place in units of the picture's size
 * @returns {{member: number, frame: number} | null} null where the picture says nothing
 */
export function read(brightness) {
  let word = 0;
  for (let column = 0; column < 16; column++) {
    const x = (column + 0.5) / 16;
    const difference = brightness(x, 0.5 / 9) - brightness(x, 1.5 / 9);
    if (Math.abs(difference) < 64) return null;
    word = (word << 1) | (difference > 0 ? 1 : 0);
  }
  return { member: word >> 8, frame: word & 255 };
}

/**
 * Reads both rows of a picture of RGBA pixels, such as `getImageData` gives.
 *
 * @param {{data: ArrayLike<number>, width: number, height: number}} image
 */
export function readImage(image) {
  return read((x, y) => {
    const at = 4 * (Math.floor(y * image.height) * image.width + Math.floor(x * image.width));
    return 0.299 * image.data[at] + 0.587 * image.data[at + 1] + 0.114 * image.data[at + 2];
  });
}

/**
 * Reads both rows of a plane of brightness, such as the Y of I420 or GRAY8.
 *
 * @param {ArrayLike<number>} plane
 * @param {number} width
 * @param {number} height
 * @param {number} [stride] bytes in a row
 */
export function readPlane(plane, width, height, stride = width) {
  return read((x, y) => plane[Math.floor(y * height) * stride + Math.floor(x * width)]);
}
