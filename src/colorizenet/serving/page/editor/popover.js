/**
 * What color has this place? Likely colors, all colors of its lightness, no color, and
 * how large the place is.
 *
 * Events on `element`: `choose` (detail: { color, isFinal }; null is neutral), `radius`
 * (detail: { radius, isFinal }), `cancel` (what is not final), `remove`, and `done`.
 *
 * @typedef {import("../types").Suggestion} Suggestion
 * @typedef {import("./geometry.js").Point} Point
 */

import { make, makeIcon, makeId } from "./dom.js";
import { LARGEST_RADIUS } from "./hintfile.js";
import { hexToLab, nameColor } from "./lab.js";
import { ColorPlane } from "./plane.js";

/** Number of suggestions that are offered at most. */
const SUGGESTIONS = 5;
/** The smallest radius that the slider offers. */
const SMALLEST_RADIUS = 0.004;
const RADIUS_STEPS = 100;
/** CSS pixels between a place and its popover. */
const GAP = 28;

export class HintPopover {
  #t;
  #plane;
  #suggestions;
  #hex;
  #swatch = make("span", { class: "swatch" });
  #name = make("span", { class: "popover-name" });
  #problem = make("p", { class: "editor-problem", role: "alert", hidden: true });
  #radius;
  #radiusText = make("output", { class: "editor-number" });
  #neutral;
  #remove;
  /** The color that is shown, or null for gray. @type {string | null} */
  #color = null;

  /** @param {(key: string, values?: Record<string, string | number>) => string} t */
  constructor(t) {
    this.#t = t;
    const titleId = makeId("title");
    this.#plane = new ColorPlane({
      label: t("hints.plane"),
      describe: (color) => describeColor(t, color),
    });
    this.#plane.element.addEventListener("color", (event) => {
      const { color, isFinal } = /** @type {CustomEvent} */ (event).detail;
      this.#showColor(color);
      this.#emit("choose", { color, isFinal });
    });
    this.#suggestions = make("ol", { class: "suggestions", "aria-label": t("hints.suggestions") });
    this.#hex = make("input", {
      class: "popover-hex",
      type: "text",
      size: 7,
      spellcheck: "false",
      autocomplete: "off",
      "aria-label": t("hints.hex"),
      input: () => {
        this.#problem.hidden = true;
      },
      change: () => this.#readHex(),
      keyup: (/** @type {KeyboardEvent} */ event) => {
        if (event.key === "Enter") this.#explainHex();
      },
    });
    this.#radius = make("input", {
      type: "range",
      min: 0,
      max: RADIUS_STEPS,
      "aria-label": t("hints.radius"),
      input: () => this.#emitRadius(false),
      change: () => this.#emitRadius(true),
    });
    this.#neutral = make(
      "button",
      {
        type: "button",
        class: "editor-button",
        "aria-pressed": "false",
        click: () => {
          this.#plane.setColor(null);
          this.#showColor(null);
          this.#emit("choose", { color: null, isFinal: true });
        },
      },
      t("hints.neutral"),
    );
    this.#remove = make(
      "button",
      { type: "button", class: "editor-button is-icon", "aria-label": t("hints.remove"), title: t("hints.remove"), click: () => this.#emit("remove") },
      makeIcon("trash"),
    );
    this.element = make(
      "div",
      {
        class: "hint-popover",
        role: "dialog",
        "aria-labelledby": titleId,
        tabindex: -1,
        hidden: true,
        keydown: (/** @type {KeyboardEvent} */ event) => this.#handleKey(event),
      },
      make("h3", { id: titleId }, t("hints.title")),
      make(
        "div",
        { class: "popover-colors" },
        this.#suggestions,
        make(
          "div",
          { class: "popover-pick" },
          this.#plane.element,
          make("div", { class: "popover-chosen" }, this.#swatch, this.#hex),
          this.#name,
          this.#problem,
        ),
      ),
      make(
        "label",
        { class: "editor-slider" },
        make("span", {}, t("hints.radius")),
        this.#radiusText,
        this.#radius,
      ),
      make(
        "footer",
        { class: "popover-foot" },
        this.#neutral,
        this.#remove,
        make(
          "button",
          { type: "button", class: "editor-button is-primary", click: () => this.#finish() },
          t("hints.done"),
        ),
      ),
    );
  }

  get isOpen() {
    return !this.element.hidden;
  }

  /**
   * Open for a place.
   * @param {{ color: string | null, placeColor: string, radius: number, isNew: boolean }} hint
   *   `placeColor` is the color of the photo there, which says its lightness
   */
  open({ color, placeColor, radius, isNew }) {
    this.setPlaceColor(placeColor);
    this.update({ color, radius, isNew });
    this.element.hidden = false;
    this.showSuggestions(null);
    this.element.focus({ preventScroll: true });
  }

  /** @param {string} color of the photo at the place, which says the lightness */
  setPlaceColor(color) {
    this.#plane.setLightness(hexToLab(color)[0]);
  }

  /**
   * Show the state of the hint, as after undoing.
   * @param {{ color: string | null, radius: number, isNew: boolean }} hint
   */
  update({ color, radius, isNew }) {
    this.#plane.setColor(color);
    this.#showColor(color);
    if (isNew) this.#neutral.setAttribute("aria-pressed", "false");
    this.#remove.hidden = isNew;
    this.#radius.value = String(radiusToStep(radius));
    this.#showRadius(radius);
  }

  /** Put the popover next to a place. @param {Point} place @param {{ width: number, height: number }} room */
  place(place, room) {
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const isRight = place.x + GAP + width <= room.width - 8;
    const left = isRight ? place.x + GAP : Math.max(8, place.x - GAP - width);
    const top = Math.min(Math.max(8, place.y - height / 2), Math.max(8, room.height - height - 8));
    this.element.style.setProperty("--left", `${left}px`);
    this.element.style.setProperty("--top", `${top}px`);
  }

  close() {
    this.element.hidden = true;
  }

  /** @param {Suggestion[] | null} suggestions null while they are not known @param {string} [problem] */
  showSuggestions(suggestions, problem) {
    if (!suggestions) {
      const text = problem ?? this.#t("hints.suggestions-wait");
      this.#suggestions.replaceChildren(make("li", { class: "editor-note" }, text));
      return;
    }
    const most = Math.max(...suggestions.map((each) => each.probability), 1e-6);
    this.#suggestions.replaceChildren(
      ...suggestions
        .slice(0, SUGGESTIONS)
        .map((each) => make("li", {}, this.#makeSuggestion(each, each.probability / most))),
    );
  }

  /** @param {Suggestion} suggestion @param {number} share of the most likely one */
  #makeSuggestion({ color, probability }, share) {
    const swatch = make("span", { class: "swatch" });
    swatch.style.background = color;
    const bar = make("span", { class: "suggestion-bar" });
    bar.style.setProperty("--share", `${share * 100}%`);
    const name = describeColor(this.#t, color);
    const percent = Math.round(probability * 100);
    return make(
      "button",
      {
        type: "button",
        class: "suggestion",
        "data-color": color,
        click: () => {
          this.#plane.setColor(color);
          this.#showColor(color);
          this.#emit("choose", { color, isFinal: true });
        },
      },
      swatch,
      make("span", { class: "suggestion-text" }, `${name} `, bar),
      make("span", { class: "editor-number" }, `${percent} %`),
    );
  }

  /** @param {string | null} color */
  #showColor(color) {
    this.#color = color;
    this.#swatch.style.background = color ?? "";
    this.#swatch.classList.toggle("is-neutral", color === null);
    this.#hex.value = color ?? "";
    this.#hex.removeAttribute("aria-invalid");
    this.#problem.hidden = true;
    this.#neutral.setAttribute("aria-pressed", String(color === null));
    this.#name.textContent = color === null ? this.#t("hints.color.gray") : describeColor(this.#t, color);
    for (const button of this.#suggestions.querySelectorAll("button")) {
      button.toggleAttribute("aria-current", button.dataset["color"] === color);
      if (button.dataset["color"] === color) button.setAttribute("aria-current", "true");
    }
  }

  #readHex() {
    const text = this.#hex.value.trim();
    const [, digits] = /^#?([0-9a-f]{6}|[0-9a-f]{3})$/i.exec(text) ?? [];
    if (!text) {
      this.#showColor(this.#color);
    } else if (!digits) {
      this.#hex.setAttribute("aria-invalid", "true");
    } else {
      const color = `#${digits.length === 3 ? digits.replace(/./g, "$&$&") : digits}`.toLowerCase();
      this.#plane.setColor(color);
      this.#showColor(color);
      this.#emit("choose", { color, isFinal: true });
    }
  }

  /**
   * Say what is wrong with the color that was typed. Not when the field loses the focus:
   * the message moves the buttons, and the click on one of them would miss it.
   * @returns {boolean} whether it is wrong
   */
  #explainHex() {
    const isWrong = this.#hex.hasAttribute("aria-invalid");
    if (isWrong) {
      this.#problem.textContent = this.#t("hints.hex-wrong", { text: this.#hex.value.trim() });
      this.#problem.hidden = false;
      this.#problem.scrollIntoView({ block: "nearest" });
    }
    return isWrong;
  }

  /** Close the popover, unless a color was typed that is wrong. */
  #finish() {
    if (this.#explainHex()) this.#hex.focus();
    else this.#emit("done");
  }

  /** @param {boolean} isFinal */
  #emitRadius(isFinal) {
    const radius = stepToRadius(Number(this.#radius.value));
    this.#showRadius(radius);
    this.#emit("radius", { radius, isFinal });
  }

  /** @param {number} radius */
  #showRadius(radius) {
    const text = this.#t("hints.radius-value", { percent: Number((radius * 100).toPrecision(2)) });
    this.#radiusText.value = text;
    this.#radius.setAttribute("aria-valuetext", text);
  }

  /** @param {string} type @param {unknown} [detail] */
  #emit(type, detail) {
    this.element.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** @param {KeyboardEvent} event */
  #handleKey(event) {
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      this.#emit("cancel"); // a drag that has not ended
      this.#emit("done");
    } else if (event.key === "Tab") {
      this.#keepFocus(event);
    } else if (event.key === "Delete" && event.target !== this.#hex && !this.#remove.hidden) {
      event.preventDefault();
      this.#emit("remove");
    }
  }

  /** Let the focus go around within the popover. @param {KeyboardEvent} event */
  #keepFocus(event) {
    const found = this.element.querySelectorAll("button:not([hidden]), input, [tabindex='0']");
    const stops = /** @type {HTMLElement[]} */ ([...found]);
    const [first, last] = [stops[0], stops.at(-1)];
    const active = document.activeElement;
    if (event.shiftKey && (active === first || active === this.element)) last?.focus();
    else if (!event.shiftKey && active === last) first?.focus();
    else return;
    event.preventDefault();
  }
}

/**
 * A color in words.
 * @param {(key: string, values?: Record<string, string | number>) => string} t
 * @param {string} color `#rrggbb`
 */
export function describeColor(t, color) {
  const { strength, hue } = nameColor(color);
  const name = t(`hints.color.${hue}`);
  return strength ? t(`hints.color.${strength}`, { name }) : name;
}

/** @param {number} radius */
function radiusToStep(radius) {
  const share = Math.log(Math.max(radius, SMALLEST_RADIUS) / SMALLEST_RADIUS);
  return Math.round((share / Math.log(LARGEST_RADIUS / SMALLEST_RADIUS)) * RADIUS_STEPS);
}

/** @param {number} step */
function stepToRadius(step) {
  const radius = SMALLEST_RADIUS * (LARGEST_RADIUS / SMALLEST_RADIUS) ** (step / RADIUS_STEPS);
  return Math.min(Number(radius.toPrecision(3)), LARGEST_RADIUS);
}
