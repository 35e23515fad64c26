/** <rg-secret>: a value that is hidden until the person asks to see it, and copied without being shown. */
import { h, setAttributes } from "../lib/dom.js";
import { copyButton } from "./copy.js";
import { icon } from "./icon.js";

class Secret extends HTMLElement {
  /** @param {string} value @param {{copyLabel?: string, shown?: boolean}} options */
  build(value, { copyLabel = "Copy value", shown = false }) {
    const text = h("pre", { class: "secret-text mono", tabindex: 0, "aria-label": "Value" });
    const button = h("button", { type: "button", class: "button" });
    const set = (/** @type {boolean} */ visible) => {
      text.textContent = visible ? value : "••••••••••••";
      setAttributes(text, { "data-hidden": visible ? null : "true" });
      button.replaceChildren(icon("show"), h("span", {}, visible ? "Hide" : "Show"));
      setAttributes(button, { "aria-pressed": String(visible) });
    };
    let visible = shown;
    button.addEventListener("click", () => {
      visible = !visible;
      set(visible);
    });
    set(visible);
    this.className = "secret";
    this.append(text, h("div", { class: "row" }, button, copyButton(value, { label: copyLabel })));
    return this;
  }
}
customElements.define("rg-secret", Secret);

/**
 * @param {string} value
 * @param {{copyLabel?: string, shown?: boolean}} [options]
 */
export function secret(value, options = {}) {
  return /** @type {Secret} */ (document.createElement("rg-secret")).build(value, options);
}
