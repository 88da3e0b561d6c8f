// What the tests of jobs.js share: an engine that finishes photos when it is told to, and a
// store in memory.
const { Jobs } = await import("./jobs.js");

const engine = {
  kind: "browser",
  reachable: true,
  aborted: [],
  waiting: new Map(),
  async start() {
    if (!engine.reachable) throw new Error("not reachable");
  },
  colorize(file, settings, { signal }) {
    return new Promise((resolve, reject) => {
      engine.waiting.set(file.name, { resolve, reject });
      signal.addEventListener("abort", () => {
        engine.aborted.push(file.name);
        reject(signal.reason);
      });
    });
  },
  finish(name) {
    engine.waiting.get(name).resolve({
      blob: new Blob([name]),
      format: "jpeg",
      warnings: [],
      seconds: 1,
    });
  },
  fail(name, code, message) {
    engine.waiting.get(name).reject(Object.assign(new Error(message), { code }));
  },
};

const store = {
  jobs: new Map(),
  async addJobs(jobs) {
    for (const job of jobs) store.jobs.set(job.id, job);
  },
  async saveJob(job) {
    store.jobs.set(job.id, job);
  },
  async deleteJobs(ids) {
    for (const id of ids) store.jobs.delete(id);
  },
  async saveDefaults() {},
};

const jobs = new Jobs(engine, store, { pause: 0.05 });
const makeFiles = (...names) =>
  names.map((name) => ({ file: new File([name], name), path: name }));
const settle = (milliseconds = 20) =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));
const listStates = () => jobs.all.map(({ path, state }) => `${path} ${state}`);
