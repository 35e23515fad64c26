/** The field that selects the realm. On the host of a realm it can only be that realm. */
import { api } from "../../lib/api.js";
import { h } from "../../lib/dom.js";
import { hostRealm } from "../../lib/vault.js";
import { confirm } from "../../parts/dialog.js";
import { field } from "../../parts/field.js";

const other = "other";

/**
 * @param {string} realm
 * @param {(realm: string) => void} onselect
 * @param {AbortSignal} signal
 */
export function realmField(realm, onselect, signal) {
  const choice = (/** @type {string} */ id) => ({ value: id, label: id || "No realm" });
  const options = hostRealm ? [choice(hostRealm)] : [choice(""), ...(realm ? [choice(realm)] : []),
    { value: other, label: "Another realm…" }];
  const element = field({ label: "Realm", name: "realm", value: realm, options });
  const select = /** @type {HTMLSelectElement} */ (element.input);
  select.disabled = hostRealm !== "";
  if (!hostRealm) {
    api("GET", "/realms/", { signal }).then(({ data }) => {
      for (const id of data.realm_ids) {
        if (id !== "" && ![...select.options].some((option) => option.value === id)) {
          select.add(h("option", { value: id }, id), select.options.length - 1);
        }
      }
    }, () => undefined); // Without the list a realm can still be typed.
  }
  select.addEventListener("change", async () => {
    if (select.value !== other) {
      onselect(select.value);
      return;
    }
    select.value = realm;
    const id = field({ label: "Realm", name: "id", required: true, mono: true, autocomplete: "off",
      hint: "24 hexadecimal characters. A realm begins to exist with its first key.",
      attributes: { pattern: "[0-9a-fA-F]{24}", maxlength: 24, spellcheck: "false" } });
    if (await confirm({ title: "Another realm", text: [], action: "Open", fields: [id] })) {
      onselect(id.value.toLowerCase());
    }
  });
  return element;
}
