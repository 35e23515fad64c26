/**
 * The vault: all keys of a realm, filtered and sorted here. The realm, the filter, the selected key
 * and what is open stand in the URL: /vault/{key}?realm=…&filter=…&view=….
 */
import { isAbort } from "../lib/api.js";
import { addCommands } from "../lib/commands.js";
import { h } from "../lib/dom.js";
import { number, plural } from "../lib/format.js";
import { go, setQuery } from "../lib/router.js";
import { hostRealm, listKeys, readEntry } from "../lib/vault.js";
import { vaultLock } from "../lib/vaultlock.js";
import { chips } from "../parts/chips.js";
import { field } from "../parts/field.js";
import { icon } from "../parts/icon.js";
import { problem, skeleton } from "../parts/panel.js";
import { keyTable, noKeys, noMatch } from "./vault/list.js";
import { follow } from "./vault/live.js";
import { realmField } from "./vault/realm.js";
import { openView } from "./vault/views.js";
import { vaultUrl } from "./vault/url.js";

/** @param {import("../lib/router.js").Place} place */
export default function vault(place) {
  const screen = new Vault(place.signal);
  screen.update(place);
  addCommands(() => screen.commands(), place.signal);
  return { title: "Vault", content: screen.element, actions: screen.actions, update: screen.update.bind(screen) };
}

export class Vault {
  realm = "";
  /** @type {Map<string, import("../lib/vault.js").Entry> | null} */
  entries = null;
  #filter = "";
  #opened = "";
  #loaded = false;
  #close = () => {};
  #visit = new AbortController();
  #state = h("span", { class: "badge", role: "status" });
  #count = h("p", { class: "soft small", role: "status" });
  #list = h("div", {});
  #chips = h("div", {});
  #realmPlace = h("div", { class: "realm-field" });
  #filterField = field({ label: "Filter", name: "filter", type: "search", autocomplete: "off",
    attributes: { "data-filter": true, placeholder: "Part of a key", spellcheck: "false" } });
  #table = keyTable(this);
  #lockButton = h("button", { type: "button", class: "button", onclick: () => vaultLock.lock() }, icon("lock"),
    "Lock now");

  /** @param {AbortSignal} signal fires when the screen is left */
  constructor(signal) {
    this.signal = signal;
    this.#filterField.classList.add("grow");
    this.#filterField.input.addEventListener("input", () => setQuery({ filter: this.#filterField.value }));
    const open = (/** @type {string} */ view) => () => this.go({ view });
    const button = (/** @type {string} */ text, /** @type {string} */ view) =>
      h("button", { type: "button", class: "button", onclick: open(view) }, text);
    this.actions = [
      this.#state, this.#lockButton, button("Trash", "trash"), button("Import", "import"), button("Export", "export"),
      h("button", { type: "button", class: "button primary", onclick: open("new") }, icon("plus"), "New key"),
    ];
    this.element = h("div", { class: "stack" },
      h("div", { class: "toolbar" }, this.#realmPlace, this.#filterField), this.#chips, this.#count,
      h("div", { class: "card table-card" }, this.#list));
    vaultLock.addEventListener("change", () => this.#drawLock(), { signal });
    signal.addEventListener("abort", () => {
      this.#visit.abort();
      this.#close();
    });
    this.#drawLock();
  }

  /** @param {import("../lib/router.js").Place} place */
  update({ params, query }) {
    const realm = hostRealm || (query.get("realm") ?? "");
    if (this.entries === null || realm !== this.realm) {
      this.realm = realm;
      this.#realmPlace.replaceChildren(realmField(realm, (next) => go(vaultUrl({ realm: next })), this.signal));
      this.#load();
    }
    this.#filter = query.get("filter") ?? "";
    if (document.activeElement !== this.#filterField.input) {
      this.#filterField.value = this.#filter;
    }
    this.#draw();
    this.#show(params["key"] ?? "", query.get("view") ?? "");
  }

  /**
   * Goes to a key or a view and keeps realm and filter.
   *
   * @param {{key?: string, view?: string}} target
   */
  go({ key = "", view = "" }) {
    go(vaultUrl({ realm: this.realm, filter: this.#filter, key, view }));
  }

  /** The commands of the palette. */
  commands() {
    const open = (/** @type {string} */ view) => () => this.go({ view });
    return [
      { label: "New key", run: open("new") },
      { label: "Import keys", run: open("import") },
      { label: "Export keys", run: open("export") },
      { label: "Trash of the vault", run: open("trash") },
      ...[...(this.entries?.keys() ?? [])].map((key) => ({ label: key, hint: "key", run: () => this.go({ key }) })),
    ];
  }

  /** Reads one key again after it was written, or forgets it. @param {string} key */
  async refresh(key) {
    const entry = await readEntry(this.realm, key, this.#visit.signal);
    if (entry) {
      this.entries?.set(key, entry);
    } else {
      this.entries?.delete(key);
    }
    this.#draw();
  }

  /** Reads all keys again. */
  reload() {
    void this.#load();
  }

  /** Reads all keys of the realm and follows its changes. */
  async #load() {
    this.#visit.abort();
    this.#visit = new AbortController();
    const { signal } = this.#visit;
    this.entries = new Map();
    this.#loaded = false;
    this.#list.replaceChildren(skeleton(8));
    follow(this, this.#state, signal);
    try {
      await listKeys(this.realm, signal, (entries) => {
        this.entries = new Map(entries.map((entry) => [entry.key, entry]));
        this.#loaded = true;
        this.#draw();
      });
    } catch (error) {
      if (!isAbort(error)) {
        this.#list.replaceChildren(problem(error, () => this.#load()));
      }
    }
  }

  #draw() {
    const all = [...(this.entries?.values() ?? [])];
    const words = this.#filter.toLowerCase();
    const rows = words ? all.filter((entry) => entry.key.toLowerCase().includes(words)) : all;
    const clear = () => this.#clearFilter();
    const inForce = this.#filter ? [{ name: "filter", label: `Key contains “${this.#filter}”`, onremove: clear }] : [];
    this.#chips.replaceChildren(chips(inForce));
    this.#chips.hidden = inForce.length === 0;
    this.#count.hidden = !this.#loaded;
    this.#count.textContent = (words ? `${number(rows.length)} of ` : "") + plural(all.length, "key");
    if (rows.length > 0) {
      this.#table.setRows(rows);
      if (!this.#table.isConnected) {
        this.#list.replaceChildren(this.#table); // Moving it would take the focus out of it.
      }
    } else if (all.length > 0) {
      this.#list.replaceChildren(noMatch(clear));
    } else if (this.#loaded) {
      this.#list.replaceChildren(noKeys(() => this.go({ view: "new" })));
    }
  }

  #clearFilter() {
    this.#filterField.value = "";
    setQuery({ filter: null });
    this.#filterField.input.focus();
  }

  /** Opens what the URL says, and closes what it no longer says. @param {string} key @param {string} view */
  #show(key, view) {
    const wanted = key || view ? `${key} ${view}` : "";
    if (wanted === this.#opened) {
      return;
    }
    this.#close();
    this.#opened = wanted;
    this.#close = () => {};
    if (wanted) {
      const { dialog, closed } = openView(this, key, view);
      this.#close = () => dialog.close();
      void closed.then(() => {
        if (this.#opened === wanted && !this.signal.aborted) {
          this.#opened = "";
          this.go({});
        }
      });
    }
  }

  #drawLock() {
    this.#lockButton.hidden = !vaultLock.unlocked;
  }
}
