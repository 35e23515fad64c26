/** The command palette: type a few letters, choose with the arrows, Enter does it. */
import { commands } from "../lib/commands.js";
import { h, setAttributes, uniqueId } from "../lib/dom.js";
import { openHelp, reachable, setShortcuts, shortcutsOn } from "../lib/keys.js";
import { go } from "../lib/router.js";
import { session } from "../lib/session.js";
import { openDialog } from "./dialog.js";

const most = 50;

/** @typedef {import("../lib/commands.js").Command} Command */

/** @returns {Command[]} */
function everything() {
  const screens = reachable().map((route) => ({
    label: `Go to ${route.link}`,
    hint: route.hint ?? "",
    run: () => go(route.path),
  }));
  const on = shortcutsOn();
  return [
    ...screens,
    ...commands(),
    { label: "Keyboard help", run: openHelp },
    { label: on ? "Switch one-letter shortcuts off" : "Switch one-letter shortcuts on", run: () => setShortcuts(!on) },
    { label: "API reference", hint: "docs", run: () => window.location.assign("/docs") },
    { label: "Sign out", run: () => session.signOut() },
  ];
}

export function openPalette() {
  const all = everything();
  const listId = uniqueId("commands");
  const list = h("ul", { id: listId, role: "listbox", "aria-label": "Commands", class: "commands" });
  const input = h("input", {
    class: "input", type: "text", role: "combobox", "aria-label": "Command", "aria-expanded": "true",
    "aria-controls": listId, "aria-autocomplete": "list", autocomplete: "off", placeholder: "Type a command or a key",
  });
  /** @type {Command[]} */
  let found = [];
  let active = 0;
  const run = (/** @type {Command | undefined} */ command) => {
    if (command) {
      opened.close();
      void command.run();
    }
  };
  const mark = (/** @type {number} */ index) => {
    active = Math.max(0, Math.min(found.length - 1, index));
    for (const [at, option] of [...list.children].entries()) {
      option.setAttribute("aria-selected", String(at === active));
      if (at === active) {
        option.scrollIntoView({ block: "nearest" });
        setAttributes(input, { "aria-activedescendant": option.id });
      }
    }
  };
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    found = all.filter((command) => {
      const text = `${command.label} ${command.hint ?? ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    }).slice(0, most);
    list.replaceChildren(...found.map((command) => h(
      "li",
      { role: "option", id: uniqueId("command"), onclick: () => run(command) },
      command.label,
    )));
    if (found.length === 0) {
      list.append(h("li", { class: "soft", role: "option", "aria-disabled": "true" }, "Nothing matches."));
    }
    mark(0);
  };
  input.addEventListener("input", filter);
  input.addEventListener("keydown", (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move) {
      event.preventDefault();
      mark(active + move);
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(found[active]);
    }
  });
  const opened = openDialog({ title: "Commands", content: [input, list] });
  filter();
  input.focus();
}
