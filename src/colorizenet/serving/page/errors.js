/** The error of both engines, for people. */

/**
 * Why something was not possible, in plain words.
 */
export class PageError extends Error {
  /**
   * @param {import("./types").ErrorCode | (string & {})} code What the error is about.
   * @param {string} message A sentence for people, in English.
   * @param {{
   *   status?: number | undefined,
   *   retryAfter?: number | undefined,
   *   values?: import("./types").Values | undefined,
   *   cause?: unknown,
   * }} [details] The HTTP status; the seconds after which the same request may succeed;
   *   numbers and names in the message.
   */
  constructor(code, message, { status, retryAfter, values, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "PageError";
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
    this.values = values ?? {};
  }
}
