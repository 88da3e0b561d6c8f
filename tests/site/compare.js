/**
 * Compares the modules of the page with the results that Python wrote; loaded by
 * test_vectors.py in a browser. Each function returns the largest difference, by name.
 */

/** @param {{ dtype: string, shape: number[], data: string }} encoded */
function decode({ dtype, data }) {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  return dtype === "uint8" ? bytes : new Float32Array(bytes.buffer);
}

function largest(one, other) {
  if (one.length !== other.length) return Infinity;
  let most = 0;
  for (let i = 0; i < one.length; i++) {
    const difference = Math.abs(one[i] - other[i]);
    if (!(difference <= most)) most = difference; // NaN counts
  }
  return most;
}

/** RGBA from RGB or gray. */
function expand(values, channels) {
  const count = values.length / channels;
  const rgba = new Uint8ClampedArray(4 * count).fill(255);
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = values[channels * i + (channels === 3 ? c : 0)];
  }
  return rgba;
}

function dropAlpha(rgba) {
  return rgba.filter((_, i) => i % 4 !== 3);
}

/** The planes of interleaved values. */
function split(values, channels) {
  return Array.from({ length: channels }, (_, c) =>
    values.filter((_value, i) => i % channels === c),
  );
}

function decodeChroma({ ab, lightness, border }) {
  const [a, b] = split(decode(ab), 2);
  const [height, width] = ab.shape;
  return { height, width, a, b, lightness: decode(lightness), border };
}

export async function compareColor(modules, vectors) {
  const { computeLightness, composePixels, convertRgbToLab, fadeToGamut } = modules.color;
  const pixels = decode(vectors.pixels);
  const lightness = new Float32Array(pixels.length / 3);
  computeLightness(expand(pixels, 3), lightness);
  const labs = [];
  for (let i = 0; i < pixels.length; i += 3) {
    labs.push(...convertRgbToLab([pixels[i] / 255, pixels[i + 1] / 255, pixels[i + 2] / 255]));
  }
  const lab = decode(vectors.lab);
  const composed = new Uint8ClampedArray((4 * lab.length) / 3);
  composePixels(...split(lab, 3), composed);
  const faded = [];
  for (let i = 0; i < lab.length; i += 24) faded.push(...fadeToGamut([...lab.slice(i, i + 3)]));
  return {
    lightness: largest(lightness, decode(vectors.lightness)),
    lab: largest(labs, decode(vectors.pixels_lab)),
    levels: largest(dropAlpha(composed), decode(vectors.composed)),
    faded: largest(faded, decode(vectors.faded)),
  };
}

export async function compareReduction(modules, vectors) {
  const { reducePicture, computeNetworkShape } = modules.reduce;
  const found = {};
  for (const { picture, resized } of vectors.cases) {
    const [[height, width], [down, across]] = [picture.shape, resized.shape];
    const rgba = expand(decode(picture), 3);
    const source = {
      height,
      width,
      read: (left, top, columns, rows) => {
        if (left !== 0 || columns !== width) throw new Error("whole rows were expected");
        return rgba.slice(4 * top * width, 4 * (top + rows) * width);
      },
    };
    const box = { top: 0, bottom: height, left: 0, right: width };
    const result = await reducePicture(source, box, down, across);
    const name = `levels of ${height}x${width} at ${down}x${across}`;
    found[name] = largest(dropAlpha(result.rgba), decode(resized));
  }
  for (const [height, width, short, multiple, ...expected] of vectors.network_shapes) {
    const shape = computeNetworkShape(height, width, short, multiple);
    found[`shape ${height}x${width} ${short} ${multiple}`] = largest(shape, expected);
  }
  return found;
}

export async function compareBorders(modules, vectors) {
  const found = {};
  vectors.cases.forEach(({ scan, border }, number) => {
    const [height, width] = scan.shape;
    const lightness = new Float32Array(height * width);
    modules.color.computeLightness(expand(decode(scan), 1), lightness);
    const result = modules.borders.findBorder(lightness, height, width, 10 * height);
    const list = (sides) => (sides ?? []).flatMap((side) => Object.values(sort(side)));
    found[`scan ${number}`] = largest(list(result), list(border));
  });
  return found;
}

function sort(object) {
  return Object.fromEntries(Object.entries(object).sort());
}

export async function compareUpsampling(modules, vectors) {
  const { EdgeUpsampler, computeSlope } = modules.upsample;
  const found = {};
  vectors.cases.forEach(({ chroma: encoded, slope, lightness, upsampled }, number) => {
    const chroma = decodeChroma(encoded);
    const [slopeA, slopeB] = split(decode(slope), 2);
    found[`slope ${number}`] = Math.max(
      largest(computeSlope(chroma.a, chroma), slopeA),
      largest(computeSlope(chroma.b, chroma), slopeB),
    );
    const [height, width] = lightness.shape;
    const guide = decode(lightness);
    const planes = [new Float32Array(guide.length), new Float32Array(guide.length)];
    const upsampler = new EdgeUpsampler(chroma, height, width);
    for (let top = 0; top < height; top += 7) {
      const [from, to] = [top * width, Math.min(top + 7, height) * width];
      const [a, b] = planes.map((plane) => plane.subarray(from, to));
      upsampler.computeRows(guide.subarray(from, to), top, (to - from) / width, a, b);
    }
    split(decode(upsampled), 2).forEach((expected, n) => {
      found[`chroma ${number} ${"ab"[n]}`] = largest(planes[n], expected);
    });
  });
  return found;
}

export async function compareHints(modules, vectors) {
  const { Discs, placeHints, sampleColor, spreadResiduals } = modules.hints;
  const [height, width] = vectors.shape;
  const hints = placeHints(vectors.hints);
  const found = {};
  vectors.cases.forEach(({ chroma: encoded, scaled, spread, flat, ...rest }, number) => {
    const chroma = decodeChroma(encoded);
    const [a, b] = split(decode(scaled), 2);
    const result = spreadResiduals({ ...chroma, a, b }, chroma, hints, height, width);
    split(decode(spread), 2).forEach((expected, n) => {
      found[`spread ${number} ${"ab"[n]}`] = largest([result.a, result.b][n], expected);
    });
    const values = decode(flat);
    const size = values.length / 2;
    const discs = new Discs(hints, height, width);
    for (let top = 0; top < height; top += 10) {
      const [from, to] = [top * width, Math.min(top + 10, height) * width];
      const rows = (to - from) / width;
      const [one, other] = [values.subarray(from, to), values.subarray(size + from, size + to)];
      discs.enforce(one, other, top, rows);
    }
    found[`discs ${number}`] = largest(values, decode(rest.enforced));
    rest.places.forEach(([x, y], n) => {
      const sampled = sampleColor(chroma, x, y, height, width);
      found[`place ${number} ${n}`] = largest(sampled, rest.sampled[n]);
    });
  });
  return found;
}

export async function compareSuggestions(modules, vectors, table) {
  const found = {};
  for (const [lightness, a, b, colors, probabilities] of vectors.cases) {
    const result = modules.suggestions.suggestColors(table, lightness, a, b, colors.length);
    const numbers = (texts) => texts.flatMap((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
    const name = `${lightness} ${a} ${b}`;
    found[`levels of ${name}`] = largest(numbers(result.map((each) => each.color)), numbers(colors));
    found[`probabilities of ${name}`] = largest(result.map((each) => each.probability), probabilities);
  }
  return found;
}
