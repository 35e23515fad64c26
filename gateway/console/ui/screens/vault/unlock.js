/** The dialog that asks for the vault password, and opening values with it. */
import { parseEnvelope } from "../../lib/envelope.js";
import { h } from "../../lib/dom.js";
import { vaultLock } from "../../lib/vaultlock.js";
import { confirm } from "../../parts/dialog.js";
import { field } from "../../parts/field.js";

const idleChoices = [5, 15, 30, 60].map((minutes) => ({ value: String(minutes), label: `${minutes} minutes` }));

/**
 * Asks for the vault password unless it is known. With an envelope the password must open it; for a
 * first value it is typed twice. Resolves to whether the vault is unlocked.
 *
 * @param {import("../../lib/envelope.js").Envelope} [envelope]
 */
export async function unlock(envelope) {
  const password = field({ label: "Vault password", name: "vault_password", type: "password", required: true,
    autocomplete: "off" });
  const repeated = field({ label: "Repeat it", name: "repeated", type: "password", required: true,
    autocomplete: "off" });
  const idle = field({ label: "Forget it when nothing was touched for", name: "idle", options: idleChoices,
    value: String(vaultLock.idleMinutes) });
  return confirm({
    title: envelope ? "Unlock the vault" : "Choose a vault password",
    text: [h("p", {}, envelope
      ? "This value is locked. The password stays in this tab and is never sent."
      : "The value is locked in this tab before it is sent. Without the password no one can open it, "
        + "no administrator either, and it cannot be reset.")],
    action: envelope ? "Unlock" : "Use this password",
    fields: envelope ? [password, idle] : [password, repeated, idle],
    act: async () => {
      if (!envelope && password.value !== repeated.value) {
        throw new Error("The two passwords differ.");
      }
      vaultLock.idleMinutes = Number(idle.value);
      await vaultLock.unlock(password.value, envelope);
    },
  });
}

/**
 * Returns the text of a value and asks for the vault password when it is locked.
 *
 * @param {string} value
 */
export async function openValue(value) {
  const envelope = parseEnvelope(value);
  if (!envelope) {
    return value;
  }
  if (!vaultLock.unlocked && !(await unlock(envelope))) {
    throw new DOMException("not unlocked", "AbortError");
  }
  return vaultLock.open(value);
}
