/**
 * Work of which only the latest matters, such as rendering a preview.
 *
 * One piece of work runs at a time. A new request replaces the one that waits, and
 * aborts the one that runs, unless the request is one of many in quick succession
 * (`flowing`, as while a slider is dragged): then the running one may finish, so that
 * something is shown on the way.
 *
 * @template Value, Result
 */
export class Latest {
  /** @type {{ value: Value } | null} */
  #waiting = null;
  /** @type {{ value: Value, controller: AbortController } | null} */
  #running = null;

  /**
   * @param {(value: Value, signal: AbortSignal) => Promise<Result>} work
   * @param {(a: Value, b: Value) => boolean} isSame whether two values give one result
   * @param {{ done: (result: Result, value: Value) => void | Promise<void>,
   *           failed: (error: unknown, value: Value) => void,
   *           busy: (busy: boolean) => void }} report
   */
  constructor(work, isSame, report) {
    this.work = work;
    this.isSame = isSame;
    this.report = report;
  }

  /** @param {Value} value @param {{ flowing?: boolean }} [options] */
  request(value, { flowing = false } = {}) {
    const running = this.#running;
    if (running && !running.controller.signal.aborted && this.isSame(running.value, value)) {
      this.#waiting = null;
      return;
    }
    this.#waiting = { value };
    if (!running) void this.#run();
    else if (!flowing) running.controller.abort();
  }

  /** Forget what waits and abort what runs. */
  cancel() {
    this.#waiting = null;
    this.#running?.controller.abort();
  }

  async #run() {
    this.report.busy(true);
    while (this.#waiting) {
      const { value } = this.#waiting;
      this.#waiting = null;
      const controller = new AbortController();
      this.#running = { value, controller };
      try {
        const result = await this.work(value, controller.signal);
        if (!controller.signal.aborted) await this.report.done(result, value);
      } catch (error) {
        if (!controller.signal.aborted) this.report.failed(error, value);
      }
    }
    this.#running = null;
    this.report.busy(false);
  }
}
