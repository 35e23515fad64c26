/**
 * Sends requests to the server that served this page and turns every failure into an ApiError.
 * Sessions and retries are in session.js and api.js.
 *
 * @typedef {{instancePath: string, message: string}} Violation
 * @typedef {{status: number, data: any, metadata: any, warnings: string[], headers: Headers}} Answer
 * @typedef {{headers?: Record<string, string>, body?: unknown, signal?: AbortSignal}} SendOptions
 */

/** ApiError is a request that failed: refused by the server (status) or never answered (status 0). */
export class ApiError extends Error {
  /**
   * @param {number} status 0 when there was no answer
   * @param {string} message
   * @param {{code?: string, data?: any, headers?: Headers}} [details]
   */
  constructor(status, message, details = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = details.code ?? "";
    this.data = details.data ?? null;
    this.requestId = details.headers?.get("X-Request-ID") ?? "";
    this.etag = details.headers?.get("ETag") ?? "";
    this.retryAfter = Number(details.headers?.get("Retry-After") ?? 0) || 0;
  }

  /** The fields that the server refused. @returns {Violation[]} */
  get violations() {
    return Array.isArray(this.data) ? this.data.filter((entry) => typeof entry?.instancePath === "string") : [];
  }
}

/**
 * Sends one request and returns the response whatever its status is. Throws an ApiError with
 * status 0 when there is no answer, and an AbortError when the signal fires.
 *
 * @param {string} method
 * @param {string} url
 * @param {SendOptions} [options]
 * @returns {Promise<Response>}
 */
export async function open(method, url, options = {}) {
  /** @type {Record<string, string>} */
  const headers = { "X-Realmgate-Console": "1", ...options.headers };
  /** @type {RequestInit} */
  const init = { method, headers, credentials: "same-origin", cache: "no-store", signal: options.signal ?? null };
  if (options.body instanceof Blob) {
    init.body = options.body;
  } else if (options.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(options.body);
  }
  try {
    const response = await fetch(url, init);
    setOnline(true);
    return response;
  } catch (error) {
    if (options.signal?.aborted) {
      throw error;
    }
    setOnline(false);
    throw new ApiError(0, "The server did not answer. Check the connection and try again.");
  }
}

/**
 * Sends one request and unwraps the envelope of the answer.
 *
 * @param {string} method
 * @param {string} url
 * @param {SendOptions} [options]
 * @returns {Promise<Answer>}
 */
export async function send(method, url, options = {}) {
  return unwrap(await open(method, url, options));
}

/**
 * Reads the envelope of a response; throws an ApiError for a status of 400 or more.
 *
 * @param {Response} response
 * @returns {Promise<Answer>}
 */
export async function unwrap(response) {
  const text = await response.text();
  /** @type {any} */
  let body = null;
  try {
    body = text === "" ? null : JSON.parse(text);
  } catch {
    body = null;
  }
  if (response.status >= 400) {
    const message = typeof body?.message === "string" ? body.message : `The server answered ${response.status}.`;
    throw new ApiError(response.status, message, { code: body?.code, data: body?.data, headers: response.headers });
  }
  return {
    status: response.status,
    data: body?.data ?? null,
    metadata: body?.metadata ?? null,
    warnings: body?.warnings ?? [],
    headers: response.headers,
  };
}

let online = true;

/** Tells listeners of "reachable" on window whether the server could be reached. @param {boolean} now */
function setOnline(now) {
  if (now !== online) {
    online = now;
    window.dispatchEvent(new CustomEvent("reachable", { detail: now }));
  }
}

/** Whether an error only says that the request was cancelled. @param {unknown} error */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}
