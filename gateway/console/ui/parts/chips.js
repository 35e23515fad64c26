/** <rg-chips>: the filters in force, each with a button that removes it. */
import { h } from "../lib/dom.js";
import { icon } from "./icon.js";

class Chips extends HTMLElement {
  /** @param {{name: string, label: string, onremove: () => unknown}[]} entries */
  build(entries) {
    this.hidden = entries.length === 0;
    this.replaceChildren(h("ul", { class: "chips", "aria-label": "Filters in force" }, entries.map((entry) => h(
      "li",
      { class: "chip" },
      h("span", {}, entry.label),
      h("button", { type: "button", "aria-label": `Remove the filter ${entry.label}`, onclick: entry.onremove },
        icon("close")),
    ))));
    return this;
  }
}
customElements.define("rg-chips", Chips);

/** @param {{name: string, label: string, onremove: () => unknown}[]} entries */
export function chips(entries) {
  return /** @type {Chips} */ (document.createElement("rg-chips")).build(entries);
}
