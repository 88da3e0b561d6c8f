/**
 * Colors at given places: spread over a network's chroma, and enforced at full size.
 *
 * As `colorizenet.hints` for a model that does not say what is similar: residuals at the
 * hints are spread by a Gaussian process over lightness, predicted a* and b*, and place.
 * At full size, the disc of each hint then
 * gets its color exactly; where discs overlap, the nearest center counts.
 */

import { locatePhoto } from "./borders.js";
import { convertRgbToLab } from "./color.js";
import { clip } from "./numbers.js";

/**
 * @typedef {import("./upsample.js").Chroma} Chroma
 * @typedef {{ x: number, y: number, radius: number, ab: [number, number] }} PlacedHint
 * Position in fractions of the width and the height, radius as a fraction of the short
 * side, and the a* and b* of the color.
 */

const SCALES = [50, 28, 28, 1.2, 1.2];
const NEAR = 3;
const PLAUSIBLE = 20;
const NOISE = 0.03;
const SMALLEST_RADIUS = 1;
const RIM = 0.25;
const DEFAULT_RADIUS = 0.0125;
const FEATURES = 5;

/**
 * Hints as the page and hint files have them, in an order that does not depend on theirs.
 * @param {{ x: number, y: number, color: string | null, radius?: number }[]} hints
 * @returns {PlacedHint[]}
 */
export function placeHints(hints) {
  const placed = hints.map(({ x, y, color, radius = DEFAULT_RADIUS }) => ({
    x,
    y,
    radius,
    ab: convertColor(color),
  }));
  return placed.sort(
    (one, other) =>
      one.x - other.x ||
      one.y - other.y ||
      one.radius - other.radius ||
      one.ab[0] - other.ab[0] ||
      one.ab[1] - other.ab[1],
  );
}

/**
 * @param {string | null} color `#rrggbb`; null and "neutral" keep a place gray
 * @returns {[number, number]} a* and b*
 */
function convertColor(color) {
  if (color === null || color === "neutral") return [0, 0];
  const rgb = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255);
  const [, a, b] = convertRgbToLab(/** @type {[number, number, number]} */ (rgb));
  return [a, b];
}

/**
 * L* and the predicted a* and b* at a place. For a place in the border, those of the
 * nearest place of the photo.
 * @param {Chroma} chroma
 * @param {number} x fraction of the width of the photo
 * @param {number} y fraction of the height of the photo
 * @param {number} height of the photo
 * @param {number} width of the photo
 * @returns {[number, number, number]}
 */
export function sampleColor(chroma, x, y, height, width) {
  const box = locatePhoto(chroma.border, height, width);
  const across = clip((x * width - box.left) / (box.right - box.left), 0, 1) * chroma.width;
  const down = clip((y * height - box.top) / (box.bottom - box.top), 0, 1) * chroma.height;
  const planes = [chroma.lightness, chroma.a, chroma.b];
  const sampled = planes.map((plane) =>
    samplePlane(plane, chroma.height, chroma.width, across, down),
  );
  return /** @type {[number, number, number]} */ (sampled);
}

/**
 * A plane at a place in pixels, interpolated.
 * @param {Float32Array} plane
 * @param {number} height
 * @param {number} width
 * @param {number} x
 * @param {number} y
 * @returns {number}
 */
function samplePlane(plane, height, width, x, y) {
  const [column, row] = [clip(x - 0.5, 0, width - 1), clip(y - 0.5, 0, height - 1)];
  const left = Math.min(Math.floor(column), Math.max(0, width - 2));
  const above = Math.min(Math.floor(row), Math.max(0, height - 2));
  const [right, below] = [Math.min(left + 1, width - 1), Math.min(above + 1, height - 1)];
  const [across, down] = [column - left, row - above];
  /** @param {number} line */
  const mix = (line) =>
    plane[line * width + left] * (1 - across) + plane[line * width + right] * across;
  return mix(above) * (1 - down) + mix(below) * down;
}

/**
 * Make small chroma follow hints.
 * @param {Chroma} chroma the chroma to change, scaled by the strength
 * @param {Chroma} predicted the network's answer, which says what is similar
 * @param {PlacedHint[]} hints
 * @param {number} height of the photo
 * @param {number} width of the photo
 * @returns {Chroma}
 */
export function spreadResiduals(chroma, predicted, hints, height, width) {
  const box = locatePhoto(chroma.border, height, width);
  const places = hints
    .map((hint) => ({
      x: (hint.x * width - box.left) / (box.right - box.left),
      y: (hint.y * height - box.top) / (box.bottom - box.top),
      ab: hint.ab,
    }))
    .filter(({ x, y }) => x >= 0 && x <= 1 && y >= 0 && y <= 1)
    .map(({ x, y, ab }) => ({ x: x * chroma.width, y: y * chroma.height, ab }));
  if (!places.length) return chroma;
  const features = computeFeatures(predicted);
  const known = places.map(({ x, y }) =>
    features.map((plane) => samplePlane(plane, chroma.height, chroma.width, x, y)),
  );
  const residuals = places.map(({ x, y, ab }) =>
    [chroma.a, chroma.b].map(
      (plane, n) => ab[n] - samplePlane(plane, chroma.height, chroma.width, x, y),
    ),
  );
  const small = residuals.map(([a, b]) => {
    const factor = 1 / (1 + (Math.hypot(a, b) / PLAUSIBLE) ** 4);
    return [a * factor, b * factor];
  });
  const wide = new Regression(known, small, SCALES);
  const rest = residuals.map(([a, b], n) => {
    const [spreadA, spreadB] = wide.predict(known[n]);
    return [a - spreadA, b - spreadB];
  });
  const near = new Regression(
    known,
    rest,
    SCALES.map((scale) => scale / NEAR),
  );
  const result = { ...chroma, a: chroma.a.slice(), b: chroma.b.slice() };
  wide.add(features, result.a, result.b);
  near.add(features, result.a, result.b);
  return result;
}

/**
 * What makes two pixels similar: L*, predicted a* and b*, x and y in short sides.
 * @param {Chroma} predicted
 * @returns {Float32Array[]}
 */
function computeFeatures({ height, width, lightness, a, b }) {
  const unit = Math.min(height, width);
  const across = new Float32Array(height * width);
  const down = new Float32Array(height * width);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      across[i] = (x + 0.5) / unit;
      down[i] = (y + 0.5) / unit;
    }
  }
  return [lightness, a, b, across, down];
}

/** The mean of a Gaussian process with an exponential kernel, given some values. */
class Regression {
  /**
   * @param {number[][]} known features of each place
   * @param {number[][]} values two for each place
   * @param {number[]} scales of the features
   */
  constructor(known, values, scales) {
    this.scales = scales;
    this.known = known.map((features) => features.map((value, n) => value / scales[n]));
    const matrix = this.known.map((features) => this.known.map((other) => compare(features, other)));
    matrix.forEach((row, n) => {
      row[n] += NOISE;
    });
    this.weights = solve(matrix, values);
  }

  /**
   * The mean for the features of one place.
   * @param {number[]} features
   * @returns {[number, number]}
   */
  predict(features) {
    const scaled = features.map((value, n) => value / this.scales[n]);
    let [a, b] = [0, 0];
    this.known.forEach((known, n) => {
      const kernel = compare(scaled, known);
      a += kernel * this.weights[n][0];
      b += kernel * this.weights[n][1];
    });
    return [a, b];
  }

  /**
   * Add the mean for all pixels to planes of a* and b*.
   * @param {Float32Array[]} features
   * @param {Float32Array} a
   * @param {Float32Array} b
   */
  add(features, a, b) {
    const [f0, f1, f2, f3, f4] = features;
    const [s0, s1, s2, s3, s4] = this.scales.map((scale) => 1 / scale);
    const count = this.known.length;
    const known = Float64Array.from(this.known.flat());
    const weights = Float64Array.from(this.weights.flat());
    for (let i = 0; i < a.length; i++) {
      const [g0, g1, g2, g3, g4] = [f0[i] * s0, f1[i] * s1, f2[i] * s2, f3[i] * s3, f4[i] * s4];
      let [sumA, sumB] = [0, 0];
      for (let n = 0, at = 0; n < count; n++, at += FEATURES) {
        const d0 = g0 - known[at];
        const d1 = g1 - known[at + 1];
        const d2 = g2 - known[at + 2];
        const d3 = g3 - known[at + 3];
        const d4 = g4 - known[at + 4];
        const squared = d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3 + d4 * d4;
        const kernel = Math.exp(-Math.sqrt(squared));
        sumA += kernel * weights[2 * n];
        sumB += kernel * weights[2 * n + 1];
      }
      a[i] += sumA;
      b[i] += sumB;
    }
  }
}

/**
 * The similarity of scaled features, 0 to 1.
 * @param {number[]} one
 * @param {number[]} other
 * @returns {number}
 */
function compare(one, other) {
  return Math.exp(-Math.hypot(...one.map((value, n) => value - other[n])));
}

/**
 * Solve linear equations by elimination with pivots.
 * @param {number[][]} matrix
 * @param {number[][]} values
 * @returns {number[][]}
 */
function solve(matrix, values) {
  const rows = matrix.map((row, n) => [...row, ...values[n]]);
  const size = rows.length;
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column + 1; row < size; row++) {
      if (Math.abs(rows[row][column]) > Math.abs(rows[pivot][column])) pivot = row;
    }
    [rows[column], rows[pivot]] = [rows[pivot], rows[column]];
    for (let row = column + 1; row < size; row++) {
      const factor = rows[row][column] / rows[column][column];
      for (let n = column; n < rows[row].length; n++) rows[row][n] -= factor * rows[column][n];
    }
  }
  for (let column = size - 1; column >= 0; column--) {
    for (let n = size; n < rows[column].length; n++) {
      let value = rows[column][n];
      for (let other = column + 1; other < size; other++) {
        value -= rows[column][other] * rows[other][n];
      }
      rows[column][n] = value / rows[column][column];
    }
  }
  return rows.map((row) => row.slice(size));
}

/** The discs of hints in a picture, each with the color of its hint. */
export class Discs {
  /**
   * @param {PlacedHint[]} hints
   * @param {number} height
   * @param {number} width
   */
  constructor(hints, height, width) {
    /** @type {Map<string, { radius: number, x: number, y: number, colors: number[][] }>} */
    const places = new Map();
    for (const hint of hints) {
      const radius = Math.max(hint.radius * Math.min(height, width), SMALLEST_RADIUS);
      const [x, y] = [hint.x * width, hint.y * height];
      const key = `${radius} ${x} ${y}`;
      const place = places.get(key) ?? { radius, x, y, colors: [] };
      place.colors.push(hint.ab);
      places.set(key, place);
    }
    this.width = width;
    // Small discs first, for they count where the distances are equal.
    this.discs = [...places.values()]
      .sort((one, other) => one.radius - other.radius || one.x - other.x || one.y - other.y)
      .map(({ radius, x, y, colors }) => ({
        radius,
        x,
        y,
        ab: [0, 1].map((n) => colors.reduce((sum, ab) => sum + ab[n], 0) / colors.length),
      }));
  }

  /**
   * Change some rows of chroma.
   * @param {Float32Array} a
   * @param {Float32Array} b
   * @param {number} top number of the first row
   * @param {number} count number of rows
   */
  enforce(a, b, top, count) {
    const { width } = this;
    const reached = this.discs.filter(
      ({ y, radius }) => y + radius * (1 + RIM) + 2 > top && y - radius * (1 + RIM) < top + count,
    );
    if (!reached.length) return;
    const lowest = new Float32Array(count * width).fill(Infinity);
    const amount = new Float32Array(count * width);
    const wanted = [new Float32Array(count * width), new Float32Array(count * width)];
    for (const { radius, x, y, ab } of reached) {
      const reach = radius * (1 + RIM);
      const first = Math.max(0, Math.trunc(y - reach) - top);
      const last = Math.min(count, Math.trunc(y + reach) + 2 - top);
      const left = Math.max(0, Math.trunc(x - reach));
      const right = Math.min(width, Math.trunc(x + reach) + 2);
      for (let row = first; row < last; row++) {
        const down = top + row + 0.5 - y;
        for (let column = left; column < right; column++) {
          const across = column + 0.5 - x;
          const distance = Math.fround(Math.sqrt(down * down + across * across));
          // Pixels outside of all discs belong to the disc whose edge is nearest.
          const beyond = Math.max(distance - radius, 0);
          const rank = Math.fround(beyond > 0 ? beyond + 1e6 : distance);
          const i = row * width + column;
          if (rank >= lowest[i]) continue;
          lowest[i] = rank;
          amount[i] = clip(1 - beyond / (RIM * radius), 0, 1);
          [wanted[0][i], wanted[1][i]] = ab;
        }
      }
    }
    [a, b].forEach((plane, n) => {
      for (let i = 0; i < amount.length; i++) plane[i] += (wanted[n][i] - plane[i]) * amount[i];
    });
  }
}
