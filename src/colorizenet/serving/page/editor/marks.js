/**
 * The hints on the photo, as marks that are dragged, and that keys move and remove.
 *
 * Events on `element` (the parent of the marks): `hint-open`, `hint-remove` (detail:
 * { index }), `hint-move` (detail: { index, x, y, isFinal, isStep }), where a step is one
 * of several presses of a key, and `hint-cancel` where a drag ends without a place.
 *
 * @typedef {import("../types").Hint} Hint
 */

import { make } from "./dom.js";
import { clamp } from "./geometry.js";
import { cancelOnEscape } from "./gestures.js";
import { DEFAULT_RADIUS } from "./hintfile.js";
import { describeColor } from "./popover.js";

/** Fraction of a side by which an arrow key moves a hint, without and with shift. */
const STEP = 0.01;
const SMALL_STEP = 0.002;
/** A pointer that moves by fewer CSS pixels clicks. */
const SLACK = 4;

/** @type {Record<string, [number, number]>} */
const DIRECTIONS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export class HintMarks {
  /** @type {Hint[]} */
  #hints = [];
  /** @type {{ x: number, y: number, radius: number } | null} */
  #candidate = null;
  /** @type {HTMLButtonElement[]} */
  #marks = [];
  /** @type {HTMLElement[]} */
  #rings = [];
  #candidateMark = make("span", { class: "hint-candidate", hidden: true });
  #candidateRing = make("span", { class: "hint-ring", hidden: true });
  #t;
  #viewer;
  element;

  /**
   * @param {(key: string, values?: Record<string, string | number>) => string} t
   * @param {import("./viewer.js").Viewer} viewer
   */
  constructor(t, viewer) {
    this.#t = t;
    this.#viewer = viewer;
    this.element = viewer.marks;
    this.element.append(this.#candidateRing, this.#candidateMark);
    viewer.element.addEventListener("view-changed", () => this.#place());
  }

  /** @param {Hint[]} hints @param {number | null} selected */
  show(hints, selected) {
    this.#hints = hints;
    while (this.#marks.length < hints.length) this.#add();
    while (this.#marks.length > hints.length) {
      this.#marks.pop()?.remove();
      this.#rings.pop()?.remove();
    }
    hints.forEach((hint, index) => {
      const mark = /** @type {HTMLButtonElement} */ (this.#marks[index]);
      const ring = /** @type {HTMLElement} */ (this.#rings[index]);
      for (const each of [mark, ring]) each.classList.toggle("is-selected", index === selected);
      mark.classList.toggle("is-neutral", hint.color === null);
      mark.style.setProperty("--color", hint.color ?? "#808080");
      mark.setAttribute("aria-label", describeHint(this.#t, hint, index));
    });
    this.#place();
  }

  /** Show where a hint would be. @param {{ x: number, y: number, radius: number } | null} candidate */
  showCandidate(candidate) {
    this.#candidate = candidate;
    this.#place();
  }

  /** @param {number} index */
  focus(index) {
    this.#marks[index]?.focus({ preventScroll: true });
  }

  #add() {
    const index = this.#marks.length;
    const mark = make("button", { type: "button", class: "hint-mark" });
    const ring = make("span", { class: "hint-ring" });
    this.#makeDraggable(mark, index);
    mark.addEventListener("keydown", (event) => this.#handleKey(event, index));
    mark.addEventListener("click", (event) => {
      if (event.detail === 0) this.#emit("hint-open", { index }); // by keyboard
    });
    this.#marks.push(mark);
    this.#rings.push(ring);
    this.element.append(ring, mark);
  }

  /** @param {HTMLButtonElement} mark @param {number} index */
  #makeDraggable(mark, index) {
    /** @type {{ x: number, y: number } | null} */
    let pressed = null;
    let isDragging = false;
    const move = (/** @type {PointerEvent} */ event, /** @type {boolean} */ isFinal) => {
      const place = this.#viewer.locate({ x: event.clientX, y: event.clientY });
      this.#emit("hint-move", { index, x: clamp(place.x, 0, 1), y: clamp(place.y, 0, 1), isFinal });
    };
    mark.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      mark.setPointerCapture(event.pointerId);
      pressed = { x: event.clientX, y: event.clientY };
      isDragging = false;
    });
    mark.addEventListener("pointermove", (event) => {
      if (!pressed) return;
      const distance = Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y);
      isDragging ||= distance >= SLACK;
      if (isDragging) move(event, false);
    });
    mark.addEventListener("pointerup", (event) => {
      if (!pressed) return;
      pressed = null;
      if (isDragging) move(event, true);
      else this.#emit("hint-open", { index });
    });
    const cancel = () => {
      pressed = null;
      this.#emit("hint-cancel", {});
    };
    mark.addEventListener("pointercancel", cancel);
    cancelOnEscape(mark, () => pressed && cancel());
  }

  /** @param {KeyboardEvent} event @param {number} index */
  #handleKey(event, index) {
    const hint = this.#hints[index];
    const direction = DIRECTIONS[event.key];
    if (!hint || event.ctrlKey || event.metaKey || event.altKey) return;
    if (direction) {
      const step = event.shiftKey ? SMALL_STEP : STEP;
      const x = clamp(hint.x + direction[0] * step, 0, 1);
      const y = clamp(hint.y + direction[1] * step, 0, 1);
      this.#emit("hint-move", { index, x, y, isFinal: true, isStep: true });
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.#emit("hint-remove", { index });
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #place() {
    const { width, height } = this.#viewer.size;
    const short = Math.min(width, height) * this.#viewer.scale;
    const put = (/** @type {HTMLElement} */ mark, /** @type {{ x: number, y: number }} */ place) => {
      const { x, y } = this.#viewer.toPane(place);
      mark.style.transform = `translate(${x}px, ${y}px)`;
    };
    const putRing = (/** @type {HTMLElement} */ ring, /** @type {{ x: number, y: number, radius?: number }} */ place) => {
      put(ring, place);
      ring.style.setProperty("--diameter", `${2 * (place.radius ?? DEFAULT_RADIUS) * short}px`);
    };
    this.#hints.forEach((hint, index) => {
      put(/** @type {HTMLElement} */ (this.#marks[index]), hint);
      putRing(/** @type {HTMLElement} */ (this.#rings[index]), hint);
    });
    this.#candidateMark.hidden = this.#candidateRing.hidden = this.#candidate === null;
    if (this.#candidate) {
      put(this.#candidateMark, this.#candidate);
      putRing(this.#candidateRing, this.#candidate);
    }
  }

  /** @param {string} type @param {unknown} detail */
  #emit(type, detail) {
    this.element.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/**
 * A hint in words.
 * @param {(key: string, values?: Record<string, string | number>) => string} t
 * @param {Hint} hint @param {number} index
 */
export function describeHint(t, hint, index) {
  return t("hints.item", { number: index + 1, ...describeParts(t, hint) });
}

/**
 * The name of the color of a hint, and its place in percent.
 * @param {(key: string, values?: Record<string, string | number>) => string} t
 * @param {Hint} hint
 */
export function describeParts(t, { color, x, y }) {
  return {
    name: color === null ? t("hints.color.gray") : describeColor(t, color),
    x: Math.round(x * 100),
    y: Math.round(y * 100),
  };
}
