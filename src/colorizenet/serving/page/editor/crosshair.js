/** A cross that is moved with the arrow keys, to point at a place of the photo. */

import { make } from "./dom.js";
import { clamp } from "./geometry.js";

/** CSS pixels for each press of an arrow key, without and with the shift key. */
const STEP = 12;
const SMALL_STEP = 2;

/** @type {Record<string, [number, number]>} */
const DIRECTIONS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export class Crosshair {
  element = make("div", { class: "viewer-crosshair", hidden: true });
  #point = { x: 0, y: 0 };
  #choose;

  /** @param {(point: import("./geometry.js").Point) => void} choose */
  constructor(choose) {
    this.#choose = choose;
  }

  /** @param {import("./geometry.js").Point} point in CSS pixels of the pane */
  show(point) {
    this.#point = point;
    this.element.hidden = false;
    this.element.style.transform = `translate(${point.x}px, ${point.y}px)`;
  }

  hide() {
    this.element.hidden = true;
  }

  /**
   * Whether the key was for the crosshair.
   * @param {KeyboardEvent} event @param {import("./geometry.js").Size} pane
   */
  handleKey(event, pane) {
    if (this.element.hidden) return false;
    const direction = DIRECTIONS[event.key];
    if (direction) {
      const step = event.shiftKey ? SMALL_STEP : STEP;
      this.show({
        x: clamp(this.#point.x + direction[0] * step, 0, pane.width),
        y: clamp(this.#point.y + direction[1] * step, 0, pane.height),
      });
    } else if (event.key === "Enter" || event.key === " ") {
      this.hide();
      this.#choose(this.#point);
    } else if (event.key === "Escape") {
      this.hide();
    } else {
      return false;
    }
    event.preventDefault();
    event.stopPropagation();
    return true;
  }
}
