/** A photo that is opened for the editor: small pictures for it, and their coloring. */

import { describeSettings, makeForm } from "./forms.js";
import { send } from "./http.js";
import { readPictureSize } from "./size.js";
import { readStoredZip } from "./zip.js";

/** Larger photos are reduced by the server, which decodes them in strips. */
const DECODED_PIXELS = 50_000_000;
/** Long side of the pictures of variants. */
const VARIANT_SIDE = 480;
/** Quality of a small picture as a JPEG; what it loses is invisible in a preview. */
const QUALITY = 0.95;

/**
 * @typedef {import("../types").Preview} Preview
 * @typedef {{ blob: Blob, width: number, height: number }} Reduced
 */

/**
 * @param {URL} api
 * @param {File} file
 * @param {number} side Long side of the pictures.
 * @param {AbortSignal} signal
 * @returns {Promise<ServerPreview>}
 */
export async function openPreview(api, file, side, signal) {
  const reduced = (await reduceHere(file, side)) ?? (await reduceThere(api, file, side, signal));
  signal.throwIfAborted();
  return new ServerPreview(api, reduced, side);
}

/**
 * Reduce a photo in the browser.
 *
 * @param {File} file
 * @param {number} side
 * @returns {Promise<Reduced | null>} A small picture and the size of the photo, upright;
 *   null where the browser cannot decode it.
 */
async function reduceHere(file, side) {
  const size = await readPictureSize(file);
  if (size && size.width * size.height > DECODED_PIXELS) return null;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file); // upright, and in sRGB
  } catch {
    return null;
  }
  const { width, height } = bitmap;
  try {
    const scale = Math.min(1, side / Math.max(width, height));
    const canvas = new OffscreenCanvas(
      Math.max(1, Math.round(width * scale)),
      Math.max(1, Math.round(height * scale)),
    );
    const context = canvas.getContext("2d");
    if (!context) return null;
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const opaque = size?.format === "jpeg" || isOpaque(context);
    const blob = await canvas.convertToBlob(
      opaque ? { type: "image/jpeg", quality: QUALITY } : { type: "image/png" },
    );
    return { blob, width, height };
  } catch {
    return null; // too large for a canvas
  } finally {
    bitmap.close();
  }
}

/** @param {OffscreenCanvasRenderingContext2D} context */
function isOpaque(context) {
  const { data } = context.getImageData(0, 0, context.canvas.width, context.canvas.height);
  for (let at = 3; at < data.length; at += 4) {
    if (data[at] !== 255) return false;
  }
  return true;
}

/**
 * Have the server reduce a photo.
 *
 * @param {URL} api
 * @param {File} file
 * @param {number} side
 * @param {AbortSignal} signal
 * @returns {Promise<Reduced>}
 */
async function reduceThere(api, file, side, signal) {
  const url = new URL("colorize", api);
  url.search = new URLSearchParams({ strength: "0", preview: String(side) }).toString();
  const reply = await send(url, { method: "POST", body: file, signal });
  const [width, height] = (reply.header("Colorizenet-Size") ?? "0x0").split("x").map(Number);
  return { blob: reply.blob, width: width ?? 0, height: height ?? 0 };
}

/** @implements {Preview} */
class ServerPreview {
  #api;
  #reduced;
  #side;
  #closed = new AbortController();
  /** @type {AbortController | null} */
  #rendering = null;

  /**
   * @param {URL} api
   * @param {Reduced} reduced
   * @param {number} side
   */
  constructor(api, reduced, side) {
    this.#api = api;
    this.#reduced = reduced;
    this.#side = side;
    this.width = reduced.width;
    this.height = reduced.height;
  }

  async before() {
    return this.#reduced.blob;
  }

  /**
   * @param {import("../types").Settings} settings
   * @param {AbortSignal} signal
   */
  async render(settings, signal) {
    this.#rendering?.abort();
    const rendering = (this.#rendering = new AbortController());
    const options = { ...describeSettings({ ...settings, format: null }), preview: this.#side };
    const signals = AbortSignal.any([signal, rendering.signal]);
    return (await this.#post("colorize", options, signals)).blob;
  }

  /**
   * @param {import("../types").Settings} settings
   * @param {number} count
   * @param {number} seed
   * @param {AbortSignal} signal
   */
  async variants(settings, count, seed, signal) {
    const usual = describeSettings({ ...settings, format: "jpeg", variants: 1 });
    const preview = Math.min(this.#side, VARIANT_SIDE);
    const options = { ...usual, preview, ...(count > 1 ? { variants: count, seed } : {}) };
    const { blob } = await this.#post("colorize", options, signal);
    return count > 1 ? readStoredZip(blob, "image/jpeg") : [blob];
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {string | null} model
   * @param {AbortSignal} signal
   * @returns {Promise<import("../types").Suggestion[]>}
   */
  async suggest(x, y, model, signal) {
    const options = { x, y, ...(model === null ? {} : { model }) };
    const { blob } = await this.#post("suggest", options, signal);
    return JSON.parse(await blob.text()).suggestions;
  }

  close() {
    this.#closed.abort();
  }

  /**
   * @param {string} route
   * @param {Record<string, unknown>} options
   * @param {AbortSignal} signal
   */
  #post(route, options, signal) {
    return send(new URL(route, this.#api), {
      method: "POST",
      body: makeForm(this.#reduced.blob, options),
      signal: AbortSignal.any([signal, this.#closed.signal]),
    });
  }
}
