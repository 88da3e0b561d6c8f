/**
 * The photos of the page and what becomes of them; nothing here knows about the document.
 *
 *     waiting -> uploading -> coloring -> done
 *        |           |            |-----> failed
 *        '-----------'------------'-----> stopped
 *
 * A job whose settings change waits again and keeps its result until the new one is there.
 */

import { describeFault, isAboutSettings, isReadable } from "./faults.js";
import { DEFAULTS, isEqual, isPending, isRunning, makeJob, toStored } from "./job.js";
import { Pace } from "./pace.js";
import { waitForEngine } from "./waiting.js";

export { describeCommand } from "./commands.js";

/**
 * @typedef {import("./types").Engine} Engine
 * @typedef {import("./types").Settings} Settings
 * @typedef {import("./types").Progress} Progress
 * @typedef {import("./job.js").Job} Job
 * @typedef {import("./job.js").State} State
 * @typedef {import("./job.js").StoredJob} StoredJob
 * @typedef {import("./job.js").JobStore} JobStore
 */

/**
 * The list of photos, and the queue that colorizes them.
 *
 * Events: `added` and `removed` (detail: jobs), `changed` (detail: a job), and `connection`
 * (detail: whether the engine answers).
 */
export class Jobs extends EventTarget {
  /** @type {Map<string, Job>} */
  #jobs = new Map();
  /** @type {Map<string, AbortController>} */
  #running = new Map();
  /** @type {Set<string>} Jobs that failed to reach the engine once. */
  #unreached = new Set();
  #order = 0;
  #revision = 0;
  #connected = true;
  #engine;
  #store;
  #concurrency;
  #pause;
  #pace = new Pace();

  /**
   * @param {Engine} engine An engine that has been started.
   * @param {JobStore} store
   * @param {{ concurrency?: number, pause?: number }} [options] Photos at once; seconds until
   *   an engine that does not answer is tried again, at first.
   */
  constructor(engine, store, { concurrency = 2, pause = 1 } = {}) {
    super();
    this.#engine = engine;
    this.#store = store;
    this.#concurrency = concurrency;
    this.#pause = pause;
    /** @type {Settings} The settings for all photos that have none of their own. */
    this.defaults = DEFAULTS;
  }

  /** @returns {Job[]} In order. */
  get all() {
    return [...this.#jobs.values()];
  }

  /** @param {string} id */
  get(id) {
    return this.#jobs.get(id);
  }

  /** @param {Job} job */
  settingsOf(job) {
    return job.settings ?? this.defaults;
  }

  /**
   * Take up jobs that were stored. What was interrupted starts again.
   * @param {StoredJob[]} stored
   * @param {Partial<Settings> | null} defaults
   */
  restore(stored, defaults) {
    this.defaults = { ...DEFAULTS, ...defaults };
    const jobs = stored.map((each) => {
      const job = { ...each, done: null };
      if (isPending(job)) job.state = "waiting";
      this.#order = Math.max(this.#order, each.order + 1);
      this.#revision = Math.max(this.#revision, each.result?.revision ?? 0);
      return job;
    });
    this.#insert(jobs);
  }

  /**
   * @param {{ file: File, path: string }[]} files
   * @returns {Job[]}
   */
  add(files) {
    const jobs = files.map(({ file, path }) => makeJob(file, path, this.#order++));
    this.#store.addJobs(jobs.map(toStored));
    this.#insert(jobs);
    return jobs;
  }

  /** @param {string} id */
  stop(id) {
    const job = this.#jobs.get(id);
    if (!job || !isPending(job)) return;
    this.#abort(id);
    this.#update(job, { state: "stopped", done: null });
    this.#start();
  }

  stopAll() {
    const pending = this.all.filter(isPending);
    for (const job of pending) this.#abort(job.id);
    for (const job of pending) this.#update(job, { state: "stopped", done: null });
  }

  /** @param {string} id */
  retry(id) {
    const job = this.#jobs.get(id);
    if (job && !isPending(job)) this.#wait(job);
    this.#start();
  }

  /** Go on with what was stopped. */
  continueAll() {
    for (const job of this.all) if (job.state === "stopped") this.#wait(job);
    this.#start();
  }

  /** @param {string[]} ids */
  remove(ids) {
    const jobs = ids.flatMap((id) => this.#jobs.get(id) ?? []);
    for (const { id } of jobs) {
      this.#abort(id);
      this.#jobs.delete(id);
      this.#unreached.delete(id);
    }
    this.#store.deleteJobs(ids);
    this.#emit("removed", jobs);
    this.#start();
  }

  /**
   * Give a photo settings of its own, or with null those for all photos again.
   * @param {string} id
   * @param {Settings | null} settings
   */
  apply(id, settings) {
    const job = this.#jobs.get(id);
    if (!job) return;
    const own = settings && structuredClone(settings);
    const same = isEqual(own ?? this.defaults, this.settingsOf(job));
    job.settings = own;
    if (same) this.#update(job, {});
    else this.#wait(job);
    this.#start();
  }

  /**
   * Change settings for all photos that have none of their own. These are colorized again,
   * except for those that were stopped, and those that failed whatever the settings.
   * @param {Partial<Settings>} changes
   */
  setDefaults(changes) {
    const defaults = { ...this.defaults, ...changes };
    if (isEqual(defaults, this.defaults)) return;
    this.defaults = defaults;
    this.#store.saveDefaults(defaults);
    for (const job of this.all) {
      if (job.settings || job.state === "stopped") continue;
      if (job.state === "failed" && !isAboutSettings(job.fault)) continue;
      if (job.state === "done" && job.result && isEqual(job.result.settings, defaults)) continue;
      this.#wait(job);
    }
    this.#start();
  }

  /**
   * Keep small pictures of a result that the browser cannot show.
   * @param {Job} job
   * @param {NonNullable<Job["result"]>} result The one they show; another one may have come.
   * @param {{ before: Blob, after: Blob }} pictures
   */
  keepPictures(job, result, pictures) {
    if (job.result !== result || this.#jobs.get(job.id) !== job) return;
    job.result = { ...result, pictures };
    this.#store.saveJob(toStored(job), true);
  }

  /** @returns {Record<"total" | "done" | "failed" | "stopped" | "pending", number>} */
  count() {
    const count = { total: 0, done: 0, failed: 0, stopped: 0, pending: 0 };
    for (const job of this.#jobs.values()) {
      count.total++;
      if (job.state === "done") count.done++;
      else if (job.state === "failed") count.failed++;
      else if (job.state === "stopped") count.stopped++;
      else count.pending++;
    }
    return count;
  }

  /** @returns {number | null} Seconds until all is done; null where that is not known. */
  estimateSecondsLeft() {
    return this.#connected ? this.#pace.estimate(this.all.filter(isPending), isRunning) : null;
  }

  /** @param {Job[]} jobs */
  #insert(jobs) {
    for (const job of jobs) this.#jobs.set(job.id, job);
    this.#emit("added", jobs);
    this.#start();
  }

  /**
   * Let a job wait for its turn, and stop what is done for it now.
   * @param {Job} job
   */
  #wait(job) {
    this.#abort(job.id);
    this.#update(job, { state: "waiting", fault: null, done: null });
  }

  /** @param {string} id */
  #abort(id) {
    const controller = this.#running.get(id);
    this.#running.delete(id);
    controller?.abort();
  }

  /**
   * @param {Job} job
   * @param {Partial<Job>} changes
   */
  #update(job, changes) {
    Object.assign(job, changes);
    if (!isRunning(job)) this.#store.saveJob(toStored(job), Boolean(changes.result));
    this.#emit("changed", job);
  }

  /** Start as many waiting jobs as may run at once. */
  #start() {
    if (!this.#connected || this.#running.size >= this.#concurrency) return;
    for (const job of this.#jobs.values()) {
      if (job.state !== "waiting") continue;
      if (this.#running.size === 0) this.#pace.begin();
      this.#run(job);
      if (this.#running.size >= this.#concurrency) return;
    }
  }

  /** @param {Job} job */
  async #run(job) {
    const controller = new AbortController();
    const { signal } = controller;
    this.#running.set(job.id, controller);
    const settings = structuredClone(this.settingsOf(job));
    const state = this.#engine.kind === "server" ? "uploading" : "coloring";
    this.#update(job, { state, done: null });
    try {
      const result = await this.#engine.colorize(job.file, settings, {
        signal,
        onProgress: (progress) => {
          if (!signal.aborted) this.#showProgress(job, progress);
        },
      });
      if (signal.aborted) return;
      this.#running.delete(job.id);
      this.#unreached.delete(job.id);
      this.#pace.measure(job);
      this.#update(job, {
        state: "done",
        done: null,
        fault: null,
        result: { ...result, settings, revision: ++this.#revision },
      });
    } catch (error) {
      const fault = describeFault(error);
      const isUnreached = fault.code === "network" && (await isReadable(job.file));
      if (signal.aborted) return; // whoever aborted it has said what becomes of it
      this.#running.delete(job.id);
      this.#fail(job, fault, isUnreached);
    }
    this.#start();
  }

  /**
   * @param {Job} job
   * @param {Progress} progress
   */
  #showProgress(job, { stage, done }) {
    const state = stage === "waiting" ? "queued" : stage;
    this.#update(job, { state, done: done ?? null });
  }

  /**
   * @param {Job} job
   * @param {import("./faults.js").Fault} fault
   * @param {boolean} isUnreached Whether the engine did not answer.
   */
  #fail(job, fault, isUnreached) {
    if (isUnreached && !this.#unreached.has(job.id)) {
      // Not the photo's fault: it waits until the server answers again.
      this.#unreached.add(job.id);
      this.#update(job, { state: "waiting", done: null });
      this.#reconnect();
      return;
    }
    this.#unreached.delete(job.id);
    this.#pace.measure(job);
    this.#update(job, { state: "failed", fault, done: null });
  }

  /** Go on once the engine answers again. */
  async #reconnect() {
    if (!this.#connected) return;
    this.#connected = false;
    this.#emit("connection", false);
    await waitForEngine(this.#engine, this.#pause);
    this.#connected = true;
    this.#emit("connection", true);
    this.#start();
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
