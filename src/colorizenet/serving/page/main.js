/** Starts the page and connects its parts. */

import { confirm, findPlace, openAbout, openCommand, openMenu } from "./dialogs.js";
import { packResults, saveFile, saveResult, saveSideBySide } from "./downloads.js";
import { Editing } from "./editing.js";
import { byId, make, makeButton, makeIcon } from "./elements.js";
import { Engine } from "./engine.js";
import { connectFiles } from "./entrance.js";
import { explainFault } from "./faults.js";
import { Jobs } from "./jobs.js";
import { List } from "./list.js";
import { Pictures } from "./pictures.js";
import { offerSamples } from "./samples.js";
import { showLimits, showSettings } from "./settings.js";
import { Store } from "./store.js";
import { lang, t, translate } from "./strings.js";
import { announce, showNotice, Summary } from "./summary.js";

/** @typedef {import("./job.js").Job} Job */

/** Closes the message that the editor could not be opened, if there is one. */
let closeProblem = () => {};

/** Seconds until an engine that could not start is tried again by itself. */
const RETRY_SECONDS = 5;

// A photo that is dropped before the page has started must not replace the page.
for (const kind of ["dragover", "drop"]) {
  addEventListener(kind, (event) => event.preventDefault());
}

async function start() {
  document.documentElement.lang = lang;
  translate(document);
  for (const button of document.querySelectorAll("button[data-icon]")) {
    button.prepend(makeIcon(button.getAttribute("data-icon") ?? ""));
  }
  const engine = new Engine();
  const store = new Store();
  store.addEventListener("lost", (event) => {
    showNotice(t(`app.storage.${/** @type {CustomEvent} */ (event).detail}`));
  });
  const opened = store.open();
  const info = await startEngine(engine);
  await opened;

  const jobs = new Jobs(engine, store);
  const pictures = new Pictures(engine, (...made) => jobs.keepPictures(...made));
  const editing = new Editing(jobs, engine, info);
  const list = new List(jobs, {
    element: byId("photos"),
    more: byId("show-more"),
    pictures,
    act: (action, job, button) => act({ jobs, pictures, editing }, action, job, button),
  });
  new Summary(jobs, list);
  const [stored, defaults] = [await store.loadJobs(), await store.loadDefaults()];
  jobs.restore(stored, defaults);
  if (stored.length) announce(t("app.restored", { count: stored.length }));
  showSettings(jobs, info);
  showLimits(info);
  showPlace(engine);
  connectButtons(jobs);
  byId("about-open").addEventListener("click", () => openAbout(info, engine.kind));
  connectFiles(jobs);
  offerSamples(jobs);
}

/**
 * @param {import("./types").Engine} engine
 * @returns {Promise<import("./types").Info>} Resolves when it has started, after several
 *   attempts if need be.
 */
async function startEngine(engine) {
  for (;;) {
    try {
      return await engine.start();
    } catch (error) {
      const { code = "failed", message, values = {} } = /** @type {any} */ (error);
      const reason = explainFault({ code, message, values });
      await new Promise((resolve) => {
        const retry = makeButton(t("error.start.retry"), () => resolve(close()));
        const close = showNotice(t("error.start", { reason }), retry);
        if (code === "network") setTimeout(() => resolve(close()), 1000 * RETRY_SECONDS);
      });
    }
  }
}

/**
 * Do what a card asks for.
 * @param {{ jobs: Jobs, pictures: Pictures, editing: Editing }} parts
 * @param {import("./card.js").Action} action
 * @param {Job} job
 * @param {HTMLElement} button
 */
function act({ jobs, pictures, editing }, action, job, button) {
  const remove = () => {
    jobs.remove([job.id]);
    announce(t("job.removed", { name: job.path }));
  };
  switch (action) {
    case "open":
      closeProblem();
      editing.open(job).catch(() => {
        closeProblem = showNotice(t("error.editor"));
      });
      break;
    case "download":
      saveResult(job);
      break;
    case "stop":
      jobs.stop(job.id);
      break;
    case "retry":
      jobs.retry(job.id);
      break;
    case "remove":
      remove();
      break;
    case "menu":
      openMenu(button, [
        {
          text: t("job.side"),
          icon: "share",
          act: () => saveSideBySide(job, pictures).catch(() => showNotice(t("error.side"))),
        },
        { text: t("job.command"), icon: "terminal", act: () => openCommand(job) },
        ...(job.settings
          ? [{ text: t("job.reset"), icon: "reset", act: () => jobs.apply(job.id, null) }]
          : []),
        { text: t("job.remove"), icon: "bin", act: remove },
      ]);
  }
}

/** @param {Jobs} jobs */
function connectButtons(jobs) {
  byId("stop-all").addEventListener("click", () => {
    jobs.stopAll();
    announce(t("app.stopped"));
  });
  byId("continue").addEventListener("click", () => jobs.continueAll());
  byId("clear").addEventListener("click", async () => {
    const count = jobs.count().total;
    const question = t("app.clear.confirm", { count });
    const sure = await confirm(question, t("app.clear.explain"), t("app.clear"));
    if (sure) jobs.remove(jobs.all.map(({ id }) => id));
  });
  /** @type {HTMLButtonElement} */
  const zip = byId("zip");
  zip.addEventListener("click", async () => {
    const text = /** @type {Text} */ (zip.lastChild);
    zip.disabled = true;
    try {
      const archive = await packResults(jobs.all, {
        onProgress: (done) => {
          const percent = new Intl.NumberFormat(lang, { style: "percent" }).format(done);
          text.data = t("app.zip.progress", { percent });
        },
      });
      saveFile(archive, "colorized.zip");
    } catch {
      showNotice(t("error.zip"));
    }
    text.data = t("app.zip");
    zip.disabled = false;
  });
}

/** @param {import("./types").Engine} engine */
function showPlace(engine) {
  const place = t(`app.privacy.${findPlace(engine.kind)}`, { host: location.host });
  byId("privacy").replaceChildren(make("span", {}, place));
}

start();
