/** Export of a realm's keys as `.env` or JSON, streamed, with progress. */
import { isAbort, request } from "../../lib/api.js";
import { formatDotenv, formatJson } from "../../lib/dotenv.js";
import { parseEnvelope } from "../../lib/envelope.js";
import { h } from "../../lib/dom.js";
import { plural } from "../../lib/format.js";
import { field, form } from "../../parts/field.js";
import { progress } from "../../parts/progress.js";
import { save } from "./files.js";
import { openValue } from "./unlock.js";

const formats = [{ value: "env", label: ".env" }, { value: "json", label: "JSON, with metadata" }];

/** @param {import("./views.js").View} view */
export default async function exportKeys({ vault, place }) {
  const total = vault.entries?.size ?? 0;
  const format = field({ label: "Format", name: "format", options: formats, value: "env" });
  const open = field({ label: "Open locked values", name: "open", type: "checkbox",
    hint: "Otherwise they are exported as they are stored and need the vault password again." });
  const start = form({
    fields: [
      h("p", {}, `${plural(total, "key")} ${vault.realm ? `of the realm ${vault.realm}` : "outside of realms"}, `,
        "without the trash."),
      h("p", { class: "notice" }, "The file holds the values in plain text. Delete it when you no longer need it."),
      format, open,
    ],
    submit: "Export",
    onsubmit: async () => {
      const bar = progress("Exporting");
      start.append(bar.element);
      try {
        const secrets = await readAll(vault.realm, total, bar);
        const opened = open.checked ? await openAll(secrets) : secrets;
        const text = format.value === "env" ? formatDotenv(opened) : formatJson(opened);
        const name = `${vault.realm || "vault"}.${format.value}`;
        save(new Blob([text], { type: "text/plain;charset=utf-8" }), name);
        const exported = plural(opened.length, "key was", "keys were");
        place.replaceChildren(h("p", { role: "status" }, h("strong", {}, `${exported} exported to ${name}.`)));
      } catch (error) {
        throw isAbort(error) ? new Error("The export was cancelled.") : error;
      } finally {
        bar.element.remove();
      }
    },
  });
  place.replaceChildren(start);
}

/**
 * Reads the export; a stream that ends without its last line is refused.
 *
 * @param {string} realm
 * @param {number} total
 * @param {ReturnType<typeof progress>} bar
 */
async function readAll(realm, total, bar) {
  /** @type {import("../../lib/dotenv.js").Secret[]} */
  const secrets = [];
  const response = await request("GET", "/vault/export", { query: { realm_id: realm }, signal: bar.signal });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let complete = false;
  for (;;) {
    const { value, done } = (await reader?.read()) ?? { value: "", done: true };
    rest += value ?? "";
    const lines = rest.split("\n");
    rest = done ? "" : (lines.pop() ?? "");
    for (const line of lines.filter((entry) => entry !== "")) {
      const parsed = JSON.parse(line);
      complete ||= parsed.complete === true && !("key" in parsed);
      if ("key" in parsed) {
        secrets.push(parsed);
      }
    }
    bar.set(Math.min(1, secrets.length / Math.max(1, total)), `${secrets.length} of ${total}`);
    if (done) {
      break;
    }
  }
  if (!complete) {
    throw new Error("The export broke off. Nothing was written; try again.");
  }
  return secrets;
}

/** @param {import("../../lib/dotenv.js").Secret[]} secrets */
async function openAll(secrets) {
  const opened = [];
  for (const secret of secrets) {
    opened.push(parseEnvelope(secret.value) ? { ...secret, value: await openValue(secret.value) } : secret);
  }
  return opened;
}
