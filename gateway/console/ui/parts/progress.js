/** A progress bar with a button that cancels. */
import { h } from "../lib/dom.js";
import { percent } from "../lib/format.js";

/**
 * @param {string} label what is going on, such as "Importing"
 */
export function progress(label) {
  const stop = new AbortController();
  const bar = h("progress", { class: "meter", max: 1, value: 0, "aria-label": label });
  const text = h("span", { class: "grow", role: "status" }, `${label}…`);
  const element = h("div", { class: "stack tight" }, bar, h("div", { class: "row" }, text,
    h("button", { type: "button", class: "button", onclick: () => stop.abort() }, "Cancel")));
  return {
    element,
    signal: stop.signal,
    /** @param {number} fraction @param {string} [detail] */
    set: (fraction, detail = percent(fraction)) => {
      bar.value = fraction;
      text.textContent = `${label}: ${detail}`;
    },
  };
}
