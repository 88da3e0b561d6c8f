/** The dialogs of the page, and the menu of a photo. */

import { describeCommand, nameHints, nameResult, writeHints } from "./commands.js";
import { saveFile } from "./downloads.js";
import { byId, make, makeButton } from "./elements.js";
import { formatNumber, lang, t } from "./strings.js";
import { announce } from "./summary.js";

/**
 * @typedef {import("./job.js").Job} Job
 * @typedef {import("./types").Info} Info
 */

const LICENSES = "https://www.apache.org/licenses/LICENSE-2.0";
const LOCAL = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * @param {import("./types").Engine["kind"]} kind
 * @returns {"browser" | "local" | "server"} Where photos are colorized.
 */
export function findPlace(kind) {
  if (kind === "browser") return "browser";
  return LOCAL.has(location.hostname) ? "local" : "server";
}

/**
 * Say what the page is: its models, what they learned from, and its license.
 * @param {Info} info
 * @param {import("./types").Engine["kind"]} kind
 */
export function openAbout(info, kind) {
  const place = t(`about.privacy.${findPlace(kind)}`, { host: location.host });
  const models = info.models.flatMap(({ name, license, limitations, ...model }) => {
    const millions = formatNumber(model.parameters / 1e6);
    const marked = model.default && name !== "default";
    const title = marked ? `${name} (${t("about.model.default")})` : name;
    // The texts of a model come with its file, in English.
    const english = lang === "en" ? {} : { lang: "en" };
    const weaknesses = make("p", english, limitations);
    return [
      make("h4", {}, title, " · ", make("small", {}, t("about.parameters", { millions }))),
      make("p", english, license),
      ...(limitations ? [makeDetails(t("about.limitations"), weaknesses)] : []),
    ];
  });
  const license = make("a", { href: LICENSES, rel: "noreferrer", target: "_blank" });
  license.append(t("about.license.link"));
  openDialog("about", t("about.title"), [
    make("p", {}, t("about.version", { version: info.version })),
    make("p", { class: "lead" }, t("about.guesses")),
    make("p", {}, t(kind === "browser" ? "about.kept.browser" : "about.kept")),
    make("h3", {}, t("about.privacy")),
    make("p", {}, place, " ", t("about.privacy.stored")),
    make("h3", {}, t("about.models")),
    ...models,
    make("p", { class: "license" }, t("about.license", { license: info.license }), " ", license),
  ]);
}

/**
 * Show the command line that repeats a result.
 * @param {Job} job A job with a result.
 */
export function openCommand(job) {
  const text = describeCommand(job);
  const code = make("code", {}, text);
  const block = make("pre", { tabindex: "0" }, code);
  const copy = makeButton(
    t("job.command.copy"),
    async () => {
      try {
        await navigator.clipboard.writeText(text);
        copy.lastElementChild?.replaceChildren(t("job.command.copied"));
        announce(t("job.command.copied"));
      } catch {
        // Not a secure context, or forbidden: the person copies what is selected.
        getSelection()?.selectAllChildren(code);
      }
    },
    { icon: "copy", class: "primary" },
  );
  const settings = job.result?.settings;
  /** @type {Node[]} */
  const parts = [make("p", {}, t("job.command.explain")), block];
  if (settings && (settings.variants ?? 1) > 1) {
    parts.push(make("p", {}, t("job.command.variant", { name: nameResult(job) })));
  }
  if (settings?.hints.length) {
    const name = nameHints(job);
    parts.push(
      make("p", {}, t("job.command.hints.explain", { name })),
      makeButton(t("job.command.hints"), () => saveFile(writeHints(settings), name), {
        icon: "download",
      }),
    );
  }
  parts.push(make("div", { class: "buttons" }, copy));
  openDialog("command", t("job.command.title"), parts);
}

/**
 * Ask before something that cannot be undone.
 * @param {string} question
 * @param {string} explanation
 * @param {string} action The text of the button that does it.
 * @returns {Promise<boolean>} Whether the person agrees.
 */
export function confirm(question, explanation, action) {
  return new Promise((resolve) => {
    const close = (/** @type {boolean} */ answer) => {
      resolve(answer);
      dialog.close();
    };
    const dialog = openDialog("confirm", question, [
      make("p", {}, explanation),
      make(
        "div",
        { class: "buttons" },
        makeButton(t("app.cancel"), () => close(false)),
        makeButton(action, () => close(true), { class: "primary" }),
      ),
    ]);
    dialog.addEventListener("close", () => resolve(false), { once: true });
  });
}

/**
 * Open the menu of a photo below its button.
 * @param {HTMLElement} button
 * @param {{ text: string, icon: string, act: () => void }[]} items
 */
export function openMenu(button, items) {
  const menu = byId("menu");
  menu.replaceChildren(
    ...items.map(({ text, icon, act }) =>
      makeButton(
        text,
        () => {
          menu.hidePopover();
          act();
        },
        { icon },
      ),
    ),
  );
  menu.showPopover({ source: button });
  const place = button.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const left = Math.max(8, Math.min(place.right - width, innerWidth - width - 8));
  const below = place.bottom + 4;
  const top = below + height < innerHeight ? below : Math.max(8, place.top - height - 4);
  menu.style.setProperty("left", `${left}px`);
  menu.style.setProperty("top", `${top}px`);
  button.setAttribute("aria-expanded", "true");
  const close = (/** @type {Event} */ event) => {
    if (/** @type {ToggleEvent} */ (event).newState !== "closed") return;
    button.setAttribute("aria-expanded", "false");
    menu.removeEventListener("toggle", close);
  };
  menu.addEventListener("toggle", close);
  menu.querySelector("button")?.focus();
}

/**
 * @param {string} summary
 * @param {Node} content
 */
function makeDetails(summary, content) {
  return make("details", {}, make("summary", {}, summary), content);
}

/**
 * @param {string} id Identifier of the dialog element, which also labels it.
 * @param {string} title
 * @param {Node[]} content
 * @returns {HTMLDialogElement}
 */
function openDialog(id, title, content) {
  /** @type {HTMLDialogElement} */
  const dialog = byId(id);
  const close = makeButton(t("app.close"), () => dialog.close(), {
    icon: "close",
    class: "icon-only quiet close",
  });
  const heading = make("h2", { id: `${id}-title` }, title);
  const live = byId("live"); // screen readers hear nothing from outside of a modal dialog
  dialog.replaceChildren(
    make("div", { class: "dialog-head" }, heading, close),
    make("div", { class: "dialog-body" }, ...content),
    live,
  );
  dialog.addEventListener("close", () => document.body.append(live), { once: true });
  dialog.showModal();
  return dialog;
}

for (const id of ["about", "command", "confirm"]) {
  const dialog = /** @type {HTMLDialogElement} */ (byId(id));
  // A click beside a dialog closes it.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}
