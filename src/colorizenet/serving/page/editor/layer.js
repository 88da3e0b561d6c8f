/**
 * The picture in one pane of the viewer: a small one for overview, and the file at full
 * resolution above it once it is needed.
 *
 * @typedef {import("./geometry.js").View} View
 * @typedef {import("./geometry.js").Size} Size
 */

import { make } from "./dom.js";

/** From this zoom on, pixels are shown as squares. */
const PIXELATED_ZOOM = 3;

export class Layer {
  #image = make("img", { class: "viewer-image", alt: "", draggable: "false" });
  #full = make("img", { class: "viewer-image", alt: "", draggable: "false", decoding: "async" });
  #baseUrl = "";
  #fullUrl = "";
  #baseWidth = 0;
  #turn = 0;
  #wanted = false;
  /** Whether the browser cannot show the file at full resolution. */
  #failed = false;
  /** Whether the view shows more pixels than the small picture has. */
  #isEnlarged = false;
  element;

  /** @param {string} side "before" or "after" */
  constructor(side) {
    this.element = make("div", { class: "viewer-pane", "data-side": side }, this.#image, this.#full);
    this.#full.hidden = true;
    this.#image.hidden = true;
  }

  /**
   * Show a small picture, once it is decoded; until then the old one stays.
   * @param {Blob} blob
   */
  async show(blob) {
    const turn = ++this.#turn;
    const url = URL.createObjectURL(blob);
    const image = make("img", { class: "viewer-image", alt: "", draggable: "false", src: url });
    try {
      await image.decode();
    } catch (error) {
      URL.revokeObjectURL(url);
      if (turn === this.#turn) throw error;
      return;
    }
    if (turn !== this.#turn) {
      URL.revokeObjectURL(url);
      return;
    }
    image.style.cssText = this.#image.style.cssText;
    this.#image.replaceWith(image);
    this.#image = image;
    this.#baseWidth = image.naturalWidth;
    if (this.#baseUrl) URL.revokeObjectURL(this.#baseUrl);
    this.#baseUrl = url;
  }

  /**
   * Offer the picture at full resolution; it is loaded when the zoom needs it.
   * @param {Blob | null} blob
   */
  offerFull(blob) {
    this.#full.hidden = true;
    this.#full.removeAttribute("src");
    this.#wanted = this.#failed = false;
    if (this.#fullUrl) URL.revokeObjectURL(this.#fullUrl);
    this.#fullUrl = blob ? URL.createObjectURL(blob) : "";
  }

  /**
   * Whether every visible pixel is one of the photo, or will be once it is loaded.
   * @returns {"full" | "loading" | "coarse"}
   */
  get resolution() {
    if (!this.#isEnlarged || !this.#full.hidden) return "full";
    return this.#fullUrl && !this.#failed ? "loading" : "coarse";
  }

  /**
   * Place the pictures. `size` is that of the photo, `pane` that of the pane.
   * @param {View} view @param {Size} size @param {Size} pane @param {number} pixelRatio
   */
  draw(view, size, pane, pixelRatio) {
    const width = size.width * view.scale;
    const left = pane.width / 2 - view.x * view.scale;
    const top = pane.height / 2 - view.y * view.scale;
    const coarse = this.#baseWidth > 0 && width * pixelRatio > this.#baseWidth * 1.05;
    this.#isEnlarged = coarse && this.#baseWidth < size.width;
    this.#image.hidden = this.#baseWidth === 0;
    if (this.#isEnlarged && this.#fullUrl) this.#loadFull(size);
    const isFullShown = this.#isEnlarged && this.#full.dataset["ready"] === "" && this.#fullUrl !== "";
    this.#full.hidden = !isFullShown;
    const pixelated = view.scale * pixelRatio >= PIXELATED_ZOOM;
    for (const image of [this.#image, this.#full]) {
      image.style.width = `${width}px`;
      image.style.height = `${size.height * view.scale}px`;
      image.style.transform = `translate(${left}px, ${top}px)`;
    }
    this.#full.classList.toggle("is-pixelated", pixelated);
    this.#image.classList.toggle("is-pixelated", pixelated && this.#baseWidth >= size.width);
  }

  /** @param {Size} size */
  #loadFull(size) {
    if (this.#wanted) return;
    this.#wanted = true;
    const full = make("img", {
      class: "viewer-image",
      alt: "",
      draggable: "false",
      decoding: "async",
    });
    full.hidden = true;
    this.#full.replaceWith(full);
    this.#full = full;
    const url = this.#fullUrl;
    const finish = () => {
      if (url !== this.#fullUrl) return;
      // A browser that reads another page or a thumbnail has another size.
      this.#failed = full.naturalWidth !== size.width;
      if (!this.#failed) full.dataset["ready"] = "";
      this.element.dispatchEvent(new CustomEvent("full-ready", { bubbles: true }));
    };
    full.addEventListener("load", finish);
    full.addEventListener("error", finish);
    full.src = url;
  }

  /** Show nothing, and free the memory of the pictures. */
  clear() {
    this.#turn += 1;
    this.offerFull(null);
    this.#image.removeAttribute("src");
    this.#image.hidden = true;
    this.#baseWidth = 0;
    if (this.#baseUrl) URL.revokeObjectURL(this.#baseUrl);
    this.#baseUrl = "";
  }
}
