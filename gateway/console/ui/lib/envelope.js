/**
 * Client-side encryption of vault values: the envelope that the official SDK reads and writes
 * (AES-GCM-256 under a key of PBKDF2-HMAC-SHA-512). The server stores it as any value.
 *
 * @typedef {{_enc: 1, alg: string, kdf: string, hash: string, iter: number, salt: string, iv: string,
 *   ct: string}} Envelope
 */
const iterations = 600000;
const [fewestIterations, mostIterations] = [100000, 10000000];

/** LockedError says that a locked value cannot be opened: no password, the wrong one, or a damaged value. */
export class LockedError extends Error {}

/**
 * Returns the envelope that a value is, or null for any other value.
 *
 * @param {string} value
 * @returns {Envelope | null}
 */
export function parseEnvelope(value) {
  if (!value.startsWith("{") || !value.includes('"_enc"')) {
    return null;
  }
  try {
    const parsed = JSON.parse(value);
    return parsed?._enc === 1 && typeof parsed.ct === "string" ? parsed : null;
  } catch {
    return null;
  }
}

/**
 * Returns the base key of a password, from which the keys of values are derived. It cannot be read.
 *
 * @param {string} password
 */
export const baseKeyOf = (password) =>
  crypto.subtle.importKey("raw", new TextEncoder().encode(password), "PBKDF2", false, ["deriveKey"]);

/** Keyring derives the keys of values from one base key and remembers them by salt. */
export class Keyring {
  /** @type {Map<string, Promise<CryptoKey>>} */
  #derived = new Map();
  #salt = crypto.getRandomValues(new Uint8Array(32));

  /** @param {CryptoKey} baseKey */
  constructor(baseKey) {
    this.baseKey = baseKey;
  }

  /**
   * Locks a text. Values that one keyring locks share a salt, never an IV.
   *
   * @param {string} text
   * @returns {Promise<string>} the envelope as JSON
   */
  async lock(text) {
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const key = await this.#key(this.#salt, iterations);
    const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, new TextEncoder().encode(text));
    return JSON.stringify({
      _enc: 1, alg: "AES-GCM-256", kdf: "PBKDF2", hash: "SHA-512", iter: iterations,
      salt: toBase64(this.#salt), iv: toBase64(iv), ct: toBase64(new Uint8Array(sealed)),
    });
  }

  /**
   * Opens an envelope; throws a LockedError when that is not possible.
   *
   * @param {Envelope} envelope
   * @returns {Promise<string>}
   */
  async open(envelope) {
    const { salt, iv, sealed } = check(envelope);
    const key = await this.#key(salt, envelope.iter);
    try {
      const text = await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, sealed);
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(text);
    } catch {
      throw new LockedError("This vault password does not open the value.");
    }
  }

  /** @param {Uint8Array<ArrayBuffer>} salt @param {number} count */
  #key(salt, count) {
    const name = `${count} ${toBase64(salt)}`;
    let key = this.#derived.get(name);
    if (!key) {
      const algorithm = { name: "PBKDF2", hash: "SHA-512", salt, iterations: count };
      key = crypto.subtle.deriveKey(algorithm, this.baseKey, { name: "AES-GCM", length: 256 }, false,
        ["encrypt", "decrypt"]);
      this.#derived.set(name, key);
    }
    return key;
  }
}

/**
 * Checks the limits of an envelope and decodes its parts.
 *
 * @param {Envelope} envelope
 */
function check(envelope) {
  const { alg, kdf, hash, iter } = envelope;
  const salt = fromBase64(envelope.salt);
  const iv = fromBase64(envelope.iv);
  const sealed = fromBase64(envelope.ct);
  const known = alg === "AES-GCM-256" && kdf === "PBKDF2" && hash === "SHA-512";
  const bounded = Number.isInteger(iter) && iter >= fewestIterations && iter <= mostIterations;
  if (!known || !bounded || salt.length < 16 || iv.length !== 12 || sealed.length < 16) {
    throw new LockedError("This locked value is damaged, or made by a program that this console does not know.");
  }
  return { salt, iv, sealed };
}

/** @param {Uint8Array} bytes */
export function toBase64(bytes) {
  const parts = [];
  for (let start = 0; start < bytes.length; start += 32768) {
    parts.push(String.fromCharCode(...bytes.subarray(start, start + 32768)));
  }
  return btoa(parts.join(""));
}

/** @param {unknown} text @returns {Uint8Array<ArrayBuffer>} */
export function fromBase64(text) {
  try {
    return Uint8Array.from(atob(String(text)), (character) => character.charCodeAt(0));
  } catch {
    throw new LockedError("This locked value is damaged.");
  }
}
