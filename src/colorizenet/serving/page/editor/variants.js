/**
 * Several colorings of a photo to choose from, for models that draw.
 *
 * They are drawn when a person asks for them. If settings have changed since, such as the
 * strength or the hints, they are marked as out of date, and a button draws them again.
 *
 * Event on `element`: `choose` (detail: { variants?, variant?, seed? }), of which nothing
 * means the usual coloring.
 *
 * @typedef {import("../types").Settings} Settings
 * @typedef {import("../types").Preview} Preview
 * @typedef {{ count: number, seed: number, key: string }} Drawn What the pictures show: the
 *   draws of a seed, with the settings that `key` identifies.
 */

import { PictureChoice } from "./choices.js";
import { make, makeIcon } from "./dom.js";
import { identify } from "./renderer.js";

/** Colorings that are drawn at once, the usual one included. */
const COUNT = 6;
/** Seeds that are drawn are below this, so that a person can note one. */
const SEEDS = 10_000;

export class VariantStrip {
  #t;
  #explain;
  #choice;
  #seed;
  #draw;
  #other;
  #note = make("p", { class: "editor-note", role: "status" });
  #problem = make("p", { class: "editor-problem", role: "alert" });
  /** @type {Preview | null} */
  #preview = null;
  /** @type {Settings | null} */
  #settings = null;
  /** @type {Drawn | null} */
  #drawn = null;
  #drawing = new AbortController();
  element;

  /**
   * @param {(key: string, values?: Record<string, string | number>) => string} t
   * @param {(error: unknown) => string} explain
   */
  constructor(t, explain) {
    this.#t = t;
    this.#explain = explain;
    this.#choice = new PictureChoice(t("variants.title"));
    this.#choice.element.addEventListener("choose", (event) => {
      this.#emit(/** @type {CustomEvent} */ (event).detail.index);
    });
    this.#seed = make("input", {
      type: "number",
      class: "variants-seed",
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      step: 1,
      required: true,
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
      this.#note,
      this.#problem,
      make(
        "div",
        { class: "editor-row" },
        this.#draw,
        this.#other,
        make("label", { class: "variants-label" }, t("variants.seed"), this.#seed),
      ),
      this.#choice.element,
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
    const { model, seed } = this.#settings ?? {};
    this.element.hidden = !isOffered;
    if (this.#settings && model !== settings.model) this.#clear();
    const isFirst = this.#settings === null;
    this.#settings = settings;
    const isChosen = isVariant(settings);
    // Otherwise it stays that of the pictures, which may be others than the chosen one.
    if (isChosen && settings.seed !== seed) this.#seed.value = String(settings.seed ?? 0);
    if (isFirst && isChosen && isOffered) void this.draw();
    else this.#refresh();
  }

  /** Draw the colorings of the seed that is entered, or let the browser say why it is none. */
  async draw() {
    if (!this.#preview || !this.#settings || !this.#seed.reportValidity()) return;
    this.#drawing.abort();
    const drawing = (this.#drawing = new AbortController());
    const { signal } = drawing;
    this.#problem.textContent = "";
    const seed = Number(this.#seed.value);
    this.#seed.value = String(seed); // not 1e3
    const settings = { ...this.#settings, format: null };
    const count = isVariant(settings) ? (settings.variants ?? COUNT) : COUNT;
    this.#drawn = { count, seed, key: identifyDraw(settings) };
    const labels = Array.from({ length: count }, (_, index) =>
      index ? this.#t("variants.number", { number: index + 1 }) : this.#t("variants.usual"),
    );
    this.#choice.show(
      labels.map((label) => ({ label })),
      null,
    );
    const hadFocus = document.activeElement === this.#draw;
    this.#refresh();
    if (hadFocus) this.#other.focus();
    try {
      const pictures = await this.#preview.variants(settings, count, seed, signal);
      if (signal.aborted) return;
      pictures.forEach((picture, index) => this.#choice.setPicture(index, picture));
    } catch (error) {
      if (signal.aborted) return;
      this.#clear();
      this.#problem.textContent = this.#explain(error);
    }
  }

  #clear() {
    this.#drawing.abort();
    this.#problem.textContent = "";
    this.#choice.clear();
    this.#drawn = null;
    this.#refresh();
  }

  /** Show which picture is chosen, and whether the pictures are those of the settings. */
  #refresh() {
    const isDrawn = this.#drawn !== null;
    const isOutdated = this.#drawn !== null && this.#isOutdated(this.#drawn);
    this.#choice.select(this.#findChosen());
    this.#choice.element.classList.toggle("is-outdated", isOutdated);
    const note = isOutdated ? this.#t("variants.outdated") : "";
    if (this.#note.textContent !== note) this.#note.textContent = note;
    this.#draw.textContent = this.#t(isOutdated ? "variants.redraw" : "variants.draw");
    this.#draw.classList.toggle("is-primary", isOutdated);
    this.#draw.hidden = isDrawn && !isOutdated;
    this.#other.hidden = !isDrawn;
  }

  /** @param {Drawn} drawn */
  #isOutdated({ key, seed }) {
    return (
      (this.#settings !== null && key !== identifyDraw(this.#settings)) ||
      this.#seed.value !== String(seed)
    );
  }

  /** The index of the coloring that the settings choose, if it is among the pictures. */
  #findChosen() {
    const [drawn, settings] = [this.#drawn, this.#settings];
    if (!drawn || !settings) return null;
    if (!isVariant(settings)) return 0;
    const isAmong = settings.variants === drawn.count && (settings.seed ?? 0) === drawn.seed;
    return isAmong ? (settings.variant ?? 1) - 1 : null;
  }

  /** @param {number} index */
  #emit(index) {
    if (!this.#drawn) return;
    const { count: variants, seed } = this.#drawn;
    const detail = index === 0 ? {} : { variants, variant: index + 1, seed };
    this.element.dispatchEvent(new CustomEvent("choose", { detail }));
  }
}

/** Whether settings choose another coloring than the usual one. @param {Settings} settings */
function isVariant({ variants = 1 }) {
  return variants > 1;
}

/** A text that is equal for settings whose variants look the same. @param {Settings} settings */
function identifyDraw(settings) {
  return identify(dropVariant(settings));
}

/** The settings with the usual coloring. @param {Settings} settings @returns {Settings} */
export function dropVariant({ variants: _variants, variant: _variant, seed: _seed, ...settings }) {
  return settings;
}
