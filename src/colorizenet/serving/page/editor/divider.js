/** The line between the photo before and after, which a person moves. */

import { make } from "./dom.js";
import { clamp } from "./geometry.js";
import { cancelOnEscape } from "./gestures.js";

/** Fractions of the width by which keys move the divider. */
const STEPS = /** @type {Record<string, number>} */ ({
  ArrowLeft: -0.02,
  ArrowDown: -0.02,
  ArrowRight: 0.02,
  ArrowUp: 0.02,
  PageDown: -0.1,
  PageUp: 0.1,
  Home: -1,
  End: 1,
});

export class Divider {
  /** Fraction of the pane that shows the original. */
  position = 0.5;
  /** Where it was when it was pressed. */
  #pressedPosition = this.position;
  #t;
  #changed;

  /**
   * @param {(key: string, values?: Record<string, string | number>) => string} t
   * @param {() => void} changed
   */
  constructor(t, changed) {
    this.#t = t;
    this.#changed = changed;
    this.element = make(
      "div",
      {
        class: "viewer-divider",
        role: "slider",
        tabindex: 0,
        "aria-label": t("editor.divider"),
        "aria-orientation": "horizontal",
        "aria-valuemin": 0,
        "aria-valuemax": 100,
        keydown: (/** @type {KeyboardEvent} */ event) => this.#handleKey(event),
        pointerdown: (/** @type {PointerEvent} */ event) => {
          event.preventDefault();
          this.element.focus();
          this.element.setPointerCapture(event.pointerId);
          this.#pressedPosition = this.position;
        },
        pointermove: (/** @type {PointerEvent} */ event) => this.#drag(event),
      },
      make("span", { class: "viewer-handle" }),
    );
    cancelOnEscape(this.element, (pointer) => {
      this.element.releasePointerCapture(pointer);
      this.move(this.#pressedPosition);
    });
    this.move(this.position);
  }

  /** @param {number} position */
  move(position) {
    this.position = clamp(position, 0, 1);
    const percent = Math.round(this.position * 100);
    this.element.setAttribute("aria-valuenow", String(percent));
    this.element.setAttribute("aria-valuetext", this.#t("editor.divider-value", { percent }));
    this.#changed();
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    if (!this.element.hasPointerCapture(event.pointerId)) return;
    const box = /** @type {HTMLElement} */ (this.element.parentElement).getBoundingClientRect();
    this.move((event.clientX - box.left) / Math.max(box.width, 1));
  }

  /** @param {KeyboardEvent} event */
  #handleKey(event) {
    const step = STEPS[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.move(this.position + step);
  }
}
