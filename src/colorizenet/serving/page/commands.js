/** Names of results, and the command line that repeats a result. */

/**
 * File name extensions of each format; the first is the one that new files get.
 * @type {Record<string, string[]>}
 */
export const EXTENSIONS = {
  jpeg: [".jpg", ".jpeg", ".jpe", ".jfif"],
  png: [".png"],
  tiff: [".tif", ".tiff"],
  webp: [".webp"],
  avif: [".avif"],
  heic: [".heic", ".heif"],
  jxl: [".jxl"],
  gif: [".gif"],
  pnm: [".pgm", ".ppm", ".pnm", ".pbm"],
  bmp: [".bmp", ".dib"],
  jp2: [".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf"],
};

/**
 * @typedef {import("./types").Settings} Settings
 * @typedef {import("./job.js").Job} Job
 */

/**
 * @param {string} path
 * @returns {{ folder: string, stem: string, extension: string }} The parts of a path, which
 *   are together the path again.
 */
function splitPath(path) {
  const slash = path.lastIndexOf("/") + 1;
  const name = path.slice(slash);
  const dot = name.lastIndexOf(".");
  const end = dot > 0 ? dot : name.length;
  return { folder: path.slice(0, slash), stem: name.slice(0, end), extension: name.slice(end) };
}

/**
 * @param {Settings} settings
 * @returns {boolean} Whether they choose one of several variants.
 */
function chooseVariant(settings) {
  return (settings.variants ?? 1) > 1;
}

/**
 * The path of the result of a job, as the command line names it: the name of the photo,
 * with another extension only if the format is another one.
 * @param {Job} job A job with a result.
 * @returns {string}
 */
export function nameResult({ path, result }) {
  const { folder, stem, extension } = splitPath(path);
  if (!result) return path;
  const extensions = EXTENSIONS[result.format] ?? [`.${result.format}`];
  const kept = extensions.includes(extension.toLowerCase());
  const number = chooseVariant(result.settings) ? `-${result.settings.variant ?? 1}` : "";
  return `${folder}${stem}${number}${kept ? extension : extensions[0]}`;
}

/**
 * @param {string} path
 * @param {string} ending What replaces the extension.
 * @returns {string} The name without its folder.
 */
export function renameFile(path, ending) {
  return `${splitPath(path).stem}${ending}`;
}

/**
 * Different names for results: a.jpg, a.jpg.2.jpg, and so on, as the command line does.
 * @param {string[]} names
 * @returns {string[]} In the same order.
 */
export function makeUnique(names) {
  // Some file systems hold a.jpg and A.JPG to be the same file.
  const taken = new Set();
  return names.map((name) => {
    const { extension } = splitPath(name);
    let unique = name;
    for (let number = 2; taken.has(unique.toLowerCase()); number++) {
      unique = `${name}.${number}${extension}`;
    }
    taken.add(unique.toLowerCase());
    return unique;
  });
}

/**
 * The command line that makes the result of a job from the same file.
 * @param {Job} job A job with a result.
 * @returns {string}
 */
export function describeCommand(job) {
  const settings = job.result?.settings;
  const words = ["colorizenet", "colorize", quote(job.path.replace(/^-/, "./-"))];
  if (!settings) return words.join(" ");
  if (settings.model !== null) words.push("--model", quote(settings.model));
  if (settings.strength !== 1) words.push("--strength", String(settings.strength));
  if (settings.tta) words.push("--tta");
  if (settings.format !== null) words.push("--format", quote(settings.format));
  if (settings.hints.length) words.push("--hints", quote(nameHints(job)));
  if (chooseVariant(settings)) {
    words.push("--variants", String(settings.variants), "--seed", String(settings.seed ?? 0));
  }
  return words.join(" ");
}

/**
 * @param {Job} job
 * @returns {string} The name of the file with its hints, as the command line expects it.
 */
export function nameHints({ path }) {
  return renameFile(path, ".hints.json");
}

/**
 * @param {Settings} settings
 * @returns {Blob} The file with the hints, as the command line reads it.
 */
export function writeHints({ hints }) {
  const objects = hints.map(({ x, y, color, radius }) =>
    // JSON leaves out what is undefined.
    JSON.stringify({ x, y, color: color ?? "neutral", radius }),
  );
  const text = `{"version": 1, "hints": [\n  ${objects.join(",\n  ")}\n]}\n`;
  return new Blob([text], { type: "application/json" });
}

/**
 * @param {string} word
 * @returns {string} The word as a shell reads it; where possible, as all shells do.
 */
function quote(word) {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return /["$`\\!%]/.test(word) ? `'${word.replaceAll("'", "'\\''")}'` : `"${word}"`;
}
