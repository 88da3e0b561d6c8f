/** Elements of the document, made in one expression. */

/**
 * @typedef {string | number | boolean | null | undefined | ((event: any) => void)} Attribute
 */

/**
 * Make an element. Attributes that are functions listen to the event of their name;
 * true stands for an attribute without value; false, null and undefined leave it out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, Attribute>} [attributes]
 * @param {(Node | string | null)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

let made = 0;

/** An id that no other element has. @param {string} name */
export function makeId(name) {
  made += 1;
  return `editor-${name}-${made}`;
}

const SVG = "http://www.w3.org/2000/svg";

/** Outlines on a grid of 24 x 24. @type {Record<string, string>} */
const OUTLINES = {
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  split: "M12 3v18M4 6h16v12H4z",
  side: "M4 6h7v12H4zM13 6h7v12h-7z",
  after: "M4 6h16v12H4zM4 15l5-4 4 3 3-2 4 3",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 15a3 3 0 100-6 3 3 0 000 6z",
  undo: "M9 7L4.5 11.5 9 16M5 11.5h9a5 5 0 010 10h-2",
  redo: "M15 7l4.5 4.5L15 16M19 11.5h-9a5 5 0 000 10h2",
  drop: "M12 3.5s6 6.2 6 10.5a6 6 0 01-12 0c0-4.3 6-10.5 6-10.5z",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l1 12.5h8L17 7M10.5 10.5v5.5M13.5 10.5v5.5",
  shuffle: "M4 7h3.5l8 10H20M4 17h3.5l2.5-3M13 10l2.5-3H20M17.5 4.5L20 7l-2.5 2.5M17.5 14.5L20 17l-2.5 2.5",
  check: "M5 12.5l4.5 4.5L19 7.5",
};

/** A drawing that says nothing to a screen reader. @param {string} name */
export function makeIcon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "editor-icon");
  path.setAttribute("d", OUTLINES[name] ?? "");
  svg.append(path);
  return svg;
}

/** Add style sheets to the document, unless it has them. @param {URL[]} urls */
export function addStyles(urls) {
  const links = document.querySelectorAll("link[rel=stylesheet]");
  const present = new Set([...links].map((link) => /** @type {HTMLLinkElement} */ (link).href));
  for (const { href } of urls) {
    if (!present.has(href)) document.head.append(make("link", { rel: "stylesheet", href }));
  }
}
