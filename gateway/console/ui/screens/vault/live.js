/** The watch of a realm: changes that others make appear in the list. */
import { isAbort } from "../../lib/api.js";
import { subscribe } from "../../lib/events.js";

/** What the badge says. @type {Record<string, [string, string]>} */
const states = {
  connecting: ["", "Connecting"],
  live: ["good", "Live"],
  waiting: ["warn", "Reconnecting"],
  off: ["", ""],
};

/**
 * @param {import("../vault.js").Vault} vault
 * @param {HTMLElement} badge
 * @param {AbortSignal} signal
 */
export function follow(vault, badge, signal) {
  subscribe("/vault/watch", { realm_id: vault.realm }, {
    signal,
    onstate: (state) => {
      const [css = "", text = ""] = states[state] ?? [];
      badge.className = `badge ${css}`;
      badge.textContent = text;
    },
    onevent: ({ type, data }) => {
      if (type === "reset") {
        vault.reload(); // It opens the stream anew, at the current revision.
      } else if (data?.key) {
        vault.refresh(data.key).catch((error) => {
          if (!isAbort(error)) {
            vault.reload();
          }
        });
      }
    },
  });
}
