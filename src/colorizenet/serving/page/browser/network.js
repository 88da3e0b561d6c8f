/** The network: ONNX Runtime in WebAssembly, with threads where the page is isolated. */

import { locatePhoto, findBorder } from "./borders.js";
import { computeLightness } from "./color.js";
import { computeNetworkShape, reducePicture, reducePlane, resizePicture } from "./reduce.js";

/**
 * @typedef {import("./upsample.js").Chroma} Chroma
 * @typedef {import("./reduce.js").Picture} Picture
 * @typedef {import("./borders.js").Border} Border
 * @typedef {{ file: string, sha256: string, bytes: number, name: string, parameters: number,
 *   license: string, limitations: string, size: number, sizeMultiple: number, lScale: number,
 *   abScale: number, strength: number }} Card
 * What a model says about itself, as `scripts/build_site.py` writes it.
 * @typedef {{ picture: Picture, border: Border | null }} Reduced
 * A photo at the size of the network input, without its border.
 * @typedef {{ height: number, width: number, a: Float32Array, b: Float32Array }} Answer
 */

const MOST_THREADS = 4;
const RUNTIME = "ort-wasm-simd-threaded";
const LARGEST_CHROMA = 1e4;

/** A loaded model. */
export class Network {
  /**
   * @param {typeof import("onnxruntime-web")} runtime
   * @param {import("onnxruntime-web").InferenceSession} session
   * @param {Card} card
   */
  constructor(runtime, session, card) {
    this.runtime = runtime;
    this.session = session;
    this.card = card;
  }

  /**
   * Reduce a photo to the network input. A border is left out.
   * @param {import("./reduce.js").Source} source
   * @param {() => Promise<void>} pause
   * @returns {Promise<Reduced>}
   */
  async reduce(source, pause) {
    const { height, width } = source;
    const picture = await this.#reducePart(source, locatePhoto(null, height, width), pause);
    const border = findBorder(
      measureLightness(picture),
      picture.height,
      picture.width,
      Math.min(height, width),
    );
    if (!border) return { picture, border };
    const box = locatePhoto(border, height, width);
    return { picture: await this.#reducePart(source, box, pause), border };
  }

  /**
   * @param {import("./reduce.js").Source} source
   * @param {import("./reduce.js").Box} box
   * @param {() => Promise<void>} pause
   */
  #reducePart(source, box, pause) {
    const { size, sizeMultiple } = this.card;
    const [boxHeight, boxWidth] = [box.bottom - box.top, box.right - box.left];
    const shape = computeNetworkShape(boxHeight, boxWidth, size, sizeMultiple);
    return reducePicture(source, box, ...shape, pause);
  }

  /**
   * Run the network.
   * @param {Reduced} reduced
   * @param {boolean} augment whether the answers to four variants of the input are averaged
   * @returns {Promise<Chroma>}
   */
  async predict({ picture, border }, augment) {
    const plain = await this.#run(picture, false);
    const answer = augment ? await this.#averageAnswers(picture, plain) : plain;
    const factor = Math.fround(this.card.abScale * this.card.strength);
    const [a, b] = [answer.a, answer.b].map((plane) => plane.map((value) => value * factor));
    for (const plane of [a, b]) {
      if (!plane.every((value) => Math.abs(value) <= LARGEST_CHROMA)) {
        throw new Error("the network gave values that are not finite");
      }
    }
    const { height, width } = answer;
    const small = await resizeTo(picture, height, width);
    return { height, width, a, b, lightness: measureLightness(small), border };
  }

  /**
   * @param {Picture} picture
   * @param {Answer} plain
   * @returns {Promise<Answer>}
   */
  async #averageAnswers(picture, plain) {
    const multiple = this.card.sizeMultiple;
    const [height, width] = [picture.height, picture.width].map(
      (side) => side + Math.max(multiple, Math.floor(Math.floor(side / 4) / multiple) * multiple),
    );
    const larger = resizePicture(picture, height, width);
    const answers = [
      plain,
      await this.#run(picture, true),
      await this.#run(larger, false),
      await this.#run(larger, true),
    ];
    const same = answers.map((answer) => ({
      a: reducePlane(answer.a, answer.height, answer.width, plain.height, plain.width),
      b: reducePlane(answer.b, answer.height, answer.width, plain.height, plain.width),
    }));
    const a = plain.a.map((_, i) => same.reduce((sum, each) => sum + each.a[i], 0) / 4);
    const b = plain.b.map((_, i) => same.reduce((sum, each) => sum + each.b[i], 0) / 4);
    // Answers that differ in hue cancel out in their mean, which gets their chroma back.
    const wanted = same.reduce((sum, each) => sum + measureChroma(each.a, each.b), 0) / 4;
    const factor = wanted / Math.max(measureChroma(a, b), 1e-6);
    return {
      ...plain,
      a: a.map((value) => value * factor),
      b: b.map((value) => value * factor),
    };
  }

  /**
   * @param {Picture} picture
   * @param {boolean} mirrored
   * @returns {Promise<Answer>} in network units
   */
  async #run(picture, mirrored) {
    const scale = Math.fround(1 / this.card.lScale);
    let input = measureLightness(picture).map((value) => value * scale);
    if (mirrored) input = mirrorPlane(input, picture.width);
    const tensor = new this.runtime.Tensor("float32", input, [1, 1, picture.height, picture.width]);
    const { ab } = await this.session.run({ lightness: tensor });
    const [, , height, width] = ab.dims;
    const values = /** @type {Float32Array} */ (ab.data);
    const planes = [values.slice(0, height * width), values.slice(height * width)];
    const [a, b] = mirrored ? planes.map((plane) => mirrorPlane(plane, width)) : planes;
    return { height, width, a, b };
  }
}

/**
 * Load the runtime and a model.
 * @param {URL} folder where they are
 * @param {Card} card
 * @param {number} runtimeBytes the size of the WebAssembly, for the progress
 * @param {(done: number) => void} onProgress gets 0 to 1
 * @returns {Promise<Network>}
 */
export async function loadNetwork(folder, card, runtimeBytes, onProgress) {
  let read = 0;
  const total = card.bytes + runtimeBytes;
  const onBytes = (/** @type {number} */ count) => onProgress(Math.min((read += count) / total, 1));
  const [model, binary] = await Promise.all(
    [card.file, `${RUNTIME}.wasm`].map((name) => fetchBytes(new URL(name, folder), onBytes)),
  );
  await checkHash(model, card);
  const address = new URL("ort.wasm.min.mjs", folder).href;
  const runtime = /** @type {typeof import("onnxruntime-web")} */ (await import(address));
  const isolated = globalThis.crossOriginIsolated;
  const threads = Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS);
  Object.assign(runtime.env.wasm, {
    numThreads: isolated ? threads : 1,
    wasmBinary: binary.buffer,
    wasmPaths: { mjs: new URL(`${RUNTIME}.mjs`, folder).href },
  });
  runtime.env.logLevel = "error";
  const session = await runtime.InferenceSession.create(model, { executionProviders: ["wasm"] });
  return new Network(runtime, session, card);
}

/**
 * @param {URL} address
 * @param {(count: number) => void} onBytes
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function fetchBytes(address, onBytes) {
  const response = await fetch(address);
  if (!response.ok || !response.body) throw new Error(`${address.pathname}: ${response.status}`);
  const parts = [];
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    onBytes(value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/**
 * Refuse a model that is not the one this site was built with.
 * @param {Uint8Array<ArrayBuffer>} model
 * @param {Card} card
 */
async function checkHash(model, card) {
  if (!globalThis.crypto?.subtle) return; // only over HTTPS and on this machine
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", model));
  const text = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (text !== card.sha256) throw new Error(`${card.file} has another SHA-256 than the site`);
}

/**
 * L* of a picture.
 * @param {Picture} picture
 * @returns {Float32Array}
 */
function measureLightness({ width, height, rgba }) {
  const lightness = new Float32Array(width * height);
  computeLightness(rgba, lightness);
  return lightness;
}

/**
 * @param {Picture} picture
 * @param {number} height
 * @param {number} width
 * @returns {Promise<Picture>}
 */
async function resizeTo(picture, height, width) {
  if (picture.height === height && picture.width === width) return picture;
  const source = { ...picture, read: () => picture.rgba };
  const box = { top: 0, bottom: picture.height, left: 0, right: picture.width };
  return reducePicture(source, box, height, width);
}

/**
 * The mean chroma.
 * @param {Float32Array} a
 * @param {Float32Array} b
 */
function measureChroma(a, b) {
  return a.reduce((sum, value, i) => sum + Math.hypot(value, b[i]), 0) / a.length;
}

/**
 * A plane with left and right exchanged.
 * @param {Float32Array} plane
 * @param {number} width
 * @returns {Float32Array<ArrayBuffer>}
 */
function mirrorPlane(plane, width) {
  return new Float32Array(plane.length).map((_, i) => {
    const x = i % width;
    return plane[i - x + width - 1 - x];
  });
}
