/**
 * What each model makes of the photo, side by side, to choose one.
 *
 * Event on `element`: `choose` (detail: { model }).
 *
 * @typedef {import("../types").Settings} Settings
 * @typedef {import("../types").ModelInfo} ModelInfo
 */

import { findModel } from "../modelinfo.js";
import { PictureChoice } from "./choices.js";
import { make } from "./dom.js";

export class ModelChoice {
  #t;
  #choice;
  /** @type {ModelInfo[]} */
  #models = [];
  #loading = new AbortController();
  element;

  /** @param {(key: string, values?: Record<string, string | number>) => string} t */
  constructor(t) {
    this.#t = t;
    this.#choice = new PictureChoice(t("editor.model"));
    this.#choice.element.addEventListener("choose", (event) => {
      const model = this.#models[/** @type {CustomEvent} */ (event).detail.index];
      if (!model) return;
      const detail = { model: model.default ? null : model.name };
      this.element.dispatchEvent(new CustomEvent("choose", { detail }));
    });
    this.element = make(
      "section",
      { class: "editor-section", "aria-label": t("editor.model") },
      make("h3", {}, t("editor.model")),
      this.#choice.element,
    );
  }

  /**
   * Offer the models, and load a picture of each. They have neither hints nor strength:
   * they show the models, not the settings.
   * @param {ModelInfo[]} models
   * @param {Settings} settings
   * @param {(settings: Settings, signal: AbortSignal) => Promise<Blob>} render
   */
  async open(models, settings, render) {
    this.close();
    this.#models = models;
    this.element.hidden = models.length < 2;
    if (models.length < 2) return;
    this.#choice.show(
      models.map(({ name, default: isDefault }) => ({
        label: name,
        ...(isDefault && name !== "default" ? { note: this.#t("editor.model-default") } : {}),
      })),
      this.#find(settings.model),
    );
    const { signal } = this.#loading;
    for (const [index, { name, default: isDefault }] of models.entries()) {
      const model = isDefault ? null : name;
      try {
        const blob = await render({ model, strength: 1, format: null, hints: [] }, signal);
        if (signal.aborted) return;
        this.#choice.setPicture(index, blob);
      } catch {
        if (signal.aborted) return; // otherwise the choice stays without a picture
      }
    }
  }

  /** @param {string | null} model */
  select(model) {
    this.#choice.select(this.#find(model));
  }

  close() {
    this.#loading.abort();
    this.#loading = new AbortController();
    this.#choice.clear();
  }

  /** @param {string | null} model */
  #find(model) {
    const found = findModel(this.#models, model);
    return found ? this.#models.indexOf(found) : null;
  }
}
