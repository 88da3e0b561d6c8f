/** Why a photo could not be colorized. */

import { formatBytes, formatPixels, has, t } from "./strings.js";

/**
 * @typedef {{ code: string, message: string, values: Record<string, number> }} Fault An error
 *   that can be stored.
 */

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
export function explainFault({ code, message, values }) {
  const key = `error.${code}`;
  if (!has(key)) return message;
  const format = code === "too-many-pixels" ? formatPixels : formatBytes;
  const texts = Object.entries(values).map(([name, value]) => [name, format(value)]);
  return t(key, { message, ...Object.fromEntries(texts) });
}
