/**
 * A plane of all colors that a place of given lightness can have: a* to the right and b*
 * upwards. Colors that sRGB does not have are left out.
 *
 * Events on `element`: `color` (detail: { color: "#rrggbb", isFinal }).
 */

import { make } from "./dom.js";
import { boundGamut, fadeToGamut, hexToLab, isInGamut, labToHex, labToRgb } from "./lab.js";

/** Pixels of the plane along each side. */
const SIZE = 216;
/** Share of the plane that is left free around the colors. */
const MARGIN = 0.06;
/** a* or b* for each press of an arrow key, without and with the shift key. */
const STEP = 4;
const SMALL_STEP = 1;
/** The lightness of places is limited to where there are colors to choose from. */
const DARKEST = 8;
const LIGHTEST = 96;

/** @type {Record<string, [number, number]>} */
const DIRECTIONS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};

export class ColorPlane {
  #canvas = make("canvas", { class: "plane-canvas", width: SIZE, height: SIZE });
  #dot = make("span", { class: "plane-dot" });
  #lightness = 50;
  /** The a* and b* in the middle of the plane, and how far it reaches from there. */
  #bounds = { a: 0, b: 0, reach: 100 };
  #a = 0;
  #b = 0;
  #describe;

  /**
   * @param {{ label: string, describe: (color: string) => string }} options
   */
  constructor({ label, describe }) {
    this.#describe = describe;
    this.element = make(
      "div",
      {
        class: "plane",
        role: "slider",
        tabindex: 0,
        "aria-label": label,
        "aria-valuemin": 0,
        "aria-valuemax": 360,
        keydown: (/** @type {KeyboardEvent} */ event) => this.#handleKey(event),
        pointerdown: (/** @type {PointerEvent} */ event) => {
          event.preventDefault();
          this.element.focus();
          this.element.setPointerCapture(event.pointerId);
          this.#point(event, false);
        },
        pointermove: (/** @type {PointerEvent} */ event) => {
          if (this.element.hasPointerCapture(event.pointerId)) this.#point(event, false);
        },
        pointerup: (/** @type {PointerEvent} */ event) => {
          if (this.element.hasPointerCapture(event.pointerId)) this.#point(event, true);
        },
      },
      this.#canvas,
      this.#dot,
    );
  }

  /** `#rrggbb` of the color that is chosen. */
  get color() {
    return labToHex([this.#lightness, this.#a, this.#b]);
  }

  /** @param {number} lightness L* of the place, 0 to 100 */
  setLightness(lightness) {
    this.#lightness = Math.min(Math.max(lightness, DARKEST), LIGHTEST);
    const { a, b, reach } = boundGamut(this.#lightness);
    this.#bounds = { a, b, reach: reach * (1 + MARGIN) };
    this.#paint();
    this.#choose(this.#a, this.#b);
  }

  /** @param {string | null} color `#rrggbb`, or null for gray */
  setColor(color) {
    const [, a, b] = color === null ? [0, 0, 0] : hexToLab(color);
    this.#choose(a, b);
  }

  /** @param {number} a @param {number} b */
  #choose(a, b) {
    [, this.#a, this.#b] = fadeToGamut([this.#lightness, a, b]);
    const { a: middleA, b: middleB, reach } = this.#bounds;
    this.#dot.style.left = `${50 + (50 * (this.#a - middleA)) / reach}%`;
    this.#dot.style.top = `${50 - (50 * (this.#b - middleB)) / reach}%`;
    this.#dot.style.background = this.color;
    const hue = (Math.atan2(this.#b, this.#a) * 180) / Math.PI;
    this.element.setAttribute("aria-valuenow", String(Math.round((hue + 360) % 360)));
    this.element.setAttribute("aria-valuetext", this.#describe(this.color));
  }

  /** @param {boolean} isFinal */
  #report(isFinal) {
    const detail = { color: this.color, isFinal };
    this.element.dispatchEvent(new CustomEvent("color", { detail }));
  }

  /** @param {PointerEvent} event @param {boolean} isFinal */
  #point(event, isFinal) {
    const box = this.#canvas.getBoundingClientRect();
    const { a, b, reach } = this.#bounds;
    const right = ((event.clientX - box.left) / box.width) * 2 - 1;
    const up = 1 - ((event.clientY - box.top) / box.height) * 2;
    this.#choose(a + right * reach, b + up * reach);
    this.#report(isFinal);
  }

  /** @param {KeyboardEvent} event */
  #handleKey(event) {
    const direction = DIRECTIONS[event.key];
    if (!direction) return;
    event.preventDefault();
    const step = event.shiftKey ? SMALL_STEP : STEP;
    this.#choose(this.#a + direction[0] * step, this.#b + direction[1] * step);
    this.#report(true);
  }

  #paint() {
    const context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    const picture = context.createImageData(SIZE, SIZE);
    const { a: middleA, b: middleB, reach } = this.#bounds;
    for (let row = 0, at = 0; row < SIZE; row++) {
      const b = middleB + (1 - (2 * (row + 0.5)) / SIZE) * reach;
      for (let column = 0; column < SIZE; column++, at += 4) {
        const a = middleA + ((2 * (column + 0.5)) / SIZE - 1) * reach;
        if (!isInGamut([this.#lightness, a, b])) continue;
        const rgb = labToRgb([this.#lightness, a, b]);
        picture.data.set([255 * rgb[0], 255 * rgb[1], 255 * rgb[2], 255], at);
      }
    }
    context.putImageData(picture, 0, 0);
  }
}
