/**
 * Server-sent events over fetch, because they are authorised by a header. One tab holds each stream
 * for all tabs; the others receive its events over a BroadcastChannel. A stream that breaks is
 * resumed after the last event that was seen, without gap or repetition.
 *
 * @typedef {{type: string, id: string, data: any}} StreamEvent
 * @typedef {"connecting" | "live" | "waiting" | "off"} StreamState off: the stream is refused for good
 * @typedef {{onevent: (event: StreamEvent) => void, onstate?: (state: StreamState) => void,
 *   signal: AbortSignal}} Subscriber
 */
import { apiUrl, isAbort, request, sleep } from "./api.js";
import { ApiError } from "./http.js";

const firstPause = 1000;
const longestPause = 30000;
const silence = 25000; // The server sends at least every 10 s.

/**
 * Receives the events of a stream until the signal fires.
 *
 * @param {string} path below /api/v1
 * @param {Record<string, string | null | undefined>} query
 * @param {Subscriber} subscriber
 */
export function subscribe(path, query, { onevent, onstate, signal }) {
  const name = `realmgate-stream ${apiUrl(path, query)}`;
  const channel = new BroadcastChannel(name);
  let lastId = "";
  /** @param {StreamEvent} event */
  const deliver = (event) => {
    lastId = event.id || (event.type === "sync" ? String(event.data?.id ?? "") : "") || lastId;
    if (event.type === "state") {
      onstate?.(event.data);
    } else {
      onevent(event);
    }
  };
  /** @param {StreamEvent} event */
  const share = (event) => {
    if (!signal.aborted) {
      channel.postMessage(event);
      deliver(event);
    }
  };
  channel.addEventListener("message", (event) => deliver(event.data));
  signal.addEventListener("abort", () => channel.close());
  navigator.locks.request(name, { signal }, () => hold(path, query, () => lastId, share, signal)).catch((error) => {
    if (!isAbort(error)) {
      throw error;
    }
  });
  onstate?.("connecting");
  whenHeld(name, signal).then((held) => held && onstate?.("live"), () => undefined);
}

/** Whether another tab holds the stream already. @param {string} name @param {AbortSignal} signal */
async function whenHeld(name, signal) {
  const { held = [], pending = [] } = await navigator.locks.query();
  return !signal.aborted && held.some((lock) => lock.name === name) && pending.some((lock) => lock.name === name);
}

/**
 * Opens the stream again and again until the signal fires.
 *
 * @param {string} path
 * @param {Record<string, string | null | undefined>} query
 * @param {() => string} lastId
 * @param {(event: StreamEvent) => void} share
 * @param {AbortSignal} signal
 */
async function hold(path, query, lastId, share, signal) {
  let pause = firstPause;
  while (!signal.aborted) {
    try {
      await follow(path, query, lastId(), signal, (event) => {
        pause = firstPause;
        share(event);
      });
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      if (error instanceof ApiError && [400, 403, 404].includes(error.status)) {
        share({ type: "state", id: "", data: "off" });
        return;
      }
      const asked = error instanceof ApiError ? error.retryAfter * 1000 : 0;
      pause = asked || Math.min(pause * 2, longestPause);
    }
    share({ type: "state", id: "", data: "waiting" });
    await sleep(pause, signal).catch(() => undefined);
  }
}

/**
 * Reads one connection of a stream to its end.
 *
 * @param {string} path
 * @param {Record<string, string | null | undefined>} query
 * @param {string} lastId
 * @param {AbortSignal} signal
 * @param {(event: StreamEvent) => void} share
 */
async function follow(path, query, lastId, signal, share) {
  const stop = new AbortController();
  const watchdog = new Watchdog(() => stop.abort());
  const headers = { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) };
  try {
    const response = await request("GET", path, { query, headers, signal: AbortSignal.any([signal, stop.signal]) });
    share({ type: "state", id: "", data: "live" });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = (await reader?.read()) ?? { value: undefined, done: true };
      if (done) {
        return;
      }
      watchdog.feed();
      rest += value;
      const blocks = rest.split(/\r?\n\r?\n/);
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parse(block);
        if (event) {
          share(event);
        }
      }
    }
  } finally {
    watchdog.stop();
    stop.abort();
  }
}

/** Ends a connection on which nothing came for too long. */
class Watchdog {
  #timer = 0;

  /** @param {() => void} bite */
  constructor(bite) {
    this.bite = bite;
    this.feed();
  }

  feed() {
    this.stop();
    this.#timer = window.setTimeout(this.bite, silence);
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

/** Reads one event of a stream. @param {string} block @returns {StreamEvent | null} */
export function parse(block) {
  const event = { type: "message", id: "", data: /** @type {any} */ (null) };
  const lines = [];
  for (const line of block.split(/\r?\n/)) {
    const [, name, value = ""] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (name === "event") {
      event.type = value;
    } else if (name === "id") {
      event.id = value;
    } else if (name === "data") {
      lines.push(value);
    }
  }
  if (lines.length === 0) {
    return null;
  }
  event.data = JSON.parse(lines.join("\n"));
  return event;
}
