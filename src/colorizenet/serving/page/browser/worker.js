/**
 * The worker of the browser engine: it does everything but metadata, off the page's thread.
 *
 * Each message is a task with a number; its reply has the same number. While a photo is
 * colorized, tasks of the editor run between its strips. Photos themselves run one by one.
 */

import { PageError } from "../errors.js";
import { sampleColor } from "./hints.js";
import { loadNetwork } from "./network.js";
import {
  chooseFormat,
  decodePhoto,
  encodeCanvas,
  listFormats,
  makeCanvas,
  makeSource,
  makeUpsampler,
  mergeColors,
} from "./pipeline.js";
import { readTable, suggestColors } from "./suggestions.js";

/**
 * @typedef {import("../types").Settings} Settings
 * @typedef {import("./upsample.js").Chroma} Chroma
 * @typedef {{ signal: AbortSignal, report: (stage: string, done?: number) => void }} Task
 * @typedef {{ width: number, height: number, small: ImageData, alpha: boolean,
 *   reduced: import("./network.js").Reduced, chroma: Map<boolean, Promise<Chroma>> }} Opened
 * A photo of the editor: `small` is its preview, before colorizing.
 */

const ASSETS = new URL("../assets/", import.meta.url);
const SUGGESTIONS = 5;
const PREVIEW_QUALITY = 85;

/** @type {Map<number, AbortController>} */
const controllers = new Map();
/** @type {Map<number, Opened>} */
const opened = new Map();
/** The end of the photo before, which the next one waits for. */
let queue = Promise.resolve();
/** @type {import("./network.js").Network} */
let network;
/** @type {import("./suggestions.js").Table} */
let table;
/** @type {string[]} */
let formats = [];
let maxPixels = 0;

const loop = new MessageChannel();
/** @type {(() => void)[]} */
const paused = [];
loop.port1.onmessage = () => paused.shift()?.();

/**
 * Let messages arrive, and stop if the task was stopped.
 * @param {AbortSignal} signal
 */
async function pause(signal) {
  await new Promise((resolve) => {
    paused.push(() => resolve(undefined));
    loop.port2.postMessage(null);
  });
  signal.throwIfAborted();
}

/** @type {Record<string, (message: any, task: Task) => Promise<unknown>>} */
const tasks = { start, colorize, open, before, render, suggest, close };

self.addEventListener("message", async ({ data: { id, type, ...message } }) => {
  if (type === "abort") {
    controllers.get(id)?.abort();
    return;
  }
  const controller = new AbortController();
  controllers.set(id, controller);
  const { signal } = controller;
  /** @param {string} stage @param {number} [done] */
  const report = (stage, done) => self.postMessage({ id, progress: { stage, done } });
  try {
    const result = await tasks[type](message, { signal, report });
    self.postMessage({ id, result });
  } catch (error) {
    self.postMessage({ id, error: describeError(error) });
  } finally {
    controllers.delete(id);
  }
});

/** @param {unknown} error */
function describeError(error) {
  if (error instanceof PageError) {
    return { code: error.code, reason: error.message, values: error.values };
  }
  const reason = error instanceof Error ? error.message : String(error);
  return { code: "failed", reason, values: {} };
}

/**
 * @param {{ limits: { maxPixels: number } }} message
 * @param {Task} task
 */
async function start({ limits }, { report }) {
  const response = await fetch(new URL("site.json", ASSETS));
  const site = await response.json();
  const bytes = await fetch(new URL(site.suggestions.file, ASSETS));
  table = readTable(await bytes.arrayBuffer(), site.suggestions);
  ({ maxPixels } = limits);
  network = await loadNetwork(ASSETS, site.model, site.runtimeBytes, (done) =>
    report("loading", done),
  );
  formats = await listFormats();
  return { ...site, formats };
}

/**
 * @param {{ file: File, settings: Settings }} message
 * @param {Task} task
 */
async function colorize({ file, settings }, { signal, report }) {
  const before = queue;
  /** @type {() => void} */
  let finish = () => {};
  queue = new Promise((resolve) => {
    finish = resolve;
  });
  report("waiting");
  try {
    await before;
    signal.throwIfAborted();
    const started = performance.now();
    const photo = await decodePhoto(file, maxPixels);
    report("coloring", 0.2);
    await pause(signal);
    const reduced = await network.reduce(makeSource(photo), () => pause(signal));
    report("coloring", 0.35);
    const chroma = await network.predict(reduced, settings.tta ?? false);
    await pause(signal);
    const upsample = makeUpsampler(chroma, settings, photo.height, photo.width);
    await mergeColors(photo, upsample, async (done) => {
      report("coloring", 0.4 + 0.4 * done);
      await pause(signal);
    });
    const { format, notes } = chooseFormat(photo, settings.format, formats);
    const blob = await encodeCanvas(photo.canvas, format, photo.header.quality);
    const { width, height } = photo;
    const seconds = (performance.now() - started) / 1000;
    return { blob, format, notes, width, height, source: photo.format, seconds };
  } finally {
    finish();
  }
}

/**
 * @param {{ photo: number, file: File, side: number }} message
 * @param {Task} task
 */
async function open({ photo: number, file, side }, { signal }) {
  const photo = await decodePhoto(file, maxPixels);
  const { width, height } = photo;
  const reduced = await network.reduce(makeSource(photo), () => pause(signal));
  const scale = Math.min(1, side / Math.max(width, height));
  const [across, down] = [width, height].map((length) => Math.max(1, Math.round(length * scale)));
  const [, context] = makeCanvas(across, down, photo.alpha);
  context.imageSmoothingQuality = "high";
  context.drawImage(photo.canvas, 0, 0, across, down);
  signal.throwIfAborted();
  opened.set(number, {
    width,
    height,
    small: context.getImageData(0, 0, across, down),
    alpha: photo.alpha,
    reduced,
    chroma: new Map(),
  });
  return { width, height };
}

/**
 * @param {number} number
 * @returns {Opened}
 */
function find(number) {
  const photo = opened.get(number);
  if (!photo) throw new PageError("failed", "the photo was closed");
  return photo;
}

/** @param {{ photo: number }} message */
async function close({ photo }) {
  opened.delete(photo);
}

/**
 * @param {{ photo: number }} message
 * @param {Task} task
 */
async function before({ photo }, task) {
  return render({ photo, settings: { strength: 0, hints: [] } }, task);
}

/**
 * @param {{ photo: number, settings: Pick<Settings, "strength" | "hints" | "tta"> }} message
 * @param {Task} task
 */
async function render({ photo: number, settings }, { signal }) {
  const photo = find(number);
  const chroma = await predict(photo, settings.tta ?? false);
  await pause(signal);
  const { width, height } = photo.small;
  const [canvas, context] = makeCanvas(width, height, photo.alpha);
  context.putImageData(photo.small, 0, 0);
  const upsample = makeUpsampler(chroma, settings, height, width);
  await mergeColors({ width, height, context }, upsample, () => pause(signal));
  return canvas.convertToBlob({
    type: photo.alpha ? "image/png" : "image/jpeg",
    quality: PREVIEW_QUALITY / 100,
  });
}

/**
 * The network's answer for a photo of the editor, computed once.
 * @param {Opened} photo
 * @param {boolean} augment
 * @returns {Promise<Chroma>}
 */
function predict(photo, augment) {
  const known = photo.chroma.get(augment) ?? network.predict(photo.reduced, augment);
  photo.chroma.set(augment, known);
  return known;
}

/** @param {{ photo: number, x: number, y: number }} message */
async function suggest({ photo: number, x, y }) {
  const photo = find(number);
  const chroma = await predict(photo, false);
  const [lightness, a, b] = sampleColor(chroma, x, y, photo.height, photo.width);
  return suggestColors(table, lightness, a, b, SUGGESTIONS);
}
