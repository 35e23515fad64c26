/** Both sides of a change: before it overwrites, and when another wrote meanwhile. */
import { h } from "../../lib/dom.js";
import { diff } from "../../parts/diff.js";
import { form } from "../../parts/field.js";

/** @param {string} text @param {() => unknown} onclick */
const button = (text, onclick) => h("button", { type: "button", class: "button", onclick }, text);

/**
 * Shows what a change does to the value.
 *
 * @param {HTMLElement} place
 * @param {{before: string, after: string, back: () => void, save: () => Promise<void>}} options
 */
export function review(place, { before, after, back, save }) {
  const question = form({ fields: [], submit: "Save", extra: [button("Back", back)], onsubmit: save });
  place.replaceChildren(
    h("p", {}, "This is what changes. The earlier value stays in the history."),
    diff(before, after, "Changes of the value"),
    question,
  );
  question.querySelector("button")?.focus();
}

/**
 * Shows both versions when the key was written, or deleted, since the editor was opened.
 *
 * @param {HTMLElement} place
 * @param {{name: string, theirs: string | null, mine: string, back: () => void, keep: () => void,
 *   save: () => Promise<void>}} options
 */
export function conflict(place, { name, theirs, mine, back, keep, save }) {
  const message = h("p", { tabindex: -1 }, theirs === null
    ? `${name} was deleted while you were editing. Save creates it again.`
    : `${name} was changed while you were editing. Nothing was saved yet: compare both versions.`);
  place.replaceChildren(
    h("div", { class: "notice", role: "alert" }, message),
    theirs === null ? h("pre", { class: "secret-text", tabindex: 0 }, mine) : h("div", { class: "stack tight" },
      h("p", { class: "small soft" }, "Lines with − are stored now, lines with + are yours."),
      diff(theirs, mine, "The stored value and yours")),
    form({ fields: [], submit: "Save mine", onsubmit: save,
      extra: [button(theirs === null ? "Leave it deleted" : "Keep theirs", keep), button("Back to editing", back)] }),
  );
  message.focus();
}
