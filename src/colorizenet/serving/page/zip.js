/**
 * Writes ZIP files without compression: photos are compressed already.
 *
 * The archive is a Blob made of the blobs of its files, so that they are never in memory
 * as a whole. ZIP64 fields (PKWARE APPNOTE 4.3.14, 4.3.15 and 4.5.3) are written only
 * where the older ones cannot hold a number.
 */

const LIMIT_16 = 0xffff;
const LIMIT_32 = 0xffffffff;
const UTF8_FLAG = 0x0800;
const VERSION = 20;
const VERSION_ZIP64 = 45;

/**
 * @typedef {{ name: string, blob: Blob, modified?: Date }} ZipFile A file of an archive;
 *   folders in its name are separated by slashes.
 * @typedef {ZipFile & { crc: number }} CheckedFile
 * @typedef {{ name: Uint8Array, crc: number, size: number, offset: number, time: number,
 *   date: number }} Entry
 */

const TABLES = makeTables();

/**
 * @param {Iterable<ZipFile>} files
 * @param {{ signal?: AbortSignal, onBytes?: (bytes: number) => void }} [options] `onBytes`
 *   is called with the number of bytes of the files that have been read so far.
 * @returns {Promise<Blob>} The archive. Rejects with the reason of the signal, or if a
 *   file cannot be read.
 */
export async function writeZip(files, { signal, onBytes } = {}) {
  /** @type {CheckedFile[]} */
  const checked = [];
  let read = 0;
  for (const file of files) {
    signal?.throwIfAborted();
    const crc = await computeCrc(file.blob, signal, (bytes) => onBytes?.((read += bytes)));
    checked.push({ ...file, crc });
  }
  return joinFiles(checked);
}

/**
 * @param {CheckedFile[]} files
 * @returns {Blob} The archive.
 */
export function joinFiles(files) {
  /** @type {BlobPart[]} */
  const parts = [];
  /** @type {Entry[]} */
  const entries = [];
  let offset = 0;
  for (const { name, blob, crc, modified = new Date() } of files) {
    const entry = {
      name: new TextEncoder().encode(name),
      crc,
      size: blob.size,
      offset,
      ...toDosTime(modified),
    };
    const header = makeLocalHeader(entry);
    parts.push(header);
    if (blob.size > 0) parts.push(blob);
    entries.push(entry);
    offset += header.length + blob.size;
  }
  const directory = entries.map(makeDirectoryHeader);
  const size = directory.reduce((sum, header) => sum + header.length, 0);
  return new Blob([...parts, ...directory, makeEnd(entries.length, size, offset)], {
    type: "application/zip",
  });
}

/**
 * @param {Blob} blob
 * @param {AbortSignal | undefined} signal
 * @param {(bytes: number) => void} onBytes Called with the length of each part.
 * @returns {Promise<number>} CRC-32 of the content (ISO 3309).
 */
export async function computeCrc(blob, signal, onBytes) {
  let crc = -1;
  const reader = blob.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return ~crc >>> 0;
    if (signal?.aborted) {
      await reader.cancel();
      throw signal.reason;
    }
    crc = updateCrc(crc, value);
    onBytes(value.length);
  }
}

/** Eight tables, which take eight bytes at once. @returns {Uint32Array[]} */
function makeTables() {
  const tables = Array.from({ length: 8 }, () => new Uint32Array(256));
  const [first] = tables;
  if (!first) return tables;
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    first[byte] = crc;
  }
  for (let byte = 0; byte < 256; byte++) {
    let crc = at(first, byte);
    for (const table of tables.slice(1)) {
      crc = (crc >>> 8) ^ at(first, crc & 255);
      table[byte] = crc;
    }
  }
  return tables;
}

/**
 * @param {Uint32Array | Uint8Array} array
 * @param {number} index
 */
function at(array, index) {
  return /** @type {number} */ (array[index]);
}

/**
 * @param {number} crc
 * @param {Uint8Array} bytes
 */
function updateCrc(crc, bytes) {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = /** @type {[Uint32Array, Uint32Array, Uint32Array,
    Uint32Array, Uint32Array, Uint32Array, Uint32Array, Uint32Array]} */ (
    /** @type {unknown} */ (TABLES)
  );
  let index = 0;
  for (; index + 8 <= bytes.length; index += 8) {
    const low =
      crc ^
      (at(bytes, index) |
        (at(bytes, index + 1) << 8) |
        (at(bytes, index + 2) << 16) |
        (at(bytes, index + 3) << 24));
    crc =
      at(t7, low & 255) ^
      at(t6, (low >>> 8) & 255) ^
      at(t5, (low >>> 16) & 255) ^
      at(t4, low >>> 24) ^
      at(t3, at(bytes, index + 4)) ^
      at(t2, at(bytes, index + 5)) ^
      at(t1, at(bytes, index + 6)) ^
      at(t0, at(bytes, index + 7));
  }
  for (; index < bytes.length; index++) {
    crc = (crc >>> 8) ^ at(t0, (crc ^ at(bytes, index)) & 255);
  }
  return crc;
}

/** @param {Date} date */
function toDosTime(date) {
  const year = Math.min(Math.max(date.getFullYear(), 1980), 2107);
  return {
    time: (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1),
    date: ((year - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate(),
  };
}

/**
 * @param {[size: 2 | 4 | 8, value: number][]} fields
 * @returns {Uint8Array<ArrayBuffer>} Unsigned little-endian integers.
 */
function pack(fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let position = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(position, value, true);
    else if (size === 4) view.setUint32(position, value, true);
    else view.setBigUint64(position, BigInt(value), true);
    position += size;
  }
  return bytes;
}

/**
 * @param {...Uint8Array} arrays
 * @returns {Uint8Array<ArrayBuffer>}
 */
function join(...arrays) {
  const joined = new Uint8Array(arrays.reduce((sum, array) => sum + array.length, 0));
  let position = 0;
  for (const array of arrays) {
    joined.set(array, position);
    position += array.length;
  }
  return joined;
}

/**
 * @param {number[]} values The numbers that do not fit.
 * @returns {Uint8Array} The ZIP64 extra field; empty without numbers.
 */
function makeExtra(values) {
  if (!values.length) return new Uint8Array();
  return pack([
    [2, 1],
    [2, 8 * values.length],
    ...values.map((value) => /** @type {[8, number]} */ ([8, value])),
  ]);
}

/** @param {Entry} entry */
function makeLocalHeader({ name, crc, size, time, date }) {
  const large = size >= LIMIT_32;
  const extra = makeExtra(large ? [size, size] : []);
  const short = large ? LIMIT_32 : size;
  return join(
    pack([
      [4, 0x04034b50],
      [2, large ? VERSION_ZIP64 : VERSION],
      [2, UTF8_FLAG],
      [2, 0], // stored
      [2, time],
      [2, date],
      [4, crc],
      [4, short],
      [4, short],
      [2, name.length],
      [2, extra.length],
    ]),
    name,
    extra,
  );
}

/** @param {Entry} entry */
function makeDirectoryHeader({ name, crc, size, offset, time, date }) {
  const large = size >= LIMIT_32;
  const far = offset >= LIMIT_32;
  const extra = makeExtra([...(large ? [size, size] : []), ...(far ? [offset] : [])]);
  const version = extra.length ? VERSION_ZIP64 : VERSION;
  const short = large ? LIMIT_32 : size;
  return join(
    pack([
      [4, 0x02014b50],
      [2, version],
      [2, version],
      [2, UTF8_FLAG],
      [2, 0], // stored
      [2, time],
      [2, date],
      [4, crc],
      [4, short],
      [4, short],
      [2, name.length],
      [2, extra.length],
      [2, 0], // comment
      [2, 0], // disk
      [2, 0], // internal attributes
      [4, 0], // external attributes
      [4, far ? LIMIT_32 : offset],
    ]),
    name,
    extra,
  );
}

/**
 * @param {number} count Number of files.
 * @param {number} size Bytes of the directory.
 * @param {number} offset Where the directory begins.
 */
function makeEnd(count, size, offset) {
  const end = pack([
    [4, 0x06054b50],
    [2, 0],
    [2, 0],
    [2, Math.min(count, LIMIT_16)],
    [2, Math.min(count, LIMIT_16)],
    [4, Math.min(size, LIMIT_32)],
    [4, Math.min(offset, LIMIT_32)],
    [2, 0],
  ]);
  if (count < LIMIT_16 && size < LIMIT_32 && offset < LIMIT_32) return end;
  const end64 = pack([
    [4, 0x06064b50],
    [8, 44], // bytes of this record that follow
    [2, VERSION_ZIP64],
    [2, VERSION_ZIP64],
    [4, 0],
    [4, 0],
    [8, count],
    [8, count],
    [8, size],
    [8, offset],
  ]);
  const locator = pack([
    [4, 0x07064b50],
    [4, 0],
    [8, offset + size],
    [4, 1],
  ]);
  return join(end64, locator, end);
}
