/**
 * The keyboard: `/` focuses the filter of the screen, `g` and a letter goes to a screen, `?` shows
 * help, Ctrl-K opens the command palette. Shortcuts of one character can be switched off (WCAG 2.1.4).
 */
import { go } from "./router.js";
import { routes } from "../routes.js";
import { session } from "./session.js";

const setting = "realmgate.shortcuts";
const chordPatience = 1500;

/** Whether shortcuts of one character are on. */
export const shortcutsOn = () => localStorage.getItem(setting) !== "off";

/** @param {boolean} on */
export function setShortcuts(on) {
  if (on) {
    localStorage.removeItem(setting);
  } else {
    localStorage.setItem(setting, "off");
  }
}

/** The routes that the signed-in person can go to. */
export const reachable = () => routes.filter((route) => route.link && (!route.admin || session.user?.is_admin));

let chordUntil = 0;

/** Listens for shortcuts until the page is left. */
export function listenForKeys() {
  document.addEventListener("keydown", (event) => {
    if (!session.user || event.altKey || document.querySelector("dialog[open]")) {
      return;
    }
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      void openPalette();
    } else if (!event.ctrlKey && !event.metaKey && shortcutsOn() && !typing(event.target)) {
      shortcut(event);
    }
  });
}

/** @param {KeyboardEvent} event */
function shortcut(event) {
  const chord = Date.now() < chordUntil;
  chordUntil = 0;
  const route = chord ? reachable().find((candidate) => candidate.key === event.key) : undefined;
  if (route) {
    event.preventDefault();
    go(route.path);
  } else if (event.key === "g") {
    chordUntil = Date.now() + chordPatience;
  } else if (event.key === "?") {
    event.preventDefault();
    void openHelp();
  } else if (event.key === "/") {
    const filter = /** @type {HTMLElement | null} */ (document.querySelector("main [data-filter]"));
    if (filter) {
      event.preventDefault();
      filter.focus();
    }
  }
}

/** Whether keys go into a text. @param {EventTarget | null} target */
function typing(target) {
  return target instanceof HTMLElement
    && (target.isContentEditable || target.matches("textarea, select, input:not([type=checkbox], [type=radio])"));
}

export const openPalette = async () => (await import("../parts/palette.js")).openPalette();
export const openHelp = async () => (await import("../parts/help.js")).openHelp();
