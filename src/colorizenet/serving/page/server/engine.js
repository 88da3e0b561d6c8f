/** The engine that colorizes on the server that the page comes from. */

import { PageError } from "../errors.js";
import { describeSettings, makeForm } from "./forms.js";
import { send, toSentences } from "./http.js";
import { openPreview } from "./preview.js";
import { readPictureSize } from "./size.js";

/**
 * @typedef {import("../types").Info} Info
 * @typedef {import("../types").Settings} Settings
 * @typedef {import("../types").Engine} Engine
 */

/**
 * Talks to the API below `v1/`, next to the page.
 * @implements {Engine}
 */
export class ServerEngine {
  /** @type {"server"} */
  kind = "server";
  /** @type {Info | null} */
  #info = null;
  #api;

  /** @param {URL} [api] Address of the API, which ends in a slash. */
  constructor(api = new URL("../v1/", import.meta.url)) {
    this.#api = api;
  }

  /** @param {(progress: import("../types").Progress) => void} [onProgress] */
  async start(onProgress) {
    onProgress?.({ stage: "loading" });
    const { blob } = await send(new URL("info", this.#api));
    this.#info = readInfo(JSON.parse(await blob.text()));
    return this.#info;
  }

  /**
   * @param {File} file
   * @param {Settings} settings
   * @param {import("../types").JobOptions} options
   */
  async colorize(file, settings, { signal, onProgress }) {
    await this.#check(file, signal);
    const reply = await send(new URL("colorize", this.#api), {
      method: "POST",
      body: makeForm(file, describeSettings(settings)),
      signal,
      onProgress,
    });
    return {
      blob: reply.blob,
      format: reply.blob.type.replace(/^image\//, ""),
      warnings: readWarnings(reply),
      seconds: readSeconds(reply.header("Server-Timing") ?? ""),
    };
  }

  /**
   * @param {File} file
   * @param {{ signal: AbortSignal, side?: number }} options
   */
  async open(file, { signal, side = 1280 }) {
    await this.#check(file, signal);
    return openPreview(this.#api, file, side, signal);
  }

  /**
   * Reject a file that the server would reject, before it is uploaded.
   * @param {File} file
   * @param {AbortSignal} signal
   */
  async #check(file, signal) {
    signal.throwIfAborted();
    if (file.size === 0) {
      throw new PageError("empty", "This file is empty. Choose another photo.");
    }
    const limits = this.#info?.limits;
    if (!limits) return;
    if (file.size > limits.maxBytes) {
      throw new PageError(
        "too-many-bytes",
        `This file has ${formatNumber(file.size / 1e6)} MB and the server accepts ` +
          `${formatNumber(limits.maxBytes / 1e6)} MB. Use a smaller file.`,
        { values: { bytes: file.size, limit: limits.maxBytes } },
      );
    }
    const size = await readSize(file);
    const pixels = size ? size.width * size.height : 0;
    if (pixels > limits.maxPixels) {
      throw new PageError(
        "too-many-pixels",
        `This photo has ${formatNumber(pixels / 1e6)} megapixels and the server accepts ` +
          `${formatNumber(limits.maxPixels / 1e6)}. Use a smaller photo.`,
        { values: { pixels, limit: limits.maxPixels } },
      );
    }
  }
}

/** @param {File} file */
async function readSize(file) {
  try {
    return await readPictureSize(file);
  } catch (cause) {
    // It was deleted or changed after it had been chosen.
    throw new PageError("empty", "This file cannot be read any more. Choose it again.", { cause });
  }
}

/**
 * @param {any} info The document of the API.
 * @returns {Info}
 */
function readInfo(info) {
  return {
    version: info.version,
    models: info.models.map((/** @type {any} */ model) => ({
      name: model.name,
      default: model.default,
      sha256: model.sha256,
      parameters: model.parameters,
      license: model.license,
      limitations: model.limitations,
      drawsVariants: model.draws_variants,
      drawsFor: model.draws_for,
      takesHints: model.takes_hints,
    })),
    limits: {
      maxBytes: info.limits.max_bytes,
      maxPixels: info.limits.max_pixels,
      maxPages: info.limits.max_pages,
    },
    formats: info.formats,
    readable: info.readable,
    license: info.license,
  };
}

/**
 * @param {import("./http.js").Reply} reply
 * @returns {import("../types").Notice[]} What was lost or assumed.
 */
function readWarnings(reply) {
  const warnings = JSON.parse(reply.header("Colorizenet-Warnings") ?? "[]");
  const codes = JSON.parse(reply.header("Colorizenet-Warning-Codes") ?? "[]");
  return warnings.map((/** @type {string} */ warning, /** @type {number} */ index) => {
    const { code = "", values = {} } = codes[index] ?? {};
    return { code, message: toSentences(warning), values };
  });
}

/**
 * @param {string} timing The header `Server-Timing`.
 * @returns {number} Seconds of all stages but those of the transfer and the queue.
 */
function readSeconds(timing) {
  let total = 0;
  for (const [, stage, duration] of timing.matchAll(/(\w+);dur=([\d.]+)/g)) {
    if (stage !== "receive" && stage !== "queue") total += Number(duration) / 1000;
  }
  return total;
}

/** @param {number} value */
function formatNumber(value) {
  return value.toLocaleString("en", { maximumSignificantDigits: value < 100 ? 2 : 4 });
}
