/** One photo of the page: its states, and what is stored of it. */

/**
 * @typedef {import("./types").Settings} Settings
 * @typedef {import("./faults.js").Fault} Fault
 *
 * @typedef {"waiting" | "loading" | "uploading" | "queued" | "coloring" | "done" | "failed"
 *   | "stopped"} State `queued` waits for the engine; `waiting` waits on the page.
 *
 * @typedef {{ blob: Blob, format: string, seconds: number,
 *   warnings: import("./types").Notice[], settings: Settings, revision: number,
 *   pictures?: { before: Blob, after: Blob } }} JobResult A result and the settings that it
 *   was made with. `pictures` are small ones, where the browser cannot show the photo.
 *
 * @typedef {{
 *   id: string,
 *   order: number,
 *   path: string,
 *   file: File,
 *   state: State,
 *   settings: Settings | null,
 *   result: JobResult | null,
 *   fault: Fault | null,
 *   done: number | null,
 * }} Job `path` is the name with the folders below which the photo was found. `settings`
 *   are null where those for all photos apply. `done` is the share of the upload.
 *
 * @typedef {Omit<Job, "done">} StoredJob
 *
 * @typedef {{
 *   addJobs(jobs: StoredJob[]): Promise<void>,
 *   saveJob(job: StoredJob, withResult?: boolean): Promise<void>,
 *   deleteJobs(ids: string[]): Promise<void>,
 *   saveDefaults(defaults: object): Promise<void>,
 * }} JobStore
 */

/** @type {Settings} Settings for all photos, until a person changes them. */
export const DEFAULTS = { model: null, strength: 1, format: null, hints: [] };

/** States of jobs that the engine works on. */
const RUNNING = new Set(["loading", "uploading", "queued", "coloring"]);

/**
 * @param {Job} job
 * @returns {boolean} Whether the engine works on it.
 */
export function isRunning(job) {
  return RUNNING.has(job.state);
}

/**
 * @param {Job} job
 * @returns {boolean} Whether it is running or will be.
 */
export function isPending(job) {
  return job.state === "waiting" || isRunning(job);
}

/**
 * @param {File} file
 * @param {string} path
 * @param {number} order
 * @returns {Job} A job that waits for its turn.
 */
export function makeJob(file, path, order) {
  return {
    id: makeId(),
    order,
    path,
    file,
    state: "waiting",
    settings: null,
    result: null,
    fault: null,
    done: null,
  };
}

/**
 * @param {Job} job
 * @returns {StoredJob}
 */
export function toStored({ id, order, path, file, state, settings, result, fault }) {
  return { id, order, path, file, state, settings, result, fault };
}

/**
 * @param {Settings} one
 * @param {Settings} other
 */
export function isEqual(one, other) {
  const keys = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...keys].every((key) => {
    const name = /** @type {keyof Settings} */ (key);
    return JSON.stringify(one[name]) === JSON.stringify(other[name]);
  });
}

/** An identifier; `crypto.randomUUID` exists only in secure contexts. */
function makeId() {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("-");
}
