/** Keys that were deleted and can still be restored. */
import { h } from "../../lib/dom.js";
import { ago, dateTime, plural, size } from "../../lib/format.js";
import { emptyTrash, listTrash, purge, restoreItem } from "../../lib/vault.js";
import { confirm } from "../../parts/dialog.js";
import { empty } from "../../parts/empty.js";
import { problem } from "../../parts/panel.js";
import { toast } from "../../parts/toast.js";

/**
 * @typedef {{key: string, version: number, size_bytes: number, deleted_at: string,
 *   restorable_until: string}} Trashed
 */

/** @param {import("./views.js").View} view */
export default async function trash(view) {
  const { vault, place, signal } = view;
  const again = () => trash(view).catch((error) => place.replaceChildren(problem(error, again)));
  /** @type {Trashed[]} */
  const entries = await listTrash(vault.realm, signal);
  if (entries.length === 0) {
    place.replaceChildren(empty({ icon: "done", title: "The trash is empty.",
      text: "Keys that you delete stay here for a while and can be restored." }));
    return;
  }
  const clear = async () => {
    const question = { title: "Empty the trash?", action: "Empty the trash", danger: true,
      text: `${plural(entries.length, "deleted key")} and all their versions are gone for good.`,
      act: () => emptyTrash(vault.realm) };
    if (await confirm(question)) {
      await again();
    }
  };
  place.replaceChildren(
    h("ul", { class: "versions" }, entries.map((entry) => row(view, entry, again))),
    h("div", { class: "row" },
      h("button", { type: "button", class: "button danger", onclick: clear }, "Empty the trash")),
  );
}

/** @param {import("./views.js").View} view @param {Trashed} entry @param {() => unknown} again */
function row({ vault }, entry, again) {
  const restore = async () => {
    try {
      await restoreItem(vault.realm, entry.key);
      await Promise.all([vault.refresh(entry.key), again()]);
      toast(`${entry.key} is restored.`);
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), { danger: true });
    }
  };
  const remove = async () => {
    const question = { title: `Delete ${entry.key} for good?`, action: "Delete", danger: true,
      text: "Its value and its history cannot be restored afterwards.", act: () => purge(vault.realm, entry.key) };
    if (await confirm(question)) {
      await again();
    }
  };
  return h("li", { class: "stack tight" },
    h("div", {}, h("strong", { class: "mono break" }, entry.key)),
    h("p", { class: "soft small" },
      `${size(entry.size_bytes)} · deleted ${ago(entry.deleted_at)} · restorable until `,
      h("time", { datetime: entry.restorable_until }, dateTime(entry.restorable_until))),
    h("div", { class: "row" },
      h("button", { type: "button", class: "button", onclick: restore }, "Restore"),
      h("button", { type: "button", class: "button", onclick: remove }, "Delete")));
}
