/** What stands at a URL that is no screen. */
import { h } from "../lib/dom.js";
import { empty } from "../parts/empty.js";

export default function missing() {
  return {
    title: "Not found",
    content: empty({
      icon: "search",
      title: "There is no such page.",
      text: "The address may be misspelt, or the page may be for administrators.",
      action: h("a", { href: "/", class: "button" }, "Go to the overview"),
    }),
  };
}
