/** The files that a person chooses, drops or pastes, with the folders they are in. */

import { EXTENSIONS } from "./commands.js";

/**
 * @typedef {{ file: File, path: string }} Found `path` is the name with its folders.
 * @typedef {{ found: Found[], leftOut: number }} Files `leftOut` counts files in folders that
 *   are not photos.
 */

/** Compares names as people sort them: scan-2 comes before scan-10. */
const { compare } = new Intl.Collator(undefined, { numeric: true });

const PHOTO_EXTENSIONS = new Set(Object.values(EXTENSIONS).flat());

/**
 * Files from an input element. Those of a folder have their path in it.
 * @param {Iterable<File>} files
 * @returns {Files}
 */
export function readChosenFiles(files) {
  const all = [...files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  // Browsers give the files of a folder in no order.
  if (all.some(({ path }) => path.includes("/"))) all.sort((a, b) => compare(a.path, b.path));
  return selectPhotos(all);
}

/**
 * Files and folders that were dropped or pasted.
 * @param {DataTransfer} transfer It must be read in the event that it comes with.
 * @returns {Promise<Files>}
 */
export async function readTransferredFiles(transfer) {
  const entries = [...transfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => ({ entry: item.webkitGetAsEntry?.() ?? null, file: item.getAsFile() }));
  /** @type {Found[]} */
  const all = [];
  for (const { entry, file } of entries) {
    if (entry?.isDirectory) {
      await walk(/** @type {FileSystemDirectoryEntry} */ (entry), `${entry.name}/`, all);
    } else if (file) {
      all.push({ file, path: file.name });
    }
  }
  return selectPhotos(all);
}

/**
 * @param {DataTransfer | null} transfer
 * @returns {boolean} Whether there are files in it.
 */
export function hasFiles(transfer) {
  return Boolean(transfer?.types.includes("Files"));
}

/**
 * Leave out what lies beside the photos of a folder: files of other formats, and hidden ones.
 * Files outside folders were chosen one by one and stay, whatever they are.
 * @param {Found[]} all
 * @returns {Files}
 */
function selectPhotos(all) {
  const seen = all.filter(({ path }) => !/\/\./.test(path));
  const found = seen.filter(({ path }) => !path.includes("/") || isPhoto(path));
  return { found, leftOut: seen.length - found.length };
}

/** @param {string} path */
function isPhoto(path) {
  return PHOTO_EXTENSIONS.has(path.slice(path.lastIndexOf(".")).toLowerCase());
}

/**
 * @param {FileSystemDirectoryEntry} folder
 * @param {string} path
 * @param {Found[]} all Where the files are added, in the order of their names.
 */
async function walk(folder, path, all) {
  const entries = await listEntries(folder);
  entries.sort((one, other) => compare(one.name, other.name));
  for (const entry of entries) {
    if (entry.isDirectory) {
      await walk(/** @type {FileSystemDirectoryEntry} */ (entry), `${path}${entry.name}/`, all);
    } else {
      const file = await getFile(/** @type {FileSystemFileEntry} */ (entry));
      if (file) all.push({ file, path: `${path}${file.name}` });
    }
  }
}

/**
 * @param {FileSystemDirectoryEntry} folder
 * @returns {Promise<FileSystemEntry[]>} What is in a folder; nothing if it cannot be read.
 */
async function listEntries(folder) {
  const reader = folder.createReader();
  /** @type {FileSystemEntry[]} */
  const all = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve) => {
      reader.readEntries(resolve, () => resolve([]));
    });
    if (!some.length) return all; // browsers give a hundred at a time
    all.push(...some);
  }
}

/**
 * @param {FileSystemFileEntry} entry
 * @returns {Promise<File | null>}
 */
function getFile(entry) {
  return new Promise((resolve) => {
    entry.file(resolve, () => resolve(null));
  });
}
