/** A photo from its file to its result, in strips so that little memory is needed. */

import { PageError } from "../errors.js";
import { computeLightness, composePixels } from "./color.js";
import { READABLE, detectFormat, readHeader, takeOrientation } from "./files.js";
import { Discs, placeHints, spreadResiduals } from "./hints.js";
import { EdgeUpsampler } from "./upsample.js";

/**
 * @typedef {import("../types").Settings} Settings
 * @typedef {import("./upsample.js").Chroma} Chroma
 * @typedef {{ format: string, header: import("./files.js").Header, alpha: boolean,
 *   width: number, height: number, canvas: OffscreenCanvas, context: OffscreenCanvasRenderingContext2D }} Photo
 * @typedef {{ key: string, values: Record<string, string> }} Note A text of the page's strings.
 */

const STRIP_PIXELS = 1 << 18;
const QUALITY = /** @type {Record<string, number>} */ ({ jpeg: 92, webp: 90 });
/** Formats of results of photos in formats that browsers do not write. */
const SUBSTITUTES = /** @type {Record<string, string>} */ ({ gif: "png", bmp: "png", avif: "webp" });

/**
 * Decode a photo, upright and in sRGB with 8 bits.
 * @param {Blob} file
 * @param {number} maxPixels
 * @returns {Promise<Photo>}
 */
export async function decodePhoto(file, maxPixels) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const format = detectFormat(bytes.subarray(0, 64));
  if (!format || !READABLE.includes(format)) {
    throw new PageError("unsupported", format ?? "");
  }
  const header = readHeader(bytes, format);
  if (!header.complete) throw new PageError("damaged", "cut");
  const { orientation, file: stored } = takeOrientation(bytes, format);
  /** @type {ImageBitmap} */
  let bitmap;
  try {
    bitmap = await createImageBitmap(stored ?? file, { imageOrientation: "from-image" });
  } catch (cause) {
    throw new PageError("damaged", "damaged", { cause });
  }
  try {
    const sides = [bitmap.width, bitmap.height];
    const [width, height] = orientation >= 5 ? sides.reverse() : sides;
    if (width * height > maxPixels) {
      const values = { pixels: width * height, limit: maxPixels };
      throw new PageError("too-many-pixels", "", { values });
    }
    const [canvas, context] = makeCanvas(width, height, header.alpha ?? true);
    context.setTransform(...turn(orientation, bitmap.width, bitmap.height));
    context.drawImage(bitmap, 0, 0);
    context.resetTransform();
    const alpha = header.alpha ?? isTransparent(context, width, height);
    return { format, header, alpha, width, height, canvas, context };
  } finally {
    bitmap.close();
  }
}

/**
 * The transformation that turns a picture upright.
 * @param {number} orientation as EXIF has it, 1 to 8
 * @param {number} width as stored
 * @param {number} height as stored
 * @returns {[number, number, number, number, number, number]}
 */
function turn(orientation, width, height) {
  switch (orientation) {
    case 2: return [-1, 0, 0, 1, width, 0];
    case 3: return [-1, 0, 0, -1, width, height];
    case 4: return [1, 0, 0, -1, 0, height];
    case 5: return [0, 1, 1, 0, 0, 0];
    case 6: return [0, 1, -1, 0, height, 0];
    case 7: return [0, -1, -1, 0, height, width];
    case 8: return [0, -1, 1, 0, 0, width];
    default: return [1, 0, 0, 1, 0, 0];
  }
}

/**
 * A canvas in memory.
 * @param {number} width
 * @param {number} height
 * @param {boolean} alpha
 * @returns {[OffscreenCanvas, OffscreenCanvasRenderingContext2D]}
 */
export function makeCanvas(width, height, alpha) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { alpha, willReadFrequently: true });
  if (!context) throw new PageError("failed", "memory");
  return [canvas, context];
}

/**
 * Whether a pixel is not opaque.
 * @param {OffscreenCanvasRenderingContext2D} context
 * @param {number} width
 * @param {number} height
 */
function isTransparent(context, width, height) {
  const rows = Math.max(1, Math.floor(2 ** 20 / width));
  for (let top = 0; top < height; top += rows) {
    const { data } = context.getImageData(0, top, width, Math.min(rows, height - top));
    for (let at = 3; at < data.length; at += 4) if (data[at] < 255) return true;
  }
  return false;
}

/**
 * The photo as a source of strips.
 * @param {Photo} photo
 * @returns {import("./reduce.js").Source}
 */
export function makeSource({ width, height, context }) {
  return {
    width,
    height,
    read: (left, top, columns, rows) => context.getImageData(left, top, columns, rows).data,
  };
}

/**
 * What computes the chroma of rows of a photo, with the strength and the hints.
 * @param {Chroma} predicted the network's answer
 * @param {Pick<Settings, "strength" | "hints">} settings
 * @param {number} height
 * @param {number} width
 * @returns {(lightness: Float32Array, top: number, count: number, a: Float32Array,
 *   b: Float32Array) => void}
 */
export function makeUpsampler(predicted, { strength, hints }, height, width) {
  const [a, b] = [predicted.a, predicted.b].map((plane) => plane.map((value) => value * strength));
  const scaled = { ...predicted, a, b };
  const placed = placeHints(hints);
  const chroma = placed.length
    ? spreadResiduals(scaled, predicted, placed, height, width)
    : scaled;
  const upsampler = new EdgeUpsampler(chroma, height, width);
  const discs = new Discs(placed, height, width);
  return (lightness, top, count, rowsA, rowsB) => {
    upsampler.computeRows(lightness, top, count, rowsA, rowsB);
    discs.enforce(rowsA, rowsB, top, count);
  };
}

/**
 * Colorize the pixels of a canvas, in place.
 * @param {Pick<Photo, "width" | "height" | "context">} photo
 * @param {ReturnType<typeof makeUpsampler>} upsample
 * @param {(done: number) => Promise<void>} pause called after each strip, with the share
 */
export async function mergeColors({ width, height, context }, upsample, pause) {
  const rows = Math.max(1, Math.floor(STRIP_PIXELS / width));
  const planes = [0, 1, 2].map(() => new Float32Array(rows * width));
  for (let top = 0; top < height; top += rows) {
    const count = Math.min(rows, height - top);
    const image = context.getImageData(0, top, width, count);
    const [lightness, a, b] = planes.map((plane) => plane.subarray(0, count * width));
    computeLightness(image.data, lightness);
    upsample(lightness, top, count, a, b);
    composePixels(lightness, a, b, image.data);
    context.putImageData(image, 0, top);
    await pause((top + count) / height);
  }
}

/**
 * The format of a result, and what to say about it.
 * @param {Photo} photo
 * @param {string | null} wanted
 * @param {string[]} formats those that the browser writes
 * @returns {{ format: string, notes: Note[] }}
 */
export function chooseFormat({ format: own, header, alpha, width, height }, wanted, formats) {
  /** @type {Note[]} */
  const notes = [];
  let format = wanted ?? own;
  /** @param {string} key @param {string} substitute */
  const replace = (key, substitute) => {
    notes.push({ key, values: { format, substitute } });
    format = substitute;
  };
  if (!formats.includes(format)) {
    const substitute = SUBSTITUTES[format] ?? "png";
    replace("browser.note.format", formats.includes(substitute) ? substitute : "png");
  }
  if (format === "webp" && Math.max(width, height) > 16_383) replace("browser.note.long", "png");
  if (format === "jpeg" && alpha) replace("browser.note.alpha", "png");
  if (header.deep) notes.push({ key: "browser.note.deep", values: {} });
  if (header.frames > 1) notes.push({ key: "browser.note.frames", values: {} });
  if (header.unread) notes.push({ key: "browser.note.unread", values: { format: own } });
  return { format, notes };
}

/**
 * Encode a canvas.
 * @param {OffscreenCanvas} canvas
 * @param {string} format
 * @param {number} [quality] least quality of lossy formats, 1 to 100
 * @returns {Promise<Blob>}
 */
export async function encodeCanvas(canvas, format, quality = 0) {
  const least = Math.max(QUALITY[format] ?? 0, format === "jpeg" ? quality : 0);
  const blob = await canvas.convertToBlob({ type: `image/${format}`, quality: least / 100 });
  if (blob.type !== `image/${format}`) throw new PageError("failed", "encode");
  return blob;
}

/**
 * The formats that this browser writes.
 * @returns {Promise<string[]>}
 */
export async function listFormats() {
  const [canvas] = makeCanvas(1, 1, true);
  const blob = await canvas.convertToBlob({ type: "image/webp" });
  return ["jpeg", "png", ...(blob.type === "image/webp" ? ["webp"] : [])];
}
