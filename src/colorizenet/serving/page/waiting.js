/** Waits for a server that does not answer. */

const LONGEST_PAUSE = 10;

/**
 * @param {import("./types").Engine} engine
 * @param {number} pause Seconds until the first attempt; later ones take longer.
 * @returns {Promise<void>} Resolves once the engine has started again.
 */
export async function waitForEngine(engine, pause) {
  for (let seconds = pause; ; seconds = Math.min(2 * seconds, LONGEST_PAUSE)) {
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    try {
      await engine.start();
      return;
    } catch {
      // Not yet.
    }
  }
}
