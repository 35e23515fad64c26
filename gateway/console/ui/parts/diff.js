/** <rg-diff>: the lines that two texts have in common and those in which they differ. */
import { diffLines } from "../lib/diff.js";
import { h } from "../lib/dom.js";
import { number } from "../lib/format.js";

const context = 3;
const mostLines = 2000;

class Diff extends HTMLElement {}
customElements.define("rg-diff", Diff);

/**
 * @param {string} before
 * @param {string} after
 * @param {string} label names what is compared, for screen readers
 */
export function diff(before, after, label) {
  const element = document.createElement("rg-diff");
  if (before === after) {
    element.append(h("p", { class: "soft" }, "The value is the same."));
    return element;
  }
  const lines = diffLines(before, after);
  const near = lines.map((_, index) => lines.slice(Math.max(0, index - context), index + context + 1)
    .some((line) => line.kind !== "same"));
  const rows = [];
  let skipped = 0;
  for (const [index, line] of lines.entries()) {
    if (!near[index]) {
      skipped += 1;
      continue;
    }
    if (skipped > 0) {
      rows.push(gap(skipped));
      skipped = 0;
    }
    const sign = { same: " ", added: "+", removed: "−" }[line.kind];
    rows.push(h("div", { class: `line ${line.kind}` }, h("span", { class: "sign" }, sign),
      h("span", {}, line.text || " ")));
  }
  if (skipped > 0) {
    rows.push(gap(skipped));
  }
  element.append(h("div", { class: "diff mono", tabindex: 0, role: "region", "aria-label": label },
    rows.slice(0, mostLines)));
  return element;
}

/** @param {number} count */
const gap = (count) => h("div", { class: "line gap" }, `${number(count)} lines are the same`);
