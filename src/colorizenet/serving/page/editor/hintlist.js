/**
 * The hints as a list, for the keyboard and for screen readers, and as a file.
 *
 * Events on `element`: `hint-open`, `hint-remove` (detail: { index }), `hint-start` to
 * choose a place by keyboard, `hints-replace` (detail: { hints }).
 *
 * @typedef {import("../types").Hint} Hint
 */

import { make, makeIcon } from "./dom.js";
import { formatHints, HintFileError, LONGEST_FILE, parseHints } from "./hintfile.js";
import { describeHint, describeParts } from "./marks.js";

export class HintList {
  #t;
  #list;
  #empty;
  #problem = make("p", { class: "editor-problem", role: "alert" });
  #export;
  #clear;
  #file;
  /** @type {Hint[]} */
  #hints = [];
  /** The name of the photo without its extension. */
  #stem = "photo";
  element;

  /** @param {(key: string, values?: Record<string, string | number>) => string} t */
  constructor(t) {
    this.#t = t;
    this.#list = make("ul", { class: "hint-list", "aria-label": t("hints.list") });
    this.#empty = make("p", { class: "editor-note" }, t("hints.explain"));
    this.#export = this.#makeButton("hints.export", () => this.#save());
    this.#clear = make(
      "button",
      {
        type: "button",
        class: "editor-button is-icon",
        "aria-label": t("hints.clear"),
        title: t("hints.clear"),
        click: () => this.#emit("hints-replace", { hints: [] }),
      },
      makeIcon("trash"),
    );
    this.#file = make("input", {
      type: "file",
      accept: ".json,application/json",
      hidden: true,
      change: () => void this.#load(),
    });
    this.element = make(
      "section",
      { class: "editor-section", "aria-label": t("hints.list") },
      make("h3", {}, t("hints.list")),
      this.#empty,
      this.#list,
      this.#problem,
      make(
        "div",
        { class: "editor-row hint-actions" },
        this.#makeButton("hints.add", () => this.#emit("hint-start"), "plus"),
        this.#makeButton("hints.import", () => this.#file.click()),
        this.#export,
        this.#clear,
      ),
      this.#file,
    );
  }

  /** @param {File} file the photo */
  open(file) {
    this.#stem = file.name.replace(/\.[^.]+$/, "") || "photo";
    this.showProblem("");
  }

  /** @param {Hint[]} hints @param {number | null} selected */
  show(hints, selected) {
    if (hints !== this.#hints) this.showProblem(""); // it was about the hints before
    this.#hints = hints;
    this.#empty.hidden = hints.length > 0;
    this.#export.disabled = this.#clear.disabled = hints.length === 0;
    const active = document.activeElement;
    const focused = [...this.#list.children].findIndex((item) => item.contains(active));
    const isRemoval = active instanceof HTMLElement && active.classList.contains("is-icon");
    this.#list.replaceChildren(...hints.map((hint, index) => this.#makeItem(hint, index, selected)));
    if (focused < 0) return;
    // Removing one item must not lose the place in the list.
    const item = this.#list.children[Math.min(focused, hints.length - 1)];
    const [open, remove] = item?.querySelectorAll("button") ?? [];
    (isRemoval ? remove : open)?.focus();
    if (!item) this.element.querySelector("button")?.focus();
  }

  /** @param {number} index */
  focus(index) {
    this.#list.children[index]?.querySelector("button")?.focus();
  }

  /** @param {string} text */
  showProblem(text) {
    this.#problem.textContent = text;
  }

  /** @param {Hint} hint @param {number} index @param {number | null} selected */
  #makeItem(hint, index, selected) {
    const swatch = make("span", { class: `swatch${hint.color === null ? " is-neutral" : ""}` });
    if (hint.color !== null) swatch.style.background = hint.color;
    const label = describeHint(this.#t, hint, index);
    const { name, x, y } = describeParts(this.#t, hint);
    return make(
      "li",
      {},
      make(
        "button",
        {
          type: "button",
          class: "hint-item",
          "aria-current": index === selected ? "true" : null,
          click: () => this.#emit("hint-open", { index }),
        },
        swatch,
        make("span", { class: "hint-name" }, `${index + 1}. ${name} `),
        make("span", { class: "editor-number" }, this.#t("hints.place", { x, y })),
      ),
      make(
        "button",
        {
          type: "button",
          class: "editor-button is-icon is-quiet",
          "aria-label": this.#t("hints.remove-item", { name: label }),
          click: () => this.#emit("hint-remove", { index }),
        },
        makeIcon("trash"),
      ),
    );
  }

  /** @param {string} key @param {() => void} action @param {string} [icon] */
  #makeButton(key, action, icon) {
    return make(
      "button",
      { type: "button", class: "editor-button", click: action },
      icon ? makeIcon(icon) : null,
      this.#t(key),
    );
  }

  #save() {
    const url = URL.createObjectURL(
      new Blob([formatHints(this.#hints)], { type: "application/json" }),
    );
    make("a", { href: url, download: `${this.#stem}.hints.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }

  async #load() {
    const [file] = this.#file.files ?? [];
    this.#file.value = "";
    if (!file) return;
    this.showProblem("");
    try {
      if (file.size > LONGEST_FILE) throw new HintFileError("hints.error.long");
      const hints = parseHints(await file.text());
      this.#emit("hints-replace", { hints });
    } catch (error) {
      const { key, values } =
        error instanceof HintFileError ? error : new HintFileError("hints.error.read");
      this.showProblem(`${file.name}: ${this.#t(key, values)}`);
    }
  }

  /** @param {string} type @param {unknown} [detail] */
  #emit(type, detail) {
    this.element.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
