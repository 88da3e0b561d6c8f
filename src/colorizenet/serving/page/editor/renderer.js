/**
 * Colored previews of one photo, for the settings of the moment and for comparisons.
 *
 * An engine renders one preview at a time, and the settings of the moment come first:
 * comparisons wait until these are rendered, and start again if they change meanwhile.
 *
 * @typedef {import("../types").Settings} Settings
 * @typedef {import("../types").Preview} Preview
 */

import { Latest } from "./latest.js";

/** Previews that are held, for undoing and comparing without a request. */
const HELD = 24;

export class Renderer {
  /** @type {Map<string, Blob>} */
  #held = new Map();
  #latest;
  #isBusy = false;
  /** @type {(() => void)[]} */
  #idle = [];
  #closed = new AbortController();
  /** The last comparison, which the next one waits for. @type {Promise<unknown>} */
  #queue = Promise.resolve();
  #preview;

  /**
   * @param {Preview} preview
   * @param {{ done: (blob: Blob, settings: Settings) => void | Promise<void>,
   *           failed: (error: unknown) => void,
   *           busy: (busy: boolean) => void }} report
   */
  constructor(preview, report) {
    this.#preview = preview;
    this.#latest = new Latest(
      (/** @type {Settings} */ settings, signal) => this.#render(settings, signal),
      (a, b) => identify(a) === identify(b),
      {
        done: report.done,
        failed: report.failed,
        busy: (busy) => {
          this.#isBusy = busy;
          if (!busy) for (const resume of this.#idle.splice(0)) resume();
          report.busy(busy);
        },
      },
    );
  }

  /**
   * Render the settings of the moment.
   * @param {Settings} settings @param {{ flowing?: boolean }} [options] as for `Latest`
   */
  request(settings, options) {
    this.#latest.request(settings, options);
  }

  /**
   * Render other settings for comparison.
   * @param {Settings} settings @param {AbortSignal} signal
   * @returns {Promise<Blob>}
   */
  renderAside(settings, signal) {
    const both = AbortSignal.any([signal, this.#closed.signal]);
    const work = this.#queue.then(() => this.#renderWhenIdle(settings, both));
    this.#queue = work.catch(() => {});
    return work;
  }

  close() {
    this.#closed.abort();
    this.#latest.cancel();
    this.#held.clear();
  }

  /** @param {Settings} settings @param {AbortSignal} signal @returns {Promise<Blob>} */
  async #renderWhenIdle(settings, signal) {
    for (;;) {
      while (this.#isBusy) await new Promise((/** @type {(_: void) => void} */ resume) => this.#idle.push(resume));
      signal.throwIfAborted();
      try {
        return await this.#render(settings, signal);
      } catch (error) {
        if (signal.aborted || !isAbort(error)) throw error;
        await Promise.resolve(); // a newer preview came first
      }
    }
  }

  /** @param {Settings} settings @param {AbortSignal} signal @returns {Promise<Blob>} */
  async #render(settings, signal) {
    const key = identify(settings);
    const held = this.#held.get(key);
    const blob = held ?? (await this.#preview.render(settings, signal));
    this.#held.delete(key);
    this.#held.set(key, blob);
    if (this.#held.size > HELD) {
      this.#held.delete(/** @type {string} */ (this.#held.keys().next().value));
    }
    return blob;
  }
}

/**
 * A text that is equal for settings that give the same colors.
 * @param {Settings} settings
 */
export function identify({ model, strength, hints, tta, variants, variant, seed }) {
  return JSON.stringify([model, strength, hints, tta ?? false, variants, variant, seed]);
}

/** @param {unknown} error */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}
