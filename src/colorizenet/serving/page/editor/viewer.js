/**
 * The photo before and after: zoom and pan, linked, and three ways to compare.
 *
 * Events on `element`: `place` (detail: a place as fractions of width and height),
 * `view-changed` when the zoom, the comparison or the resolution changed.
 *
 * @typedef {import("./geometry.js").Point} Point
 * @typedef {"slider" | "side" | "after"} Mode
 */

import { Crosshair } from "./crosshair.js";
import { Divider } from "./divider.js";
import { make, makeId } from "./dom.js";
import {
  clamp,
  fitScale,
  imageToPane,
  limitView,
  paneToImage,
  zoomAround,
} from "./geometry.js";
import { watchGestures } from "./gestures.js";
import { Layer } from "./layer.js";

/** The zoom changes by this factor for each press of a key or a button. */
const ZOOM_STEP = 1.4;
/** CSS pixels by which an arrow key moves the photo. */
const PAN_STEP = 60;
/** CSS pixels by which the divider stays off a place that it uncovers. */
const UNCOVERED = 60;
/** Of a photo with a width of fewer pixels, or of a smaller part of its height, the divider
    hides most, in a window of any size. */
const NARROW = { pixels: 15, part: 1 / 16 };

export class Viewer {
  #before = new Layer("before");
  #after = new Layer("after");
  #divider;
  #crosshair;
  #size = { width: 1, height: 1 };
  #view = { x: 0.5, y: 0.5, scale: 1 };
  #isFitted = true;
  /** What was shown when a finger or a button was pressed on the photo. */
  #pressedView = { view: this.#view, isFitted: true };
  #frame = 0;
  /** @type {Mode} */
  #mode = "slider";
  #isHolding = false;
  #marks = make("div", { class: "viewer-marks" });
  #leftTag;
  #leftText;

  /** @param {{ t: (key: string, values?: Record<string, string | number>) => string }} options */
  constructor({ t }) {
    this.#divider = new Divider(t, () => this.#schedule());
    this.#crosshair = new Crosshair((point) => this.#place(this.#fromPane(point)));
    const tag = (/** @type {string} */ side) =>
      make("span", { class: "viewer-tag", "data-side": side, "aria-hidden": "true" }, t(`editor.${side}`));
    this.#leftTag = tag("before");
    this.#leftText = t("editor.before");
    const help = make("p", { id: makeId("help"), class: "editor-unseen" }, t("editor.viewer-help"));
    this.stage = make(
      "div",
      {
        class: "viewer-stage",
        tabindex: 0,
        role: "application",
        "aria-label": t("editor.viewer"),
        "aria-describedby": help.id,
        keydown: (/** @type {KeyboardEvent} */ event) => this.#handleKey(event),
        keyup: (/** @type {KeyboardEvent} */ event) => {
          if (event.key === "o") this.hold(false);
        },
        blur: () => this.hold(false),
      },
      this.#before.element,
      this.#after.element,
      this.#marks,
      this.#crosshair.element,
      this.#divider.element,
      this.#leftTag,
      tag("after"),
    );
    this.element = make("div", { class: "viewer", "data-mode": this.#mode }, help, this.stage);
    this.element.addEventListener("full-ready", () => this.#schedule());
    watchGestures(this.stage, {
      begin: () => (this.#pressedView = { view: { ...this.#view }, isFitted: this.#isFitted }),
      cancel: () => {
        this.#view = this.#pressedView.view;
        this.#isFitted = this.#pressedView.isFitted;
        this.#schedule();
      },
      pan: (dx, dy) => this.#pan(dx, dy),
      zoom: (factor, point) => this.#zoomTo(this.#view.scale * factor, this.#toPane(point)),
      click: (point) => this.#place(this.locate(point)),
      doubleClick: (point) => {
        if (this.#isFitted) this.#zoomTo(1 / devicePixelRatio, this.#toPane(point));
        else this.fit();
      },
    });
    new ResizeObserver(() => this.#schedule()).observe(this.stage);
  }

  /** Where the marks of hints are put; they are in CSS pixels of the pane. */
  get marks() {
    return this.#marks;
  }

  /** Device pixels for each pixel of the photo. */
  get zoom() {
    return this.#view.scale * devicePixelRatio;
  }

  get isFitted() {
    return this.#isFitted;
  }

  /** As `Layer.resolution`, of the result. */
  get resolution() {
    return this.#after.resolution;
  }

  /** The width and the height of the photo, in pixels. */
  get size() {
    return this.#size;
  }

  /** CSS pixels for each pixel of the photo. */
  get scale() {
    return this.#view.scale;
  }

  get mode() {
    return this.#mode;
  }

  set mode(mode) {
    this.#mode = mode;
    this.element.dataset["mode"] = mode;
    this.#schedule();
  }

  /** @param {import("./geometry.js").Size} size */
  open(size) {
    this.#size = size;
    this.#isFitted = true;
    this.#view = { x: size.width / 2, y: size.height / 2, scale: 1 };
    const isNarrow = size.width < NARROW.pixels || size.width / size.height < NARROW.part;
    this.#divider.move(isNarrow ? 0.3 : 0.5);
    this.#schedule();
  }

  /** @param {Blob} blob */
  async showBefore(blob) {
    await this.#before.show(blob);
    this.#schedule();
  }

  /** @param {Blob} blob */
  async showAfter(blob) {
    await this.#after.show(blob);
    this.#schedule();
  }

  /** @param {{ before?: Blob | null, after?: Blob | null }} files at full resolution */
  offerFull({ before, after }) {
    if (before !== undefined) this.#before.offerFull(before);
    if (after !== undefined) this.#after.offerFull(after);
    this.#schedule();
  }

  /** @param {string | null} text what the left side shows; null is the original */
  setLeftTag(text) {
    this.#leftTag.textContent = text ?? this.#leftText;
  }

  clear() {
    this.#before.clear();
    this.#after.clear();
    this.#crosshair.hide();
    this.hold(false);
  }

  /** Show the original in place of the result. @param {boolean} holding */
  hold(holding) {
    if (holding === this.#isHolding) return;
    this.#isHolding = holding;
    this.element.classList.toggle("is-holding", holding);
    this.#schedule();
  }

  fit() {
    this.#isFitted = true;
    this.#schedule();
  }

  /** One pixel of the photo for each pixel of the screen. */
  zoomToFull() {
    this.#zoomTo(1 / devicePixelRatio);
  }

  /** Change between every pixel and the whole photo. */
  toggleFull() {
    if (Math.abs(this.zoom - 1) < 0.01 && !this.#isFitted) this.fit();
    else this.zoomToFull();
  }

  /** @param {number} steps positive to enlarge */
  zoomBy(steps) {
    this.#zoomTo(this.#view.scale * ZOOM_STEP ** steps);
  }

  /** Ask for a place with the keyboard. */
  startCrosshair() {
    const pane = this.#pane();
    this.stage.focus();
    this.#crosshair.show({ x: pane.width / 2, y: pane.height / 2 });
  }

  /** Let the divider not cover a place of the result. @param {Point} place */
  uncover(place) {
    const pane = this.#pane();
    const { x } = this.toPane(place);
    if (this.#mode !== "slider" || this.#divider.position * pane.width < x - UNCOVERED / 2) return;
    this.#divider.move(clamp((x - UNCOVERED) / pane.width, 0, 1));
  }

  /** Where a place of the photo is, in CSS pixels of the pane. @param {Point} place */
  toPane(place) {
    const { width, height } = this.#size;
    return imageToPane(this.#view, { x: place.x * width, y: place.y * height }, this.#pane());
  }

  /** The place of the photo at a point of the window. @param {Point} point */
  locate(point) {
    return this.#fromPane(this.#toPane(point));
  }

  /** @param {Point} point in CSS pixels of the pane */
  #fromPane(point) {
    const { x, y } = paneToImage(this.#view, point, this.#pane());
    return { x: x / this.#size.width, y: y / this.#size.height };
  }

  /** A point of the window in CSS pixels of its pane. @param {Point} point */
  #toPane(point) {
    const panes = [this.#after.element, this.#before.element].map((pane) =>
      pane.getBoundingClientRect(),
    );
    const box = panes.find(
      (each) =>
        point.x >= each.left && point.x <= each.right && point.y >= each.top && point.y <= each.bottom,
    );
    const { left, top } = box ?? /** @type {DOMRect} */ (panes[0]);
    return { x: point.x - left, y: point.y - top };
  }

  #pane() {
    const { clientWidth, clientHeight } = this.#after.element;
    return { width: Math.max(clientWidth, 1), height: Math.max(clientHeight, 1) };
  }

  /** @param {Point} place */
  #place(place) {
    if (place.x < 0 || place.x > 1 || place.y < 0 || place.y > 1) return;
    this.element.dispatchEvent(new CustomEvent("place", { detail: place }));
  }

  /** @param {number} scale @param {Point} [point] by default the center of the pane */
  #zoomTo(scale, point) {
    const pane = this.#pane();
    const center = { x: pane.width / 2, y: pane.height / 2 };
    const limited = limitView({ ...this.#view, scale }, this.#size, pane, devicePixelRatio).scale;
    this.#isFitted = limited <= fitScale(this.#size, pane) * 1.001 && scale < this.#view.scale;
    this.#view = zoomAround(this.#view, limited, point ?? center, pane);
    this.#schedule();
  }

  /** @param {number} dx @param {number} dy */
  #pan(dx, dy) {
    const { x, y, scale } = this.#view;
    this.#view = { x: x - dx / scale, y: y - dy / scale, scale };
    this.#limit();
    this.#schedule();
  }

  #limit() {
    this.#view = limitView(this.#view, this.#size, this.#pane(), devicePixelRatio);
  }

  #schedule() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const pane = this.#pane();
    if (this.#isFitted) this.#view.scale = fitScale(this.#size, pane);
    this.#limit();
    this.#before.draw(this.#view, this.#size, pane, devicePixelRatio);
    this.#after.draw(this.#view, this.#size, pane, devicePixelRatio);
    const split = this.#mode === "slider" ? this.#divider.position : 0;
    this.element.style.setProperty("--split", `${split * 100}%`);
    this.element.dispatchEvent(new CustomEvent("view-changed"));
  }

  /** @param {KeyboardEvent} event */
  #handleKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isOwn = event.target === this.stage;
    if (isOwn && this.#crosshair.handleKey(event, this.#pane())) return;
    const action = this.#findAction(event.key, isOwn);
    if (!action) return;
    event.preventDefault();
    action();
  }

  /** @param {string} key @param {boolean} isOwn whether the stage itself has the focus */
  #findAction(key, isOwn) {
    /** @type {Record<string, () => void>} */
    const anywhere = {
      "+": () => this.zoomBy(1),
      "=": () => this.zoomBy(1),
      "-": () => this.zoomBy(-1),
      0: () => this.fit(),
      1: () => this.zoomToFull(),
      o: () => this.hold(true),
      h: () => this.startCrosshair(),
    };
    /** @type {Record<string, () => void>} */
    const own = {
      ArrowLeft: () => this.#pan(PAN_STEP, 0),
      ArrowRight: () => this.#pan(-PAN_STEP, 0),
      ArrowUp: () => this.#pan(0, PAN_STEP),
      ArrowDown: () => this.#pan(0, -PAN_STEP),
      Enter: () => this.startCrosshair(),
    };
    return anywhere[key] ?? (isOwn ? own[key] : undefined);
  }
}
