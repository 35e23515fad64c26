/** Dialogs: a native <dialog> with a title, content and buttons. Escape closes it; the focus goes back. */
import { h, uniqueId } from "../lib/dom.js";
import { form } from "./field.js";
import { icon } from "./icon.js";

/**
 * Opens a dialog. `closed` resolves when it is gone, whichever way it was closed.
 *
 * @param {{title: string, content: Node[], wide?: boolean, side?: boolean, closable?: boolean,
 *   mayClose?: () => boolean | Promise<boolean>}} options
 *   side: a panel at the edge of the page; closable: false leaves out the button and ignores Escape;
 *   mayClose is asked when the person closes the dialog
 */
export function openDialog({ title, content, wide = false, side = false, closable = true, mayClose = () => true }) {
  const id = uniqueId("dialog");
  const close = () => dialog.close();
  const leave = async () => {
    if (closable && (await mayClose())) {
      close();
    }
  };
  const button = h("button", { type: "button", class: "button icon-only", "aria-label": "Close", onclick: leave },
    icon("close"));
  const dialog = h(
    "dialog",
    { class: ["dialog", wide && "wide", side && "side"].filter(Boolean).join(" "), "aria-labelledby": id },
    h("div", { class: "dialog-head" }, h("h2", { id, tabindex: -1 }, title), closable && button),
    h("div", { class: "dialog-body stack" }, content),
    document.createElement("rg-toasts"),
  );
  document.body.append(dialog);
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented) {
      event.preventDefault(); // The browser would close it at the second press, whatever the answer is.
      event.stopPropagation();
      void leave();
    }
  });
  dialog.addEventListener("cancel", (event) => {
    if (event.target === dialog) {
      event.preventDefault();
      void leave();
    }
  });
  const closed = new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(undefined);
    });
  });
  dialog.showModal();
  return { dialog, close, closed };
}

/**
 * Asks before something happens that cannot be taken back easily. Resolves to whether the person
 * agreed; `act` runs while the dialog is open, and its error is shown in it.
 *
 * @param {{title: string, text: string | Node[], action: string, danger?: boolean,
 *   fields?: import("./field.js").Field[], act?: (values: Record<string, string>) => unknown}} options
 * @returns {Promise<boolean>}
 */
export async function confirm({ title, text, action, danger = false, fields = [], act }) {
  let agreed = false;
  const cancel = h("button", { type: "button", class: "button", onclick: () => opened.close() }, "Cancel");
  const explanation = typeof text === "string" ? [h("p", {}, text)] : text;
  const question = form({
    fields,
    submit: action,
    danger,
    extra: [cancel],
    onsubmit: async (values) => {
      await act?.(values);
      agreed = true;
      opened.close();
    },
  });
  const opened = openDialog({ title, content: [...explanation, question] });
  if (fields.length === 0) {
    cancel.focus();
  }
  await opened.closed;
  return agreed;
}
