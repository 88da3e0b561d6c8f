/**
 * Keeps the static site for use without a network.
 *
 * `scripts/build_site.py` writes the version and the files of the site into a copy of this
 * file, at the root of the site. A new version is fetched whole and takes over once no page
 * of the old one is open, so that a page never mixes two versions. The headers make the
 * page isolated, which threads need, on hosts that cannot set them.
 */

const VERSION = "";
/** @type {string[]} */
const FILES = [];
const PREFIX = "colorizenet-";
const ISOLATION = {
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Opener-Policy": "same-origin",
};

/**
 * @typedef {{ waitUntil(promise: Promise<unknown>): void }} Lifecycle
 * @typedef {{ request: Request, respondWith(response: Promise<Response>): void }} Fetching
 * @typedef {EventTarget & { registration: { scope: string },
 *   clients: { claim(): Promise<void> } }} Scope
 */

const scope = /** @type {Scope} */ (/** @type {unknown} */ (self));

scope.addEventListener("install", (event) => {
  /** @type {Lifecycle} */ (/** @type {unknown} */ (event)).waitUntil(install());
});
scope.addEventListener("activate", (event) => {
  /** @type {Lifecycle} */ (/** @type {unknown} */ (event)).waitUntil(activate());
});
scope.addEventListener("fetch", (event) => {
  const fetching = /** @type {Fetching} */ (/** @type {unknown} */ (event));
  const { request } = fetching;
  if (request.method === "GET" && request.url.startsWith(scope.registration.scope)) {
    fetching.respondWith(answer(request));
  }
});

async function install() {
  const cache = await caches.open(PREFIX + VERSION);
  await cache.addAll(FILES.map((file) => new Request(file, { cache: "no-cache" })));
}

async function activate() {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && name !== PREFIX + VERSION) await caches.delete(name);
  }
  await scope.clients.claim();
}

/**
 * @param {Request} request
 * @returns {Promise<Response>}
 */
async function answer(request) {
  const cache = await caches.open(PREFIX + VERSION);
  const address = request.mode === "navigate" ? scope.registration.scope : request.url;
  const found = await cache.match(address, { ignoreSearch: true });
  return isolate(found ?? (await fetch(request)));
}

/**
 * The response, with the headers of an isolated page.
 * @param {Response} response
 * @returns {Response}
 */
function isolate(response) {
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATION)) headers.set(name, value);
  const { status, statusText } = response;
  return new Response(response.body, { headers, status, statusText });
}
