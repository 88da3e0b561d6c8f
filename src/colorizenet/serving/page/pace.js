/** How fast photos are finished, to tell how long the others will take. */

/** A photo takes as long as so many bytes more than it has. */
const FIXED_COST = 300_000;

/** @typedef {{ file: Blob }} Work A photo to colorize. */

export class Pace {
  #cost = 0;
  #seconds = 0;
  #begun = 0;

  /** Work begins after a break. */
  begin() {
    this.#begun = performance.now();
  }

  /**
   * A photo is finished.
   * @param {Work} work
   */
  measure(work) {
    const now = performance.now();
    this.#cost += costOf(work);
    this.#seconds += (now - this.#begun) / 1000;
    this.#begun = now;
  }

  /**
   * @template {Work} W
   * @param {W[]} left What is not finished.
   * @param {(work: W) => boolean} isRunning
   * @returns {number | null} Seconds until all is; null before the first is finished.
   */
  estimate(left, isRunning) {
    if (this.#cost === 0) return null;
    // Of those that are running, half is done on average.
    const cost = left.reduce((sum, work) => sum + costOf(work) * (isRunning(work) ? 0.5 : 1), 0);
    return (cost * this.#seconds) / this.#cost;
  }
}

/** @param {Work} work */
function costOf(work) {
  return FIXED_COST + work.file.size;
}
