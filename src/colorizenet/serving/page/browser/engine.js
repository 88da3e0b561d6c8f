/** The engine that colorizes in the browser: photos never leave the device. */

import { PageError } from "../errors.js";
import { readPictureSize } from "../server/size.js";
import { nameFormat, t } from "../strings.js";
import { READABLE } from "./files.js";
import { carryMetadata } from "./metadata.js";

/**
 * @typedef {import("../types").Engine} Engine
 * @typedef {import("../types").Info} Info
 * @typedef {import("../types").Preview} Preview
 * @typedef {import("../types").Settings} Settings
 * @typedef {import("../types").Progress} Progress
 * @typedef {import("../types").Suggestion} Suggestion
 * @typedef {{ onProgress?: ((progress: Progress) => void) | undefined,
 *   resolve: (result: any) => void, reject: (error: unknown) => void }} Pending
 */

const LIMITS = { maxBytes: 500_000_000, maxPixels: 100_000_000, maxPages: 1 };

/**
 * Runs the network in a worker of the page.
 * @implements {Engine}
 */
export class BrowserEngine {
  /** @type {"browser"} */
  kind = "browser";
  /** @type {Worker | null} */
  #worker = null;
  /** @type {Promise<any> | null} */
  #started = null;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  #count = 0;
  #version = "";

  /** @param {(progress: Progress) => void} [onProgress] */
  async start(onProgress) {
    installSite();
    const site = await this.#ensureWorker(onProgress);
    this.#version = site.version;
    return makeInfo(site);
  }

  /**
   * @param {File} file
   * @param {Settings} settings
   * @param {import("../types").JobOptions} options
   */
  async colorize(file, settings, { signal, onProgress }) {
    await checkFile(file, signal);
    const done = await this.request("colorize", { file, settings }, { signal, onProgress });
    const { format, width, height, source } = done;
    const note = describeColors(this.#version, settings.hints.length);
    const about = { width, height, note };
    const blob = await carryMetadata(done.blob, format, file, source, about);
    signal.throwIfAborted();
    const warnings = done.notes.map(makeNotice);
    return { blob, format, warnings, seconds: done.seconds };
  }

  /**
   * @param {File} file
   * @param {{ signal: AbortSignal, side?: number }} options
   */
  async open(file, { signal, side = 1280 }) {
    await checkFile(file, signal);
    const photo = ++this.#count;
    try {
      const { width, height } = await this.request("open", { photo, file, side }, { signal });
      return new BrowserPreview(this, photo, width, height);
    } catch (error) {
      this.release(photo); // the worker may have finished before it was stopped
      throw error;
    }
  }

  /**
   * Let the worker forget a photo of the editor.
   * @param {number} photo
   */
  release(photo) {
    if (this.#worker) this.#send("close", { photo }, undefined).catch(() => {});
  }

  /**
   * Send a task to the worker, and wait for its result.
   * @param {string} type
   * @param {object} message
   * @param {{ signal: AbortSignal, onProgress?: ((progress: Progress) => void) | undefined }}
   *   options
   * @returns {Promise<any>}
   */
  async request(type, message, { signal, onProgress }) {
    await this.#ensureWorker();
    signal.throwIfAborted();
    return this.#send(type, message, onProgress, signal);
  }

  /**
   * @param {string} type
   * @param {object} message
   * @param {((progress: Progress) => void) | undefined} onProgress
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  #send(type, message, onProgress, signal) {
    const id = ++this.#count;
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      const abort = () => {
        worker?.postMessage({ id, type: "abort" });
        this.#pending.delete(id);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
      /** @template T @param {(value: T) => void} settle @returns {(value: T) => void} */
      const end = (settle) => (value) => {
        signal?.removeEventListener("abort", abort);
        settle(value);
      };
      this.#pending.set(id, { onProgress, resolve: end(resolve), reject: end(reject) });
      worker?.postMessage({ id, type, ...message });
    });
  }

  /**
   * The worker, which is started once, and again after it failed.
   * @param {(progress: Progress) => void} [onProgress]
   * @returns {Promise<any>} what the site holds
   */
  #ensureWorker(onProgress) {
    if (this.#started) return this.#started;
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.#worker = worker;
    worker.addEventListener("message", ({ data }) => this.#receive(data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#fail(event.message ?? "");
    });
    onProgress?.({ stage: "loading", done: 0 });
    this.#started = this.#send("start", { limits: LIMITS }, onProgress);
    this.#started.catch(() => this.#fail(""));
    return this.#started;
  }

  /** @param {{ id: number, progress?: Progress, result?: any, error?: any }} message */
  #receive({ id, progress, result, error }) {
    const pending = this.#pending.get(id);
    if (!pending) return;
    if (progress) {
      pending.onProgress?.(progress);
      return;
    }
    this.#pending.delete(id);
    if (error) pending.reject(explainError(error));
    else pending.resolve(result);
  }

  /** @param {string} reason */
  #fail(reason) {
    this.#worker?.terminate();
    this.#worker = this.#started = null;
    for (const pending of this.#pending.values()) {
      pending.reject(explainError({ code: "failed", reason, values: {} }));
    }
    this.#pending.clear();
  }
}

/**
 * A photo that is opened for the editor.
 * @implements {Preview}
 */
class BrowserPreview {
  #engine;
  #photo;
  #closed = new AbortController();
  #newest = new AbortController();

  /**
   * @param {BrowserEngine} engine
   * @param {number} photo
   * @param {number} width
   * @param {number} height
   */
  constructor(engine, photo, width, height) {
    this.#engine = engine;
    this.#photo = photo;
    this.width = width;
    this.height = height;
  }

  /** @returns {Promise<Blob>} */
  before() {
    return this.#request("before", {}, this.#closed.signal);
  }

  /**
   * @param {Settings} settings
   * @param {AbortSignal} signal
   * @returns {Promise<Blob>}
   */
  render(settings, signal) {
    this.#newest.abort(new DOMException("A newer preview was requested.", "AbortError"));
    this.#newest = new AbortController();
    const any = AbortSignal.any([signal, this.#newest.signal]);
    return this.#request("render", { settings }, any);
  }

  /** @returns {Promise<Blob[]>} */
  async variants() {
    throw new PageError("explained", t("browser.variants"));
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {string | null} _model
   * @param {AbortSignal} signal
   * @returns {Promise<Suggestion[]>}
   */
  suggest(x, y, _model, signal) {
    return this.#request("suggest", { x, y }, signal);
  }

  close() {
    if (this.#closed.signal.aborted) return;
    this.#engine.release(this.#photo);
    this.#closed.abort(new DOMException("The photo was closed.", "AbortError"));
  }

  /**
   * @param {string} type
   * @param {object} message
   * @param {AbortSignal} signal
   */
  #request(type, message, signal) {
    const any = AbortSignal.any([signal, this.#closed.signal]);
    return this.#engine.request(type, { photo: this.#photo, ...message }, { signal: any });
  }
}

/** Keep the site for use without a network, where the browser can. */
function installSite() {
  const address = new URL("../service-worker.js", import.meta.url);
  // Private windows and plain HTTP refuse it; the page works without.
  navigator.serviceWorker?.register(address).catch(() => {});
}

/**
 * @param {any} site
 * @returns {Info}
 */
function makeInfo({ version, license, model, formats }) {
  return {
    version,
    models: [
      {
        name: model.name,
        default: true,
        sha256: model.sha256,
        parameters: model.parameters,
        license: model.license,
        limitations: model.limitations,
        drawsVariants: false,
        drawsFor: null,
        takesHints: true,
      },
    ],
    limits: LIMITS,
    formats,
    readable: READABLE,
    license,
  };
}

/**
 * Reject a file that is too large, before it is read.
 * @param {File} file
 * @param {AbortSignal} signal
 */
async function checkFile(file, signal) {
  signal.throwIfAborted();
  if (file.size === 0) throw new PageError("empty", t("error.empty"));
  if (file.size > LIMITS.maxBytes) {
    const values = { bytes: file.size, limit: LIMITS.maxBytes };
    throw explainError({ code: "too-many-bytes", reason: "", values });
  }
  let size;
  try {
    size = await readPictureSize(file);
  } catch (cause) {
    // It was deleted or changed after it had been chosen.
    throw new PageError("empty", t("error.empty"), { cause });
  }
  const pixels = size ? size.width * size.height : 0;
  if (size && READABLE.includes(size.format) && pixels > LIMITS.maxPixels) {
    const values = { pixels, limit: LIMITS.maxPixels };
    throw explainError({ code: "too-many-pixels", reason: "", values });
  }
}

/**
 * The note about the colors that is written into a result.
 * @param {string} version
 * @param {number} hints
 */
function describeColors(version, hints) {
  const added = hints ? `, ${hints} user hint${hints === 1 ? "" : "s"}` : "";
  return `ColorizeNet ${version}: colors reconstructed${added}`;
}

/**
 * @param {{ code: import("../types").ErrorCode, reason: string,
 *   values: Record<string, number> }} error
 * @returns {PageError}
 */
function explainError({ code, reason, values }) {
  const readable = READABLE.map(nameFormat).join(", ");
  switch (code) {
    case "unsupported":
      return new PageError(
        "explained",
        reason
          ? t("browser.unsupported", { format: nameFormat(reason), readable })
          : t("browser.unknown", { readable }),
      );
    case "damaged":
      return new PageError("explained", t("browser.damaged"));
    case "failed":
      return new PageError("explained", t("browser.failed", { reason }));
    default:
      return new PageError(code, reason, { values });
  }
}

/**
 * @param {import("./pipeline.js").Note} note
 * @returns {import("../types").Notice}
 */
function makeNotice({ key, values }) {
  const names = Object.entries(values).map(([name, format]) => [name, nameFormat(format)]);
  return { code: "explained", message: t(key, Object.fromEntries(names)), values: {} };
}
