/** The texts of the page in the language of the browser. */

import de from "./strings/de.js";
import en from "./strings/en.js";

/** @type {Record<string, Record<string, string>>} */
const LANGUAGES = { en, de };

/** The language of the page: the first of the browser's that there are texts in. */
export const lang =
  navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in LANGUAGES) ??
  "en";

/** @type {Record<string, string>} */
const FORMAT_NAMES = {
  jpeg: "JPEG",
  png: "PNG",
  tiff: "TIFF",
  webp: "WebP",
  avif: "AVIF",
  heic: "HEIC",
  jxl: "JPEG XL",
  gif: "GIF",
  pnm: "PGM/PPM",
  bmp: "BMP",
  jp2: "JPEG 2000",
};

const plurals = new Intl.PluralRules(lang);

/**
 * A text in the language of the page.
 *
 * A key whose text depends on a number has the texts `KEY.one` and `KEY.other`, which
 * `values.count` chooses from. Numbers are written as the language writes them.
 *
 * @param {string} key
 * @param {Record<string, string | number>} [values] What replaces `{name}` in the text.
 * @returns {string} The text, or the key where there is none.
 */
export function t(key, values = {}) {
  const texts = LANGUAGES[lang] ?? en;
  const plural = typeof values.count === "number" ? plurals.select(values.count) : "other";
  const text = texts[key] ?? texts[`${key}.${plural}`] ?? texts[`${key}.other`];
  if (text === undefined) return key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? formatNumber(value) : value;
  });
}

/**
 * @param {string} key
 * @returns {boolean} Whether there is a text for a key.
 */
export function has(key) {
  return key in en;
}

/**
 * @param {number} value
 * @param {Intl.NumberFormatOptions} [options]
 */
export function formatNumber(value, options = { maximumFractionDigits: 1 }) {
  return new Intl.NumberFormat(lang, options).format(value);
}

/**
 * @param {number} bytes
 * @returns {string} Such as 340 kB, 12 MB or 4 GB.
 */
export function formatBytes(bytes) {
  const [divisor, unit] = bytes >= 1e9 ? [1e9, "GB"] : bytes >= 1e6 ? [1e6, "MB"] : [1e3, "kB"];
  const value = Math.max(bytes > 0 ? 1 : 0, bytes / divisor);
  return `${formatNumber(value, { maximumFractionDigits: value < 10 ? 1 : 0 })} ${unit}`;
}

/**
 * @param {number} pixels
 * @returns {string} Such as 100 megapixels.
 */
export function formatPixels(pixels) {
  return pixels >= 1e9
    ? t("app.gigapixels", { pixels: pixels / 1e9 })
    : t("app.megapixels", { pixels: Math.round(pixels / 1e5) / 10 });
}

/**
 * @param {string} format A format of files as the engines name it.
 * @returns {string} Such as WebP.
 */
export function nameFormat(format) {
  return FORMAT_NAMES[format] ?? format.toUpperCase();
}

/**
 * @param {number} seconds
 * @returns {string} A duration in one unit, rounded up so that it is rarely too short.
 */
export function formatDuration(seconds) {
  if (seconds < 55) return t("app.seconds", { count: Math.max(5, Math.ceil(seconds / 5) * 5) });
  if (seconds < 3300) return t("app.minutes", { count: Math.ceil(seconds / 60) });
  return t("app.hours", { count: Math.ceil(seconds / 1800) / 2 });
}

/**
 * Fill in the texts of a document: `data-t` names the text of an element, and
 * `data-t-label` and `data-t-title` those of its attributes.
 * @param {ParentNode} root
 */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-t]")) {
    element.textContent = t(element.getAttribute("data-t") ?? "");
  }
  for (const element of root.querySelectorAll("[data-t-label]")) {
    element.setAttribute("aria-label", t(element.getAttribute("data-t-label") ?? ""));
  }
}
