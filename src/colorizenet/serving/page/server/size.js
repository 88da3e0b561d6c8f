/** The size of a picture by the header of its file, without decoding it. */

/** Bytes of a file that are read at once. */
const CHUNK = 1 << 16;

/**
 * @param {Blob} file
 * @returns {Promise<{ format: string, width: number, height: number } | null>} The format,
 *   and the size as stored (not turned upright); null where the header is not known.
 */
export async function readPictureSize(file) {
  try {
    const view = await read(file, 0, 64);
    const magic = view.getUint32(0);
    if (magic === 0x89504e47) return make("png", view.getUint32(16), view.getUint32(20));
    if (magic === 0x47494638) return make("gif", view.getUint16(6, true), view.getUint16(8, true));
    if (magic === 0x52494646 && view.getUint32(8) === 0x57454250) return readWebp(view);
    if (magic === 0x49492a00 || magic === 0x4d4d002a) return await readTiff(file, view);
    if (magic >>> 8 === 0xffd8ff) return await readJpeg(file);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // a header that ends too early
  }
  return null;
}

/**
 * @param {string} format
 * @param {number} width
 * @param {number} height
 */
function make(format, width, height) {
  return width > 0 && height > 0 ? { format, width, height } : null;
}

/**
 * @param {Blob} file
 * @param {number} at
 * @param {number} length
 * @returns {Promise<DataView>} So many bytes, or fewer at the end of the file.
 */
async function read(file, at, length) {
  return new DataView(await file.slice(at, at + length).arrayBuffer());
}

/** @param {DataView} view */
function readWebp(view) {
  const three = (/** @type {number} */ at) => view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
  switch (view.getUint32(12)) {
    case 0x56503820: // "VP8 "
      return make("webp", view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff);
    case 0x5650384c: { // "VP8L"
      const bits = view.getUint32(21, true);
      return make("webp", (bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1);
    }
    case 0x56503858: // "VP8X"
      return make("webp", three(24) + 1, three(27) + 1);
    default:
      return null;
  }
}

/**
 * @param {Blob} file
 * @param {DataView} header
 */
async function readTiff(file, header) {
  const little = header.getUint16(0) === 0x4949;
  const directory = await read(file, header.getUint32(4, little), CHUNK);
  /** @type {Record<number, number>} */
  const values = {};
  const count = directory.getUint16(0, little);
  for (let number = 0; number < count; number++) {
    const at = 2 + 12 * number;
    const short = directory.getUint16(at + 2, little) === 3;
    values[directory.getUint16(at, little)] = short
      ? directory.getUint16(at + 8, little)
      : directory.getUint32(at + 8, little);
  }
  return make("tiff", values[256] ?? 0, values[257] ?? 0);
}

/** @param {Blob} file */
async function readJpeg(file) {
  let start = 0;
  let view = await read(file, 0, CHUNK);
  let at = 2;
  for (;;) {
    if (at - start + 10 > view.byteLength) {
      // Metadata before the size may be long.
      start = at;
      view = await read(file, start, CHUNK);
    }
    const marker = view.getUint16(at - start);
    if (marker >>> 8 !== 0xff) return null;
    if (marker === 0xffff) {
      at += 1; // a fill byte
      continue;
    }
    const frame = marker >= 0xffc0 && marker <= 0xffcf && ![0xffc4, 0xffc8, 0xffcc].includes(marker);
    if (frame) return make("jpeg", view.getUint16(at - start + 7), view.getUint16(at - start + 5));
    if (marker === 0xffda) return null;
    at += 2 + view.getUint16(at - start + 2);
  }
}
