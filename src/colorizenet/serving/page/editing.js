/** Opens one photo in the editor, which is loaded only then. */

import { byId, make, makeButton } from "./elements.js";
import { isEqual } from "./job.js";
import { t } from "./strings.js";

/**
 * @typedef {import("./job.js").Job} Job
 * @typedef {import("./jobs.js").Jobs} Jobs
 * @typedef {import("./types").Settings} Settings
 */

/** Seconds for which the editor says that photos were added behind it. */
const NOTE_SECONDS = 6;

export class Editing {
  /** @type {Promise<import("./editor/editor.js").PhotoEditor> | null} Null until it is needed. */
  #loading = null;
  /** @type {import("./editor/editor.js").PhotoEditor | null} Null until it is loaded. */
  #editor = null;
  /** @type {Job | null} */
  #job = null;
  /** @type {Settings | null} Settings that have not been applied. */
  #changed = null;
  #added = make("p", { class: "added", role: "status" });
  #timer = 0;
  #jobs;
  #engine;
  #info;

  /**
   * @param {Jobs} jobs
   * @param {import("./types").Engine} engine
   * @param {import("./types").Info} info
   */
  constructor(jobs, engine, info) {
    this.#jobs = jobs;
    this.#engine = engine;
    this.#info = info;
    /** @type {HTMLDialogElement} */
    this.dialog = byId("editor");
    this.dialog.addEventListener("close", () => this.#leave());
    jobs.addEventListener("changed", (event) => {
      const job = /** @type {CustomEvent<Job>} */ (event).detail;
      if (job !== this.#job || job.state !== "done" || !job.result) return;
      this.#editor?.showResult(job.result.blob, job.result.settings);
    });
    jobs.addEventListener("added", (event) => {
      this.#showAdded(/** @type {CustomEvent<Job[]>} */ (event).detail.length);
    });
    addEventListener("beforeunload", (event) => {
      if (this.#job && this.#isChanged(this.#job)) event.preventDefault(); // the browser asks
    });
  }

  /**
   * @param {Job} job
   * @returns {Promise<void>} Rejects if the editor cannot be loaded.
   */
  async open(job) {
    this.#job = job;
    this.#changed = null;
    this.dialog.setAttribute("aria-label", job.path);
    document.documentElement.classList.add("editing");
    if (!this.#editor) {
      const close = makeButton(t("editor.close"), () => this.dialog.close(), { class: "quiet" });
      const note = make("p", { role: "status" }, t("editor.opening"));
      this.dialog.replaceChildren(make("div", { class: "opening" }, note, close), this.#added);
    }
    if (!this.dialog.open) this.dialog.showModal();
    this.#loading ??= this.#load();
    let editor;
    try {
      editor = this.#editor = await this.#loading;
    } catch (error) {
      this.#loading = null; // the next attempt may succeed
      if (this.#job !== job) return; // closed meanwhile
      this.dialog.close();
      throw error;
    }
    if (this.#job !== job) return;
    const settings = structuredClone(this.#jobs.settingsOf(job));
    const fresh = job.result && isEqual(job.result.settings, settings);
    const result = fresh && job.result ? { result: job.result.blob } : {};
    await editor.open(job.file, { settings, info: this.#info, ...result });
  }

  async #load() {
    const { PhotoEditor } = await import("./editor/editor.js");
    const editor = new PhotoEditor({ engine: this.#engine, strings: t });
    const { element } = editor;
    element.addEventListener("settings-changed", (event) => {
      this.#changed = /** @type {CustomEvent<Settings>} */ (event).detail;
    });
    element.addEventListener("apply", () => {
      const job = this.#job;
      const changed = this.#changed;
      this.dialog.close();
      // A photo that was stopped is wanted now, also without a change.
      if (!job || !["stopped", "failed"].includes(job.state)) return;
      if (!changed || isEqual(changed, this.#jobs.settingsOf(job))) this.#jobs.retry(job.id);
    });
    element.addEventListener("close", (event) => {
      if (event.target === element) this.dialog.close();
    });
    this.dialog.replaceChildren(element, this.#added);
    return editor;
  }

  /**
   * Say that photos were dropped or pasted while the editor covers the list.
   * @param {number} count
   */
  #showAdded(count) {
    if (!this.#job) return;
    this.#added.textContent = t("app.added", { count });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.#added.textContent = ""), 1000 * NOTE_SECONDS);
  }

  /** @param {Job} job The photo that is open. */
  #isChanged(job) {
    return this.#changed !== null && !isEqual(this.#changed, this.#jobs.settingsOf(job));
  }

  /** Colorize the photo again if its settings have changed. */
  #leave() {
    document.documentElement.classList.remove("editing");
    this.#added.textContent = "";
    this.#editor?.close();
    const job = this.#job;
    if (job && this.#isChanged(job)) this.#jobs.apply(job.id, this.#changed);
    this.#job = this.#changed = null;
  }
}
