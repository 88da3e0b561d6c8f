/** The settings for all photos, and the limits of the engine. */

import { EXTENSIONS } from "./commands.js";
import { byId } from "./elements.js";
import { findModel, selectChoices } from "./modelinfo.js";
import { formatBytes, formatNumber, formatPixels, nameFormat, t } from "./strings.js";

/** Milliseconds without a change after which photos are colorized again. */
const DELAY = 350;

/**
 * @typedef {import("./jobs.js").Jobs} Jobs
 * @typedef {import("./types").Info} Info
 */

/**
 * @param {Jobs} jobs
 * @param {Info} info
 */
export function showSettings(jobs, info) {
  /** @type {HTMLInputElement} */
  const strength = byId("strength");
  /** @type {HTMLSelectElement} */
  const model = byId("model");
  /** @type {HTMLSelectElement} */
  const format = byId("format");
  const { formats } = info;
  const models = selectChoices(info.models);
  model.append(
    ...models.map(({ name, ...each }) => {
      if (!each.default) return new Option(name, name);
      return new Option(name === "default" ? name : t("app.settings.model.default", { name }), "");
    }),
  );
  byId("model-field").hidden = models.length < 2;
  format.append(
    new Option(t("app.settings.format.same"), ""),
    ...formats.map((name) => new Option(nameFormat(name), name)),
  );
  const { defaults } = jobs;
  const known = findModel(models, defaults.model);
  if (!known) jobs.setDefaults({ model: null });
  strength.value = String(defaults.strength);
  model.value = known ? (defaults.model ?? "") : "";
  format.value = defaults.format ?? "";
  const showStrength = () => {
    const percent = formatNumber(Number(strength.value), { style: "percent" });
    byId("strength-value").textContent = percent;
    strength.setAttribute("aria-valuetext", percent);
  };
  showStrength();
  let timer = 0;
  byId("settings").addEventListener("input", () => {
    showStrength();
    clearTimeout(timer);
    timer = setTimeout(() => {
      jobs.setDefaults({
        strength: Number(strength.value),
        model: model.value || null,
        format: format.value || null,
      });
    }, DELAY);
  });
  const toggle = byId("settings-toggle");
  toggle.addEventListener("click", () => {
    const open = toggle.getAttribute("aria-expanded") !== "true";
    toggle.setAttribute("aria-expanded", String(open));
  });
  byId("settings").addEventListener("submit", (event) => event.preventDefault());
}

/** @param {Info} info */
export function showLimits({ limits, readable }) {
  const bounds = t("app.limits", {
    bytes: formatBytes(limits.maxBytes),
    pixels: formatPixels(limits.maxPixels),
  });
  const names = readable.map((name) => nameFormat(name)).join(", ");
  for (const id of ["limits", "limits-again"]) byId(id).textContent = `${bounds}. ${names}.`;
  // Some systems let a person choose only files that they hold to be pictures.
  const extensions = readable.flatMap((name) => EXTENSIONS[name] ?? []);
  byId("files").setAttribute("accept", ["image/*", ...extensions].join(","));
}
