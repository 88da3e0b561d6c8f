/**
 * Find the uniform borders of scans, which are left out of the network input.
 *
 * As `colorizenet.imaging.borders`: a border varies no more than scanner noise does, and
 * it ends in a straight, sharp edge along most of the photo. It may consist of layers.
 */

import { clip, roundHalfEven } from "./numbers.js";

/**
 * @typedef {import("./reduce.js").Box} Box
 * @typedef {{ edge: number, rise: number, margin: number, outer: number, inner: number,
 *   lightness: number }} Side
 * The border along one side, in fractions of the picture's height or width: where it ends
 * in the middle of the side, how much farther in at the end of the side, how far the true
 * end may be from there, up to where there is only border, and from where on only photo.
 * @typedef {[Side, Side, Side, Side]} Border Top, bottom, left and right.
 * @typedef {{ lines: number, length: number, values: Float32Array }} View
 * Lines that begin at a side of the picture.
 * @typedef {{ first: number, last: number, slope: number, length: number,
 *   lightness: number }} Edge
 * The edge of one layer in pixels: the first pixel, in the middle of a side, that may not
 * be border, and the first that must be photo.
 */

/** Lightness that differs less from that of the border, in L*, may be noise. */
export const TOLERANCE = 4;

const SMALLEST_SIDE = 32;
const LAYERS = 4;
const LARGEST_SHARE = 0.45;
const SMALLEST_PHOTO = 0.4;
const THINNEST = 1.5;
const UNIFORM = 0.85;
const STRAIGHT = 0.5;
const EARLY = 0.05;
const SHARP = 2 * TOLERANCE;
const DARK = 12;
const BRIGHT = 90;
const SLOPES = [0, ...[1, 2, 3, 4, 5, 6].flatMap((n) => [n / 200, -n / 200])];

/** @type {Side} */
const NONE = { edge: 0, rise: 0, margin: 0, outer: 0, inner: 0, lightness: 0 };

/**
 * The part of a picture that the network gets: all without a border.
 * @param {Border | null} border
 * @param {number} height
 * @param {number} width
 * @returns {Box}
 */
export function locatePhoto(border, height, width) {
  if (!border) return { top: 0, bottom: height, left: 0, right: width };
  const [top, bottom, left, right] = border.map((side) => side.inner);
  return {
    top: roundHalfEven(top * height),
    bottom: height - roundHalfEven(bottom * height),
    left: roundHalfEven(left * width),
    right: width - roundHalfEven(right * width),
  };
}

/**
 * The part of a picture outside of which there is only border.
 * @param {Border} border
 * @param {number} height
 * @param {number} width
 * @returns {Box}
 */
export function locateOuter(border, height, width) {
  const [top, bottom, left, right] = border.map((side) => side.outer);
  return {
    top: Math.floor(top * height),
    bottom: height - Math.floor(bottom * height),
    left: Math.floor(left * width),
    right: width - Math.floor(right * width),
  };
}

/**
 * Find the border of a picture, or null where it has none.
 * @param {Float32Array} lightness L* of the picture at the size of a network input
 * @param {number} height of `lightness`
 * @param {number} width of `lightness`
 * @param {number} shortSide of the picture itself
 * @returns {Border | null}
 */
export function findBorder(lightness, height, width, shortSide) {
  if (shortSide < SMALLEST_SIDE) return null;
  const plane = { height, width, values: lightness };
  const outermost = cutViews(plane, [0, 0, 0, 0]).map((view) => transposeStart(view, 3));
  if (!outermost.some((lines) => measureLines(lines).uniform.some(Boolean))) return null;
  /** @type {Side[]} */
  let found = [NONE, NONE, NONE, NONE];
  for (let n = 0; n < LAYERS; n++) {
    const layer = findLayer(plane, found);
    if (!layer.some(Boolean)) break;
    found = found.map((side, number) => layer[number] ?? side);
  }
  if (!found.some((side) => side.inner)) return null;
  const scaled = found.map((side, number) => {
    const length = number < 2 ? height : width;
    return {
      edge: side.edge / length,
      rise: side.rise / length,
      margin: side.margin / length,
      outer: side.outer / length,
      inner: side.inner / length,
      lightness: side.lightness,
    };
  });
  return /** @type {Border} */ (scaled);
}

/**
 * The lines that begin at the top, the bottom, the left and the right of a part.
 * @param {{ height: number, width: number, values: Float32Array }} plane
 * @param {number[]} starts lines left out at the top, the bottom, the left and the right
 * @returns {View[]}
 */
function cutViews({ height, width, values }, [top, bottom, left, right]) {
  const [rows, columns] = [height - top - bottom, width - left - right];
  /**
   * @param {number} lines
   * @param {number} length
   * @param {(line: number, depth: number) => number} index
   */
  const cut = (lines, length, index) => {
    const view = new Float32Array(lines * length);
    for (let line = 0, to = 0; line < lines; line++) {
      for (let depth = 0; depth < length; depth++, to++) view[to] = values[index(line, depth)];
    }
    return { lines, length, values: view };
  };
  return [
    cut(columns, rows, (line, depth) => (top + depth) * width + left + line),
    cut(columns, rows, (line, depth) => (height - bottom - 1 - depth) * width + left + line),
    cut(rows, columns, (line, depth) => (top + line) * width + left + depth),
    cut(rows, columns, (line, depth) => (top + line) * width + width - right - 1 - depth),
  ];
}

/**
 * The first `count` pixels of all lines of a view, as lines of their own.
 * @param {View} view
 * @param {number} count
 * @returns {View}
 */
function transposeStart({ lines, length, values }, count) {
  const kept = Math.min(count, length);
  const turned = new Float32Array(kept * lines);
  for (let depth = 0, to = 0; depth < kept; depth++) {
    for (let line = 0; line < lines; line++, to++) turned[to] = values[line * length + depth];
  }
  return { lines: kept, length: lines, values: turned };
}

/**
 * The median L* of each line, and whether the line has this lightness almost everywhere.
 * @param {View} view
 * @returns {{ levels: number[], uniform: boolean[] }}
 */
function measureLines({ lines, length, values }) {
  const levels = [];
  const uniform = [];
  for (let line = 0; line < lines; line++) {
    const sorted = values.slice(line * length, (line + 1) * length).sort();
    const level = sorted[length >> 1];
    const near = sorted.reduce(
      (sum, value) => sum + (Math.abs(Math.fround(value - level)) <= TOLERANCE ? 1 : 0),
      0,
    );
    levels.push(level);
    uniform.push(near >= UNIFORM * length);
  }
  return { levels, uniform };
}

/**
 * The sides that have one layer more than those found so far.
 * @param {{ height: number, width: number, values: Float32Array }} plane
 * @param {Side[]} found
 * @returns {(Side | null)[]}
 */
function findLayer(plane, found) {
  const starts = found.map((side) => Math.ceil(side.inner));
  const views = cutViews(plane, starts);
  const room = views.map((view, number) => {
    const length = number < 2 ? plane.height : plane.width;
    return Math.min(
      LARGEST_SHARE * length - starts[number],
      view.length - SMALLEST_PHOTO * length,
    );
  });
  const thinnest = starts.map((start) => (start ? 1 : THINNEST));
  const edges = views.map((view, number) => findEdge(view, room[number], thinnest[number]));
  edges.forEach((edge, number) => {
    const between = edge && edge.lightness > DARK && edge.lightness < BRIGHT;
    // A wall, a floor or a sky.
    if (edge && between && findSimilar(edges, edge).length < 2) edges[number] = null;
  });
  views.forEach((view, number) => {
    let limit = room[number];
    for (let other = 0; other < edges.length; other++) {
      const edge = edges[other];
      const similar = edge ? findSimilar(edges, edge) : [];
      if (edges[number] === null && similar.length >= 2) {
        limit = Math.min(limit, 1.5 * Math.max(...similar.map((each) => each.last)));
        edges[number] = findEdge(view, limit, thinnest[number], similar[0].lightness);
      }
    }
  });
  const [top, bottom, left, right] = starts;
  const crosswise = [[left, right], [left, right], [top, bottom], [top, bottom]];
  return edges.map((edge, number) => {
    const [before, after] = crosswise[number];
    return edge && makeSide(edge, starts[number], before, after);
  });
}

/**
 * The edges of borders of the same lightness, `edge` itself included.
 * @param {(Edge | null)[]} edges
 * @param {Edge} edge
 * @returns {Edge[]}
 */
function findSimilar(edges, edge) {
  return edges
    .filter((each) => each !== null)
    .filter((each) => Math.abs(each.lightness - edge.lightness) < 2 * TOLERANCE);
}

/**
 * The side of a picture that has an edge in a part of it.
 * @param {Edge} edge
 * @param {number} start where the part begins
 * @param {number} before lines of the picture before the part
 * @param {number} after lines of the picture after the part
 * @returns {Side}
 */
function makeSide(edge, start, before, after) {
  const turn = (Math.abs(edge.slope) * edge.length) / 2;
  const middle = start + (edge.first + edge.last) / 2;
  return {
    edge: middle + (edge.slope * (after - before)) / 2,
    rise: edge.slope * (before + edge.length + after),
    margin: (edge.last - edge.first) / 2,
    outer: Math.max(0, start + edge.first - turn),
    inner: middle + turn,
    lightness: edge.lightness,
  };
}

/**
 * Find where the border ends that the lines of a view begin with, if there is one.
 * @param {View} view
 * @param {number} room most pixels that it may take
 * @param {number} thinnest fewest pixels that it may take
 * @param {number | null} [expected] L* of the border of other sides; such a border may end
 *   where almost all lines still have it, as next to a sky of the same lightness
 * @returns {Edge | null}
 */
function findEdge(view, room, thinnest, expected = null) {
  const { lines, length, values } = view;
  // The outermost pixels may be mixed with the background of the scanner.
  const { levels, uniform } = measureLines(transposeStart(view, 3));
  const skip = uniform.indexOf(true);
  if (skip < 0) return null;
  const level = levels[skip];
  /** @param {number} at */
  const isOff = (at) => Math.abs(Math.fround(values[at] - level)) > TOLERANCE;
  /** @type {{ line: number, depth: number }[]} */
  const ends = [];
  for (let line = 0; line < lines; line++) {
    for (let depth = skip; depth + 1 < length; depth++) {
      const at = line * length + depth;
      if (isOff(at) && isOff(at + 1)) {
        ends.push({ line, depth });
        break;
      }
    }
  }
  if (!ends.length) return null;
  if (expected !== null) {
    if (Math.abs(level - expected) > 2 * TOLERANCE) return null;
    const sorted = ends.map((end) => end.depth).sort((one, other) => one - other);
    const low = sorted[Math.floor(EARLY * sorted.length)] - 0.5;
    const high = low + 3; // which lines end here, and which are photo, is not certain
    return low >= thinnest && high <= room
      ? { first: low, last: high, slope: 0, length: lines, lightness: level }
      : null;
  }
  if (ends.length < SMALLEST_PHOTO * lines) return null;
  const points = ends.map(({ line, depth }) => ({ line, depth, position: line - (lines - 1) / 2 }));
  const [slope, fitted] = fitEdge(points);
  const rest = points.map(({ depth, position }) => depth - slope * position);
  const early = rest.filter((value) => value < fitted - 1.5).length;
  if (early > EARLY * points.length) return null;
  /** @type {number[]} */
  const sharp = [];
  points.forEach(({ line, depth }, n) => {
    const start = line * length;
    const later = values[start + Math.min(depth + 2, length - 1)];
    const isSharp = Math.abs(Math.fround(later - level)) > SHARP;
    if (!isSharp || Math.abs(rest[n] - fitted) > 1.5) return;
    // The first pixel is a mixture of the border and of a photo like the second one.
    const mixed = values[start + depth] - level;
    const pure = values[start + depth + 1] - level;
    sharp.push(rest[n] + 1 - clip(mixed / pure, 0, 1));
  });
  if (sharp.length < STRAIGHT * points.length) return null;
  sharp.sort((one, other) => one - other);
  const few = Math.floor(sharp.length / 10);
  const middle = sharp[sharp.length >> 1];
  const margin =
    0.1 + Math.max(middle - sharp[few], sharp[sharp.length - 1 - few] - middle);
  const [low, high] = [middle - margin, middle + margin];
  const turn = (Math.abs(slope) * lines) / 2;
  return low >= thinnest && high + turn <= room
    ? { first: low, last: high, slope, length: lines, lightness: level }
    : null;
}

/**
 * The slope and the offset of the straight line that most points are on. A line that
 * rises by less than a pixel has no slope.
 * @param {{ depth: number, position: number }[]} points
 * @returns {[number, number]}
 */
function fitEdge(points) {
  let [slope, middle, most] = [0, 0, 0];
  for (const tried of SLOPES) {
    const rounded = points.map(({ depth, position }) => roundHalfEven(depth - tried * position));
    const shift = Math.min(...rounded);
    const counts = new Array(Math.max(...rounded) - shift + 3).fill(0);
    for (const value of rounded) {
      for (const near of [0, 1, 2]) counts[value - shift + near]++;
    }
    const best = Math.max(...counts);
    const votes = best - (tried ? 0.1 * points.length : 0);
    if (votes > most) {
      [slope, middle, most] = [tried, counts.indexOf(best) - 1 + shift, votes];
    }
    if (most > 0.9 * points.length) break; // without slope
  }
  const near = points.filter(
    ({ depth, position }) => Math.abs(depth - slope * position - middle) < 3,
  );
  const meanPosition = near.reduce((sum, each) => sum + each.position, 0) / near.length;
  const meanDepth = near.reduce((sum, each) => sum + each.depth, 0) / near.length;
  let [xx, xy, yy] = [0, 0, 0];
  for (const { depth, position } of near) {
    const [x, y] = [position - meanPosition, depth - meanDepth];
    xx += x * x;
    xy += x * y;
    yy += y * y;
  }
  const fitted = xy / Math.max(xx, 1);
  const explained = fitted * xy > 0.5 * yy;
  if (Math.abs(fitted) * points.length < 1 || !explained) return [0, middle];
  return [fitted, meanDepth - fitted * meanPosition];
}
