/** Import of `.env` and JSON: first a preview of what each line does, then the import in batches. */
import { api, isAbort } from "../../lib/api.js";
import { parseSecrets } from "../../lib/dotenv.js";
import { h } from "../../lib/dom.js";
import { plural } from "../../lib/format.js";
import { validKey } from "../../lib/vault.js";
import { field, form } from "../../parts/field.js";
import { progress } from "../../parts/progress.js";
import { table } from "../../parts/table.js";

const batchSize = 100;
const batchBytes = 4 << 20;

/** @typedef {import("../../lib/dotenv.js").Secret} Secret */
/** @typedef {Secret & {effect: "New" | "Overwrites" | "Not a key" | "Twice"}} Planned */

/** @param {import("./views.js").View} view */
export default async function importKeys({ vault, place, guard }) {
  const file = field({ label: "File", name: "file", type: "file",
    attributes: { accept: ".env,.json,.txt,text/*,application/json" } });
  const text = field({ label: "Or paste it", name: "text", multiline: true, mono: true, rows: 8,
    hint: ".env (NAME=value) or JSON: an object of values, or what Export wrote." });
  file.input.addEventListener("change", async () => {
    const chosen = /** @type {HTMLInputElement} */ (file.input).files?.[0];
    text.value = chosen ? await chosen.text() : "";
  });
  const choose = form({
    fields: [file, text],
    submit: "Preview",
    onsubmit: () => {
      const planned = plan(parseSecrets(text.value), vault);
      if (planned.length === 0) {
        throw new Error("There is nothing to import.");
      }
      preview(planned);
    },
  });
  /** @param {Planned[]} planned */
  const preview = (planned) => {
    const good = planned.filter((entry) => entry.effect === "New" || entry.effect === "Overwrites");
    const overwrite = field({ label: "Overwrite keys that exist", name: "overwrite", type: "checkbox", checked: true });
    const count = (/** @type {string} */ effect) => planned.filter((entry) => entry.effect === effect).length;
    overwrite.hidden = count("Overwrites") === 0;
    const start = form({
      fields: [overwrite],
      submit: "Import",
      extra: [h("button", { type: "button", class: "button", onclick: () => place.replaceChildren(choose) }, "Back")],
      onsubmit: () => run(good.filter((entry) => overwrite.checked || entry.effect === "New")),
    });
    place.replaceChildren(
      h("p", { role: "status" }, `${plural(count("New"), "new key")}, `,
        `${plural(count("Overwrites"), "key")} to overwrite, `,
        `${plural(planned.length - good.length, "entry", "entries")} that cannot be imported.`),
      start, effects(planned));
  };
  /** @param {Planned[]} entries */
  const run = async (entries) => {
    const bar = progress("Importing");
    place.replaceChildren(bar.element);
    guard(() => false);
    const result = await importAll(vault.realm, entries, bar);
    guard(() => true);
    summary(place, result, entries.length);
    await Promise.all(result.written.slice(0, 20).map((key) => vault.refresh(key).catch(() => undefined)));
    if (result.written.length > 20) {
      vault.reload();
    }
  };
  place.replaceChildren(choose);
}

/** @param {Secret[]} secrets @param {import("../vault.js").Vault} vault @returns {Planned[]} */
function plan(secrets, vault) {
  const last = new Map(secrets.map((secret, index) => [secret.key, index]));
  return secrets.map((secret, index) => ({
    ...secret,
    effect: !validKey(secret.key) ? "Not a key" : last.get(secret.key) !== index ? "Twice"
      : vault.entries?.has(secret.key) ? "Overwrites" : "New",
  }));
}

/** @param {Planned[]} planned */
const effects = (planned) => table({
  caption: "What the import does",
  rows: planned,
  columns: [
    { label: "Key", main: true, cell: (/** @type {Planned} */ entry) => h("span", { class: "mono" }, entry.key) },
    { label: "Effect", cell: (entry) => h("span", { class: badges[entry.effect] ?? "badge" }, entry.effect) },
    { label: "Length", numeric: true, cell: (entry) => plural(entry.value.length, "character") },
  ],
});

/** @type {Record<string, string>} */
const badges = { New: "badge good", Overwrites: "badge warn", "Not a key": "badge danger", Twice: "badge" };

/**
 * Writes keys in batches; one that is refused does not stop the others.
 *
 * @param {string} realm
 * @param {Planned[]} entries
 * @param {ReturnType<typeof progress>} bar
 */
async function importAll(realm, entries, bar) {
  /** @type {{written: string[], refused: string[], problem: string}} */
  const result = { written: [], refused: [], problem: "" };
  try {
    for (let done = 0; done < entries.length;) {
      const batch = nextBatch(entries, done);
      const operations = batch.map(({ key, value, metadata }) =>
        ({ op: "put", key, value, ...(metadata ? { metadata } : {}) }));
      const { data } = await api("POST", "/vault/batch", { query: { realm_id: realm },
        body: { atomic: false, operations }, signal: bar.signal });
      for (const entry of data.results) {
        (entry.status < 400 ? result.written : result.refused).push(
          entry.status < 400 ? entry.key : `${entry.key}: ${entry.message ?? entry.code}`);
      }
      done += batch.length;
      bar.set(done / entries.length, `${done} of ${entries.length}`);
    }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    result.problem = isAbort(error) ? "The import was cancelled." : message;
  }
  return result;
}

/** @param {Planned[]} entries @param {number} start */
function nextBatch(entries, start) {
  let [end, bytes] = [start, 0];
  while (end < entries.length && end - start < batchSize && (end === start || bytes < batchBytes)) {
    bytes += entries[end]?.value.length ?? 0;
    end += 1;
  }
  return entries.slice(start, end);
}

/**
 * @param {HTMLElement} place
 * @param {{written: string[], refused: string[], problem: string}} result
 * @param {number} total
 */
function summary(place, { written, refused, problem }, total) {
  const heading = h("p", { tabindex: -1, role: "status" }, h("strong", {},
    `${plural(written.length, "key was", "keys were")} imported${written.length < total ? ` of ${total}` : ""}.`));
  place.replaceChildren(heading, problem ? h("div", { class: "problem" }, problem) : "",
    refused.length > 0 ? h("ul", { class: "problem" }, refused.slice(0, 50).map((text) => h("li", {}, text))) : "");
  heading.focus();
}
