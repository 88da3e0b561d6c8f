/** What a person takes away: photos, archives, and pictures for sharing. */

import { makeUnique, nameResult, renameFile } from "./commands.js";
import { writeZip } from "./zip.js";

/**
 * @typedef {import("./job.js").Job} Job
 * @typedef {import("./pictures.js").Pictures} Pictures
 */

/** Longest side of each half of a picture for sharing, in pixels. */
const SHARED_SIDE = 1600;
const SHARED_GAP = 12;
const SHARED_QUALITY = 0.92;

/**
 * Let the browser save a file.
 * @param {Blob} blob
 * @param {string} name
 */
export function saveFile(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  // The browser reads the file after this event, and a large one for long.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** @param {Job} job A job with a result. */
export function saveResult(job) {
  if (job.result) saveFile(job.result.blob, nameResult(job).replace(/^.*\//, ""));
}

/**
 * All results as an archive, in the folders of their photos.
 * @param {Job[]} jobs
 * @param {{ signal?: AbortSignal, onProgress?: (done: number) => void }} [options]
 *   `onProgress` is called with the share that is done, 0 to 1.
 * @returns {Promise<Blob>}
 */
export async function packResults(jobs, { signal, onProgress } = {}) {
  const ready = jobs.filter((job) => job.result);
  const names = makeUnique(ready.map(nameResult));
  const files = ready.flatMap(({ result, file }, index) => {
    const name = names[index];
    if (!result || name === undefined) return [];
    return [{ name, blob: result.blob, modified: new Date(file.lastModified) }];
  });
  const total = files.reduce((sum, { blob }) => sum + blob.size, 0);
  return writeZip(files, {
    ...(signal ? { signal } : {}),
    onBytes: (bytes) => onProgress?.(total ? bytes / total : 1),
  });
}

/**
 * A picture with the photo on the left and the result on the right.
 * @param {Job} job A job with a result.
 * @param {Pictures} pictures
 * @returns {Promise<void>}
 */
export async function saveSideBySide(job, pictures) {
  const both = await pictures.makeBoth(job, SHARED_SIDE);
  const [before, after] = both;
  const scale = Math.min(1, SHARED_SIDE / Math.max(after.width, after.height));
  const width = Math.max(1, Math.round(after.width * scale));
  const height = Math.max(1, Math.round(after.height * scale));
  const canvas = document.createElement("canvas");
  canvas.width = 2 * width + SHARED_GAP;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("no canvas");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(after, width + SHARED_GAP, 0, width, height);
  context.drawImage(before, 0, 0, width, height);
  for (const picture of both) picture.close();
  const blob = await new Promise((resolve) => {
    canvas.toBlob(resolve, "image/jpeg", SHARED_QUALITY);
  });
  if (!blob) throw new Error("no picture");
  saveFile(/** @type {Blob} */ (blob), renameFile(job.path, "-before-after.jpg"));
}
