/**
 * Hints as the command line reads and writes them: `1921.hints.json` for `1921.jpg`.
 *
 * @typedef {import("../types").Hint} Hint
 */

export const VERSION = 1;
export const MOST_HINTS = 128;
/** Radius of a hint that names none, as a fraction of the short side. */
export const DEFAULT_RADIUS = 0.0125;
export const LARGEST_RADIUS = 0.5;
/** Bytes of a file at most. */
export const LONGEST_FILE = 1 << 20;

const NEUTRAL = "neutral";
const KEYS = ["x", "y", "color", "radius"];
const COLOR = /^#[0-9a-f]{6}$/i;

/** A file of hints is wrong. `key` is that of a message, `values` fills it in. */
export class HintFileError extends Error {
  /** @param {string} key @param {Record<string, string | number>} [values] */
  constructor(key, values = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

/**
 * The text of a file of hints.
 * @param {readonly Hint[]} hints
 */
export function formatHints(hints) {
  const lines = hints.map((hint) =>
    JSON.stringify({
      x: hint.x,
      y: hint.y,
      color: hint.color ?? NEUTRAL,
      radius: hint.radius ?? DEFAULT_RADIUS,
    }),
  );
  return `{"version": ${VERSION}, "hints": [\n  ${lines.join(",\n  ")}\n]}\n`;
}

/**
 * The hints of a file, from its text. Throws `HintFileError` where the command line
 * rejects it, too.
 * @param {string} text
 * @returns {Hint[]}
 */
export function parseHints(text) {
  const document = parseJson(text);
  const keys = isObject(document) ? Object.keys(document).sort().join() : "";
  if (!isObject(document) || keys !== "hints,version") {
    throw new HintFileError("hints.error.shape", { version: VERSION });
  }
  const { version, hints } = document;
  if (version !== VERSION) {
    throw new HintFileError("hints.error.version", { found: show(version), version: VERSION });
  }
  if (!Array.isArray(hints)) throw new HintFileError("hints.error.list");
  if (hints.length > MOST_HINTS) {
    throw new HintFileError("hints.error.many", { total: hints.length, most: MOST_HINTS });
  }
  return hints.map((hint, index) => parseHint(hint, index + 1));
}

/** @param {unknown} given @param {number} number @returns {Hint} */
function parseHint(given, number) {
  if (!isObject(given)) throw new HintFileError("hints.error.object", { number });
  const hint = given;
  const unknown = Object.keys(hint).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) {
    throw new HintFileError("hints.error.key", {
      number,
      key: show(unknown),
      keys: KEYS.join(", "),
    });
  }
  const missing = KEYS.slice(0, 3).find((key) => !(key in hint));
  if (missing) throw new HintFileError("hints.error.missing", { number, key: missing });
  const x = checkNumber(hint, "x", 1, number);
  const y = checkNumber(hint, "y", 1, number);
  const radius = "radius" in hint ? checkNumber(hint, "radius", LARGEST_RADIUS, number) : null;
  const { color } = hint;
  if (color !== NEUTRAL && !(typeof color === "string" && COLOR.test(color))) {
    throw new HintFileError("hints.error.color", { number, found: show(color) });
  }
  return {
    x,
    y,
    color: color === NEUTRAL ? null : color.toLowerCase(),
    radius: radius ?? DEFAULT_RADIUS,
  };
}

/** @param {Record<string, unknown>} hint @param {string} key @param {number} high @param {number} number */
function checkNumber(hint, key, high, number) {
  const value = hint[key];
  if (typeof value !== "number" || !(value >= 0 && value <= high)) {
    throw new HintFileError("hints.error.number", { number, key, found: show(value), high });
  }
  return value;
}

/** @param {string} text @returns {unknown} */
function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new HintFileError("hints.error.json");
  }
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value from outside, short enough for a message. @param {unknown} value */
function show(value) {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
