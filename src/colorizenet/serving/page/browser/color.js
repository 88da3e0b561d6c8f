/**
 * sRGB and CIELAB, as `colorizenet.color` defines them: D65, 2 degree observer, and a
 * white that is the sum of the primaries, so that a gray has a* = b* = 0.
 *
 * References: IEC 61966-2-1:1999 (sRGB); CIE 15:2004 (CIELAB, D65).
 */

const DELTA = 6 / 29;
const LINEAR_JOINT = 0.0031308;
const ENCODED_JOINT = 0.04045;

/** @typedef {[number, number, number]} Triple */

/**
 * The inverse of a 3 x 3 matrix.
 * @param {Triple[]} rows
 * @returns {Triple[]}
 */
function invert(rows) {
  const [[a, b, c], [d, e, f], [g, h, i]] = /** @type {[Triple, Triple, Triple]} */ (rows);
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  /** @type {Triple[]} */
  const adjugate = [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ];
  return adjugate.map(([x, y, z]) => [x / determinant, y / determinant, z / determinant]);
}

/**
 * The matrix from linear sRGB to XYZ divided by the XYZ of white; each row sums to 1.
 * @returns {Triple[]}
 */
function deriveRelativeXyz() {
  /** @type {[number, number][]} */
  const xy = [[0.64, 0.33], [0.3, 0.6], [0.15, 0.06]];
  const white = [0.3127 / 0.329, 1, (1 - 0.3127 - 0.329) / 0.329];
  const columns = xy.map(([x, y]) => [x / y, 1, (1 - x - y) / y]);
  const primaries = [0, 1, 2].map(
    (row) => /** @type {Triple} */ (columns.map((column) => column[row])),
  );
  const amounts = invert(primaries).map((row) =>
    row.reduce((sum, value, index) => sum + value * white[index], 0),
  );
  return primaries.map((row) => {
    const scaled = row.map((value, index) => value * amounts[index]);
    const total = scaled.reduce((sum, value) => sum + value, 0);
    return /** @type {Triple} */ (scaled.map((value) => value / total));
  });
}

const RELATIVE_XYZ = /** @type {[Triple, Triple, Triple]} */ (deriveRelativeXyz());
const LINEAR_FROM_XYZ = /** @type {[Triple, Triple, Triple]} */ (invert(RELATIVE_XYZ));

/**
 * Decode the sRGB transfer function.
 * @param {number} value gamma-encoded, 0..1
 * @returns {number} linear light
 */
export function decodeGamma(value) {
  return value <= ENCODED_JOINT ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

/**
 * Encode with the sRGB transfer function.
 * @param {number} linear
 * @returns {number}
 */
export function encodeGamma(linear) {
  return linear <= LINEAR_JOINT ? linear * 12.92 : 1.055 * linear ** (1 / 2.4) - 0.055;
}

/**
 * The lightness function of CIE 15:2004 for relative X, Y or Z.
 * @param {number} t
 * @returns {number}
 */
export function cieF(t) {
  return t > DELTA ** 3 ? Math.cbrt(t) : DELTA + (t - DELTA ** 3) / (3 * DELTA ** 2);
}

/**
 * The inverse of `cieF`.
 * @param {number} f
 * @returns {number}
 */
export function invertCieF(f) {
  return f > DELTA ? f * f * f : (f - 4 / 29) * (3 * DELTA * DELTA);
}

/** Linear light of each 8-bit value. */
const LINEAR = Float32Array.from({ length: 256 }, (_, value) => decodeGamma(value / 255));
/** L* of each 8-bit gray. */
const GRAY_LIGHTNESS = Float32Array.from(
  { length: 256 },
  (_, value) => 116 * cieF(decodeGamma(value / 255)) - 16,
);
/** 8-bit sRGB of each of 65,536 even steps of light; one more for light of exactly 1. */
const ENCODED = Uint8Array.from({ length: 65537 }, (_, step) =>
  Math.round(encodeGamma((Math.min(step, 65535) + 0.5) / 65536) * 255),
);

/**
 * Compute L* of pixels.
 * @param {Uint8ClampedArray | Uint8Array} rgba four bytes for each pixel; alpha is ignored
 * @param {Float32Array} lightness receives L*, 0..100, one for each pixel
 * @param {number} [from] the first pixel of `rgba`
 * @param {number} [count] number of pixels
 */
export function computeLightness(rgba, lightness, from = 0, count = lightness.length) {
  const [red, green, blue] = RELATIVE_XYZ[1];
  for (let i = 0, at = 4 * from; i < count; i++, at += 4) {
    const r = rgba[at];
    const g = rgba[at + 1];
    const b = rgba[at + 2];
    if (r === g && g === b) {
      lightness[i] = GRAY_LIGHTNESS[r];
    } else {
      const y =
        red * LINEAR[r] +
        green * LINEAR[g] +
        blue * LINEAR[b];
      lightness[i] = 116 * cieF(y) - 16;
    }
  }
}

/**
 * Convert L*, a* and b* to 8-bit sRGB. Colors outside of sRGB fade towards the gray of
 * equal luminance, in linear light, so that L* is kept.
 * @param {Float32Array} lightness
 * @param {Float32Array} a
 * @param {Float32Array} b
 * @param {Uint8ClampedArray | Uint8Array} rgba receives the colors; alpha stays as it is
 * @param {number} [from] the first pixel of `rgba`
 * @param {number} [count] number of pixels
 */
export function composePixels(lightness, a, b, rgba, from = 0, count = lightness.length) {
  const [[redX, , redZ], [greenX, , greenZ], [blueX, , blueZ]] = LINEAR_FROM_XYZ;
  for (let i = 0, at = 4 * from; i < count; i++, at += 4) {
    const fy = (lightness[i] + 16) * (1 / 116);
    const fx = fy + a[i] * (1 / 500);
    const fz = fy - b[i] * (1 / 200);
    const y = invertCieF(fy);
    const x = invertCieF(fx) - y;
    const z = invertCieF(fz) - y;
    let red = redX * x + redZ * z;
    let green = greenX * x + greenZ * z;
    let blue = blueX * x + blueZ * z;
    const above = Math.max(red, green, blue);
    const below = Math.min(red, green, blue);
    if (y + above > 1 || y + below < 0) {
      const room = Math.min((1 - y) / Math.max(above, 1e-9), y / Math.max(-below, 1e-9));
      const factor = Math.min(Math.max(room, 0), 1);
      red *= factor;
      green *= factor;
      blue *= factor;
    }
    rgba[at] = ENCODED[((y + red) * 65535) | 0];
    rgba[at + 1] = ENCODED[((y + green) * 65535) | 0];
    rgba[at + 2] = ENCODED[((y + blue) * 65535) | 0];
  }
}

/**
 * Convert gamma-encoded sRGB in 0..1 to CIELAB.
 * @param {Triple} rgb
 * @returns {Triple}
 */
export function convertRgbToLab(rgb) {
  const [red, green, blue] = /** @type {Triple} */ (rgb.map(decodeGamma));
  const [fx, fy, fz] = /** @type {Triple} */ (
    RELATIVE_XYZ.map(([r, , b]) => cieF(green + r * (red - green) + b * (blue - green)))
  );
  return [116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)];
}

/**
 * Convert CIELAB to linear sRGB, which may leave 0..1.
 * @param {Triple} lab
 * @returns {Triple}
 */
export function convertLabToLinear([lightness, a, b]) {
  const fy = (lightness + 16) / 116;
  const y = invertCieF(fy);
  const x = invertCieF(fy + a / 500) - y;
  const z = invertCieF(fy - b / 200) - y;
  return /** @type {Triple} */ (
    LINEAR_FROM_XYZ.map(([fromX, , fromZ]) => y + x * fromX + z * fromZ)
  );
}

/**
 * Fade a color towards the gray of its lightness until sRGB can hold it, by bisection.
 * @param {Triple} lab
 * @param {number} [halvings]
 * @returns {Triple}
 */
export function fadeToGamut([lightness, a, b], halvings = 20) {
  /** @param {number} factor */
  const isInside = (factor) =>
    convertLabToLinear([lightness, a * factor, b * factor]).every(
      (value) => value >= -1e-6 && value <= 1 + 1e-6,
    );
  let factor = isInside(1) ? 1 : 0;
  let step = 1 - factor;
  for (let n = 0; n < halvings; n++) {
    step /= 2;
    if (isInside(factor + step)) factor += step;
  }
  return [lightness, a * factor, b * factor];
}
