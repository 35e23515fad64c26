/** A button that copies a text and says that it did. */
import { h } from "../lib/dom.js";
import { icon } from "./icon.js";
import { toast } from "./toast.js";

/**
 * @param {string | (() => string | Promise<string>)} text
 * @param {{label?: string, iconOnly?: boolean}} [options] label names what is copied
 */
export function copyButton(text, { label = "Copy", iconOnly = false } = {}) {
  const name = iconOnly ? null : h("span", {}, label);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "function" ? await text() : text);
      toast("Copied.");
    } catch (error) {
      toast(error instanceof Error && error.name !== "NotAllowedError" ? error.message
        : "The browser did not allow copying. Show the text and copy it by hand.", { danger: true });
    }
  };
  return h("button", {
    type: "button",
    class: iconOnly ? "button icon-only quiet" : "button",
    "aria-label": iconOnly ? label : null,
    title: iconOnly ? label : null,
    onclick: copy,
  }, icon("copy"), name);
}
