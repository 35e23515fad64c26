/** <rg-toasts>: short messages at the edge of the page, read out by screen readers. */
import { h } from "../lib/dom.js";

const shownFor = 6000;
const shownWithAction = 12000;

class Toasts extends HTMLElement {
  connectedCallback() {
    this.setAttribute("role", "status");
    this.setAttribute("aria-live", "polite");
  }
}
customElements.define("rg-toasts", Toasts);

/**
 * Shows a message for some seconds; it stays while the pointer or the focus is in it.
 *
 * @param {string} text
 * @param {{action?: string, onaction?: () => unknown, danger?: boolean}} [options]
 */
export function toast(text, { action, onaction, danger = false } = {}) {
  const message = h("div", { class: danger ? "toast danger" : "toast" }, h("span", { class: "grow" }, text));
  const remove = () => message.remove();
  if (action) {
    const perform = () => {
      remove();
      onaction?.();
    };
    message.append(h("button", { type: "button", class: "button quiet", onclick: perform }, action));
  }
  let timer = 0;
  const start = () => {
    clearTimeout(timer);
    timer = window.setTimeout(remove, action ? shownWithAction : shownFor);
  };
  const hold = () => clearTimeout(timer);
  message.addEventListener("pointerenter", hold);
  message.addEventListener("focusin", hold);
  message.addEventListener("pointerleave", start);
  message.addEventListener("focusout", start);
  start();
  document.querySelectorAll(".toast:not(:has(button))").forEach((old) => old.remove());
  const list = document.querySelector("dialog[open]:last-of-type rg-toasts") ?? document.querySelector("rg-toasts");
  list?.append(message);
}
