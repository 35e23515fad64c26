/** Line icons of 20 × 20, drawn in the colour of the text. They are decoration: a name stands beside or around. */
import { h, svg } from "../lib/dom.js";

/** @type {Record<string, string>} */
const shapes = {
  overview: "M3 3h6v7H3zM11 3h6v4h-6zM11 9h6v8h-6zM3 12h6v5H3z",
  vault: "M4 9h12v8H4zM6.5 9V6.5a3.5 3.5 0 0 1 7 0V9M10 12.2v1.8",
  activity: "M2.5 10.5h3.2l2.4-6.5 3.8 12 2.4-5.5h3.2",
  security: "M10 2.5l6.5 2.4v4.6c0 4-2.7 6.800-6.5 8-3.800-1.200-6.500-4-6.500-8V4.900zM7.200 9.800l2 2 3.600-3.800",
  tokens: "M12.500 11.500a4 4 0 1 0-4-4q0 .7.2 1.300L3 14.500V17h2.500v-1.800h2V13h1.800l1.900-1.700q.6.2 1.300.2zM13.600 6.400h.010",
  account: "M10 10a3.300 3.300 0 1 0 0-6.600 3.300 3.300 0 0 0 0 6.600zM3.500 17c.5-3.200 3.200-4.700 6.500-4.700s6 1.500 6.500 4.700",
  projects: "M10 2.500l7 3.800-7 3.800-7-3.800zM3 10l7 3.800 7-3.800M3 13.700l7 3.800 7-3.800",
  users: "M7.500 9.500a2.800 2.800 0 1 0 0-5.600 2.800 2.800 0 0 0 0 5.600zM2 16c.4-2.800 2.600-4.200 5.500-4.200S12.600 13.200 13 16M13 4.200a2.700 2.700 0 0 1 0 5.100M15 12.200c1.700.6 2.800 1.900 3 3.800",
  system: "M3 4h14v5H3zM3 11h14v5H3zM6 6.500h.01M6 13.500h.01M9.500 6.500h4.500M9.500 13.500h4.500",
  menu: "M3 5.500h14M3 10h14M3 14.500h14",
  close: "M5 5l10 10M15 5L5 15",
  copy: "M7 7h9.500v9.500H7zM13 7V3.500H3.500V13H7",
  show: "M1.800 10S5 4.500 10 4.500 18.200 10 18.200 10 15 15.500 10 15.500 1.800 10 1.800 10zM10 12.300a2.300 2.300 0 1 0 0-4.600 2.300 2.300 0 0 0 0 4.600z",
  plus: "M10 4v12M4 10h12",
  search: "M9 14.500a5.500 5.500 0 1 0 0-11 5.500 5.500 0 0 0 0 11zM13 13l4 4",
  leave: "M8 3.500H4v13h4M8.500 10H17M13.500 6.500L17 10l-3.500 3.500",
  warning: "M10 3.200L18 16.500H2zM10 8.200v3.800M10 14.200h.01",
  done: "M4 10.500l4 4 8-9",
  lock: "M4.500 9h11v8h-11zM7 9V6.500a3 3 0 0 1 6 0V9",
  unlock: "M4.500 9h11v8h-11zM7 9V6a3 3 0 0 1 5.800-1",
  help: "M7.300 7.500a2.700 2.700 0 1 1 4 2.400c-.9.500-1.300 1-1.300 2M10 14.500h.01M10 18a8 8 0 1 0 0-16 8 8 0 0 0 0 16z",
  next: "M7.500 4.500L13 10l-5.500 5.500",
};

/** The mark of the product, from where this file is from. @param {number} side */
export const mark = (side) =>
  h("img", { src: new URL("../icon.svg", import.meta.url).pathname, alt: "", width: side, height: side });

/** @param {string} name */
export function icon(name) {
  return svg(
    "svg",
    { viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: shapes[name] ?? "" }),
  );
}
