/** The frame of the pages before the sign-in: the mark, a heading, one card, and what else one can do. */
import { h } from "../lib/dom.js";
import { mark } from "./icon.js";

/**
 * @param {{title: string, intro?: import("../lib/dom.js").Child, content: import("../lib/dom.js").Child,
 *   foot?: import("../lib/dom.js").Child}} options
 * @returns {import("../lib/router.js").Screen}
 */
export function gate({ title, intro, content, foot }) {
  return {
    title,
    content: h("main", { id: "main", class: "alone" },
      h("p", { class: "brand" }, mark(30), "Realmgate"),
      h("h1", { tabindex: -1 }, title),
      intro ? h("p", { class: "soft" }, intro) : null,
      h("div", { class: "card stack" }, content),
      foot ? h("div", { class: "gate-foot" }, foot) : null),
  };
}
