/**
 * The vault password of this tab: kept as a key that cannot be read until nothing was touched for
 * some minutes, or until the sign-out. "change" is dispatched when the vault is locked or unlocked.
 */
import { baseKeyOf, Keyring, LockedError, parseEnvelope } from "./envelope.js";
import { session } from "./session.js";

const setting = "realmgate.vault-idle-minutes";
const defaultMinutes = 15;

class VaultLock extends EventTarget {
  /** @type {Keyring | null} */
  #keyring = null;
  #timer = 0;

  constructor() {
    super();
    for (const type of ["pointerdown", "keydown"]) {
      window.addEventListener(type, () => this.#touch(), { passive: true });
    }
    session.addEventListener("change", () => {
      if (!session.user) {
        this.lock();
      }
    });
  }

  /** Whether the vault password is known. */
  get unlocked() {
    return this.#keyring !== null;
  }

  /** Minutes without a touch after which the password is forgotten. */
  get idleMinutes() {
    return Number(localStorage.getItem(setting)) || defaultMinutes;
  }

  set idleMinutes(minutes) {
    localStorage.setItem(setting, String(minutes));
    this.#touch();
  }

  /**
   * Takes a vault password; with an envelope only if it opens it.
   *
   * @param {string} password
   * @param {import("./envelope.js").Envelope} [envelope]
   */
  async unlock(password, envelope) {
    const keyring = new Keyring(await baseKeyOf(password));
    if (envelope) {
      await keyring.open(envelope);
    }
    this.#keyring = keyring;
    this.#touch();
    this.dispatchEvent(new Event("change"));
  }

  /** Forgets the password and all derived keys. */
  lock() {
    clearTimeout(this.#timer);
    if (this.#keyring) {
      this.#keyring = null;
      this.dispatchEvent(new Event("change"));
    }
  }

  /** Returns the text of a value: opened if it is locked. @param {string} value */
  async open(value) {
    const envelope = parseEnvelope(value);
    if (!envelope) {
      return value;
    }
    if (!this.#keyring) {
      throw new LockedError("The value is locked with the vault password.");
    }
    return this.#keyring.open(envelope);
  }

  /** Locks a text with the vault password. @param {string} text */
  seal(text) {
    if (!this.#keyring) {
      throw new LockedError("The vault password is needed.");
    }
    return this.#keyring.lock(text);
  }

  #touch() {
    if (this.#keyring) {
      clearTimeout(this.#timer);
      this.#timer = window.setTimeout(() => this.lock(), this.idleMinutes * 60000);
    }
  }
}

export const vaultLock = new VaultLock();
