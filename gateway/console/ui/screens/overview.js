/** The overview: what needs attention, how full the vault is, requests per day and recent sign-ins. */
import { api } from "../lib/api.js";
import { stackedBars, statusSeries } from "../lib/chart.js";
import { h, svg } from "../lib/dom.js";
import { ago, dateTime, day, number, percent, plural, size } from "../lib/format.js";
import { match } from "../lib/router.js";
import { newPlaces } from "../lib/places.js";
import { empty } from "../parts/empty.js";
import { icon } from "../parts/icon.js";
import { panel } from "../parts/panel.js";

const megabyte = 1048576;
const soon = 14 * 86400 * 1000;

/** @param {import("../lib/router.js").Place} place */
export default function overview({ signal }) {
  const history = api("GET", "/users/me/security-history", { query: { limit: 100 }, signal });
  history.catch(() => undefined); // Each panel shows the error itself.
  return {
    title: "Overview",
    content: h("div", { class: "grid overview" },
      panel({ title: "Needs attention", lines: 2, load: () => attention(signal, history) }),
      panel({ title: "Vault", lines: 2, load: () => quota(signal), actions: linkTo("/vault", "Open") }),
      wide("chart-panel", panel({ title: "Requests per day", lines: 8, load: () => requests(signal),
        actions: linkTo("/activity", "All") })),
      wide("", panel({ title: "Recent sign-ins", lines: 5, load: () => signIns(signal),
        actions: linkTo("/security", "All") }))),
  };
}

/** @param {string} css @param {HTMLElement} element */
function wide(css, element) {
  element.className += ` wide ${css}`;
  return element;
}

/** A link to a screen, if this console has it. @param {string} path @param {string} text */
const linkTo = (path, text) => (match(path) ? [h("a", { href: path, class: "button quiet" }, text, icon("next"))] : []);

/** @param {AbortSignal} signal @param {Promise<import("../lib/http.js").Answer>} history */
async function attention(signal, history) {
  const [factor, tokens, past] = await Promise.all([
    api("GET", "/users/auth/2fa/status", { signal }),
    api("GET", "/auth/tokens", { signal }),
    history,
  ]);
  /** @type {[string, string, string][]} */
  const matters = [];
  if (!factor.data.enabled) {
    matters.push(["Your account has no second factor. A stolen password is enough to get in.", "/security",
      "Set up second factor"]);
  }
  for (const token of tokens.data) {
    const left = token.expires_at ? new Date(token.expires_at).getTime() - Date.now() : Infinity;
    if (left < soon) {
      const name = token.alias || "without a name";
      matters.push([`The token ${name} ${left < 0 ? "expired" : "expires"} ${ago(token.expires_at)}.`, "/tokens",
        "Look at the tokens"]);
    }
  }
  for (const entry of newPlaces(past.data)) {
    matters.push([`A sign-in from a new place: ${entry.ip_address}, ${ago(entry.created_at)}.`, "/security",
      "Check the sessions"]);
  }
  if (matters.length === 0) {
    return h("p", { class: "row" }, h("span", { class: "good row" }, icon("done")), "Nothing. All is well.");
  }
  return h("ul", { class: "matters" }, matters.map(([text, path, action]) => h("li", {}, icon("warning"),
    h("div", { class: "stack tight" }, h("span", { class: "break" }, text),
      match(path) ? h("a", { href: path }, action) : null))));
}

/** @param {AbortSignal} signal */
async function quota(signal) {
  const { data } = await api("GET", "/vault/stats", { signal });
  const used = (data.limit_mb - data.remaining_mb) * megabyte;
  const share = data.used_percentage / 100;
  const meter = svg("svg", { class: "quota", role: "meter", "aria-label": "Vault quota in use", "aria-valuemin": 0,
    "aria-valuemax": 100, "aria-valuenow": data.used_percentage },
  svg("rect", { width: "100%", height: "100%", class: "quota-limit" }),
  svg("rect", { width: `${Math.min(100, data.used_percentage)}%`, height: "100%",
    class: share > 0.9 ? "quota-high" : "quota-used" }));
  return [
    h("p", { class: "figure" }, size(used), h("span", { class: "soft" }, ` of ${size(data.limit_mb * megabyte)}`)),
    meter,
    h("p", { class: "soft" }, `${percent(share)} in use · ${plural(data.total_keys, "key")} outside of realms`),
  ];
}

/** @param {AbortSignal} signal */
async function requests(signal) {
  const { data } = await api("GET", "/users/auth/activity/series", { query: { interval: "day" }, signal });
  const total = data.reduce((/** @type {number} */ sum, /** @type {any} */ entry) => sum + entry.total, 0);
  if (total === 0) {
    return empty({ icon: "activity", title: "No requests in the last 30 days.",
      text: "Requests that you, your scripts and this page make appear here." });
  }
  const bars = data.map((/** @type {any} */ entry) => ({
    label: day(entry.start),
    detail: day(entry.start),
    values: [entry.status_2xx, entry.status_3xx, entry.status_4xx, entry.status_5xx],
  }));
  return [
    h("p", { class: "soft" }, `${number(total)} in the last 30 days, by how they were answered`),
    stackedBars({ title: "Requests per day", bars, series: statusSeries }),
  ];
}

/** @param {AbortSignal} signal */
async function signIns(signal) {
  const query = { limit: 8, include_failed: true };
  const { data } = await api("GET", "/users/me/security-history", { query, signal });
  if (data.length === 0) {
    return empty({ icon: "security", title: "No sign-ins yet." });
  }
  return h("ul", { class: "entries" }, data.map((/** @type {any} */ entry) => h("li", {},
    h("span", { class: entry.outcome === "failed" ? "badge danger" : "badge" },
      entry.outcome === "failed" ? "Failed" : "Signed in"),
    h("span", { class: "mono break" }, entry.ip_address),
    h("span", { class: "soft grow break" }, entry.client ?? "unknown client"),
    h("time", { datetime: entry.created_at, title: dateTime(entry.created_at), class: "soft" },
      ago(entry.created_at)))));
}
