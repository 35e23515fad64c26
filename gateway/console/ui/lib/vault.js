/**
 * Calls of the vault API. A realm is 24 hexadecimal characters, or "" for the keys outside of realms.
 *
 * @typedef {{key: string, size_bytes: number, created_at: string, updated_at: string, version?: number,
 *   expires_at?: string | null, metadata: any}} Entry
 * @typedef {Entry & {value: string, etag: string}} Item
 * @typedef {{value: string, metadata: any, expires_at?: string | null}} Content
 * @typedef {{version: number, size_bytes: number, created_at: string, current: boolean, deleted: boolean}} Version
 */
import { api, ApiError, apiUrl } from "./api.js";
import { session } from "./session.js";

const pageSize = 1000;

/** The realm of the host that serves the page, or "". */
export const hostRealm = /^[0-9a-f]{24}$/i.exec(window.location.hostname.split(".")[0] ?? "")?.[0].toLowerCase() ?? "";

/** @param {string} key */
export const keyPath = (key) => `/vault/keys/${encodeURIComponent(key)}`;

/** Whether a text can be a key. @param {string} key */
export const validKey = (key) => /^[A-Za-z0-9._-]{1,255}$/.test(key);

/** @param {string} realm */
const inRealm = (realm) => ({ realm_id: realm });

/**
 * Lists keys without their values, page by page.
 *
 * @param {string} realm
 * @param {AbortSignal} signal
 * @param {(entries: Entry[]) => void} [onpage] gets what has come so far
 * @param {string} [prefix]
 * @returns {Promise<Entry[]>}
 */
export async function listKeys(realm, signal, onpage, prefix = "") {
  /** @type {Entry[]} */
  const entries = [];
  let cursor = "";
  do {
    const query = { ...inRealm(realm), prefix, limit: pageSize, cursor };
    const { data, metadata } = await api("GET", "/vault/keys", { query, signal });
    entries.push(...data);
    cursor = metadata?.next_cursor ?? "";
    onpage?.(entries);
  } while (cursor !== "");
  return entries;
}

/**
 * Reads one key without its value; null when it is absent.
 *
 * @param {string} realm
 * @param {string} key
 * @param {AbortSignal} signal
 */
export async function readEntry(realm, key, signal) {
  const query = { ...inRealm(realm), prefix: key, limit: 1 };
  const { data } = await api("GET", "/vault/keys", { query, signal });
  return /** @type {Entry | null} */ (data[0]?.key === key ? data[0] : null);
}

/**
 * @param {string} realm
 * @param {string} key
 * @param {{signal?: AbortSignal, version?: number}} [options]
 * @returns {Promise<Item>}
 */
export async function readItem(realm, key, { signal, version } = {}) {
  const options = { query: { ...inRealm(realm), version }, ...(signal ? { signal } : {}) };
  const { data, headers } = await api("GET", keyPath(key), options);
  return { ...data, etag: headers.get("ETag") ?? "" };
}

/**
 * Writes a key. With `etag` only if that is still the current version, with `create` only if the key
 * is absent; otherwise the ApiError has status 412.
 *
 * @param {string} realm
 * @param {string} key
 * @param {Content} content
 * @param {{etag?: string, create?: boolean, onprogress?: (fraction: number) => void, signal?: AbortSignal}} condition
 */
export async function writeItem(realm, key, content, { etag, create = false, onprogress, signal }) {
  /** @type {Record<string, string>} */
  const headers = create ? { "If-None-Match": "*" } : etag ? { "If-Match": etag } : {};
  if (onprogress) {
    return upload(apiUrl(keyPath(key), inRealm(realm)), headers, content, onprogress, signal);
  }
  return (await api("PUT", keyPath(key), { query: inRealm(realm), body: content, headers })).data;
}

/**
 * Sends a large value and tells how much of it is sent, which fetch cannot.
 *
 * @param {string} url
 * @param {Record<string, string>} headers
 * @param {Content} content
 * @param {(fraction: number) => void} onprogress
 * @param {AbortSignal} [signal]
 */
async function upload(url, headers, content, onprogress, signal) {
  await api("GET", "/users/me"); // Renews the session first if it has to be: the upload cannot wait for that.
  const token = await session.token();
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open("PUT", url);
    for (const [name, value] of Object.entries({ ...headers, Authorization: `Bearer ${token}` })) {
      call.setRequestHeader(name, value);
    }
    call.setRequestHeader("Content-Type", "application/json");
    call.upload.addEventListener("progress", (event) => onprogress(event.loaded / Math.max(1, event.total)));
    call.addEventListener("error", () => reject(new ApiError(0, "The server did not answer. Try again.")));
    call.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    call.addEventListener("load", () => {
      let body = null;
      try {
        body = JSON.parse(call.responseText);
      } catch {
        body = null;
      }
      if (call.status < 400) {
        resolve(body?.data);
        return;
      }
      const id = call.getResponseHeader("X-Request-ID") ?? "";
      const answered = new Headers({ "X-Request-ID": id, ETag: call.getResponseHeader("ETag") ?? "" });
      reject(new ApiError(call.status, body?.message ?? `The server answered ${call.status}.`,
        { code: body?.code, data: body?.data, headers: answered }));
    });
    signal?.addEventListener("abort", () => call.abort());
    call.send(JSON.stringify(content));
  });
}

/**
 * Moves a key to the trash, or removes it for good.
 *
 * @param {string} realm
 * @param {string} key
 * @param {boolean} recoverable
 */
export const deleteItem = async (realm, key, recoverable) =>
  (await api("DELETE", keyPath(key), { query: { ...inRealm(realm), ...(recoverable ? { recoverable } : {}) } })).data;

/** @param {string} realm @param {string} key @param {AbortSignal} signal @returns {Promise<Version[]>} */
export const listVersions = async (realm, key, signal) =>
  (await api("GET", `${keyPath(key)}/versions`, { query: inRealm(realm), signal })).data;

/** @param {string} realm @param {string} key @param {number} [version] */
export const restoreItem = async (realm, key, version) =>
  (await api("POST", `${keyPath(key)}/restore`, { query: inRealm(realm), body: version ? { version } : {} })).data;

/** @param {string} realm @param {AbortSignal} signal */
export const listTrash = async (realm, signal) =>
  (await api("GET", "/vault/trash", { query: inRealm(realm), signal })).data;

/** @param {string} realm */
export const emptyTrash = async (realm) => (await api("DELETE", "/vault/trash", { query: inRealm(realm) })).data;

/** @param {string} realm @param {string} key */
export const purge = (realm, key) =>
  api("DELETE", `/vault/trash/${encodeURIComponent(key)}`, { query: inRealm(realm) });
