/**
 * The session of the person: an access token that exists only in the memory of open tabs. The
 * refresh token is in a cookie that scripts cannot read. One refresh serves all tabs.
 *
 * Events on `session`: "change" (signed in, signed out, other user data) and "ended" (the server
 * ended the session while this tab was signed in; the page asks for the password and loses nothing).
 *
 * @typedef {{id: string, username: string, email: string, alias: string, is_admin: boolean, is_banned: boolean,
 *   email_verified: boolean, metadata: any, public_key: string | null, created_at: string,
 *   ban_reason?: string | null}} User
 * @typedef {{token: string, refreshAt: number, user: User}} State
 * @typedef {{requires_2fa: true, temp_token: string}} SecondFactorDue
 */
import { ApiError, send } from "./http.js";

const lockName = "realmgate-session";
const lockPatience = 8000;
const hint = "realmgate.signed-in";
const due = "realmgate.sign-out-due";
const channel = new BroadcastChannel("realmgate-session");

class Session extends EventTarget {
  /** @type {State | null} */
  #state = null;
  /** @type {Promise<void> | null} */
  #refreshing = null;

  constructor() {
    super();
    channel.addEventListener("message", (event) => this.#heard(event.data));
  }

  /** The signed-in user, or null. */
  get user() {
    return this.#state?.user ?? null;
  }

  /** The access token as it is, "" when signed out. */
  get currentToken() {
    return this.#state?.token ?? "";
  }

  /**
   * Finds out whether the person is signed in: asks the other tabs, then the server. The hint in
   * localStorage, which holds no secret, saves the question to people who never signed in.
   */
  async restore() {
    await (localStorage.getItem(due) && this.#end());
    if (localStorage.getItem(hint)) {
      channel.postMessage({ type: "ask" });
      await new Promise((resolve) => setTimeout(resolve, 60));
      if (!this.#state) {
        await this.refresh("");
      }
    }
  }

  /**
   * Signs in. Returns the pending sign-in when a second factor is due.
   *
   * @param {Record<string, string>} body the body of login, or {temp_token, code}
   * @returns {Promise<SecondFactorDue | null>}
   */
  async signIn(body) {
    localStorage.removeItem(due); // The new session replaces the cookie of the old one.
    const { data } = await send("POST", "/console/session", { body: { ...body, client: "Console" } });
    if (!data.requires_2fa) {
      this.adopt(data);
    }
    return data.requires_2fa ? data : null;
  }

  /** Takes over an answer that contains an access token, and tells the other tabs. @param {any} data */
  adopt(data) {
    const user = data.user ?? this.#state?.user;
    this.#set({ token: data.token, refreshAt: Date.now() + data.expires_in * 800, user });
    channel.postMessage({ type: "state", state: this.#state });
  }

  /** Asks for the user again: after the profile was changed, or when the account seems to be banned. */
  async reloadUser() {
    const user = await profile(this.currentToken);
    if (this.#state) {
      this.#set({ ...this.#state, user });
      channel.postMessage({ type: "user", user });
    }
  }

  /**
   * Returns a usable access token ("" when signed out) and refreshes it first when less than a fifth
   * of its life is left.
   */
  async token() {
    if (this.#state && Date.now() > this.#state.refreshAt) {
      await this.refresh(this.#state.token);
    }
    return this.#state?.token ?? "";
  }

  /**
   * Replaces the access token `stale`, unless this or another tab already did. Returns when there is
   * a new one, or when the session has ended.
   *
   * @param {string} stale
   * @returns {Promise<void>}
   */
  refresh(stale) {
    this.#refreshing ??= this.#locked(stale).finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  /** @param {string} stale */
  async #locked(stale) {
    const signal = AbortSignal.timeout(lockPatience);
    try {
      await navigator.locks.request(lockName, { signal }, () => this.#replace(stale));
    } catch (error) {
      if (!signal.aborted || error instanceof ApiError) {
        throw error;
      }
      await this.#replace(stale); // A frozen tab holds the lock; the server accepts a rotated cookie for a while.
    }
  }

  /** @param {string} stale */
  async #replace(stale) {
    if ((this.#state?.token ?? "") !== stale) {
      return;
    }
    try {
      const { data } = await send("POST", "/console/session/refresh");
      this.adopt({ ...data, user: data.user ?? this.#state?.user ?? (await profile(data.token)) });
    } catch (error) {
      if (!(error instanceof ApiError) || (error.status !== 401 && error.status !== 403)) {
        throw error;
      }
      if (this.#state) {
        this.dispatchEvent(new Event("ended"));
      } else {
        localStorage.removeItem(hint);
      }
    }
  }

  /**
   * Ends this session and signs out all tabs. If the server is away the tabs forget the session, and
   * it is ended when the console is opened next.
   */
  async signOut() {
    localStorage.setItem(due, "1");
    try {
      await this.#end();
    } finally {
      channel.postMessage({ type: "signed-out" });
      this.forget();
    }
  }

  async #end() {
    await send("DELETE", "/console/session");
    localStorage.removeItem(due);
  }

  forget() {
    localStorage.removeItem(hint);
    this.#state = null;
    this.dispatchEvent(new Event("change"));
  }

  /** @param {State} state */
  #set(state) {
    localStorage.setItem(hint, "1");
    this.#state = state;
    this.dispatchEvent(new Event("change"));
  }

  /** @param {{type: string, state?: State, user?: User}} message */
  #heard(message) {
    if (message.type === "ask" && this.#state) {
      channel.postMessage({ type: "state", state: this.#state });
    } else if (message.type === "signed-out") {
      this.forget();
    } else if (message.type === "user" && this.#state) {
      this.#set({ ...this.#state, user: message.user ?? this.#state.user });
    } else if (message.type === "state" && message.state && message.state.token !== this.#state?.token) {
      this.#set(message.state);
    }
  }
}

/** @param {string} token */
const profile = async (token) =>
  (await send("GET", "/api/v1/users/me", { headers: { Authorization: `Bearer ${token}` } })).data;

export const session = new Session();
