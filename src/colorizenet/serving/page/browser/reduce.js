/**
 * Reduce a picture by area to the size of the network input, from strips of its rows.
 *
 * Results equal those of `colorizenet.imaging.resampling.resize` for 8-bit pictures,
 * whose averages OpenCV computes: each halving is rounded, as is the last step.
 */

import { clip, roundHalfEven } from "./numbers.js";

/**
 * @typedef {{ top: number, bottom: number, left: number, right: number }} Box
 * Part of a picture in pixels; `bottom` and `right` are outside.
 * @typedef {{ width: number, height: number,
 *   read: (left: number, top: number, width: number, height: number) => Uint8ClampedArray
 * }} Source
 * A picture of which parts can be read, as RGBA.
 * @typedef {{ width: number, height: number, rgba: Uint8ClampedArray }} Picture
 * @typedef {{ starts: Int32Array, sources: Int32Array, weights: Float32Array }} AreaTable
 * For each pixel of a result, from `starts[i]` on: the pixels it covers and their shares.
 */

const STRIP_PIXELS = 1 << 20;

/**
 * Compute the size of the network input: the short side is `short`, the aspect is kept.
 * @param {number} height
 * @param {number} width
 * @param {number} short
 * @param {number} multiple both sides are multiples of it
 * @returns {[number, number]} height and width
 */
export function computeNetworkShape(height, width, short, multiple) {
  const area = 2 * short ** 2;
  const scale = Math.min(short / Math.min(height, width), (area / (height * width)) ** 0.5);
  const [down, across] = [height, width].map((side) =>
    Math.max(multiple, roundHalfEven((side * scale) / multiple) * multiple),
  );
  const most = Math.floor(Math.floor(area / Math.min(down, across)) / multiple) * multiple;
  const longest = Math.max(multiple, most);
  return [Math.min(down, longest), Math.min(across, longest)];
}

/**
 * Resize a part of a picture: down by area, up by cubic interpolation.
 * @param {Source} source
 * @param {Box} box
 * @param {number} height
 * @param {number} width
 * @param {() => Promise<void>} [pause] called between strips; may throw to stop
 * @returns {Promise<Picture>}
 */
export async function reducePicture(source, box, height, width, pause = async () => {}) {
  const [boxHeight, boxWidth] = [box.bottom - box.top, box.right - box.left];
  if (height > boxHeight || width > boxWidth) {
    // Such a picture is small in one direction at least.
    const rgba = source.read(box.left, box.top, boxWidth, boxHeight);
    return resizePicture({ width: boxWidth, height: boxHeight, rgba }, height, width);
  }
  let halvings = 0;
  let [down, across] = [boxHeight, boxWidth];
  while (down >= 4 * height && across >= 4 * width && down % 2 === 0 && across % 2 === 0) {
    [down, across] = [down / 2, across / 2];
    halvings++;
  }
  const unit = 1 << halvings;
  const rows = Math.max(1, Math.floor(STRIP_PIXELS / boxWidth / unit)) * unit;
  const accumulator = new AreaAccumulator(down, across, height, width);
  for (let top = 0; top < boxHeight; top += rows) {
    const count = Math.min(rows, boxHeight - top);
    let strip = source.read(box.left, box.top + top, boxWidth, count);
    for (let n = 0; n < halvings; n++) strip = halve(strip, boxWidth >> n, count >> n);
    accumulator.add(strip, count >> halvings);
    await pause();
  }
  return accumulator.finish();
}

/**
 * Halve a picture whose sides are even. Averages are rounded, halves up.
 * @param {Uint8ClampedArray} rgba
 * @param {number} width
 * @param {number} height
 * @returns {Uint8ClampedArray}
 */
function halve(rgba, width, height) {
  const halved = new Uint8ClampedArray(width * height);
  const line = 4 * width;
  for (let y = 0, to = 0; y < height; y += 2) {
    for (let x = 0, at = y * line; x < width; x += 2, at += 8, to += 4) {
      for (let c = 0; c < 3; c++) {
        const above = rgba[at + c] + rgba[at + 4 + c];
        halved[to + c] = (above + rgba[at + line + c] + rgba[at + line + 4 + c] + 2) >> 2;
      }
    }
  }
  return halved;
}

/**
 * Which pixels of a line of `from` pixels each of `to` pixels covers, as OpenCV does.
 * @param {number} from
 * @param {number} to
 * @returns {AreaTable}
 */
function makeAreaTable(from, to) {
  const scale = from / to;
  const starts = new Int32Array(to + 1);
  /** @type {number[]} */
  const sources = [];
  /** @type {number[]} */
  const weights = [];
  for (let i = 0; i < to; i++) {
    starts[i] = sources.length;
    const begin = i * scale;
    const end = begin + scale;
    const cell = Math.min(scale, from - begin);
    const last = Math.min(Math.floor(end), from - 1);
    const first = Math.min(Math.ceil(begin), last);
    if (first - begin > 1e-3) {
      sources.push(first - 1);
      weights.push((first - begin) / cell);
    }
    for (let source = first; source < last; source++) {
      sources.push(source);
      weights.push(1 / cell);
    }
    if (end - last > 1e-3) {
      sources.push(last);
      weights.push(Math.min(end - last, 1, cell) / cell);
    }
  }
  starts[to] = sources.length;
  return { starts, sources: Int32Array.from(sources), weights: Float32Array.from(weights) };
}

/** Averages over rectangles of pixels, of a picture that comes row by row. */
class AreaAccumulator {
  /**
   * @param {number} fromHeight
   * @param {number} fromWidth
   * @param {number} height
   * @param {number} width
   */
  constructor(fromHeight, fromWidth, height, width) {
    this.fromWidth = fromWidth;
    this.height = height;
    this.width = width;
    const [down, across] = [fromHeight / height, fromWidth / width];
    this.block = Number.isInteger(down) && Number.isInteger(across) ? down * across : 0;
    this.halves = down === 2 && across === 2;
    this.across = makeAreaTable(fromWidth, width);
    this.down = invertTable(makeAreaTable(fromHeight, height), fromHeight);
    this.sums = new Float64Array(3 * width * height);
    this.line = new Float64Array(3 * width);
    this.row = 0;
  }

  /**
   * Add the next rows.
   * @param {Uint8ClampedArray} rgba
   * @param {number} count
   */
  add(rgba, count) {
    for (let y = 0; y < count; y++, this.row++) {
      this.narrow(rgba, 4 * y * this.fromWidth);
      for (const [target, weight] of this.down[this.row] ?? []) {
        const share = this.block ? 1 : weight;
        const at = 3 * this.width * target;
        for (let i = 0; i < this.line.length; i++) {
          this.sums[at + i] += share * this.line[i];
        }
      }
    }
  }

  /**
   * Reduce the row that starts at a byte, into `line`.
   * @param {Uint8ClampedArray} rgba
   * @param {number} start
   */
  narrow(rgba, start) {
    const { starts, sources, weights } = this.across;
    const whole = this.block > 0;
    for (let x = 0, to = 0; x < this.width; x++, to += 3) {
      let [red, green, blue] = [0, 0, 0];
      const end = starts[x + 1];
      for (let n = starts[x]; n < end; n++) {
        const at = start + 4 * sources[n];
        const weight = whole ? 1 : weights[n];
        red += weight * rgba[at];
        green += weight * rgba[at + 1];
        blue += weight * rgba[at + 2];
      }
      this.line[to] = red;
      this.line[to + 1] = green;
      this.line[to + 2] = blue;
    }
  }

  /** @returns {Picture} */
  finish() {
    const rgba = new Uint8ClampedArray(4 * this.width * this.height).fill(255);
    const factor = Math.fround(1 / (this.block || 1));
    for (let i = 0, at = 0; i < this.sums.length; i += 3, at += 4) {
      for (let c = 0; c < 3; c++) {
        const value = Math.fround(this.sums[i + c] * factor);
        rgba[at + c] = this.halves ? Math.floor(value + 0.5) : roundHalfEven(value);
      }
    }
    return { width: this.width, height: this.height, rgba };
  }
}

/**
 * For each row of the source, the rows of the result that cover it and its share there.
 * @param {AreaTable} table
 * @param {number} from
 * @returns {[number, number][][]}
 */
function invertTable({ starts, sources, weights }, from) {
  /** @type {[number, number][][]} */
  const targets = Array.from({ length: from }, () => []);
  for (let target = 0; target + 1 < starts.length; target++) {
    const end = starts[target + 1];
    for (let n = starts[target]; n < end; n++) {
      const source = sources[n];
      targets[source]?.push([target, weights[n]]);
    }
  }
  return targets;
}

/**
 * Reduce a plane of numbers by area.
 * @param {Float32Array} plane
 * @param {number} fromHeight
 * @param {number} fromWidth
 * @param {number} height
 * @param {number} width
 * @returns {Float32Array}
 */
export function reducePlane(plane, fromHeight, fromWidth, height, width) {
  const [across, down] = [makeAreaTable(fromWidth, width), makeAreaTable(fromHeight, height)];
  const reduced = new Float32Array(height * width);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to++) {
      let sum = 0;
      for (let n = down.starts[y]; n < down.starts[y + 1]; n++) {
        const line = down.sources[n] * fromWidth;
        for (let m = across.starts[x]; m < across.starts[x + 1]; m++) {
          sum += down.weights[n] * across.weights[m] * plane[line + across.sources[m]];
        }
      }
      reduced[to] = sum;
    }
  }
  return reduced;
}

/**
 * Resize a small picture of which at least one side grows.
 *
 * OpenCV's area method interpolates between two pixels where a side grows, and is used
 * where the number of pixels shrinks.
 * @param {Picture} picture
 * @param {number} height
 * @param {number} width
 * @returns {Picture}
 */
export function resizePicture(picture, height, width) {
  const shrinks = height * width < picture.height * picture.width;
  const make = shrinks ? makeLinearTaps : makeCubicTaps;
  const across = make(picture.width, width);
  const down = make(picture.height, height);
  const wide = new Float64Array(3 * width * picture.height);
  for (let y = 0, to = 0; y < picture.height; y++) {
    for (const taps of across) {
      for (let c = 0; c < 3; c++, to++) {
        wide[to] = taps.reduce(
          (sum, [source, weight]) =>
            sum + weight * picture.rgba[4 * (y * picture.width + source) + c],
          0,
        );
      }
    }
  }
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let y = 0, to = 0; y < height; y++) {
    const taps = down[y];
    for (let x = 0; x < width; x++, to += 4) {
      for (let c = 0; c < 3; c++) {
        const value = taps.reduce(
          (sum, [source, weight]) =>
            sum + weight * wide[3 * (source * width + x) + c],
          0,
        );
        rgba[to + c] = roundHalfEven(value);
      }
    }
  }
  return { width, height, rgba };
}

/**
 * @param {number} from
 * @param {number} to
 * @returns {[number, number][][]} for each result, the pixels that count and their weights
 */
function makeLinearTaps(from, to) {
  return Array.from({ length: to }, (_, i) => {
    const first = Math.floor((i * from) / to);
    const rest = i + 1 - ((first + 1) * to) / from;
    const share = rest <= 0 || first >= from - 1 ? 0 : rest - Math.floor(rest);
    const start = clip(first, 0, from - 1);
    return [
      [start, 1 - share],
      [Math.min(start + 1, from - 1), share],
    ];
  });
}

/**
 * @param {number} from
 * @param {number} to
 * @returns {[number, number][][]} for each result, the pixels that count and their weights
 */
function makeCubicTaps(from, to) {
  return Array.from({ length: to }, (_, i) => {
    const position = (i + 0.5) * (from / to) - 0.5;
    const first = Math.floor(position);
    return computeCubicWeights(position - first).map((weight, tap) => [
      clip(first - 1 + tap, 0, from - 1),
      weight,
    ]);
  });
}

/**
 * The weights of four neighbors in cubic interpolation with OpenCV's coefficient.
 * @param {number} rest the distance from the second neighbor, 0..1
 * @returns {[number, number, number, number]}
 */
export function computeCubicWeights(rest) {
  const A = -0.75;
  /** @param {number} d */
  const near = (d) => (A + 2) * d ** 3 - (A + 3) * d ** 2 + 1;
  /** @param {number} d */
  const far = (d) => A * (d ** 3 - 5 * d ** 2 + 8 * d - 4);
  return [far(rest + 1), near(rest), near(1 - rest), far(2 - rest)];
}
