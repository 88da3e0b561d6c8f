/** What the header of a photo's file says, without decoding it. */

import { readOrientation, resetOrientation } from "./exif.js";

/**
 * @typedef {{ deep: boolean, frames: number, alpha: boolean | null, complete: boolean,
 *   quality: number, unread: boolean }} Header
 * Whether there are 16 bits per channel; more than one picture; transparency, null where
 * only the pixels say it; whether the end of the file is there; the quality of a JPEG, 1 to
 * 100, or 0; and whether there are metadata that are not read.
 */

/** Formats that browsers decode. */
export const READABLE = ["jpeg", "png", "webp", "avif", "gif", "bmp"];

const SIGNATURES = /** @type {[string, string][]} */ ([
  ["\xff\xd8\xff", "jpeg"],
  ["\x89PNG\r\n\x1a\n", "png"],
  ["GIF87a", "gif"],
  ["GIF89a", "gif"],
  ["II*\0", "tiff"],
  ["MM\0*", "tiff"],
  ["II+\0", "tiff"],
  ["MM\0+", "tiff"],
  ["\xff\x0a", "jxl"],
  ["\0\0\0\x0cJXL \r\n\x87\n", "jxl"],
  ["\xff\x4f\xff\x51", "jp2"],
  ["\0\0\0\x0cjP  \r\n\x87\n", "jp2"],
]);
const HEIC_BRANDS = ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"];
/** The sum of the quantization table for luminance in ITU T.81 annex K, of quality 50. */
const LUMINANCE_SUM = 3688;

/**
 * Bytes as text, one character each.
 * @param {Uint8Array} bytes
 * @param {number} [start]
 * @param {number} [end]
 */
export function readText(bytes, start = 0, end = bytes.length) {
  return String.fromCharCode(...bytes.subarray(start, end));
}

/**
 * The format of a file.
 * @param {Uint8Array} bytes its first 64 bytes, or more
 * @returns {string | null}
 */
export function detectFormat(bytes) {
  const start = readText(bytes, 0, 64);
  for (const [signature, format] of SIGNATURES) {
    if (start.startsWith(signature)) return format;
  }
  if (start.startsWith("RIFF") && start.slice(8, 12) === "WEBP") return "webp";
  if (start.slice(4, 8) === "ftyp") {
    const length = Math.min(bytes[0] * 2 ** 24 + bytes[1] * 2 ** 16 + bytes[2] * 256 + bytes[3], 64);
    const brands = [start.slice(8, 12)];
    for (let at = 16; at + 4 <= length; at += 4) brands.push(start.slice(at, at + 4));
    if (brands.includes("avif") || brands.includes("avis")) return "avif";
    return brands.some((brand) => HEIC_BRANDS.includes(brand)) ? "heic" : null;
  }
  if (start.startsWith("BM") && bytes[15] === 0 && bytes[14] >= 12 && bytes[14] < 125) return "bmp";
  return /^P[1-6][\s#]/.test(start) ? "pnm" : null;
}

/**
 * Read what of a header matters.
 * @param {Uint8Array} bytes the whole file
 * @param {string} format
 * @returns {Header}
 */
export function readHeader(bytes, format) {
  const header = { deep: false, frames: 1, alpha: false, complete: true, quality: 0, unread: false };
  if (format === "jpeg") return { ...header, ...readJpeg(bytes) };
  if (format === "png") return { ...header, ...readPng(bytes) };
  if (format === "webp") return { ...header, ...readWebp(bytes) };
  if (format === "gif") return { ...header, alpha: null, frames: countGifFrames(bytes) };
  if (format === "avif") return { ...header, alpha: null, unread: hasAvifMetadata(bytes) };
  return header;
}

/**
 * The number of pictures in a GIF, at most 2.
 * @param {Uint8Array} bytes
 */
function countGifFrames(bytes) {
  /** @param {number} flags */
  const tableLength = (flags) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  let frames = 0;
  let at = 13 + tableLength(bytes[10]);
  while (at < bytes.length && frames < 2) {
    if (bytes[at] === 0x2c) {
      frames++;
      at += 11 + tableLength(bytes[at + 9]);
    } else if (bytes[at] === 0x21) {
      at += 2;
    } else {
      break; // the end of the file
    }
    while (bytes[at]) at += 1 + bytes[at];
    at++;
  }
  return Math.max(frames, 1);
}

/**
 * Whether an AVIF has EXIF or XMP, by the list of its items.
 * @param {Uint8Array} bytes
 */
function hasAvifMetadata(bytes) {
  const start = new TextDecoder("latin1").decode(bytes.subarray(0, 1 << 16));
  return /infe.{8}Exif|application\/rdf\+xml/s.test(start);
}

/**
 * The segments of a JPEG up to its first scan, and where that begins.
 * @param {Uint8Array} bytes
 * @returns {{ segments: { marker: number, start: number, end: number }[], scan: number }}
 *   Positions of contents.
 */
export function listSegments(bytes) {
  const segments = [];
  let at = 2;
  while (at + 4 <= bytes.length) {
    const marker = bytes[at + 1];
    if (bytes[at] !== 0xff || marker === 0 || marker === 0xff) {
      at++; // bytes between segments
    } else if ((marker >= 0xd0 && marker <= 0xd8) || marker === 1) {
      at += 2; // markers without content
    } else {
      const length = 256 * bytes[at + 2] + bytes[at + 3];
      if (marker === 0xda || marker === 0xd9) return { segments, scan: at };
      segments.push({ marker, start: at + 4, end: at + 2 + length });
      at += 2 + length;
    }
  }
  return { segments, scan: bytes.length };
}

/** @param {Uint8Array} bytes */
function readJpeg(bytes) {
  const { segments, scan } = listSegments(bytes);
  let end = bytes.length - 2;
  while (end > scan && !(bytes[end] === 0xff && bytes[end + 1] === 0xd9)) end--;
  const table = segments.find(({ marker, start }) => marker === 0xdb && bytes[start] === 0);
  let quality = 0;
  if (table && table.end - table.start >= 65) {
    const values = bytes.subarray(table.start + 1, table.start + 65);
    const scale = (values.reduce((sum, value) => sum + value, 0) * 100) / LUMINANCE_SUM;
    const estimate = Math.round(scale <= 100 ? (200 - scale) / 2 : 5000 / scale);
    quality = Math.min(Math.max(estimate, 1), 100);
  }
  return { complete: end > scan, quality };
}

/**
 * The chunks of a PNG.
 * @param {Uint8Array} bytes
 * @returns {Generator<{ kind: string, start: number, end: number }>} Positions of contents.
 */
export function* listChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const kind = readText(bytes, at + 4, at + 8);
    yield { kind, start: at + 8, end: at + 8 + length };
    at += 12 + length;
  }
}

/** @param {Uint8Array} bytes */
function readPng(bytes) {
  let [frames, complete] = [1, false];
  let alpha = bytes[25] === 4 || bytes[25] === 6;
  for (const { kind, start } of listChunks(bytes)) {
    if (kind === "tRNS") alpha = true;
    if (kind === "acTL") frames = 2;
    if (kind === "IEND") complete = start + 4 <= bytes.length;
  }
  return { deep: bytes[24] === 16, frames, alpha, complete };
}

/**
 * The chunks of a WebP.
 * @param {Uint8Array} bytes
 * @returns {Generator<{ kind: string, start: number, end: number }>} Positions of contents.
 */
export function* listRiffChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    yield { kind: readText(bytes, at, at + 4), start: at + 8, end: at + 8 + length };
    at += 8 + length + (length % 2);
  }
}

/**
 * Undo the orientation of a PNG or WebP, which browsers apply differently.
 * @param {Uint8Array<ArrayBuffer>} bytes the file; may be changed
 * @param {string} format
 * @returns {{ orientation: number, file: Blob | null }} the orientation to be applied, and
 *   the file without it; null where the browser applies it
 */
export function takeOrientation(bytes, format) {
  const none = { orientation: 1, file: null };
  if (format !== "png" && format !== "webp") return none;
  const chunks = format === "png" ? listChunks(bytes) : listRiffChunks(bytes);
  const found = [...chunks].find(({ kind }) => kind.toUpperCase() === "EXIF");
  if (!found) return none;
  const { start, end } = found;
  const prefix = readText(bytes, start, start + 6) === "Exif\0\0" ? 6 : 0;
  const block = bytes.subarray(start + prefix, end);
  const orientation = readOrientation(block);
  if (orientation === 1) return none;
  if (format === "png") {
    const parts = [bytes.subarray(0, start - 8), bytes.subarray(end + 4)];
    return { orientation, file: new Blob(parts) };
  }
  resetOrientation(block);
  return { orientation, file: new Blob([bytes]) };
}

/** @param {Uint8Array} bytes */
function readWebp(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kind = readText(bytes, 12, 16);
  const flags = kind === "VP8X" ? bytes[20] : 0;
  const alpha = (flags & 0x10) > 0 || (kind === "VP8L" && (bytes[24] & 0x10) > 0);
  const complete = bytes.length >= 8 + view.getUint32(4, true);
  return { frames: flags & 2 ? 2 : 1, alpha, complete };
}
