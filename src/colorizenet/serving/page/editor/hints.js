/**
 * Hints of the photo: marks on it, a popover for one of them, and the list of all.
 *
 * @typedef {import("../types").Hint} Hint
 * @typedef {import("../types").Preview} Preview
 * @typedef {(key: string, values?: Record<string, string | number>) => string} Translate
 */

import { DEFAULT_RADIUS, MOST_HINTS } from "./hintfile.js";
import { HintList } from "./hintlist.js";
import { HintMarks } from "./marks.js";
import { HintPopover } from "./popover.js";
import { sampleColor } from "./sample.js";

export class HintEditor {
  #t;
  #viewer;
  #change;
  #explain;
  #marks;
  /** @type {Preview | null} */
  #preview = null;
  /** The colored preview. @type {Blob | null} */
  #colored = null;
  /** @type {Hint[]} */
  #hints = [];
  /** The hint that the popover is for. @type {number | null} */
  #selected = null;
  /** A place that has no hint yet. @type {{ x: number, y: number, radius: number } | null} */
  #candidate = null;
  /** @type {string | null} */
  #model = null;
  #suggesting = new AbortController();
  /** Whether the popover was opened from the list, which gets the focus back. */
  #isFromList = false;
  popover;
  list;

  /**
   * @param {{ t: Translate, viewer: import("./viewer.js").Viewer,
   *           change: (hints: Hint[], isFinal: boolean, group?: string | null) => void,
   *           cancel: () => void, explain: (error: unknown) => string }} options `cancel`
   *   restores the hints of the last final change
   */
  constructor({ t, viewer, change, cancel, explain }) {
    this.#t = t;
    this.#viewer = viewer;
    this.#change = change;
    this.#explain = explain;
    this.#marks = new HintMarks(t, viewer);
    this.popover = new HintPopover(t);
    this.list = new HintList(t);
    viewer.element.addEventListener("place", (event) => {
      void this.#openPlace(/** @type {CustomEvent} */ (event).detail);
    });
    viewer.element.addEventListener("view-changed", () => this.#placePopover());
    for (const element of [this.#marks.element, this.list.element]) {
      const isList = element === this.list.element;
      listen(element, "hint-open", ({ index }) => void this.#openHint(index, isList));
      listen(element, "hint-remove", ({ index }) => this.#remove(index));
    }
    listen(this.#marks.element, "hint-move", ({ index, x, y, isFinal, isStep }) => {
      const place = { x: round(x), y: round(y) };
      this.#edit(index, place, isFinal, isStep ? `move hint ${index}` : null);
      if (isFinal && this.#selected === index) void this.#loadPlace(place);
    });
    listen(this.#marks.element, "hint-cancel", cancel);
    listen(this.list.element, "hint-start", () => viewer.startCrosshair());
    listen(this.list.element, "hints-replace", ({ hints }) => {
      this.close();
      this.#change(hints, true);
    });
    const { element } = this.popover;
    listen(element, "choose", ({ color, isFinal }) => this.#setColor(color, isFinal));
    listen(element, "radius", ({ radius, isFinal }) => this.#setRadius(radius, isFinal));
    listen(element, "remove", () => {
      if (this.#selected !== null) this.#remove(this.#selected);
    });
    listen(element, "cancel", cancel);
    listen(element, "done", () => this.close());
  }

  /** @param {Preview} preview @param {File} file */
  open(preview, file) {
    this.close();
    this.#preview = preview;
    this.#colored = null;
    this.list.open(file);
  }

  /** @param {Blob} blob the colored preview, whose colors new hints start from */
  setColored(blob) {
    this.#colored = blob;
  }

  /** Show hints that have changed, here or elsewhere. @param {Hint[]} hints @param {string | null} model */
  show(hints, model) {
    this.#hints = hints;
    this.#model = model;
    const hint = this.#selected === null ? null : hints[this.#selected];
    if (this.#selected !== null && !hint) this.close();
    else if (hint) {
      const radius = hint.radius ?? DEFAULT_RADIUS;
      this.popover.update({ color: hint.color, radius, isNew: false });
    }
    this.#marks.show(hints, this.#selected);
    this.list.show(hints, this.#selected);
  }

  /** Close the popover, and give the focus back. */
  close() {
    this.#suggesting.abort();
    if (this.#selected === null && !this.#candidate) return;
    const hadFocus = this.popover.element.contains(document.activeElement);
    const selected = this.#selected;
    this.#selected = this.#candidate = null;
    this.popover.close();
    this.#marks.showCandidate(null);
    this.#marks.show(this.#hints, null);
    this.list.show(this.#hints, null);
    if (!hadFocus) return;
    if (selected === null || !this.#hints[selected]) {
      this.#viewer.stage.focus({ preventScroll: true });
    } else if (this.#isFromList) this.list.focus(selected);
    else this.#marks.focus(selected);
  }

  /** Forget the photo, whose editor is closed. */
  forget() {
    this.close();
    this.#preview = this.#colored = null;
  }

  /** @param {{ x: number, y: number }} place */
  async #openPlace({ x, y }) {
    this.close();
    if (!this.#preview) return; // the photo is still being opened
    if (this.#hints.length >= MOST_HINTS) {
      this.list.showProblem(this.#t("hints.full", { most: MOST_HINTS }));
      return;
    }
    this.#isFromList = false;
    this.#candidate = { x: round(x), y: round(y), radius: this.#lastRadius() };
    this.#marks.showCandidate(this.#candidate);
    await this.#show({ ...this.#candidate, color: null }, true);
  }

  /** @param {number} index @param {boolean} isFromList */
  async #openHint(index, isFromList) {
    const hint = this.#hints[index];
    if (!hint) return;
    this.close();
    this.#isFromList = isFromList;
    this.#selected = index;
    this.#marks.show(this.#hints, index);
    await this.#show(hint, false);
  }

  /** @param {Hint} hint @param {boolean} isNew */
  async #show(hint, isNew) {
    const { signal } = (this.#suggesting = new AbortController());
    try {
      const before = await this.#preview?.before();
      const placeColor = await sampleColor(before, hint);
      const color = isNew ? await sampleColor(this.#colored ?? before, hint) : hint.color;
      if (signal.aborted) return; // another place was chosen meanwhile
      const radius = hint.radius ?? DEFAULT_RADIUS;
      this.#viewer.uncover(hint);
      this.popover.open({ color, placeColor, radius, isNew });
    } catch (error) {
      if (signal.aborted) return;
      this.close();
      this.list.showProblem(this.#explain(error));
      return;
    }
    this.#placePopover();
    await this.#suggest(hint);
  }

  /**
   * Show the lightness and the suggestions of the place to which a hint was moved.
   * @param {{ x: number, y: number }} place
   */
  async #loadPlace(place) {
    if (!this.popover.isOpen) return;
    this.popover.setPlaceColor(await sampleColor(await this.#preview?.before(), place));
    await this.#suggest(place);
  }

  /** @param {{ x: number, y: number }} place */
  async #suggest({ x, y }) {
    if (!this.#preview) return;
    this.#suggesting.abort();
    const { signal } = (this.#suggesting = new AbortController());
    try {
      const found = await this.#preview.suggest(x, y, this.#model, signal);
      if (signal.aborted) return;
      this.popover.showSuggestions(found);
      this.#placePopover();
    } catch (error) {
      if (!signal.aborted) this.popover.showSuggestions(null, this.#explain(error));
    }
  }

  /** @param {string | null} color @param {boolean} isFinal */
  #setColor(color, isFinal) {
    if (this.#candidate) {
      const hint = { ...this.#candidate, color };
      this.#candidate = null;
      this.#marks.showCandidate(null);
      this.#selected = this.#hints.length;
      this.#change([...this.#hints, hint], isFinal);
    } else if (this.#selected !== null) {
      this.#edit(this.#selected, { color }, isFinal);
    }
  }

  /** @param {number} radius @param {boolean} isFinal */
  #setRadius(radius, isFinal) {
    if (this.#candidate) {
      this.#candidate = { ...this.#candidate, radius };
      this.#marks.showCandidate(this.#candidate);
    } else if (this.#selected !== null) {
      this.#edit(this.#selected, { radius }, isFinal);
    }
  }

  /**
   * @param {number} index @param {Partial<Hint>} change @param {boolean} isFinal
   * @param {string | null} [group] what is undone together, as for `History`
   */
  #edit(index, change, isFinal, group = null) {
    const hints = this.#hints.map((hint, at) => (at === index ? { ...hint, ...change } : hint));
    this.#change(hints, isFinal, group);
  }

  /** @param {number} index */
  #remove(index) {
    const isInList = this.list.element.contains(document.activeElement);
    const hints = this.#hints.filter((_, at) => at !== index);
    this.close();
    this.#change(hints, true);
    if (isInList) return; // the list keeps the focus
    if (hints.length) this.#marks.focus(Math.min(index, hints.length - 1));
    else this.#viewer.stage.focus({ preventScroll: true });
  }

  #placePopover() {
    const place = this.#candidate ?? (this.#selected === null ? null : this.#hints[this.#selected]);
    if (!place || !this.popover.isOpen) return;
    const marks = this.#marks.element;
    const { x, y } = this.#viewer.toPane(place);
    const { clientWidth: width, clientHeight: height } = this.#viewer.stage;
    this.popover.place({ x: x + marks.offsetLeft, y: y + marks.offsetTop }, { width, height });
  }

  /** The radius of the last hint, since things of one photo are often alike in size. */
  #lastRadius() {
    return this.#hints.at(-1)?.radius ?? DEFAULT_RADIUS;
  }
}

/** @param {HTMLElement} element @param {string} type @param {(detail: any) => void} handle */
function listen(element, type, handle) {
  element.addEventListener(type, (event) => handle(/** @type {CustomEvent} */ (event).detail ?? {}));
}

/** A fraction with digits enough for the largest photo. @param {number} value */
function round(value) {
  return Math.round(value * 1e5) / 1e5;
}
