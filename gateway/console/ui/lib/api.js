/**
 * Calls the public API as the signed-in person: adds the access token, refreshes it, waits for the
 * person to sign in again when the session was ended elsewhere, and repeats reads that failed for a
 * moment.
 *
 * @typedef {import("./http.js").Answer} Answer
 * @typedef {{query?: Record<string, string | number | boolean | null | undefined>, body?: unknown,
 *   headers?: Record<string, string>, signal?: AbortSignal}} CallOptions
 */
import { ApiError, open, unwrap } from "./http.js";
import { session } from "./session.js";

export { ApiError, isAbort } from "./http.js";

const pauses = [300, 900, 2700];
const longestRetryAfter = 5;

/** The codes of a 401 that is about the access token and not, for example, about a one-time code. */
const tokenCodes = ["INVALID_TOKEN", "TOKEN_EXPIRED", "MISSING_TOKEN"];

/**
 * Calls a route below /api/v1 and returns its data, metadata and headers.
 *
 * @param {string} method
 * @param {string} path for example "/vault/keys"
 * @param {CallOptions} [options]
 * @returns {Promise<Answer>}
 */
export async function api(method, path, options = {}) {
  return unwrap(await request(method, path, options));
}

/**
 * Calls a route below /api/v1 and returns the response, for streams and downloads. A status of 400 or
 * more is thrown as an ApiError.
 *
 * @param {string} method
 * @param {string} path
 * @param {CallOptions} [options]
 * @returns {Promise<Response>}
 */
export async function request(method, path, options = {}) {
  const url = apiUrl(path, options.query);
  for (let attempt = 0; ; attempt += 1) {
    try {
      const response = await authorized(method, url, options);
      if (response.status >= 400) {
        await unwrap(response);
      }
      return response;
    } catch (error) {
      const pause = method === "GET" ? retryPause(error, attempt) : 0;
      if (!pause) {
        throw error;
      }
      await sleep(pause, options.signal);
    }
  }
}

/**
 * @param {string} method
 * @param {string} url
 * @param {CallOptions} options
 */
async function authorized(method, url, options) {
  for (let attempt = 0; ; attempt += 1) {
    const token = await session.token();
    const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const response = await open(method, url, { ...options, headers });
    if (response.status === 403 && (await codeOf(response)) === "ACCOUNT_BANNED") {
      await session.reloadUser(); // The page changes to what a banned person may see.
    }
    if (response.status !== 401 || !token || attempt > 1 || !tokenCodes.includes(await codeOf(response))) {
      return response;
    }
    await session.refresh(token);
    if (session.currentToken === token) {
      await nextToken(token, options.signal);
    } else if (session.currentToken === "") {
      throw new DOMException("signed out", "AbortError");
    }
  }
}

/** The code of a refusal. @param {Response} response @returns {Promise<string>} */
const codeOf = async (response) => (await response.clone().json().catch(() => null))?.code ?? "";

/**
 * Waits until the session has another token than `old`: the person may have to sign in again first.
 *
 * @param {string} old
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
function nextToken(old, signal) {
  return new Promise((resolve, reject) => {
    const stop = new AbortController();
    const settle = (/** @type {() => void} */ action) => {
      stop.abort();
      action();
    };
    const gone = () => settle(() => reject(new DOMException("signed out", "AbortError")));
    session.addEventListener(
      "change",
      () => {
        if (session.user === null) {
          gone();
        } else if (session.currentToken !== old) {
          settle(resolve);
        }
      },
      { signal: stop.signal },
    );
    signal?.addEventListener("abort", gone, { signal: stop.signal });
  });
}

/**
 * @param {unknown} error
 * @param {number} attempt
 */
function retryPause(error, attempt) {
  const passing = error instanceof ApiError && [0, 502, 503, 504].includes(error.status);
  if (!passing || attempt >= pauses.length || error.retryAfter > longestRetryAfter) {
    return 0;
  }
  return Math.max(pauses[attempt] ?? 0, error.retryAfter * 1000);
}

/**
 * @param {string} path
 * @param {CallOptions["query"]} [query] null, undefined and "" are left out
 */
export function apiUrl(path, query = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") {
      parameters.set(name, String(value));
    }
  }
  const text = parameters.toString();
  return `/api/v1${path}${text === "" ? "" : `?${text}`}`;
}

/**
 * Waits, and rejects at once when the signal fires.
 *
 * @param {number} milliseconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
