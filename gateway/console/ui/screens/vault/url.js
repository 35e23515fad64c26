/** URLs of the vault. */
import { hostRealm } from "../../lib/vault.js";

/** @param {{realm?: string, filter?: string, key?: string, view?: string}} place */
export function vaultUrl({ realm = "", filter = "", key = "", view = "" }) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ realm: realm === hostRealm ? "" : realm, filter, view })) {
    if (value) {
      query.set(name, value);
    }
  }
  const text = query.toString();
  return `/vault${key ? `/${encodeURIComponent(key)}` : ""}${text ? `?${text}` : ""}`;
}
