/** Requests to the server: progress, cancellation, retries, and errors in plain words. */

import { PageError } from "../errors.js";

/** Seconds between two attempts at most. */
const LONGEST_WAIT = 30;

/**
 * A response whose body has been read.
 * @typedef {{ blob: Blob, header: (name: string) => string | null }} Reply
 *
 * @typedef {{
 *   method?: "GET" | "POST",
 *   body?: Blob | FormData,
 *   signal?: AbortSignal | undefined,
 *   onProgress?: ((progress: import("../types").Progress) => void) | undefined,
 * }} RequestOptions
 */

/**
 * Send a request until the server has time for it.
 *
 * @param {URL} url
 * @param {RequestOptions} [options]
 * @returns {Promise<Reply>} Rejects with a `PageError`, or with the reason of the signal.
 */
export async function send(url, options = {}) {
  for (let tries = 1; ; tries++) {
    const request = await sendOnce(url, options);
    if (request.status >= 200 && request.status < 300) {
      return { blob: request.response, header: (name) => request.getResponseHeader(name) };
    }
    const error = await explain(request);
    if (error.status !== 503 || error.retryAfter === undefined) throw error;
    // The server may have been busy at first, but the photo would take too long again.
    if (tries > 1 && error.code === "timeout" && error.values.limit !== undefined) throw error;
    options.onProgress?.({ stage: "waiting" });
    await sleep(Math.min(error.retryAfter, LONGEST_WAIT), options.signal);
  }
}

/**
 * @param {URL} url
 * @param {RequestOptions} options
 * @returns {Promise<XMLHttpRequest>} The request with its response, whatever the status.
 */
function sendOnce(url, { method = "GET", body, signal, onProgress }) {
  // fetch does not report the progress of an upload.
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const request = new XMLHttpRequest();
    const abort = () => {
      request.abort();
      reject(signal?.reason);
    };
    const finish = (/** @type {() => void} */ settle) => () => {
      signal?.removeEventListener("abort", abort);
      settle();
    };
    request.open(method, url);
    request.responseType = "blob";
    request.onload = finish(() => resolve(request));
    request.onerror = finish(() => reject(makeNetworkError()));
    if (body && onProgress) {
      onProgress({ stage: "uploading", done: 0 });
      request.upload.onprogress = (event) => {
        if (event.lengthComputable && event.total > 0) {
          onProgress({ stage: "uploading", done: event.loaded / event.total });
        }
      };
      request.upload.onload = () => onProgress({ stage: "coloring" });
    }
    signal?.addEventListener("abort", abort, { once: true });
    request.send(body);
  });
}

/** @returns {PageError} The error for a server that does not answer. */
export function makeNetworkError() {
  return new PageError(
    "network",
    "The server cannot be reached. Check that it is running, then try again.",
  );
}

/**
 * @param {XMLHttpRequest} request A request that failed.
 * @returns {Promise<PageError>} What its response says.
 */
async function explain(request) {
  const status = request.status;
  const { message, code, values } = await readProblem(request.response);
  const retry = Number(request.getResponseHeader("Retry-After") ?? NaN);
  const retryAfter = Number.isFinite(retry) ? Math.max(retry, 0.1) : undefined;
  if (status === 401) {
    return new PageError(
      "unauthorized",
      "The server requires its password. Reload the page and enter it.",
      { status },
    );
  }
  return new PageError(code ?? codeOf(status), message, { status, retryAfter, values });
}

/**
 * What an error without a code is about, such as that of a proxy.
 * @param {number} status
 * @returns {import("../types").ErrorCode}
 */
function codeOf(status) {
  switch (status) {
    case 408:
    case 503:
    case 504:
      return "timeout";
    case 413:
      return "too-large";
    case 502:
      return "network";
    default:
      return "failed";
  }
}

/**
 * @param {Blob | null} body A problem document, or whatever a proxy sent instead.
 * @returns {Promise<{ message: string, code?: string, values?: import("../types").Values }>}
 *   Its explanation as sentences, and what that is about.
 */
async function readProblem(body) {
  try {
    const { detail, code, values = {} } = JSON.parse((await body?.text()) ?? "");
    if (typeof detail === "string") return { message: toSentences(detail), code, values };
  } catch {
    // No JSON: a proxy answered.
  }
  return { message: "The server failed. Try again later." };
}

/**
 * @param {string} text Parts of a sentence, which semicolons separate.
 * @returns {string} Sentences.
 */
export function toSentences(text) {
  return text
    .split("; ")
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join(". ")
    .replace(/([^.!?])$/, "$1.");
}

/**
 * @param {number} seconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>} Rejects with the reason of the signal once that is aborted.
 */
function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, 1000 * seconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
