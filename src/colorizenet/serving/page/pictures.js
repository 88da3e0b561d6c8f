/** Small pictures of photos and results, one after another. */

/** Larger files are not decoded by the browser, which would need much memory. */
const MOST_BYTES = 60_000_000;

/** Longest side of the pictures that the engine makes. */
const SIDE = 960;

/**
 * @typedef {import("./job.js").Job} Job
 * @typedef {import("./types").Engine} Engine
 */

export class Pictures {
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();
  #engine;
  #keep;

  /**
   * @param {Engine} engine
   * @param {(job: Job, result: NonNullable<Job["result"]>,
   *   pictures: { before: Blob, after: Blob }) => void} keep Called with pictures of a result
   *   that the engine had to make.
   */
  constructor(engine, keep) {
    this.#engine = engine;
    this.#keep = keep;
  }

  /**
   * @param {Job} job
   * @param {"before" | "after"} which
   * @param {number} side Most pixels of its width and of its height.
   * @param {() => boolean} isWanted Asked when its turn comes.
   * @returns {Promise<ImageBitmap | null>} Null where there is no picture.
   */
  make(job, which, side, isWanted) {
    const made = this.#last.then(() => (isWanted() ? this.#decode(job, which, side) : null));
    this.#last = made.catch(() => null);
    return this.#last.then((picture) => /** @type {ImageBitmap | null} */ (picture));
  }

  /**
   * Both pictures of a job with a result, as large as they are or at most `side` pixels.
   * @param {Job} job
   * @param {number} side
   * @returns {Promise<[ImageBitmap, ImageBitmap]>}
   */
  async makeBoth(job, side) {
    const { result } = job;
    if (!result) throw new Error("no result");
    try {
      if (job.file.size > MOST_BYTES) throw new Error("too large");
      return [await createImageBitmap(job.file), await createImageBitmap(result.blob)];
    } catch {
      const { before, after } = await this.#request(job, result.settings, side);
      return [await createImageBitmap(before), await createImageBitmap(after)];
    }
  }

  /**
   * @param {Job} job
   * @param {"before" | "after"} which
   * @param {number} side
   */
  async #decode(job, which, side) {
    const { result } = job;
    if (result?.pictures) return shrink(result.pictures[which], side);
    const blob = which === "before" ? job.file : result?.blob;
    if (!blob) return null;
    try {
      if (blob.size > MOST_BYTES) throw new Error("too large");
      return await shrink(blob, side);
    } catch {
      if (!result) return null;
      const pictures = await this.#request(job, result.settings, SIDE);
      this.#keep(job, result, pictures);
      return shrink(pictures[which], side);
    }
  }

  /**
   * @param {Job} job
   * @param {import("./types").Settings} settings
   * @param {number} side
   */
  async #request(job, settings, side) {
    const { signal } = new AbortController();
    const preview = await this.#engine.open(job.file, { signal, side });
    try {
      return { before: await preview.before(), after: await preview.render(settings, signal) };
    } finally {
      preview.close();
    }
  }
}

/**
 * The picture of a file, at most `side` pixels wide and high.
 * @param {Blob} blob
 * @param {number} side
 */
async function shrink(blob, side) {
  const whole = await createImageBitmap(blob);
  const scale = side / Math.max(whole.width, whole.height);
  if (scale >= 1) return whole;
  const [resizeWidth, resizeHeight] = [whole.width, whole.height].map((length) =>
    Math.max(1, Math.round(length * scale)),
  );
  try {
    return await createImageBitmap(whole, { resizeWidth, resizeHeight, resizeQuality: "medium" });
  } finally {
    whole.close();
  }
}
