/** The controls below the photo: how to compare, and the zoom. */

import { make, makeIcon, makeId } from "./dom.js";

/**
 * @typedef {import("./viewer.js").Viewer} Viewer
 * @typedef {import("./viewer.js").Mode} Mode
 */

const MODES = /** @type {Mode[]} */ (["slider", "side", "after"]);
/** @type {Record<Mode, string>} */
const ICONS = { slider: "split", side: "side", after: "after" };

export class Toolbar {
  #t;
  #viewer;
  #zoom;
  #modes;
  #left;
  element;

  /**
   * @param {(key: string, values?: Record<string, string | number>) => string} t
   * @param {Viewer} viewer
   * @param {(model: string) => void} compareWith a model for the left side, or "" for the
   *   original
   */
  constructor(t, viewer, compareWith) {
    this.#t = t;
    this.#viewer = viewer;
    const name = makeId("mode");
    this.#modes = MODES.map((mode) =>
      make("input", {
        type: "radio",
        name,
        class: "editor-unseen",
        value: mode,
        "aria-label": t(`editor.mode.${mode}`),
        checked: mode === viewer.mode,
        change: () => this.#setMode(mode),
      }),
    );
    this.#left = make("select", {
      class: "editor-select",
      "aria-label": t("editor.left"),
      hidden: true,
      change: () => compareWith(this.#left.value),
    });
    this.#zoom = this.#makeButton("editor.zoom-full", "", () => viewer.toggleFull());
    this.#zoom.className = "editor-button is-quiet editor-zoom";
    const fit = this.#makeButton("editor.zoom-fit", "fit", () => viewer.fit());
    fit.classList.add("editor-fit");
    this.element = make(
      "div",
      { class: "editor-toolbar", role: "toolbar", "aria-label": t("editor.toolbar") },
      make(
        "div",
        { class: "segments", role: "radiogroup", "aria-label": t("editor.compare") },
        ...this.#modes.map((input) => {
          const mode = /** @type {Mode} */ (input.value);
          return make("label", { class: "segment", title: t(`editor.mode.${mode}`) }, input, makeIcon(ICONS[mode]));
        }),
      ),
      this.#makeHold(),
      this.#left,
      make(
        "div",
        { class: "editor-zooms", role: "group", "aria-label": t("editor.zoom") },
        this.#makeButton("editor.zoom-out", "minus", () => viewer.zoomBy(-1)),
        this.#zoom,
        this.#makeButton("editor.zoom-in", "plus", () => viewer.zoomBy(1)),
        fit,
      ),
    );
    viewer.element.addEventListener("view-changed", () => this.#showZoom());
  }

  /** @param {string[]} models other models that the left side may show */
  open(models) {
    this.#left.replaceChildren(
      make("option", { value: "" }, this.#t("editor.before")),
      ...models.map((name) =>
        make("option", { value: name }, this.#t("editor.left-model", { name })),
      ),
    );
    this.#updateLeft();
  }

  /** @param {Mode} mode */
  #setMode(mode) {
    this.#viewer.mode = mode;
    this.#updateLeft();
  }

  #updateLeft() {
    this.#left.hidden = this.#viewer.mode !== "side" || this.#left.options.length < 2;
    if (!this.#left.hidden || this.#left.value === "") return;
    this.#left.value = "";
    this.#left.dispatchEvent(new Event("change"));
  }

  #showZoom() {
    const percent = Math.round(this.#viewer.zoom * 100);
    this.#zoom.textContent = `${percent} %`;
    this.#zoom.setAttribute("aria-label", this.#t("editor.zoom-value", { percent }));
  }

  #makeHold() {
    const hold = (/** @type {boolean} */ holding) => () => {
      this.#viewer.hold(holding);
      button.setAttribute("aria-pressed", String(holding));
    };
    const isKey = (/** @type {KeyboardEvent} */ event) => event.key === " " || event.key === "Enter";
    const button = make(
      "button",
      {
        type: "button",
        class: "editor-button editor-hold",
        "aria-label": this.#t("editor.hold"),
        "aria-pressed": "false",
        title: this.#t("editor.hold-explain"),
        pointerdown: hold(true),
        pointerup: hold(false),
        pointercancel: hold(false),
        pointerleave: hold(false),
        blur: hold(false),
        keydown: (/** @type {KeyboardEvent} */ event) => {
          if (!isKey(event)) return;
          event.preventDefault();
          hold(true)();
        },
        keyup: (/** @type {KeyboardEvent} */ event) => {
          if (isKey(event)) hold(false)();
        },
        contextmenu: (/** @type {Event} */ event) => event.preventDefault(),
      },
      makeIcon("eye"),
      make("span", {}, this.#t("editor.hold")),
    );
    return button;
  }

  /** @param {string} key @param {string} icon @param {() => void} click */
  #makeButton(key, icon, click) {
    const label = this.#t(key);
    return make(
      "button",
      { type: "button", class: "editor-button is-icon is-quiet", "aria-label": label, title: label, click },
      icon ? makeIcon(icon) : null,
    );
  }
}
