/**
 * Edits of an EXIF block that leave everything else where it is, as
 * `colorizenet.imaging.exif`: maker notes hold offsets from the start of the block.
 *
 * References: Exif 2.32 (CIPA DC-008); TIFF 6.0 (Adobe, 1992).
 */

const WIDTH = 256;
const HEIGHT = 257;
const ORIENTATION = 274;
const ACROSS = 282;
const DOWN = 283;
const SOFTWARE = 305;
const THUMBNAIL = 513;
const THUMBNAIL_LENGTH = 514;
const EXIF = 34665;
const COLOR_SPACE = 40961;
const PIXEL_WIDTH = 40962;
const PIXEL_HEIGHT = 40963;
const MOST_ENTRIES = 1000;
/** Tags of the main directory that describe how the source stores its pixels. */
const UNTRUE_TAGS = [254, 255, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325];
const SIZES = /** @type {Record<number, number>} */ ({ 3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4 });

/** @typedef {{ at: number, tag: number, kind: number, count: number }} Field */

/** The bytes of a block, and its directories. */
class Block {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const magic = bytes.length >= 8 ? this.view.getUint32(0) : 0;
    this.little = magic === 0x49492a00;
    this.start = this.little || magic === 0x4d4d002a ? this.long(4) : -1;
  }

  /** @param {number} at */
  long(at) {
    return at >= 0 && at + 4 <= this.bytes.length ? this.view.getUint32(at, this.little) : -1;
  }

  /** @param {number} at */
  short(at) {
    return at >= 0 && at + 2 <= this.bytes.length ? this.view.getUint16(at, this.little) : -1;
  }

  /**
   * The entries of a directory; null where it is not inside the block.
   * @param {number} start
   * @returns {Field[] | null}
   */
  list(start) {
    const count = start >= 8 ? this.short(start) : -1;
    if (count < 0 || count > MOST_ENTRIES || start + 2 + 12 * count > this.bytes.length) return null;
    return Array.from({ length: count }, (_, n) => {
      const at = start + 2 + 12 * n;
      const [tag, kind] = [this.short(at), this.short(at + 2)];
      return { at, tag, kind, count: this.long(at + 4) };
    });
  }

  /**
   * The entries of the directory that a tag points to.
   * @param {Field[]} fields
   * @param {number} tag
   */
  listBelow(fields, tag) {
    const found = fields.find((field) => field.tag === tag && field.count === 1);
    return (found && this.list(this.long(found.at + 8))) ?? [];
  }

  /**
   * Where the value of an entry starts and ends.
   * @param {Field} field
   * @returns {[number, number]}
   */
  span({ at, kind, count }) {
    const size = count * (SIZES[kind] ?? 1);
    const start = size <= 4 ? at + 8 : this.long(at + 8);
    return [start, start + size];
  }

  /**
   * Overwrite an entry with one number; its type becomes LONG if it must.
   * @param {Field} field
   * @param {number} number
   */
  put({ at, kind }, number) {
    const isShort = kind === 3 && number < 1 << 16;
    this.view.setUint16(at + 2, isShort ? 3 : 4, this.little);
    this.view.setUint32(at + 4, 1, this.little);
    this.view.setUint32(at + 8, 0, this.little);
    if (isShort) this.view.setUint16(at + 8, number, this.little);
    else this.view.setUint32(at + 8, number, this.little);
  }
}

/**
 * The orientation, 1 to 8; 1 where none is stated.
 * @param {Uint8Array} bytes a block
 * @returns {number}
 */
export function readOrientation(bytes) {
  const block = new Block(bytes);
  const field = block.list(block.start)?.find(({ tag }) => tag === ORIENTATION);
  const value = field ? block.short(field.at + 8) : 1;
  return value >= 1 && value <= 8 ? value : 1;
}

/**
 * Overwrite the orientation by that of an upright picture.
 * @param {Uint8Array} bytes a block that states one
 */
export function resetOrientation(bytes) {
  const block = new Block(bytes);
  const field = block.list(block.start)?.find(({ tag }) => tag === ORIENTATION);
  if (field) block.put(field, 1);
}

/**
 * A block that is true of the result: upright, in sRGB, of its size, without thumbnail, and
 * with `software` added to the tag of that name.
 * @param {Uint8Array} block without `Exif\0\0`; may be empty
 * @param {{ width: number, height: number, software: string }} result
 * @returns {Uint8Array}
 */
export function updateExif(block, { width, height, software }) {
  const copy = new Block(block.slice());
  const fields = copy.list(copy.start);
  if (!fields) {
    const empty = new Uint8Array(8);
    empty.set([0x49, 0x49, 0x2a, 0, 8]);
    return appendDirectory(new Block(empty), [], software);
  }
  eraseThumbnail(copy, fields);
  const turned = readOrientation(block) >= 5;
  const below = copy.listBelow(fields, EXIF);
  const numbers = new Map([[ORIENTATION, 1], [WIDTH, width], [HEIGHT, height]]);
  for (const field of fields) {
    const number = numbers.get(field.tag);
    if (number !== undefined) copy.put(field, number);
  }
  const inner = new Map([[PIXEL_WIDTH, width], [PIXEL_HEIGHT, height], [COLOR_SPACE, 1]]);
  for (const field of below) {
    const number = inner.get(field.tag);
    if (number !== undefined) copy.put(field, number);
  }
  if (turned) swapResolution(copy, fields);
  const stated = fields.find((field) => field.tag === SOFTWARE);
  let text = "";
  if (stated) {
    const [start, end] = copy.span(stated);
    const bytes = start >= 0 ? copy.bytes.subarray(start, end) : new Uint8Array();
    text = new TextDecoder().decode(bytes).replace(/[\0 ]+$/, "");
  }
  const combined = text.includes(software) ? text : [text, software].filter(Boolean).join("; ");
  const removed = [...UNTRUE_TAGS, SOFTWARE];
  return appendDirectory(copy, fields.filter((field) => !removed.includes(field.tag)), combined);
}

/**
 * Write a main directory at the end of a block, with entries of the old one and Software.
 * @param {Block} block
 * @param {Field[]} fields
 * @param {string} software
 * @returns {Uint8Array}
 */
function appendDirectory(block, fields, software) {
  const text = new TextEncoder().encode(`${software}\0`);
  const start = block.bytes.length + (block.bytes.length % 2);
  const count = fields.length + 1;
  const behind = start + 2 + 12 * count + 4;
  const bytes = new Uint8Array(behind + Math.max(text.length, 4));
  bytes.set(block.bytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(4, start, block.little);
  view.setUint16(start, count, block.little);
  let at = start + 2;
  const tags = [...fields.map(({ tag, at: from }) => ({ tag, from })), { tag: SOFTWARE, from: -1 }];
  for (const { tag, from } of tags.sort((one, other) => one.tag - other.tag)) {
    if (from >= 0) {
      bytes.copyWithin(at, from, from + 12);
    } else {
      view.setUint16(at, tag, block.little);
      view.setUint16(at + 2, 2, block.little); // ASCII
      view.setUint32(at + 4, text.length, block.little);
      if (text.length > 4) view.setUint32(at + 8, behind, block.little);
      bytes.set(text, text.length > 4 ? behind : at + 8);
    }
    at += 12;
  }
  return bytes;
}

/**
 * Overwrite the thumbnail with zeros, unless it shares bytes with what must stay.
 * @param {Block} block
 * @param {Field[]} fields
 */
function eraseThumbnail(block, fields) {
  const second = block.list(block.long(block.start + 2 + 12 * fields.length)) ?? [];
  /** @param {number} tag */
  const read = (tag) => {
    const found = second.find((field) => field.tag === tag);
    return found ? block.long(found.at + 8) : 0;
  };
  const start = read(THUMBNAIL);
  const end = start + read(THUMBNAIL_LENGTH);
  if (start < 8 || end <= start || end > block.bytes.length) return;
  const all = [fields, block.listBelow(fields, EXIF), block.listBelow(fields, 34853)].flat();
  const used = all.flatMap((field) => [block.span(field), [field.at - 2, field.at + 16]]);
  if (used.some(([first, last]) => first < end && start < last)) return;
  block.bytes.fill(0, start, end);
}

/**
 * Exchange the resolutions across and down.
 * @param {Block} block
 * @param {Field[]} fields
 */
function swapResolution(block, fields) {
  const [across, down] = [ACROSS, DOWN].map((tag) => fields.find((field) => field.tag === tag));
  if (!across || !down) return;
  const [one, other] = [block.long(across.at + 8), block.long(down.at + 8)];
  block.view.setUint32(across.at + 8, other, block.little);
  block.view.setUint32(down.at + 8, one, block.little);
}
