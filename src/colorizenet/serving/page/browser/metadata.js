/**
 * The metadata of a result: that of the source, made true of the result.
 *
 * EXIF, XMP, IPTC, comments, texts and the resolution are carried over. Profiles are not:
 * browsers decode to sRGB, and results are in sRGB.
 *
 * References: ITU T.81, JFIF 1.02, Exif 2.32 and XMP Part 3 (JPEG); W3C PNG, third
 * edition; RFC 9649 (WebP).
 */

import { readOrientation, updateExif } from "./exif.js";
import { listChunks, listRiffChunks, listSegments, readText } from "./files.js";
import { updateXmp } from "./xmp.js";

/**
 * @typedef {{ exif: Uint8Array, xmp: Uint8Array, iptc: Uint8Array, comments: Uint8Array[],
 *   texts: Uint8Array[], density: [number, number, number] | null, turned: boolean }} Metadata
 * `texts` are whole chunks of a PNG; `density` is pixels per meter across and down, and 1,
 * or a ratio and 0. `turned`: whether width and height change places.
 */

const LONGEST_SEGMENT = 65_533;
const XMP_PREFIX = "http://ns.adobe.com/xap/1.0/\0";
const EXIF_PREFIX = "Exif\0\0";
const PHOTOSHOP_PREFIX = "Photoshop 3.0\0";
const PNG_XMP = "XML:com.adobe.xmp";
const HEAD = 1 << 16;
const IPTC = 1028;
const CARRIED_RESOURCES = [IPTC, 1034, 1035];
const INCHES = 39.3701; // in a meter

/** @param {string} text one byte for each character */
function toBytes(text) {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/**
 * @param {Uint8Array[]} parts
 * @returns {Uint8Array}
 */
function join(...parts) {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/**
 * Put the metadata of a photo into a result.
 * @param {Blob} result as the canvas encoded it
 * @param {string} format of the result
 * @param {Blob} source the photo's file
 * @param {string} sourceFormat
 * @param {{ width: number, height: number, note: string }} about size of the result, and
 *   the note about the origin of its colors
 * @returns {Promise<Blob>}
 */
export async function carryMetadata(result, format, source, sourceFormat, about) {
  const bytes = new Uint8Array(await source.arrayBuffer());
  const metadata = await readMetadata(bytes, sourceFormat);
  const { width, height, note } = about;
  const exif = updateExif(metadata.exif, { width, height, software: note });
  const packet = updateXmp(new TextDecoder().decode(metadata.xmp), { width, height });
  const updated = { ...metadata, exif, xmp: new TextEncoder().encode(packet) };
  const head = new Uint8Array(await result.slice(0, HEAD).arrayBuffer());
  if (format === "jpeg") return embedInJpeg(result, head, updated);
  if (format === "png") return embedInPng(result, head, updated);
  if (format === "webp") return embedInWebp(result, head, updated, about);
  return result;
}

/**
 * @param {Uint8Array} bytes
 * @param {string} format
 * @returns {Promise<Metadata>}
 */
async function readMetadata(bytes, format) {
  const none = new Uint8Array();
  /** @type {Metadata} */
  const found = {
    exif: none,
    xmp: none,
    iptc: none,
    comments: [],
    texts: [],
    density: null,
    turned: false,
  };
  if (format === "jpeg") readJpeg(bytes, found);
  else if (format === "png") await readPng(bytes, found);
  else if (format === "webp") readWebp(bytes, found);
  if (readText(found.exif, 0, 6) === EXIF_PREFIX) found.exif = found.exif.slice(6);
  found.turned = readOrientation(found.exif) >= 5;
  return found;
}

/**
 * @param {Uint8Array} bytes
 * @param {Metadata} found
 */
function readJpeg(bytes, found) {
  const resources = [];
  for (const { marker, start, end } of listSegments(bytes).segments) {
    const content = bytes.slice(start, end);
    const head = readText(content, 0, 40);
    if (marker === 0xe0 && head.startsWith("JFIF\0")) {
      const [unit, across, down] = [content[7], 256 * content[8] + content[9], 256 * content[10] + content[11]];
      const scale = unit === 1 ? INCHES : 100;
      if (unit > 0 && across && down) found.density = [across * scale, down * scale, 1];
      else if (across !== down && across && down) found.density = [across, down, 0];
    } else if (marker === 0xe1 && head.startsWith(EXIF_PREFIX) && !found.exif.length) {
      found.exif = content;
    } else if (marker === 0xe1 && head.startsWith(XMP_PREFIX) && !found.xmp.length) {
      found.xmp = content.slice(XMP_PREFIX.length);
    } else if (marker === 0xed && head.startsWith(PHOTOSHOP_PREFIX)) {
      resources.push(content.slice(PHOTOSHOP_PREFIX.length));
    } else if (marker === 0xfe && found.comments.length < 100) {
      found.comments.push(content);
    }
  }
  found.iptc = filterResources(join(...resources));
}

/**
 * The resources of Photoshop that stay true of a result: IPTC and the copyright.
 * @param {Uint8Array} block
 * @returns {Uint8Array}
 */
function filterResources(block) {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const kept = [];
  for (let at = 0; at + 12 <= block.length && readText(block, at, at + 4) === "8BIM"; ) {
    const name = at + 7 + block[at + 6];
    const size = name + ((name - at) % 2);
    if (size + 4 > block.length) break;
    const length = view.getUint32(size);
    const end = size + 4 + length + (length % 2);
    if (CARRIED_RESOURCES.includes(view.getUint16(at + 4))) kept.push(block.slice(at, end));
    at = end;
  }
  return join(...kept);
}

/**
 * @param {Uint8Array} bytes
 * @param {Metadata} found
 */
async function readPng(bytes, found) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const { kind, start, end } of listChunks(bytes)) {
    if (kind === "eXIf") {
      found.exif = bytes.slice(start, end);
    } else if (kind === "pHYs" && end - start === 9) {
      found.density = [view.getUint32(start), view.getUint32(start + 4), bytes[start + 8]];
    } else if (kind === "iTXt" && readText(bytes, start, start + PNG_XMP.length) === PNG_XMP) {
      found.xmp = await readInternationalText(bytes.slice(start, end));
    } else if (["tEXt", "zTXt", "iTXt"].includes(kind) && found.texts.length < 1000) {
      found.texts.push(bytes.slice(start - 8, end + 4));
    }
  }
}

/**
 * The text of a chunk iTXt.
 * @param {Uint8Array<ArrayBuffer>} content
 * @returns {Promise<Uint8Array>}
 */
async function readInternationalText(content) {
  const flags = content.indexOf(0) + 1;
  const text = content.indexOf(0, content.indexOf(0, flags + 2) + 1) + 1;
  const rest = content.slice(text);
  if (content[flags] !== 1) return rest;
  const stream = new Blob([rest]).stream().pipeThrough(new DecompressionStream("deflate"));
  try {
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    return new Uint8Array(); // damaged
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {Metadata} found
 */
function readWebp(bytes, found) {
  for (const { kind, start, end } of listRiffChunks(bytes)) {
    if (kind === "EXIF") found.exif = bytes.slice(start, end);
    if (kind === "XMP ") found.xmp = bytes.slice(start, end);
  }
}

/**
 * @param {number} marker
 * @param {Uint8Array[]} parts
 * @returns {Uint8Array}
 */
function makeSegment(marker, ...parts) {
  const content = join(...parts);
  const length = content.length + 2;
  return join(new Uint8Array([0xff, marker, length >> 8, length & 255]), content);
}

/**
 * @param {Blob} result
 * @param {Uint8Array} head
 * @param {Metadata} metadata
 */
function embedInJpeg(result, head, { exif, xmp, iptc, comments, density, turned }) {
  const hasJfif = head[3] === 0xe0 && readText(head, 6, 10) === "JFIF";
  const start = hasJfif ? 4 + 256 * head[4] + head[5] : 2;
  let [unit, across, down] = [0, 1, 1];
  if (density) {
    const scale = density[2] ? 1 / INCHES : 1;
    const [x, y] = [density[0] * scale, density[1] * scale].map((value) => Math.round(value));
    if (Math.min(x, y) >= 1 && Math.max(x, y) < 65_536) {
      [unit, across, down] = [density[2] ? 1 : 0, ...(turned ? [y, x] : [x, y])];
    }
  }
  const numbers = [1, 1, unit, across >> 8, across & 255, down >> 8, down & 255, 0, 0];
  const segments = [makeSegment(0xe0, toBytes("JFIF\0"), new Uint8Array(numbers))];
  const fits = (/** @type {string} */ prefix, /** @type {Uint8Array} */ block) =>
    block.length > 0 && block.length + prefix.length <= LONGEST_SEGMENT;
  if (fits(EXIF_PREFIX, exif)) segments.push(makeSegment(0xe1, toBytes(EXIF_PREFIX), exif));
  if (fits(XMP_PREFIX, xmp)) segments.push(makeSegment(0xe1, toBytes(XMP_PREFIX), xmp));
  const piece = LONGEST_SEGMENT - PHOTOSHOP_PREFIX.length;
  for (let at = 0; at < iptc.length; at += piece) {
    const part = iptc.subarray(at, at + piece);
    segments.push(makeSegment(0xed, toBytes(PHOTOSHOP_PREFIX), part));
  }
  for (const comment of comments) segments.push(makeSegment(0xfe, comment));
  return makeBlob(result.type, head.subarray(0, 2), ...segments, result.slice(start));
}

/**
 * @param {Blob} result
 * @param {Uint8Array} head
 * @param {Metadata} metadata
 */
function embedInPng(result, head, { exif, xmp, texts, density, turned }) {
  const first = [...listChunks(head)].find(({ kind }) => kind === "IDAT");
  if (!first) return result;
  const at = first.start - 8;
  const chunks = [];
  if (density) {
    const content = new Uint8Array(9);
    const view = new DataView(content.buffer);
    const [x, y] = turned ? [density[1], density[0]] : density;
    view.setUint32(0, Math.round(x));
    view.setUint32(4, Math.round(y));
    content[8] = density[2];
    chunks.push(makeChunk("pHYs", content));
  }
  if (exif.length) chunks.push(makeChunk("eXIf", exif));
  if (xmp.length) chunks.push(makeChunk("iTXt", join(toBytes(`${PNG_XMP}\0\0\0\0\0`), xmp)));
  chunks.push(...texts);
  return makeBlob(result.type, head.subarray(0, at), ...chunks, result.slice(at));
}

/**
 * @param {string} kind
 * @param {Uint8Array} content
 * @returns {Uint8Array}
 */
function makeChunk(kind, content) {
  const body = join(toBytes(kind), content);
  const numbers = new DataView(new ArrayBuffer(8));
  numbers.setUint32(0, content.length);
  numbers.setUint32(4, computeChecksum(body));
  return join(new Uint8Array(numbers.buffer, 0, 4), body, new Uint8Array(numbers.buffer, 4, 4));
}

/**
 * The CRC-32 of a chunk of a PNG.
 * @param {Uint8Array} bytes
 */
function computeChecksum(bytes) {
  let checksum = 0xffffffff;
  for (const byte of bytes) {
    checksum ^= byte;
    for (let bit = 0; bit < 8; bit++) checksum = (checksum >>> 1) ^ (checksum & 1 ? 0xedb88320 : 0);
  }
  return ~checksum >>> 0;
}

/**
 * @param {Blob} result
 * @param {Uint8Array} head
 * @param {Metadata} metadata
 * @param {{ width: number, height: number }} size
 */
function embedInWebp(result, head, { exif, xmp }, { width, height }) {
  const extended = readText(head, 12, 16) === "VP8X";
  const lossless = readText(head, 12, 16) === "VP8L";
  const canvas = new Uint8Array(18);
  const view = new DataView(canvas.buffer);
  canvas.set(toBytes("VP8X"));
  view.setUint32(4, 10, true);
  canvas[8] = (extended ? head[20] : lossless ? 0x10 : 0) | 0x08 | 0x04;
  for (const [at, side] of [[12, width - 1], [15, height - 1]]) {
    canvas.set([side & 255, (side >> 8) & 255, side >> 16], at);
  }
  const start = extended ? 30 : 12;
  const blocks = /** @type {[string, Uint8Array][]} */ ([["EXIF", exif], ["XMP ", xmp]]);
  const chunks = blocks.map(([kind, content]) => {
    const length = new DataView(new ArrayBuffer(4));
    length.setUint32(0, content.length, true);
    const padding = new Uint8Array(content.length % 2);
    return join(toBytes(kind), new Uint8Array(length.buffer), content, padding);
  });
  const added = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const riff = head.slice(0, 12);
  const total = 12 + 18 + (result.size - start) + added - 8;
  new DataView(riff.buffer).setUint32(4, total, true);
  return makeBlob(result.type, riff, canvas, result.slice(start), ...chunks);
}

/**
 * @param {string} type
 * @param {(Uint8Array | Blob)[]} parts
 */
function makeBlob(type, ...parts) {
  return new Blob(/** @type {BlobPart[]} */ (parts), { type });
}
