/** The table of keys. */
import { h } from "../../lib/dom.js";
import { ago, dateTime, size } from "../../lib/format.js";
import { readItem } from "../../lib/vault.js";
import { copyButton } from "../../parts/copy.js";
import { empty } from "../../parts/empty.js";
import { table } from "../../parts/table.js";
import { openValue } from "./unlock.js";

/** @typedef {import("../../lib/vault.js").Entry} Entry */

/** @param {() => void} clear */
export const noMatch = (clear) => empty({
  icon: "search",
  title: "No key matches.",
  action: h("button", { type: "button", class: "button", onclick: clear }, "Clear the filter"),
});

/** @param {() => void} create */
export const noKeys = (create) => empty({
  icon: "vault",
  title: "No keys here yet.",
  text: "A key keeps a secret: a password, a token, a certificate. Scripts read it with the API, people read it here.",
  action: h("button", { type: "button", class: "button", onclick: create }, "Create the first key"),
});

/** @param {import("../vault.js").Vault} vault */
export function keyTable(vault) {
  const link = (/** @type {Entry} */ entry) => {
    const open = (/** @type {MouseEvent} */ event) => {
      if (!event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
        event.preventDefault();
        vault.go({ key: entry.key });
      }
    };
    return h("a", { href: `/vault/${encodeURIComponent(entry.key)}${vault.realm ? `?realm=${vault.realm}` : ""}`,
      class: "mono", onclick: open }, entry.key);
  };
  const time = (/** @type {string} */ at) => h("time", { datetime: at, title: dateTime(at) }, ago(at));
  const soft = (/** @type {string} */ text) => h("span", { class: "soft" }, text);
  const copy = (/** @type {string} */ key) => copyButton(
    async () => openValue((await readItem(vault.realm, key)).value),
    { label: `Copy value of ${key}`, iconOnly: true });
  return table({
    caption: "Keys",
    order: { column: 0, descending: false },
    columns: [
      { label: "Key", main: true, cell: link, sort: (/** @type {Entry} */ entry) => entry.key },
      { label: "Size", numeric: true, cell: (entry) => size(entry.size_bytes), sort: (entry) => entry.size_bytes },
      { label: "Changed", cell: (entry) => time(entry.updated_at), sort: (entry) => entry.updated_at },
      { label: "Expires", cell: (entry) => (entry.expires_at ? time(entry.expires_at) : soft("never")),
        sort: (entry) => entry.expires_at ?? "9" },
      { label: "Copy", hideLabel: true, cell: (entry) => copy(entry.key) },
    ],
  });
}
