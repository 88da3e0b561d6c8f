/**
 * The slider for how much color there is.
 *
 * Event on `element`: `strength` (detail: { strength, isFinal }).
 */

import { make } from "./dom.js";
import { cancelOnEscape } from "./gestures.js";

/** Strength that a model predicts itself. */
const USUAL = 1;
const LARGEST = 2;

export class StrengthSlider {
  #t;
  #slider;
  #text = make("output", { class: "editor-number" });
  #reset;
  element;

  /** @param {(key: string, values?: Record<string, string | number>) => string} t */
  constructor(t) {
    this.#t = t;
    this.#slider = make("input", {
      type: "range",
      min: 0,
      max: LARGEST,
      step: 0.05,
      "aria-label": t("editor.strength"),
      input: () => this.#emit(false),
      change: () => this.#emit(true),
    });
    // Browsers let nothing cancel the drag of a slider. It goes on, in the open editor.
    cancelOnEscape(this.#slider, () => {});
    this.#reset = make(
      "button",
      {
        type: "button",
        class: "editor-button is-quiet",
        "aria-label": t("editor.strength-reset-explain"),
        click: () => {
          this.show(USUAL);
          this.#emit(true);
          this.#slider.focus();
        },
      },
      t("editor.strength-reset"),
    );
    this.element = make(
      "section",
      { class: "editor-section editor-strength", "aria-label": t("editor.strength") },
      make("h3", {}, t("editor.strength")),
      this.#reset,
      this.#text,
      this.#slider,
    );
  }

  /** @param {number} strength */
  show(strength) {
    this.#slider.value = String(strength);
    const text = this.#t("editor.strength-value", { percent: Math.round(strength * 100) });
    this.#text.value = text;
    this.#slider.setAttribute("aria-valuetext", text);
    this.#reset.classList.toggle("is-gone", strength === USUAL);
    this.#reset.tabIndex = strength === USUAL ? -1 : 0;
  }

  /** @param {boolean} isFinal */
  #emit(isFinal) {
    const strength = Number(this.#slider.value);
    this.element.dispatchEvent(new CustomEvent("strength", { detail: { strength, isFinal } }));
  }
}
