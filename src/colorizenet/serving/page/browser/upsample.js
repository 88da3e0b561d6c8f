/**
 * Upsample small chroma to the size of a photo, along the edges of its lightness.
 *
 * `up(ab) + gain * up(slope) * (L - up(L_small))`, as `colorizenet.upsample` does: cubic
 * interpolation, plus the local slope of chroma against lightness times the lightness
 * detail that the small picture could not hold. Rows are computed in strips.
 */

import { TOLERANCE, locateOuter, locatePhoto } from "./borders.js";
import { clip } from "./numbers.js";
import { computeCubicWeights } from "./reduce.js";

/**
 * @typedef {import("./borders.js").Border} Border
 * @typedef {{ height: number, width: number, a: Float32Array, b: Float32Array,
 *   lightness: Float32Array, border: Border | null }} Chroma
 * A network's answer, and L* at the same size, without the border of the photo.
 */

const GAIN = 0.7;
const RIDGE = 30;

/** The chroma of one photo, computed for any of its rows. */
export class EdgeUpsampler {
  /**
   * @param {Chroma} chroma
   * @param {number} height of the photo
   * @param {number} width of the photo
   */
  constructor(chroma, height, width) {
    this.height = height;
    this.width = width;
    this.smallHeight = chroma.height;
    this.border = chroma.border;
    this.box = locatePhoto(chroma.border, height, width);
    const slopes = [chroma.a, chroma.b].map((plane) => computeSlope(plane, chroma));
    for (const slope of slopes) {
      for (let i = 0; i < slope.length; i++) slope[i] *= GAIN;
    }
    this.wide = [chroma.a, chroma.b, ...slopes, chroma.lightness].map((plane) =>
      widen(plane, chroma.height, chroma.width, this.box, width),
    );
  }

  /**
   * Compute the chroma of some rows from their lightness.
   * @param {Float32Array} lightness `count` rows of L*
   * @param {number} top number of the first row
   * @param {number} count number of rows
   * @param {Float32Array} a receives a*
   * @param {Float32Array} b receives b*
   */
  computeRows(lightness, top, count, a, b) {
    const { width, box, smallHeight } = this;
    const [wideA, wideB, wideSlopeA, wideSlopeB, wideL] = this.wide;
    const boxHeight = box.bottom - box.top;
    for (let y = 0; y < count; y++) {
      const row = clip(top + y - box.top, 0, boxHeight - 1);
      const position = (row + 0.5) * (smallHeight / boxHeight) - 0.5;
      const first = Math.floor(position);
      const [w0, w1, w2, w3] = computeCubicWeights(position - first).map(Math.fround);
      const [r0, r1, r2, r3] = [-1, 0, 1, 2].map(
        (tap) => clip(first + tap, 0, smallHeight - 1) * width,
      );
      const start = y * width;
      for (let x = 0; x < width; x++) {
        const [i0, i1, i2, i3] = [r0 + x, r1 + x, r2 + x, r3 + x];
        const detail =
          lightness[start + x] -
          (w0 * wideL[i0] + w1 * wideL[i1] + w2 * wideL[i2] + w3 * wideL[i3]);
        const slopeA =
          w0 * wideSlopeA[i0] + w1 * wideSlopeA[i1] + w2 * wideSlopeA[i2] + w3 * wideSlopeA[i3];
        const slopeB =
          w0 * wideSlopeB[i0] + w1 * wideSlopeB[i1] + w2 * wideSlopeB[i2] + w3 * wideSlopeB[i3];
        a[start + x] =
          w0 * wideA[i0] + w1 * wideA[i1] + w2 * wideA[i2] + w3 * wideA[i3] + slopeA * detail;
        b[start + x] =
          w0 * wideB[i0] + w1 * wideB[i1] + w2 * wideB[i2] + w3 * wideB[i3] + slopeB * detail;
      }
    }
    if (this.border) this.fadeBorder(this.border, lightness, top, count, a, b);
  }

  /**
   * Remove the chroma of the border. Close to an edge, where border and photo may be
   * mixed, only pixels of the lightness of the border lose theirs.
   * @param {Border} border
   * @param {Float32Array} lightness
   * @param {number} top
   * @param {number} count
   * @param {Float32Array} a
   * @param {Float32Array} b
   */
  fadeBorder(border, lightness, top, count, a, b) {
    const { width, height, box } = this;
    const outer = locateOuter(border, height, width);
    const margins = border.map((side, n) => Math.ceil(side.margin * (n < 2 ? height : width)));
    /** @type {[number, number, number, number][]} first and last row, first and last column */
    const bands = [
      [outer.top, box.top + margins[0], 0, width],
      [box.bottom - margins[1], outer.bottom, 0, width],
      [0, height, outer.left, box.left + margins[2]],
      [0, height, box.right - margins[3], outer.right],
    ];
    for (let y = top; y < top + count; y++) {
      const start = (y - top) * width;
      if (y < outer.top || y >= outer.bottom) {
        a.fill(0, start, start + width);
        b.fill(0, start, start + width);
        continue;
      }
      for (const plane of [a, b]) {
        plane.fill(0, start, start + outer.left);
        plane.fill(0, start + outer.right, start + width);
      }
      bands.forEach(([first, last, left, right], number) => {
        if (y < first || y >= last) return;
        const side = border[number];
        const down = (y + 0.5) / height;
        for (let x = Math.max(left, 0); x < Math.min(right, width); x++) {
          const across = (x + 0.5) / width;
          const depth = [down, 1 - down, across, 1 - across][number];
          const along = number < 2 ? across : down;
          const inside = depth - side.edge - side.rise * (along - 0.5);
          const difference = Math.abs(lightness[start + x] - side.lightness);
          let weight = clip(difference / TOLERANCE - 1, 0, 1);
          if (inside < -side.margin) weight = 0;
          if (inside > side.margin) weight = 1;
          a[start + x] *= weight;
          b[start + x] *= weight;
        }
      });
    }
  }
}

/**
 * Compute how a plane of chroma changes with L* around each pixel: least squares over
 * 3 x 3 pixels, with a ridge that keeps it small where L* is flat.
 * @param {Float32Array} plane
 * @param {{ height: number, width: number, lightness: Float32Array }} guide
 * @returns {Float32Array}
 */
export function computeSlope(plane, { height, width, lightness }) {
  /** @param {Float32Array} values */
  const blur = (values) => blurPlane(values, height, width);
  const meanL = blur(lightness);
  const meanSquare = blur(lightness.map((value) => value * value));
  const mean = blur(plane);
  const meanProduct = blur(plane.map((value, i) => value * lightness[i]));
  return mean.map((value, i) => {
    // In single precision, as NumPy: the differences are small.
    const covariance = Math.fround(meanProduct[i] - Math.fround(value * meanL[i]));
    const variance = Math.fround(meanSquare[i] - Math.fround(meanL[i] * meanL[i]));
    return covariance / Math.fround(Math.max(variance, 0) + RIDGE);
  });
}

/**
 * The mean over 3 x 3 pixels; edges are repeated.
 * @param {Float32Array} plane
 * @param {number} height
 * @param {number} width
 * @returns {Float32Array}
 */
function blurPlane(plane, height, width) {
  const sums = new Float64Array(plane.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      sums[i] = plane[x > 0 ? i - 1 : i] + plane[i] + plane[x < width - 1 ? i + 1 : i];
    }
  }
  const blurred = new Float32Array(plane.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const above = sums[y > 0 ? i - width : i];
      const below = sums[y < height - 1 ? i + width : i];
      blurred[i] = (above + sums[i] + below) / 9;
    }
  }
  return blurred;
}

/**
 * Interpolate the rows of a small plane to the width of a photo. Outside of the box, the
 * edges are repeated.
 * @param {Float32Array} plane
 * @param {number} height
 * @param {number} small the width of the plane
 * @param {import("./reduce.js").Box} box
 * @param {number} width
 * @returns {Float32Array}
 */
function widen(plane, height, small, box, width) {
  const wide = new Float32Array(height * width);
  const boxWidth = box.right - box.left;
  for (let x = 0; x < width; x++) {
    const column = clip(x - box.left, 0, boxWidth - 1);
    const position = Math.fround((column + 0.5) * (small / boxWidth) - 0.5);
    const first = Math.floor(position);
    const [w0, w1, w2, w3] = computeCubicWeights(position - first).map(Math.fround);
    const [c0, c1, c2, c3] = [-1, 0, 1, 2].map((tap) => clip(first + tap, 0, small - 1));
    for (let y = 0, from = 0, to = x; y < height; y++, from += small, to += width) {
      wide[to] =
        w0 * plane[from + c0] +
        w1 * plane[from + c1] +
        w2 * plane[from + c2] +
        w3 * plane[from + c3];
    }
  }
  return wide;
}
