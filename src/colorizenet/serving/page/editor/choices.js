/**
 * Pictures side by side, one of which is chosen.
 *
 * Event on `element`: `choose` (detail: { index }).
 */

import { make, makeId } from "./dom.js";

export class PictureChoice {
  #name = makeId("choice");
  /** @type {string[]} */
  #urls = [];
  element;

  /** @param {string} label of the group */
  constructor(label) {
    this.element = make("div", { class: "choices", role: "radiogroup", "aria-label": label });
  }

  /**
   * Offer choices, without their pictures.
   * @param {{ label: string, note?: string }[]} choices @param {number | null} chosen
   */
  show(choices, chosen) {
    this.clear();
    this.element.append(
      ...choices.map(({ label, note }, index) =>
        make(
          "label",
          { class: "choice" },
          make("input", {
            type: "radio",
            name: this.#name,
            class: "editor-unseen",
            checked: index === chosen,
            change: () => {
              this.element.dispatchEvent(new CustomEvent("choose", { detail: { index } }));
            },
          }),
          make("span", { class: "choice-picture is-waiting" }),
          make("span", { class: "choice-label" }, label, note ? make("small", {}, note) : null),
        ),
      ),
    );
  }

  /** @param {number} index @param {Blob} blob */
  setPicture(index, blob) {
    const frame = this.element.children[index]?.querySelector(".choice-picture");
    if (!frame) return;
    const url = URL.createObjectURL(blob);
    this.#urls.push(url);
    frame.classList.remove("is-waiting");
    frame.replaceChildren(make("img", { src: url, alt: "", decoding: "async" }));
  }

  /** @param {number | null} chosen */
  select(chosen) {
    this.element.querySelectorAll("input").forEach((input, index) => {
      input.checked = index === chosen;
    });
  }

  get isEmpty() {
    return this.element.childElementCount === 0;
  }

  clear() {
    this.element.replaceChildren();
    for (const url of this.#urls.splice(0)) URL.revokeObjectURL(url);
  }
}
