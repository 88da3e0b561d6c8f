/** Types that the parts of the page share. Both engines implement `Engine`. */

/** A color for one place, as in the hint files of the command line. */
export interface Hint {
  /** Position as a fraction of the width of the upright photo. */
  x: number;
  /** Position as a fraction of the height of the upright photo. */
  y: number;
  /** `#rrggbb`, whose lightness is ignored; null keeps the place neutral. */
  color: string | null;
  /** Radius of the place as a fraction of the short side. */
  radius?: number;
}

/** How one photo is colorized. */
export interface Settings {
  /** The name of a model; null is the default one. */
  model: string | null;
  /** 0 (gray) to 2; 1 is what the model predicts. */
  strength: number;
  /** Format of the result, one of `Info.formats`; null keeps that of the photo. */
  format: string | null;
  hints: Hint[];
  tta?: boolean;
  /** If greater than 1, this photo is variant number `variant` of so many. */
  variants?: number;
  /** 1 (the usual coloring) to `variants`. */
  variant?: number;
  seed?: number;
}

export interface ModelInfo {
  name: string;
  default: boolean;
  /** SHA-256 of the model file. */
  sha256: string;
  parameters: number;
  license: string;
  limitations: string;
  /** Whether the model gives several colorings of a photo. */
  drawsVariants: boolean;
  /** The model whose variants this one draws. It has the same usual answer, so it is no choice. */
  drawsFor: string | null;
  /** Whether the model follows hints. */
  takesHints: boolean;
}

export interface Limits {
  maxBytes: number;
  /** Pixels of all pages together. */
  maxPixels: number;
  maxPages: number;
}

export interface Info {
  version: string;
  models: ModelInfo[];
  limits: Limits;
  /** Formats of results: jpeg, png, tiff, ... */
  formats: string[];
  /** Formats of photos that can be read. */
  readable: string[];
  /** SPDX identifier of the license of the program; models have terms of their own. */
  license: string;
}

export interface Progress {
  stage: "loading" | "uploading" | "waiting" | "coloring";
  /** Finished share of the stage, 0 to 1, where it is known. */
  done?: number;
}

/** Something to say about a photo, which can be stored. */
export interface Notice {
  /** The key of its text in the strings is `warning.CODE`, if there is one. */
  code: string;
  /** A sentence for people: in English, or in the language of the page if the code is "explained". */
  message: string;
  /** Numbers and names in the sentence. */
  values: Values;
}

/** Numbers and names in a text. */
export type Values = Record<string, number | string>;

export interface Result {
  blob: Blob;
  /** Format of the result: jpeg, png, ... */
  format: string;
  /** What was lost or assumed. */
  warnings: Notice[];
  /** Duration of the work, without upload and download. */
  seconds: number;
}

export interface JobOptions {
  signal: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

export interface Suggestion {
  /** `#rrggbb` with the lightness of the place. */
  color: string;
  probability: number;
}

/**
 * Colorizes photos.
 *
 * Methods reject with a `PageError`, or with the reason of the signal (an `AbortError`)
 * once that is aborted.
 */
export interface Engine {
  readonly kind: "server" | "browser";
  /** Must be called once, before the other methods. */
  start(onProgress?: (progress: Progress) => void): Promise<Info>;
  /** The photo in color at full size, with its metadata. */
  colorize(file: File, settings: Settings, options: JobOptions): Promise<Result>;
  /** Opens a photo for the editor. `side` bounds the long side of its pictures (1280). */
  open(file: File, options: { signal: AbortSignal; side?: number }): Promise<Preview>;
}

/** A photo that is opened for the editor. */
export interface Preview {
  /** Width of the upright photo at full size. */
  readonly width: number;
  /** Height of the upright photo at full size. */
  readonly height: number;
  /** The photo before colorizing, in a format that every browser shows. */
  before(): Promise<Blob>;
  /** The colored preview, of the size of `before()`. A newer call aborts an older one. */
  render(settings: Settings, signal: AbortSignal): Promise<Blob>;
  /** `count` colorings, the usual one first, as small pictures. For models with `drawsVariants`. */
  variants(settings: Settings, count: number, seed: number, signal: AbortSignal): Promise<Blob[]>;
  /** Likely colors of a place, the most likely first. */
  suggest(x: number, y: number, model: string | null, signal: AbortSignal): Promise<Suggestion[]>;
  /** Aborts what is running, and releases the photo. */
  close(): void;
}

/**
 * What an error of an engine is about; the key of its text in the strings is `error.CODE`.
 * Servers send more codes: those of the API. One without a text is explained by its message.
 */
export type ErrorCode =
  | "network" /* the server cannot be reached */
  | "unauthorized" /* a token is required, or it is wrong */
  | "too-many-bytes" /* values: bytes, limit */
  | "too-many-pixels" /* values: pixels, limit */
  | "too-large" /* for a proxy in front of the server */
  | "empty" /* the file is empty or cannot be read any more */
  | "unsupported" /* not a photo in a format that can be read; values: formats */
  | "damaged" /* the photo is damaged */
  | "timeout" /* the photo took too long */
  | "explained" /* the message says all, in the language of the page */
  | "failed"; /* the engine failed */
