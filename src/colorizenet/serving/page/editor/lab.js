/**
 * CIELAB (D65) of sRGB colors, for the color picker.
 *
 * `rgb` is three numbers 0..1, gamma-encoded; `lab` is L* 0..100 with a* and b* about
 * ±110. Grays have a* = b* = 0. Texts of colors are `#rrggbb`.
 *
 * References: IEC 61966-2-1:1999 (sRGB); CIE 15:2004 (CIELAB).
 *
 * @typedef {[number, number, number]} Triple
 */

const DELTA = 6 / 29;

/** Linear sRGB to XYZ, each row divided by the XYZ of white, so that it sums to 1. */
const XYZ_FROM_LINEAR = /** @type {Triple[]} */ (
  [
    [0.4123907993, 0.3575843394, 0.1804807884],
    [0.2126390059, 0.7151686788, 0.0721923154],
    [0.0193308187, 0.1191947798, 0.9505321522],
  ].map((row) => row.map((value) => value / row.reduce((sum, each) => sum + each, 0)))
);
const LINEAR_FROM_XYZ = invert(XYZ_FROM_LINEAR);

/** @param {Triple[]} m @returns {Triple[]} the inverse of a 3 x 3 matrix */
function invert([[a, b, c], [d, e, f], [g, h, i]] = XYZ_FROM_LINEAR) {
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  return /** @type {Triple[]} */ (
    [
      [e * i - f * h, c * h - b * i, b * f - c * e],
      [f * g - d * i, a * i - c * g, c * d - a * f],
      [d * h - e * g, b * g - a * h, a * e - b * d],
    ].map((row) => row.map((value) => value / determinant))
  );
}

/** @param {Triple[]} matrix @param {Triple} v @returns {Triple} */
function multiply(matrix, v) {
  return /** @type {Triple} */ (matrix.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]));
}

/** @param {number} value */
function decode(value) {
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

/** @param {number} value */
function encode(value) {
  return value <= 0.0031308 ? value * 12.92 : 1.055 * value ** (1 / 2.4) - 0.055;
}

/** @param {number} t */
function cieF(t) {
  return t > DELTA ** 3 ? Math.cbrt(t) : t / (3 * DELTA ** 2) + 4 / 29;
}

/** @param {number} f */
function invertCieF(f) {
  return f > DELTA ? f ** 3 : 3 * DELTA ** 2 * (f - 4 / 29);
}

/** @param {Triple} rgb @returns {Triple} */
export function rgbToLab(rgb) {
  const linear = /** @type {Triple} */ (rgb.map(decode));
  const [x, y, z] = /** @type {Triple} */ (multiply(XYZ_FROM_LINEAR, linear).map(cieF));
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

/** @param {Triple} lab @returns {Triple} linear sRGB, outside of 0..1 if it does not fit */
function labToLinear([l, a, b]) {
  const y = (l + 16) / 116;
  return multiply(LINEAR_FROM_XYZ, [
    invertCieF(y + a / 500),
    invertCieF(y),
    invertCieF(y - b / 200),
  ]);
}

/**
 * Whether sRGB has the color. Rounding to 8 bits is allowed for.
 * @param {Triple} lab
 */
export function isInGamut(lab) {
  return labToLinear(lab).every((value) => value >= -1e-3 && value <= 1.001);
}

/** @param {Triple} lab @returns {Triple} clipped to 0..1 */
export function labToRgb(lab) {
  return /** @type {Triple} */ (
    labToLinear(lab).map((value) => encode(Math.min(Math.max(value, 0), 1)))
  );
}

/**
 * The same L* and hue with the largest chroma up to the given one that sRGB has.
 * @param {Triple} lab @returns {Triple}
 */
export function fadeToGamut([l, a, b]) {
  if (isInGamut([l, a, b])) return [l, a, b];
  let factor = 0;
  for (let step = 0.5; step > 1e-4; step /= 2) {
    const candidate = factor + step;
    if (isInGamut([l, a * candidate, b * candidate])) factor = candidate;
  }
  return [l, a * factor, b * factor];
}

/**
 * The smallest square around all colors that sRGB has at a lightness.
 * @param {number} l
 * @returns {{ a: number, b: number, reach: number }} its center and half its side
 */
export function boundGamut(l) {
  const bounds = { a: [0, 0], b: [0, 0] };
  for (let degrees = 0; degrees < 360; degrees += 1) {
    const hue = (degrees * Math.PI) / 180;
    const [, a, b] = fadeToGamut([l, 150 * Math.cos(hue), 150 * Math.sin(hue)]);
    bounds.a = [Math.min(bounds.a[0] ?? 0, a), Math.max(bounds.a[1] ?? 0, a)];
    bounds.b = [Math.min(bounds.b[0] ?? 0, b), Math.max(bounds.b[1] ?? 0, b)];
  }
  const [[lowA = 0, highA = 0], [lowB = 0, highB = 0]] = [bounds.a, bounds.b];
  const reach = Math.max(highA - lowA, highB - lowB, 1) / 2;
  return { a: (lowA + highA) / 2, b: (lowB + highB) / 2, reach };
}

/** @param {string} text `#rrggbb` @returns {Triple} */
export function hexToLab(text) {
  const parts = [1, 3, 5].map((at) => Number.parseInt(text.slice(at, at + 2), 16) / 255);
  return rgbToLab(/** @type {Triple} */ (parts));
}

/** @param {Triple} lab @returns {string} `#rrggbb` */
export function labToHex(lab) {
  const levels = labToRgb(lab).map((value) => Math.round(value * 255));
  return `#${levels.map((level) => level.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * The keys of the words that name a color: of its strength, or null, and of its hue.
 * @param {string} text `#rrggbb`
 * @returns {{ strength: "grayish" | "pale" | "vivid" | null, hue: string }}
 */
export function nameColor(text) {
  const [l, a, b] = hexToLab(text);
  const chroma = Math.hypot(a, b);
  if (chroma < 5) return { strength: null, hue: l > 85 ? "white" : l < 15 ? "black" : "gray" };
  const degrees = ((Math.atan2(b, a) * 180) / Math.PI + 360) % 360;
  const [, hue] = /** @type {[number, string]} */ (
    HUES.find(([upTo]) => degrees < upTo) ?? [360, "pink"]
  );
  const weak = l > 65 ? "pale" : "grayish";
  const strength = chroma < 18 ? weak : chroma > 60 ? "vivid" : null;
  if (hue === "orange" && l < 60 && chroma < 60) return { strength, hue: "brown" };
  if (hue === "yellow" && l < 60) return { strength, hue: "olive" };
  // In CIELAB the hue angle of blue grows with its chroma, up to 306 degrees of #0000ff.
  if (hue === "purple" && degrees < 308 && chroma > 75) return { strength, hue: "blue" };
  return { strength, hue };
}

/** Hue angles in CIELAB, in degrees, up to which each name goes. @type {[number, string][]} */
const HUES = [
  [12, "pink"],
  [45, "red"],
  [78, "orange"],
  [108, "yellow"],
  [165, "green"],
  [225, "turquoise"],
  [300, "blue"],
  [330, "purple"],
  [360, "pink"],
];
