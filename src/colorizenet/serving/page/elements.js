/** Short ways to find and make elements. */

/**
 * @template {HTMLElement} [E=HTMLElement]
 * @param {string} id
 * @returns {E} The element of the document with this identifier.
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element ${id}`);
  return /** @type {E} */ (element);
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | boolean>} [attributes] `true` is an attribute without value;
 *   `false` leaves it out.
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/**
 * @param {string} text
 * @param {() => void} act What a click does.
 * @param {{ icon?: string, label?: string, class?: string }} [options] `label` is read by
 *   screen readers in place of the text.
 */
export function makeButton(text, act, { icon, label, ...attributes } = {}) {
  const button = make("button", { type: "button", ...attributes });
  if (icon) button.append(makeIcon(icon));
  button.append(make("span", {}, text));
  if (label) button.setAttribute("aria-label", label);
  button.addEventListener("click", act);
  return button;
}

/** @type {Record<string, string>} Outlines on a grid of 24 x 24. */
const ICONS = {
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5.5M13.5 11v5.5",
  camera: "M4 8h4l2-3h4l2 3h4v11H4zM12 16.5a3.3 3.3 0 1 0 0-6.6 3.3 3.3 0 0 0 0 6.6z",
  check: "M5 12.5l4.5 4.5L19 7.5",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  download: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14",
  folder: "M3.5 6h6l2 2.5h9V19h-17z",
  more: "M5.5 12h.010M12 12h.010M18.5 12h.010",
  play: "M8 5.5v13l10-6.5z",
  plus: "M12 5v14M5 12h14",
  reset: "M5 12a7 7 0 1 0 2.5-5.4M7.5 3v4h4",
  share: "M4 5h16v14H4zM12 5v14",
  sliders: "M4 7h9M17 7h3M4 17h3M11 17h9M15 9.5v-5M9 19.5v-5",
  stop: "M7 7h10v10H7z",
  terminal: "M5 7l5 5-5 5M12.5 17H19",
  warning: "M12 4l9 16H3zM12 10v4.5M12 17.2h.010",
};

/**
 * @param {string} name A key of `ICONS`.
 * @returns {SVGElement} A picture that screen readers leave out.
 */
export function makeIcon(name) {
  const namespace = "http://www.w3.org/2000/svg";
  const icon = document.createElementNS(namespace, "svg");
  for (const [key, value] of [
    ["viewBox", "0 0 24 24"],
    ["width", "20"],
    ["height", "20"],
    ["class", `icon icon-${name}`],
    ["aria-hidden", "true"],
  ]) {
    icon.setAttribute(String(key), String(value));
  }
  const path = document.createElementNS(namespace, "path");
  path.setAttribute("d", ICONS[name] ?? "");
  icon.append(path);
  return icon;
}
