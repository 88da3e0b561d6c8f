/** Why a photo could not be colorized, and what was lost, in the language of the page. */

import { formatBytes, formatPixels, has, lang, nameFormat, t } from "./strings.js";

/**
 * @typedef {import("./types").Notice} Notice
 * @typedef {Notice} Fault An error that can be stored.
 */

/** How a number of a text is written. @type {Record<string, (value: number) => string>} */
const FORMATS = { "error.too-many-bytes": formatBytes, "error.too-many-pixels": formatPixels };

/** Codes of errors for which the settings are to blame, such as the format of the result. */
const SETTINGS_CODES = new Set(["unwritable", "invalid-setting"]);

/**
 * @param {unknown} error
 * @returns {Fault}
 */
export function describeFault(error) {
  if (!(error instanceof Error)) return { code: "failed", message: String(error), values: {} };
  const { code = "failed", values = {} } = /** @type {any} */ (error);
  return { code: String(code), message: error.message, values };
}

/**
 * @param {Fault | null} fault
 * @returns {boolean} Whether the same photo may succeed with other settings.
 */
export function isAboutSettings(fault) {
  return fault !== null && SETTINGS_CODES.has(fault.code);
}

/**
 * @param {Blob} file
 * @returns {Promise<boolean>} Whether it is still where it was when it was chosen.
 */
export async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

/**
 * @param {Fault} fault
 * @returns {string} The reason in plain words.
 */
export function explainFault(fault) {
  return translate(`error.${fault.code}`, fault) ?? fault.message;
}

/**
 * @param {Notice} notice
 * @returns {{ text: string, lang: string }} What it says, and the language of that.
 */
export function explainNotice(notice) {
  if (notice.code === "explained") return { text: notice.message, lang };
  const text = translate(`warning.${notice.code}`, notice);
  return text === null ? { text: notice.message, lang: "en" } : { text, lang };
}

/**
 * @param {string} key
 * @param {Notice} notice
 * @returns {string | null} The text of a key, if there is one and all its values are known.
 */
function translate(key, { message, values }) {
  if (!has(key)) return null;
  const format = FORMATS[key];
  const texts = Object.entries(values).map(([name, value]) => {
    if (typeof value === "number") return [name, format ? format(value) : value];
    return [name, name === "format" ? nameFormat(value) : value];
  });
  const text = t(key, { message, ...Object.fromEntries(texts) });
  return /\{\w+\}/.test(text) ? null : text;
}
