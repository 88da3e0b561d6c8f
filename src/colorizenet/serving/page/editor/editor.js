/**
 * The editor of one photo: compare, zoom, and change its colors.
 *
 * @typedef {import("../types").Engine} Engine
 * @typedef {import("../types").Info} Info
 * @typedef {import("../types").Preview} Preview
 * @typedef {import("../types").Settings} Settings
 * @typedef {(key: string, values?: Record<string, string | number>) => string} Translate
 */

import { PageError } from "../errors.js";
import { explainFault } from "../faults.js";
import { DEFAULTS } from "../job.js";
import { findModel, selectChoices } from "../modelinfo.js";
import { addStyles, make, makeIcon } from "./dom.js";
import { HintEditor } from "./hints.js";
import { History } from "./history.js";
import { ModelChoice } from "./models.js";
import { identify, isAbort, Renderer } from "./renderer.js";
import { StrengthSlider } from "./strength.js";
import { Toolbar } from "./toolbar.js";
import { dropVariant, VariantStrip } from "./variants.js";
import { Viewer } from "./viewer.js";

/** Milliseconds without a change after which `settings-changed` is sent. */
const DEBOUNCE = 300;

const STYLES = ["editor", "controls", "toolbar", "choices", "viewer", "hints"];

/**
 * Events on `element`: `settings-changed` and `apply`, both with the settings as detail,
 * and `close`.
 */
export class PhotoEditor {
  #engine;
  /** @type {Translate} */
  #t;
  #viewer;
  #toolbar;
  #strength;
  #models;
  #variants;
  #hints;
  #title = make("h2", { class: "editor-title" });
  #status = make("p", { class: "editor-status", role: "status" });
  #problem = make("p", { class: "editor-problem", role: "alert", hidden: true });
  #undo;
  #redo;
  #apply;
  /** @type {History<Settings>} */
  #history = new History(DEFAULTS);
  #settings = DEFAULTS;
  /** What the result was made with. @type {Settings} */
  #applied = DEFAULTS;
  /** @type {Blob | null} */
  #result = null;
  /** @type {Info["models"]} */
  #modelInfos = [];
  /** @type {Preview | null} */
  #preview = null;
  /** @type {File | null} */
  #file = null;
  /** @type {Renderer | null} */
  #renderer = null;
  /** The model on the left side, or "" for the original. */
  #left = "";
  #leftRendering = new AbortController();
  #session = new AbortController();
  #timer = 0;
  #isBusy = false;

  /** @param {{ engine: Engine, strings: Translate }} options */
  constructor({ engine, strings: t }) {
    addStyles(STYLES.map((name) => new URL(`${name}.css`, import.meta.url)));
    this.#engine = engine;
    this.#t = t;
    this.#viewer = new Viewer({ t });
    this.#toolbar = new Toolbar(t, this.#viewer, (model) => void this.#compareWith(model));
    this.#strength = new StrengthSlider(t);
    this.#models = new ModelChoice(t);
    this.#variants = new VariantStrip(t, (error) => this.#explain(error));
    this.#hints = new HintEditor({
      t,
      viewer: this.#viewer,
      change: (hints, ...how) => this.#change({ ...this.#settings, hints }, ...how),
      cancel: () => this.#show(this.#history.present, false),
      explain: (error) => this.#explain(error),
    });
    this.#undo = this.#makeButton("undo", () => this.#travel("undo"));
    this.#redo = this.#makeButton("redo", () => this.#travel("redo"));
    this.#apply = make(
      "button",
      {
        type: "button",
        class: "editor-button is-primary editor-apply",
        "aria-label": t("editor.apply"),
        click: () => this.#applySettings(),
      },
      makeIcon("check"),
      make("span", {}, t("editor.apply")),
    );
    /** @type {HTMLElement} */
    this.element = this.#build();
    this.#listen();
  }

  /**
   * Open a photo. What is wrong with it is shown in the editor.
   * @param {File} file
   * @param {{ settings: Settings, result?: Blob | undefined, info: Info }} options
   */
  async open(file, { settings, result, info }) {
    this.close();
    const { signal } = (this.#session = new AbortController());
    this.#file = file;
    this.#modelInfos = selectChoices(info.models);
    this.#result = result ?? null;
    this.#applied = this.#settings = settings;
    this.#history = new History(settings);
    this.#title.textContent = file.name;
    this.#setBusy(true);
    this.#refresh();
    try {
      const preview = await this.#engine.open(file, { signal });
      if (signal.aborted) {
        preview.close();
        return;
      }
      this.#preview = preview;
      await this.#start(preview, file, signal);
    } catch (error) {
      if (signal.aborted) return;
      this.#setBusy(false);
      this.#fail(error);
    }
  }

  /** Take up a newer result. @param {Blob} result @param {Settings} settings of it */
  showResult(result, settings) {
    this.#result = result;
    this.#applied = settings;
    this.#refresh();
  }

  /** Close the photo, and stop all work on it. May be called twice. */
  close() {
    this.#session.abort();
    this.#flush();
    this.#leftRendering.abort();
    this.#renderer?.close();
    this.#renderer = null;
    this.#preview?.close();
    this.#preview = null;
    this.#hints.forget();
    this.#models.close();
    this.#variants.open(null);
    this.#viewer.clear();
    this.#viewer.setLeftTag(null);
    this.#left = "";
    this.#problem.hidden = true;
  }

  /** @param {Preview} preview @param {File} file @param {AbortSignal} signal */
  async #start(preview, file, signal) {
    this.#renderer = new Renderer(preview, {
      done: (blob) => this.#showColored(blob),
      failed: (error) => this.#fail(error),
      busy: (busy) => this.#setBusy(busy),
    });
    const renderer = this.#renderer;
    const before = await preview.before();
    signal.throwIfAborted();
    this.#viewer.open({ width: preview.width, height: preview.height });
    this.#viewer.offerFull({ before: file });
    await Promise.all([this.#viewer.showBefore(before), this.#viewer.showAfter(before)]);
    signal.throwIfAborted();
    this.#toolbar.open(this.#modelInfos.map(({ name }) => name));
    this.#hints.open(preview, file);
    this.#variants.open(preview);
    this.#refresh();
    renderer.request(this.#settings);
    this.#viewer.stage.focus({ preventScroll: true });
    void this.#models.open(this.#modelInfos, this.#settings, (settings, signal) =>
      renderer.renderAside(settings, signal),
    );
  }

  /** @param {Blob} blob */
  async #showColored(blob) {
    this.#problem.hidden = true;
    await this.#viewer.showAfter(blob);
    this.#hints.setColored(blob);
    if (this.#left) void this.#renderLeft();
  }

  /**
   * Change the settings, and show what that does.
   * @param {Settings} settings
   * @param {boolean} isFinal whether this can be undone, as at the end of a drag
   * @param {string | null} [group] what is undone together, as for `History`
   */
  #change(settings, isFinal, group = null) {
    if (isFinal) this.#history.push(settings, group);
    this.#show(settings, !isFinal || group !== null);
  }

  /** @param {Settings} settings @param {boolean} flowing as for `Latest` */
  #show(settings, flowing) {
    this.#settings = settings;
    this.#refresh();
    this.#renderer?.request(settings, { flowing });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#flush(), DEBOUNCE);
  }

  /** @param {"undo" | "redo"} direction */
  #travel(direction) {
    this.#history[direction]();
    this.#show(this.#history.present, false);
  }

  /** Send `settings-changed` now if it waits. */
  #flush() {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#emit("settings-changed", this.#settings);
  }

  #applySettings() {
    this.#hints.close();
    this.#flush();
    this.#emit("apply", this.#settings);
  }

  #leave() {
    this.close();
    this.#emit("close");
  }

  /** Let every control show the settings. */
  #refresh() {
    const settings = this.#settings;
    const focused = document.activeElement;
    const model = findModel(this.#modelInfos, settings.model);
    this.#strength.show(settings.strength);
    this.#models.select(settings.model);
    this.#variants.update(settings, model?.drawsVariants ?? false);
    this.#hints.show(settings.hints, settings.model);
    this.#undo.disabled = !this.#history.canUndo;
    this.#redo.disabled = !this.#history.canRedo;
    const isApplied = this.#result !== null && identify(settings) === identify(this.#applied);
    this.#apply.disabled = isApplied;
    this.#viewer.offerFull({ after: isApplied ? this.#result : null });
    this.#showStatus();
    // A button that is disabled by its own click loses the focus, and keys go nowhere.
    if (this.element.contains(focused) && focused?.matches(":disabled")) {
      this.#viewer.stage.focus({ preventScroll: true });
    }
  }

  /** Show a model on the left side, or the original. @param {string} model */
  async #compareWith(model) {
    this.#left = model;
    this.#leftRendering.abort();
    this.#viewer.setLeftTag(model || null);
    if (model) {
      await this.#renderLeft();
    } else if (this.#preview && this.#file) {
      this.#viewer.offerFull({ before: this.#file });
      const { signal } = this.#session;
      try {
        const before = await this.#preview.before();
        if (!signal.aborted && !this.#left) await this.#viewer.showBefore(before);
      } catch (error) {
        if (!signal.aborted) this.#fail(error);
      }
    }
  }

  async #renderLeft() {
    this.#leftRendering.abort();
    const { signal } = (this.#leftRendering = new AbortController());
    const name = findModel(this.#modelInfos, this.#left)?.default ? null : this.#left;
    const { strength, hints, tta } = this.#settings;
    const settings = { ...DEFAULTS, model: name, strength, hints, ...(tta ? { tta } : {}) };
    try {
      const blob = await this.#renderer?.renderAside(settings, signal);
      if (signal.aborted || !blob) return;
      this.#viewer.offerFull({ before: null });
      await this.#viewer.showBefore(blob);
    } catch (error) {
      if (!signal.aborted && !isAbort(error)) this.#fail(error);
    }
  }

  /** @param {boolean} isBusy */
  #setBusy(isBusy) {
    this.#isBusy = isBusy;
    this.element.classList.toggle("is-busy", isBusy);
    this.#showStatus();
  }

  #showStatus() {
    const text = this.#describeState();
    if (this.#status.textContent !== text) this.#status.textContent = text;
  }

  #describeState() {
    if (this.#isBusy) return this.#t(this.#preview ? "editor.coloring" : "editor.opening");
    const { resolution } = this.#viewer;
    if (!this.#preview || resolution === "full") return "";
    if (resolution === "loading") return this.#t("editor.loading");
    return this.#t(this.#apply.disabled ? "editor.coarse" : "editor.coarse-until-applied");
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#problem.textContent = this.#explain(error);
    this.#problem.hidden = false;
  }

  /** What an error says to a person. @param {unknown} error */
  #explain(error) {
    return error instanceof PageError ? explainFault(error) : this.#t("editor.failed");
  }

  /** @param {string} type @param {unknown} [detail] */
  #emit(type, detail) {
    this.element.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #listen() {
    const on = (/** @type {HTMLElement} */ element, /** @type {string} */ type, /** @type {(detail: any) => void} */ act) =>
      element.addEventListener(type, (event) => act(/** @type {CustomEvent} */ (event).detail));
    on(this.#strength.element, "strength", ({ strength, isFinal }) =>
      this.#change({ ...this.#settings, strength }, isFinal),
    );
    on(this.#models.element, "choose", ({ model }) =>
      this.#change({ ...dropVariant(this.#settings), model }, true),
    );
    on(this.#variants.element, "choose", (choice) =>
      this.#change({ ...dropVariant(this.#settings), ...choice }, true),
    );
    this.#viewer.element.addEventListener("view-changed", () => this.#showStatus());
    this.element.addEventListener("keydown", (event) => this.#handleKey(event));
  }

  /** @param {KeyboardEvent} event */
  #handleKey(event) {
    const isText = event.target instanceof HTMLInputElement && /text|number/.test(event.target.type);
    const key = event.key.toLowerCase();
    const isWanted = (event.ctrlKey || event.metaKey) && !event.altKey && /^[zy]$/.test(key);
    if (!isWanted || isText) return;
    event.preventDefault();
    this.#travel(key === "y" || event.shiftKey ? "redo" : "undo");
  }

  /** @param {"undo" | "redo" | "close"} name @param {() => void} click */
  #makeButton(name, click) {
    const label = this.#t(`editor.${name}`);
    return make(
      "button",
      { type: "button", class: "editor-button is-icon is-quiet", "aria-label": label, title: label, click },
      makeIcon(name),
    );
  }

  #build() {
    const close = this.#makeButton("close", () => this.#leave());
    return make(
      "div",
      { class: "editor" },
      make(
        "header",
        { class: "editor-bar" },
        close,
        this.#title,
        make("div", { class: "editor-actions" }, this.#undo, this.#redo, this.#apply),
      ),
      make(
        "div",
        { class: "editor-view" },
        this.#viewer.element,
        make("div", { class: "editor-notes" }, this.#status, this.#problem),
        this.#hints.popover.element,
      ),
      this.#toolbar.element,
      make(
        "div",
        { class: "editor-panel" },
        this.#strength.element,
        this.#hints.list.element,
        this.#variants.element,
        this.#models.element,
      ),
    );
  }
}
