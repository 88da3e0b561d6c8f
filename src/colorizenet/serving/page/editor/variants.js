/**
 * Several colorings of a photo to choose from, for models that draw.
 *
 * Event on `element`: `choose` (detail: { variants?, variant?, seed? }), of which nothing
 * means the usual coloring.
 *
 * @typedef {import("../types").Settings} Settings
 * @typedef {import("../types").Preview} Preview
 */

import { PictureChoice } from "./choices.js";
import { make, makeIcon } from "./dom.js";

/** Colorings that are drawn at once, the usual one included. */
const COUNT = 6;
/** Seeds that are drawn are below this, so that a person can note one. */
const SEEDS = 10_000;

export class VariantStrip {
  #t;
  #failed;
  #choice;
  #seed;
  #draw;
  #other;
  /** @type {Preview | null} */
  #preview = null;
  /** @type {Settings | null} */
  #settings = null;
  /** Seed and model of the pictures that are shown. */
  #shown = "";
  #drawing = new AbortController();
  element;

  /**
   * @param {(key: string, values?: Record<string, string | number>) => string} t
   * @param {(error: unknown) => void} failed
   */
  constructor(t, failed) {
    this.#t = t;
    this.#failed = failed;
    this.#choice = new PictureChoice(t("variants.title"));
    this.#choice.element.addEventListener("choose", (event) => {
      const { index } = /** @type {CustomEvent} */ (event).detail;
      this.#emit(index);
    });
    this.#seed = make("input", {
      type: "number",
      class: "variants-seed",
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      step: 1,
      value: 0,
      inputmode: "numeric",
      change: () => void this.draw(),
    });
    this.#draw = make(
      "button",
      { type: "button", class: "editor-button", click: () => void this.draw() },
      t("variants.draw"),
    );
    this.#other = make(
      "button",
      {
        type: "button",
        class: "editor-button",
        hidden: true,
        click: () => {
          this.#seed.value = String(Math.floor(Math.random() * SEEDS));
          void this.draw();
        },
      },
      makeIcon("shuffle"),
      t("variants.other"),
    );
    this.element = make(
      "section",
      { class: "editor-section", "aria-label": t("variants.title") },
      make("h3", {}, t("variants.title")),
      make("p", { class: "editor-note" }, t("variants.explain")),
      this.#choice.element,
      make(
        "div",
        { class: "editor-row" },
        this.#draw,
        this.#other,
        make("label", { class: "variants-label" }, t("variants.seed"), this.#seed),
      ),
    );
  }

  /** @param {Preview | null} preview */
  open(preview) {
    this.#drawing.abort();
    this.#preview = preview;
    this.#settings = null;
    this.#clear();
  }

  /** @param {Settings} settings @param {boolean} isOffered whether the model draws */
  update(settings, isOffered) {
    const model = this.#settings?.model;
    this.element.hidden = !isOffered;
    if (this.#settings && model !== settings.model) this.#clear();
    const isFirst = this.#settings === null;
    this.#settings = settings;
    const isChosen = (settings.variants ?? 1) > 1;
    if (isChosen && settings.seed !== undefined) this.#seed.value = String(settings.seed);
    if (isFirst && isChosen && isOffered) void this.draw();
    else this.#choice.select(this.#findChosen());
  }

  /** Draw the colorings of the seed that is entered. */
  async draw() {
    if (!this.#preview || !this.#settings) return;
    this.#drawing.abort();
    const drawing = (this.#drawing = new AbortController());
    const { signal } = drawing;
    const seed = this.#readSeed();
    const settings = { ...this.#settings, format: null };
    this.#shown = identifyDraw(settings, seed);
    this.#draw.hidden = true;
    this.#other.hidden = false;
    const labels = Array.from({ length: this.#count() }, (_, index) =>
      index ? this.#t("variants.number", { number: index + 1 }) : this.#t("variants.usual"),
    );
    this.#choice.show(
      labels.map((label) => ({ label })),
      this.#findChosen(),
    );
    try {
      const pictures = await this.#preview.variants(settings, labels.length, seed, signal);
      if (signal.aborted) return;
      pictures.forEach((picture, index) => this.#choice.setPicture(index, picture));
    } catch (error) {
      if (signal.aborted) return;
      this.#clear();
      this.#failed(error);
    }
  }

  /** The number of colorings, which is that of the settings if they have one. */
  #count() {
    const variants = this.#settings?.variants ?? 1;
    return variants > 1 ? variants : COUNT;
  }

  #clear() {
    this.#drawing.abort();
    this.#choice.clear();
    this.#shown = "";
    this.#draw.hidden = false;
    this.#other.hidden = true;
  }

  /** The index of the coloring that the settings choose, if it is among the pictures. */
  #findChosen() {
    const settings = this.#settings;
    if (!settings) return null;
    if ((settings.variants ?? 1) <= 1) return 0;
    const isShown = this.#shown === identifyDraw(settings, settings.seed ?? 0);
    return isShown ? (settings.variant ?? 1) - 1 : null;
  }

  #readSeed() {
    const seed = Math.floor(Number(this.#seed.value));
    const allowed = Number.isSafeInteger(seed) && seed >= 0 ? seed : 0;
    this.#seed.value = String(allowed);
    return allowed;
  }

  /** @param {number} index */
  #emit(index) {
    const detail =
      index === 0
        ? {}
        : { variants: this.#count(), variant: index + 1, seed: this.#readSeed() };
    this.element.dispatchEvent(new CustomEvent("choose", { detail }));
  }
}

/** @param {Settings} settings @param {number} seed */
function identifyDraw({ model }, seed) {
  return JSON.stringify([model, seed]);
}
