/** The help dialog: the keys, and the switch for shortcuts of one character. */
import { h } from "../lib/dom.js";
import { reachable, setShortcuts, shortcutsOn } from "../lib/keys.js";
import { openDialog } from "./dialog.js";
import { field } from "./field.js";

export function openHelp() {
  const toggle = field({
    label: "Shortcuts of one character",
    name: "shortcuts",
    type: "checkbox",
    checked: shortcutsOn(),
    hint: "Switch them off if you use speech input or another tool that types for you. Ctrl-K always works.",
  });
  toggle.input.addEventListener("change", () => setShortcuts(toggle.checked));
  /** @type {[string[], string][]} */
  const keys = [
    [["Ctrl", "K"], "Command palette"],
    [["/"], "Filter"],
    [["?"], "This help"],
    [["Esc"], "Close"],
    ...reachable().map((route) => /** @type {[string[], string]} */ ([["g", route.key ?? ""], route.link ?? ""])),
  ];
  const list = h("dl", { class: "keys" }, keys.map(([combination, meaning]) => h("div", {},
    h("dt", {}, combination.map((key) => h("kbd", {}, key))), h("dd", {}, meaning))));
  openDialog({ title: "Keyboard", content: [list, toggle, h("p", { class: "soft" }, "The ",
    h("a", { href: "/docs" }, "API reference"), " describes everything that this page does as calls.")] });
}
