/** What the page says about all photos together: progress, and what happened. */

import { byId, make, makeButton } from "./elements.js";
import { explainFault } from "./faults.js";
import { formatDuration, t } from "./strings.js";

/** Seconds of work below which the time left is not worth saying. */
const LEAST_SECONDS = 8;

/** Seconds for which a screen reader finds a text. */
const SPOKEN_SECONDS = 10;

/** Failures are read out one by one only in lists of so many photos. */
const FEW = 4;

/**
 * @typedef {import("./job.js").Job} Job
 * @typedef {import("./jobs.js").Jobs} Jobs
 */

/**
 * Let screen readers say something.
 * @param {string} text
 */
export function announce(text) {
  const line = make("p", {}, text);
  byId("live").append(line);
  setTimeout(() => line.remove(), 1000 * SPOKEN_SECONDS);
}

/**
 * Show a message until a person closes it.
 * @param {string} text
 * @param {HTMLElement} [action] What can be done about it.
 * @returns {() => void} Closes it.
 */
export function showNotice(text, action) {
  const close = () => notice.remove();
  const button = makeButton(t("app.close"), close, { icon: "close", class: "icon-only quiet" });
  const notice = make("div", { class: "notice", role: "alert" }, make("p", {}, text));
  if (action) notice.append(action);
  notice.append(button);
  const notices = byId("notices");
  for (const other of [...notices.children]) {
    if (other.firstElementChild?.textContent === text) other.remove();
  }
  notices.append(notice);
  return close;
}

export class Summary {
  #jobs;
  #list;
  #waiting = false;
  #busy = false;
  /** @type {(() => void) | null} */
  #closeLost = null;

  /**
   * @param {Jobs} jobs
   * @param {import("./list.js").List} list
   */
  constructor(jobs, list) {
    this.#jobs = jobs;
    this.#list = list;
    for (const type of ["added", "removed", "changed"]) {
      jobs.addEventListener(type, () => this.#schedule());
    }
    jobs.addEventListener("changed", (event) => {
      this.#announceFailure(/** @type {CustomEvent<Job>} */ (event).detail);
    });
    byId("filter").addEventListener("click", () => {
      list.onlyFailed = !list.onlyFailed;
      this.#show();
    });
    jobs.addEventListener("connection", (event) => {
      this.#closeLost?.();
      const connected = /** @type {CustomEvent<boolean>} */ (event).detail;
      this.#closeLost = connected ? null : showNotice(t("app.connection.lost"));
    });
  }

  /** Show it once for all changes of a frame. */
  #schedule() {
    if (this.#waiting) return;
    this.#waiting = true;
    setTimeout(() => {
      this.#waiting = false;
      this.#show();
    }, 50);
  }

  #show() {
    const { total, done, failed, stopped, pending } = this.#jobs.count();
    const empty = total === 0;
    const focused = document.activeElement;
    if (byId("welcome").hidden === empty) {
      byId("welcome").hidden = !empty;
      byId("work").hidden = empty;
      byId("skip").hidden = empty;
      if (empty) /** @type {HTMLElement} */ (document.querySelector("#drop button")).focus();
    }
    if (failed === 0 && this.#list.onlyFailed) this.#list.onlyFailed = false;
    const finished = total - pending;
    byId("stop-all").hidden = pending === 0;
    byId("continue").hidden = stopped === 0 || pending > 0;
    // The focus does not vanish with what had it.
    if (focused?.closest("[hidden]") && !empty) {
      const shown = ["stop-all", "continue"].find((id) => !byId(id).hidden);
      byId(focused.closest("#welcome") || !shown ? "photos" : shown).focus();
    }
    /** @type {HTMLButtonElement} */ (byId("zip")).hidden =
      total === 1 || !this.#jobs.all.some(({ result }) => result);
    /** @type {HTMLProgressElement} */
    const progress = byId("progress");
    progress.hidden = pending === 0 || total === 1;
    progress.max = Math.max(total, 1);
    progress.value = finished;
    byId("summary").textContent = this.#describe();
    this.#showFilter(total, failed);
    const ended = this.#busy && pending === 0 && stopped === 0 && !empty;
    if (ended) announce(this.#describeEnd(done, failed));
    this.#busy = pending > 0;
  }

  /** @returns {string} */
  #describe() {
    const { total, done, failed, pending } = this.#jobs.count();
    if (total === 0) return "";
    if (pending === 0) return this.#describeEnd(done, failed, total);
    const text = t("app.progress.count", { done: total - pending, total });
    const seconds = this.#jobs.estimateSecondsLeft();
    if (seconds === null || seconds < LEAST_SECONDS) return text;
    return `${text} · ${t("app.progress.left", { duration: formatDuration(seconds) })}`;
  }

  /**
   * @param {number} done
   * @param {number} failed
   * @param {number} [total]
   */
  #describeEnd(done, failed, total = done + failed) {
    if (failed) return t("app.finished.failed", { done, count: failed });
    if (done < total) return t("app.progress.count", { done, total });
    return t("app.finished", { count: done });
  }

  /**
   * Offer to list only what failed, where that helps.
   * @param {number} total
   * @param {number} failed
   */
  #showFilter(total, failed) {
    const button = byId("filter");
    button.hidden = !failed || total <= FEW;
    button.textContent = this.#list.onlyFailed
      ? t("app.show.all")
      : t("app.failed.show", { count: failed });
  }

  /** @param {Job} job */
  #announceFailure(job) {
    if (job.state !== "failed" || !job.fault || this.#jobs.count().total > FEW) return;
    announce(t("job.state.failed.name", { name: job.path, reason: explainFault(job.fault) }));
  }
}
