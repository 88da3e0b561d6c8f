/** The list of photos: a card for each, made while a person scrolls. */

import { Card } from "./card.js";
import { isPending } from "./job.js";
import { t } from "./strings.js";

/** Cards that are made at once. */
const PORTION = 48;

/** How far from the screen pictures are made already. */
const MARGIN = "600px";

/**
 * @typedef {import("./job.js").Job} Job
 * @typedef {import("./jobs.js").Jobs} Jobs
 */

export class List {
  /** @type {Map<string, Card>} */
  #cards = new Map();
  #limit = PORTION;
  #onlyFailed = false;
  #jobs;
  #element;
  #more;
  #pictures;
  #act;
  #observer;

  /**
   * @param {Jobs} jobs
   * @param {{ element: HTMLElement, more: HTMLButtonElement,
   *   pictures: import("./pictures.js").Pictures, act: import("./card.js").Act }} parts
   */
  constructor(jobs, { element, more, pictures, act }) {
    this.#jobs = jobs;
    this.#element = element;
    this.#more = more;
    this.#pictures = pictures;
    this.#act = act;
    this.#observer = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          const { id = "" } = /** @type {HTMLElement} */ (target).dataset;
          this.#cards.get(id)?.setVisible(isIntersecting);
        }
      },
      { rootMargin: MARGIN },
    );
    const end = new IntersectionObserver(
      (entries) => entries.some((entry) => entry.isIntersecting) && this.#showMore(),
      { rootMargin: MARGIN },
    );
    end.observe(more);
    more.addEventListener("click", () => {
      const shown = element.children.length;
      this.#showMore();
      this.#focus(element.children[shown]);
    });
    jobs.addEventListener("added", () => this.#fill());
    jobs.addEventListener("changed", (event) => {
      this.#change(/** @type {CustomEvent<Job>} */ (event).detail);
    });
    jobs.addEventListener("removed", (event) => {
      this.#remove(/** @type {CustomEvent<Job[]>} */ (event).detail);
    });
  }

  get onlyFailed() {
    return this.#onlyFailed;
  }

  /** @param {boolean} only Whether only photos that failed are listed. */
  set onlyFailed(only) {
    const cards = [...this.#cards.values()];
    const focused = cards.findIndex(({ element }) => element.contains(document.activeElement));
    this.#onlyFailed = only;
    this.#limit = PORTION;
    for (const card of cards) this.#drop(card);
    this.#fill();
    if (focused < 0) return;
    const { children } = this.#element;
    this.#focus(children[Math.min(focused, children.length - 1)]);
  }

  /** Make the cards that are missing, in order. */
  #fill() {
    const jobs = this.#jobs.all.filter((job) => !this.#onlyFailed || job.state === "failed");
    const fresh = [];
    for (const job of jobs.slice(0, this.#limit)) {
      if (this.#cards.has(job.id)) continue;
      const card = new Card(job, this.#pictures, this.#act);
      this.#cards.set(job.id, card);
      fresh.push(card.element);
    }
    this.#element.append(...fresh);
    for (const element of fresh) this.#observer.observe(element);
    this.#element.dataset.count = String(Math.min(jobs.length, 4));
    this.#more.hidden = jobs.length <= this.#limit;
    this.#more.textContent = `${t("app.show.more")} (${jobs.length - this.#limit})`;
  }

  #showMore() {
    if (this.#more.hidden) return;
    this.#limit += PORTION;
    this.#fill();
  }

  /** @param {Job} job */
  #change(job) {
    const card = this.#cards.get(job.id);
    if (card) card.update();
    if (!this.#onlyFailed) return;
    if (card ? isPending(job) : job.state === "failed") this.onlyFailed = true; // lists them again
  }

  /** @param {Job[]} jobs */
  #remove(jobs) {
    for (const { id } of jobs) {
      const card = this.#cards.get(id);
      if (!card) continue;
      const focused = card.element.contains(document.activeElement);
      const next = card.element.nextElementSibling ?? card.element.previousElementSibling;
      this.#drop(card);
      // The focus stays where the person was.
      if (focused) this.#focus(next);
    }
    this.#fill();
  }

  /** @param {Element | null | undefined} card the element of one; without, the list */
  #focus(card) {
    /** @type {HTMLElement} */ (card?.querySelector("button:enabled") ?? this.#element).focus();
  }

  /** @param {Card} card */
  #drop(card) {
    this.#observer.unobserve(card.element);
    card.setVisible(false);
    card.element.remove();
    this.#cards.delete(card.job.id);
  }
}
