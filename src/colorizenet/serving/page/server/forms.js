/** The forms that the API takes. */

/** @typedef {import("../types").Settings} Settings */

/**
 * @param {Settings} settings
 * @returns {Record<string, unknown>} The settings as the API has them.
 */
export function describeSettings(settings) {
  const { model, format, hints, tta, variants = 1, variant = 1, seed } = settings;
  return {
    strength: settings.strength,
    ...(model === null ? {} : { model }),
    ...(format === null ? {} : { format }),
    ...(tta ? { tta } : {}),
    ...(hints.length ? { hints: hints.map(describeHint) } : {}),
    ...(variants > 1 ? { variants, variant, ...(seed === undefined ? {} : { seed }) } : {}),
  };
}

/** @param {import("../types").Hint} hint */
function describeHint({ x, y, color, radius }) {
  return { x, y, color: color ?? "neutral", ...(radius === undefined ? {} : { radius }) };
}

/**
 * @param {Blob} file
 * @param {Record<string, unknown>} options
 * @returns {FormData} The form that the API takes.
 */
export function makeForm(file, options) {
  const form = new FormData();
  form.append("options", JSON.stringify(options));
  form.append("file", file);
  return form;
}
