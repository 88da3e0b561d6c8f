/**
 * The states of something that can be undone and done again, without limit.
 *
 * States are never changed, only replaced, so they may share what they have in common.
 */

/** @template T */
export class History {
  /** @type {T[]} */
  #past = [];
  /** @type {T} */
  #present;
  /** @type {T[]} */
  #future = [];

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
   * @param {T} state
   */
  push(state) {
    if (JSON.stringify(state) === JSON.stringify(this.#present)) return;
    this.#past.push(this.#present);
    this.#present = state;
    this.#future = [];
  }

  /** Go back by one state, if there is one. */
  undo() {
    const state = this.#past.pop();
    if (state === undefined) return;
    this.#future.push(this.#present);
    this.#present = state;
  }

  /** Go forward by one state, if there is one. */
  redo() {
    const state = this.#future.pop();
    if (state === undefined) return;
    this.#past.push(this.#present);
    this.#present = state;
  }
}
