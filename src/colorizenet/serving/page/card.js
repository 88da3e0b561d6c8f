/** How one photo of the list looks: its picture, its state, and what can be done. */

import { make, makeButton, makeIcon } from "./elements.js";
import { explainFault, explainNotice } from "./faults.js";
import { isPending, isRunning } from "./job.js";
import { formatBytes, formatNumber, lang, t } from "./strings.js";

/**
 * @typedef {import("./job.js").Job} Job
 * @typedef {import("./pictures.js").Pictures} Pictures
 * @typedef {"open" | "download" | "stop" | "retry" | "remove" | "menu"} Action
 * @typedef {(action: Action, job: Job, button: HTMLElement) => void} Act
 */

/** Pixels of the longer side of the largest picture in the list. */
const MOST_SIDE = 1600;

export class Card {
  /** @type {string} What of the job the pictures show. */
  #drawn = "";
  #visible = false;
  /** @type {string} State and result that the buttons are for. */
  #buttonsFor = "";
  #pictures;
  #act;

  /**
   * @param {Job} job
   * @param {Pictures} pictures
   * @param {Act} act
   */
  constructor(job, pictures, act) {
    this.job = job;
    this.#pictures = pictures;
    this.#act = act;
    const name = job.path.slice(job.path.lastIndexOf("/") + 1);
    const folder = job.path.slice(0, -name.length);
    this.before = make("canvas", { class: "before", width: "0", height: "0" });
    this.after = make("canvas", { class: "after", width: "0", height: "0" });
    this.picture = make("button", { type: "button", class: "picture" }, this.before, this.after);
    this.picture.dataset.format = /\.(\w{2,5})$/.exec(name)?.[1]?.toUpperCase() ?? "";
    this.picture.addEventListener("click", () => act("open", job, this.picture));
    this.title = make("h2", { class: "name" }, name);
    if (folder) this.title.prepend(make("span", { class: "path" }, folder));
    this.title.title = job.path;
    this.status = make("p", { class: "status" });
    this.progress = make("progress", { max: "1" });
    this.notes = make("div", { class: "notes" });
    this.buttons = make("div", { class: "buttons" });
    const text = make("div", { class: "text" }, this.title, this.status, this.progress, this.notes);
    this.element = make("li", { class: "card" }, this.picture, text, this.buttons);
    this.element.dataset.id = job.id;
    this.update();
  }

  /** Show what has become of the job. */
  update() {
    const { job } = this;
    this.element.dataset.state = job.state;
    this.#showStatus();
    this.#showButtons();
    this.#showNotes();
    this.picture.setAttribute("aria-label", t("job.open.name", { name: job.path }));
    this.picture.disabled = job.state === "failed" && !job.result;
    if (this.#visible) this.#draw();
  }

  /**
   * @param {boolean} visible Whether the card is on the screen, or close to it.
   */
  setVisible(visible) {
    this.#visible = visible;
    if (visible) {
      this.#draw();
      return;
    }
    // Pictures of hundreds of photos would fill the memory.
    this.#drawn = "";
    this.picture.classList.remove("colored", "gray", "fading");
    for (const canvas of [this.before, this.after]) canvas.width = canvas.height = 0;
  }

  #showStatus() {
    const { job } = this;
    /** @type {(Node | string)[]} */
    const parts = [];
    if (job.state === "done" && job.result) {
      const { format, blob } = job.result;
      const details = `${format.toUpperCase()} · ${formatBytes(blob.size)}`;
      parts.push(makeIcon("check"), make("span", {}, t("job.state.done")), ` · ${details}`);
    } else if (job.state === "failed") {
      parts.push(makeIcon("warning"), make("span", {}, t("job.state.failed")));
    } else if (job.state === "uploading" && job.done) {
      const percent = formatNumber(job.done, { style: "percent" });
      parts.push(t("job.state.uploading.percent", { percent }));
    } else {
      parts.push(t(`job.state.${job.state}`));
    }
    if (job.settings) parts.push(" · ", make("em", {}, t("job.edited")));
    this.status.replaceChildren(...parts);
    this.progress.hidden = !isRunning(job);
    this.progress.setAttribute("aria-label", t(`job.state.${job.state}`));
    if (job.done === null || job.done >= 1) this.progress.removeAttribute("value");
    else this.progress.value = job.done;
  }

  #showNotes() {
    const { fault, result, state } = this.job;
    /** @type {Node[]} */
    const notes = [];
    if (state === "failed" && fault) {
      notes.push(make("p", { class: "reason" }, explainFault(fault)));
    }
    if (state === "done" && result?.warnings.length) {
      const items = result.warnings.map((warning) => {
        const { text, lang: language } = explainNotice(warning);
        return make("li", language === lang ? {} : { lang: language }, text);
      });
      notes.push(make("ul", { class: "warnings", "aria-label": t("job.warnings") }, ...items));
    }
    this.notes.replaceChildren(...notes);
  }

  #showButtons() {
    const { job } = this;
    const key = `${isPending(job) ? "pending" : job.state} ${Boolean(job.result)}`;
    if (key === this.#buttonsFor) return; // a button keeps the focus while work goes on
    this.#buttonsFor = key;
    const focused = this.buttons.contains(document.activeElement);
    const name = job.path;
    /**
     * @param {Action} action
     * @param {string} icon
     */
    const add = (action, icon, extra = "") => {
      const button = makeButton(t(`job.${action}`), () => this.#act(action, job, button), {
        icon,
        label: t(`job.${action}.name`, { name }),
        class: `${action} ${extra}`,
      });
      return button;
    };
    const more = makeButton(t("job.more"), () => this.#act("menu", job, more), {
      icon: "more",
      label: t("job.more.name", { name }),
      class: "icon-only quiet",
    });
    more.setAttribute("aria-haspopup", "true");
    const buttons = [];
    if (isPending(job)) buttons.push(add("stop", "stop"));
    else if (job.state !== "done") buttons.push(add("retry", "reset"));
    if (job.result) buttons.push(add("download", "download", isPending(job) ? "quiet" : ""));
    if (job.result) buttons.push(more);
    else buttons.push(add("remove", "bin", "quiet"));
    this.buttons.replaceChildren(...buttons);
    if (focused) buttons[0]?.focus();
  }

  async #draw() {
    const { job } = this;
    const which = job.result ? "after" : "before";
    const wanted = `${which} ${job.result?.revision ?? 0}`;
    if (wanted === this.#drawn) return;
    this.#drawn = wanted;
    const isCurrent = () => this.#visible && this.#drawn === wanted;
    const side = Math.max(this.picture.clientWidth, 160) * Math.min(devicePixelRatio, 2);
    const bitmap = await this.#pictures.make(job, which, Math.min(side, MOST_SIDE), isCurrent);
    if (!isCurrent()) {
      bitmap?.close();
      return;
    }
    const { classList } = this.picture;
    classList.toggle("missing", !bitmap);
    if (!bitmap) return;
    const canvas = which === "before" ? this.before : this.after;
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.getContext("bitmaprenderer")?.transferFromImageBitmap(bitmap);
    if (which === "before") classList.add("gray");
    else {
      classList.toggle("fading", classList.contains("gray"));
      classList.add("colored");
    }
  }
}
