/**
 * The states of something that can be undone and done again, without limit.
 *
 * States are never changed, only replaced, so they may share what they have in common.
 */

/** Milliseconds between changes of one group that are undone together. */
const PAUSE = 1000;

/** @template T */
export class History {
  /** @type {T[]} */
  #past = [];
  /** @type {T} */
  #present;
  /** @type {T[]} */
  #future = [];
  /** Group and time of the last change, or null where nothing can be added to it. */
  #last = /** @type {{ group: string, time: number } | null} */ (null);

  /** @param {T} initial */
  constructor(initial) {
    this.#present = initial;
  }

  /** The state that counts now. */
  get present() {
    return this.#present;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  /**
   * Make `state` the present one, unless it equals it. What was undone is forgotten.
   *
   * Changes of one group in quick succession, such as presses of a key, are one step.
   * @param {T} state @param {string | null} [group] @param {number} [time] in milliseconds
   */
  push(state, group = null, time = performance.now()) {
    if (isSame(state, this.#present)) return;
    const last = this.#last;
    const continues = last !== null && last.group === group && time - last.time <= PAUSE;
    this.#last = group === null ? null : { group, time };
    this.#future = [];
    if (!continues) this.#past.push(this.#present);
    this.#present = state;
    if (continues && isSame(state, this.#past.at(-1))) {
      // The keys have led back to where they began: there is nothing to undo.
      this.#past.pop();
      this.#last = null;
    }
  }

  /** Go back by one state, if there is one. */
  undo() {
    const state = this.#past.pop();
    if (state === undefined) return;
    this.#last = null;
    this.#future.push(this.#present);
    this.#present = state;
  }

  /** Go forward by one state, if there is one. */
  redo() {
    const state = this.#future.pop();
    if (state === undefined) return;
    this.#last = null;
    this.#past.push(this.#present);
    this.#present = state;
  }
}

/** @param {unknown} one @param {unknown} other */
function isSame(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}
