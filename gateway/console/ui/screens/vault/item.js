/** One key: its value, hidden at first, and what can be done with it. */
import { parseEnvelope } from "../../lib/envelope.js";
import { h } from "../../lib/dom.js";
import { ago, dateTime, size } from "../../lib/format.js";
import { readItem } from "../../lib/vault.js";
import { vaultLock } from "../../lib/vaultlock.js";
import { icon } from "../../parts/icon.js";
import { secret } from "../../parts/secret.js";
import { download, fileOf } from "./files.js";
import { remove } from "./remove.js";
import { unlock } from "./unlock.js";

/** @param {import("./views.js").View} view */
export default async function item(view) {
  const { vault, key, place, signal } = view;
  const found = await readItem(vault.realm, key, { signal });
  const envelope = parseEnvelope(found.value);
  const value = h("div", {});
  const draw = async () => {
    if (envelope && !vaultLock.unlocked) {
      value.replaceChildren(locked(envelope));
      return;
    }
    try {
      const text = await vaultLock.open(found.value);
      value.replaceChildren(fileOf(found.metadata) ? file(key, text, found.metadata) : secret(text));
    } catch (error) {
      const again = () => {
        vaultLock.lock();
        void draw();
      };
      value.replaceChildren(h("div", { class: "problem" }, h("p", {}, error instanceof Error ? error.message : ""),
        h("button", { type: "button", class: "button", onclick: again }, "Try again")));
    }
  };
  vaultLock.addEventListener("change", draw, { signal });
  await draw();
  const button = (/** @type {string} */ text, /** @type {string} */ name) =>
    h("button", { type: "button", class: "button", onclick: () => vault.go({ key, view: name }) }, text);
  place.replaceChildren(
    value,
    facts(found, envelope !== null),
    found.metadata ? h("details", {}, h("summary", {}, "Metadata"),
      h("pre", { class: "secret-text", tabindex: 0 }, JSON.stringify(found.metadata, null, 2))) : "",
    h("div", { class: "row" }, button("Edit", "edit"), button("History", "history"),
      h("button", { type: "button", class: "button danger", onclick: () => remove(view) }, "Delete")),
  );
}

/** @param {import("../../lib/envelope.js").Envelope} envelope */
const locked = (envelope) => h("div", { class: "notice stack tight" },
  h("p", { class: "row" }, icon("lock"), "Locked with the vault password."),
  h("div", {}, h("button", { type: "button", class: "button", onclick: () => unlock(envelope) }, "Unlock")));

/** @param {string} key @param {string} text @param {any} metadata */
const file = (key, text, metadata) => h("div", { class: "row" },
  h("span", { class: "grow break" }, metadata.filename ?? key),
  h("button", { type: "button", class: "button", onclick: () => download(text, metadata, key) }, "Save to a file"));

/** @param {import("../../lib/vault.js").Item} found @param {boolean} sealed */
function facts(found, sealed) {
  const time = (/** @type {string} */ at) => h("time", { datetime: at }, `${dateTime(at)} (${ago(at)})`);
  /** @type {[string, import("../../lib/dom.js").Child][]} */
  const rows = [
    ["Size", size(found.size_bytes)],
    ["Created", time(found.created_at)],
    ["Changed", time(found.updated_at)],
    ["Expires", found.expires_at ? time(found.expires_at) : "never"],
    ["Version", found.version ?? null],
    ["Protection", sealed ? "locked with the vault password" : "sealed by the server"],
  ];
  return h("dl", { class: "facts" }, rows.filter(([, entry]) => entry !== null).map(([name, entry]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, entry))));
}
