/**
 * Keeps photos, results and settings in IndexedDB, so that they survive a reload.
 *
 * No method rejects: where the browser has no space or forbids storage, the page works
 * without it, and the event `lost` says why, once.
 */

const NAME = "colorizenet";
const VERSION = 1;
const LOCK = "colorizenet-photos";

/**
 * @typedef {"full" | "other" | "unavailable"} Reason Why photos are not kept: no space, the
 *   page is open in another tab, or the browser forbids it.
 * @typedef {import("./job.js").StoredJob} StoredJob
 */

export class Store extends EventTarget {
  /** @type {IDBDatabase | null} */
  #database = null;
  /** @type {Promise<void>} */
  #last = Promise.resolve();
  #lost = false;

  /**
   * Open the database.
   * @param {number} [patience] Milliseconds in which another page, such as the one before a
   *   reload, may give up the photos.
   */
  async open(patience = 1500) {
    if (!(await holdLock(patience))) return this.#lose("other");
    try {
      const request = indexedDB.open(NAME, VERSION);
      request.onupgradeneeded = () => {
        for (const name of ["jobs", "files", "results", "page"]) {
          request.result.createObjectStore(name);
        }
      };
      this.#database = await settle(request);
    } catch {
      this.#lose("unavailable");
    }
  }

  /** @returns {Promise<StoredJob[]>} All jobs in order. */
  async loadJobs() {
    if (!this.#database) return [];
    try {
      const transaction = this.#database.transaction(["jobs", "files", "results"]);
      const [jobs, ids, files, fileIds, results, resultIds] = await Promise.all([
        settle(transaction.objectStore("jobs").getAll()),
        settle(transaction.objectStore("jobs").getAllKeys()),
        settle(transaction.objectStore("files").getAll()),
        settle(transaction.objectStore("files").getAllKeys()),
        settle(transaction.objectStore("results").getAll()),
        settle(transaction.objectStore("results").getAllKeys()),
      ]);
      const fileOf = new Map(fileIds.map((id, index) => [id, files[index]]));
      const resultOf = new Map(resultIds.map((id, index) => [id, results[index]]));
      // There was no space for their photos, but for what was stored of them afterwards.
      const incomplete = ids.filter((id) => !fileOf.has(id));
      if (incomplete.length) this.deleteJobs(incomplete.map(String));
      return jobs
        .map((job, index) => {
          const id = at(ids, index);
          return { ...job, file: fileOf.get(id), result: resultOf.get(id) ?? null };
        })
        .filter((job) => job.file)
        .sort((one, other) => one.order - other.order);
    } catch {
      this.#lose("unavailable");
      return [];
    }
  }

  /** @returns {Promise<Record<string, any> | null>} The settings for all photos. */
  async loadDefaults() {
    if (!this.#database) return null;
    try {
      const page = this.#database.transaction("page").objectStore("page");
      return (await settle(page.get("defaults"))) ?? null;
    } catch {
      return null;
    }
  }

  /** @param {object} defaults */
  saveDefaults(defaults) {
    return this.#write(["page"], (transaction) => {
      transaction.objectStore("page").put(defaults, "defaults");
    });
  }

  /**
   * Store new jobs with their files, one after another: what is stored survives even if
   * the page is closed before the last.
   * @param {StoredJob[]} jobs
   */
  async addJobs(jobs) {
    for (const job of jobs) {
      this.#write(["jobs", "files"], (transaction) => {
        transaction.objectStore("jobs").put(describe(job), job.id);
        transaction.objectStore("files").put(job.file, job.id);
      });
    }
    await this.#last;
  }

  /**
   * Store what became of a job, and its result if that is new.
   * @param {StoredJob} job
   * @param {boolean} [withResult]
   */
  saveJob(job, withResult = false) {
    const state = describe(job);
    return this.#write(["jobs", "results"], (transaction) => {
      transaction.objectStore("jobs").put(state, job.id);
      if (withResult && job.result) transaction.objectStore("results").put(job.result, job.id);
    });
  }

  /** @param {string[]} ids */
  deleteJobs(ids) {
    return this.#write(["jobs", "files", "results"], (transaction) => {
      for (const name of transaction.objectStoreNames) {
        for (const id of ids) transaction.objectStore(name).delete(id);
      }
    });
  }

  /**
   * Write in the order of the calls.
   * @param {string[]} names
   * @param {(transaction: IDBTransaction) => void} work
   * @returns {Promise<void>}
   */
  #write(names, work) {
    this.#last = this.#last.then(async () => {
      if (!this.#database) return;
      try {
        const transaction = this.#database.transaction(names, "readwrite");
        const end = finish(transaction);
        work(transaction);
        await end;
      } catch {
        this.#lose("full");
      }
    });
    return this.#last;
  }

  /** @param {Reason} reason */
  #lose(reason) {
    if (this.#lost) return;
    this.#lost = true;
    this.dispatchEvent(new CustomEvent("lost", { detail: reason }));
  }
}

/**
 * @param {StoredJob} job
 * @returns {Omit<StoredJob, "file" | "result">} What changes often, and is small.
 */
function describe({ id, order, path, state, settings, fault }) {
  return { id, order, path, state, settings, fault };
}

/**
 * Take the lock on the photos, which this page then holds until it is closed.
 * @param {number} patience Milliseconds to wait for it.
 * @returns {Promise<boolean>} Whether this is the only page. True where locks do not exist.
 */
async function holdLock(patience) {
  if (!navigator.locks) return true;
  return new Promise((resolve) => {
    navigator.locks
      .request(LOCK, { signal: AbortSignal.timeout(patience) }, () => {
        resolve(true);
        return new Promise(() => {});
      })
      .catch(() => resolve(false));
  });
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function settle(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * @param {IDBTransaction} transaction
 * @returns {Promise<void>}
 */
function finish(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}

/**
 * @template T
 * @param {T[]} array
 * @param {number} index
 */
function at(array, index) {
  return /** @type {T} */ (array[index]);
}
