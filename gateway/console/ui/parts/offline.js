/** The banner that says that the server cannot be reached, and that looks again. */
import { open } from "../lib/http.js";
import { h } from "../lib/dom.js";

const interval = 4000;
let timer = 0;

/** @type {HTMLElement | null} */
let banner = null;

/** @param {boolean} reachable */
export function showReachable(reachable) {
  clearTimeout(timer);
  if (reachable) {
    banner?.remove();
    banner = null;
    return;
  }
  if (!banner) {
    banner = h("div", { class: "banner", role: "status" },
      "The server cannot be reached. What you typed stays here; this page looks again every few seconds.");
    document.body.prepend(banner);
  }
  timer = window.setTimeout(look, interval);
}

async function look() {
  const answered = await open("GET", "/healthz").then((response) => response.ok, () => false);
  if (!answered) {
    timer = window.setTimeout(look, interval);
  }
}
