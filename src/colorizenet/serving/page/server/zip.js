/** Reads ZIP files whose entries are stored without compression, as the server sends them. */

import { PageError } from "../errors.js";

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const END_BYTES = 22;

/**
 * @param {Blob} archive A ZIP file without compression and without a comment.
 * @param {string} type MIME type of its files.
 * @returns {Promise<Blob[]>} Its files, in order.
 */
export async function readStoredZip(archive, type) {
  const view = new DataView(await archive.arrayBuffer());
  const end = view.byteLength - END_BYTES;
  if (end < 0 || view.getUint32(end, true) !== END) throw makeError();
  const files = [];
  let at = view.getUint32(end + 16, true);
  for (let count = view.getUint16(end + 10, true); count > 0; count--) {
    if (view.getUint32(at, true) !== ENTRY || view.getUint16(at + 10, true) !== 0) throw makeError();
    const size = view.getUint32(at + 20, true);
    const start = view.getUint32(at + 42, true);
    // The header before the content repeats the name, with lengths of its own.
    const content = start + 30 + view.getUint16(start + 26, true) + view.getUint16(start + 28, true);
    files.push(archive.slice(content, content + size, type));
    at += 46 + [28, 30, 32].reduce((sum, field) => sum + view.getUint16(at + field, true), 0);
  }
  return files;
}

/** @returns {PageError} */
function makeError() {
  return new PageError("failed", "The server sent an archive that cannot be read. Try again.");
}
