/** <rg-empty>: what stands where there is nothing yet, and the first step. */
import { h } from "../lib/dom.js";
import { icon } from "./icon.js";

class Empty extends HTMLElement {}
customElements.define("rg-empty", Empty);

/**
 * @param {{icon?: string, title: string, text?: string, action?: Node}} options
 */
export function empty({ icon: name, title, text, action }) {
  const element = document.createElement("rg-empty");
  element.className = "empty";
  if (name) {
    element.append(icon(name));
  }
  element.append(h("p", { class: "empty-title" }, title));
  if (text) {
    element.append(h("p", { class: "soft" }, text));
  }
  if (action) {
    element.append(action);
  }
  return element;
}
