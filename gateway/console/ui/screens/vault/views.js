/** Which dialog a URL of the vault opens. Each is loaded when it is opened first. */
import { h } from "../../lib/dom.js";
import { isAbort } from "../../lib/http.js";
import { openDialog } from "../../parts/dialog.js";
import { problem, skeleton } from "../../parts/panel.js";

/**
 * What a view gets: the screen, the key, the place of its content, and how it closes and guards itself.
 *
 * @typedef {{vault: import("../vault.js").Vault, key: string, place: HTMLElement, signal: AbortSignal,
 *   close: () => void, guard: (mayClose: () => boolean | Promise<boolean>) => void}} View
 */

/** @type {Record<string, {title: string, wide?: boolean, load: () => Promise<any>}>} */
const views = {
  new: { title: "New key", load: () => import("./editor.js") },
  edit: { title: "Edit", load: () => import("./editor.js") },
  history: { title: "History", load: () => import("./history.js") },
  trash: { title: "Trash", load: () => import("./trash.js") },
  import: { title: "Import", load: () => import("./import.js") },
  export: { title: "Export", load: () => import("./export.js") },
  item: { title: "", load: () => import("./item.js") },
};

/**
 * @param {import("../vault.js").Vault} vault
 * @param {string} key
 * @param {string} name
 */
export function openView(vault, key, name) {
  const view = views[name] ?? views["item"];
  const title = [view?.title, key].filter(Boolean).join(" ");
  const place = h("div", { class: "stack" }, skeleton(5));
  const gone = new AbortController();
  /** @type {() => boolean | Promise<boolean>} */
  let mayClose = () => true;
  const opened = openDialog({ title, content: [place], side: true, mayClose: () => mayClose() });
  void opened.closed.then(() => gone.abort());
  /** @type {View} */
  const context = {
    vault, key, place, signal: gone.signal, close: opened.close,
    guard: (next) => {
      mayClose = next;
    },
  };
  const show = async () => {
    place.replaceChildren(skeleton(5));
    try {
      const module = await view?.load();
      await module.default(context);
    } catch (error) {
      if (!isAbort(error)) {
        place.replaceChildren(problem(error, show));
      }
    }
  };
  void show();
  return opened;
}
