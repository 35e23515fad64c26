/**
 * Charts as inline SVG: stacked bars with a legend, an axis and the same figures as a table.
 *
 * @typedef {{label: string, detail?: string, values: number[]}} Bar
 * @typedef {{name: string, css: string}} Series css: the class that colours the series
 */
import { axisNumber, number } from "./format.js";
import { h, svg, uniqueId } from "./dom.js";

const height = 190;
const left = 44;
const bottom = 22;
const top = 8;

/** The series of answers by status class. @type {Series[]} */
export const statusSeries = [
  { name: "Successful (2xx)", css: "status-2" },
  { name: "Redirected (3xx)", css: "status-3" },
  { name: "Refused (4xx)", css: "status-4" },
  { name: "Failed (5xx)", css: "status-5" },
];

/**
 * Draws stacked bars.
 *
 * @param {{title: string, bars: Bar[], series: Series[], onselect?: (first: number, last: number) => void}} options
 *   onselect: called with the bars that the person selected by dragging over the chart
 */
export function stackedBars({ title, bars, series, onselect }) {
  const id = uniqueId("chart");
  const narrow = window.matchMedia("(width < 40rem)").matches;
  const width = narrow ? 330 : 720; // The picture is scaled to its place, and its text with it.
  const total = (/** @type {Bar} */ bar) => bar.values.reduce((sum, value) => sum + value, 0);
  const ceiling = niceCeiling(Math.max(1, ...bars.map(total)));
  const slot = (width - left) / Math.max(1, bars.length);
  const scale = (height - bottom - top) / ceiling;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-labelledby": id },
    svg("title", { id }, `${title}: ${number(bars.reduce((sum, bar) => sum + total(bar), 0))} in all`));
  for (const value of [0, ceiling / 2, ceiling]) {
    const y = height - bottom - value * scale;
    picture.append(
      svg("line", { x1: left, x2: width, y1: y, y2: y, class: "chart-line" }),
      svg("text", { x: left - 8, y: y + 4, class: "chart-label end" }, axisNumber(value)),
    );
  }
  const labelEvery = Math.ceil(bars.length / (narrow ? 4 : 8));
  for (const [index, bar] of bars.entries()) {
    const x = left + index * slot;
    let y = height - bottom;
    const group = svg("g", { class: "chart-bar" }, svg("title", {}, describe(bar, series)),
      svg("rect", { x, y: top, width: slot, height: height - bottom - top, class: "chart-hit" }));
    for (const [at, value] of bar.values.entries()) {
      const size = value > 0 ? Math.max(1.5, value * scale) : 0;
      y -= size;
      const box = { x: x + slot * 0.14, y, width: slot * 0.72, height: size, class: series[at]?.css ?? "" };
      group.append(svg("rect", box));
    }
    if (index % labelEvery === 0) {
      const centre = Math.min(x + slot / 2, width - 20);
      group.append(svg("text", { x: centre, y: height - 5, class: "chart-label middle" }, bar.label));
    }
    picture.append(group);
  }
  if (onselect) {
    selectable(picture, width, bars.length, onselect);
  }
  return h("figure", { class: "stack tight" }, legend(series), h("div", { class: "chart-frame" }, picture),
    figures(title, bars, series));
}

/** @param {Bar} bar @param {Series[]} series */
const describe = (bar, series) => [
  bar.detail ?? bar.label,
  ...bar.values.map((value, index) => `${series[index]?.name}: ${number(value)}`),
].join("\n");

/** @param {Series[]} series */
const legend = (series) => h("ul", { class: "legend", "aria-hidden": "true" }, series.map((entry) =>
  h("li", {}, h("span", { class: `swatch ${entry.css}` }), entry.name)));

/** The same figures as a table. @param {string} title @param {Bar[]} bars @param {Series[]} series */
function figures(title, bars, series) {
  const head = h("tr", {}, h("th", { scope: "col" }, "Time"), series.map((entry) =>
    h("th", { scope: "col", class: "numeric" }, entry.name)));
  const rows = () => bars.map((bar) => h("tr", {}, h("th", { scope: "row" }, bar.detail ?? bar.label),
    bar.values.map((value) => h("td", { class: "numeric" }, number(value)))));
  const body = h("tbody");
  const details = h("details", { class: "figures" }, h("summary", {}, "Show as a table"),
    h("div", { class: "figures-frame", tabindex: 0, role: "region", "aria-label": `${title} as a table` },
      h("table", {}, h("caption", { class: "visually-hidden" }, title), h("thead", {}, head), body)));
  details.addEventListener("toggle", () => {
    if (details.open && !body.hasChildNodes()) {
      body.append(...rows());
    }
  });
  return details;
}

/**
 * The next number above that divides well: 1, 2, 4, 5, 6, 8 or 10 times a power of ten.
 *
 * @param {number} value
 */
function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 4, 5, 6, 8, 10].find((candidate) => candidate * power >= value) ?? 10;
  return Math.max(2, factor * power);
}

/**
 * Lets the person select bars by dragging.
 *
 * @param {SVGElement} picture
 * @param {number} width of the picture in its own units
 * @param {number} count
 * @param {(first: number, last: number) => void} onselect
 */
function selectable(picture, width, count, onselect) {
  const slot = (width - left) / Math.max(1, count);
  const marker = svg("rect", { y: top, height: height - bottom - top, class: "chart-selection" });
  let start = -1;
  const at = (/** @type {PointerEvent} */ event) => {
    const frame = picture.getBoundingClientRect();
    const x = ((event.clientX - frame.left) / frame.width) * width;
    return Math.min(count - 1, Math.max(0, Math.floor((x - left) / slot)));
  };
  const range = (/** @type {number} */ end) => [Math.min(start, end), Math.max(start, end)];
  picture.classList.add("selectable");
  picture.addEventListener("pointerdown", (event) => {
    start = at(event);
    picture.setPointerCapture(event.pointerId);
    picture.append(marker);
    marker.setAttribute("width", "0");
  });
  picture.addEventListener("pointermove", (event) => {
    if (start >= 0) {
      const [first = 0, last = 0] = range(at(event));
      marker.setAttribute("x", String(left + first * slot));
      marker.setAttribute("width", String((last - first + 1) * slot));
    }
  });
  picture.addEventListener("pointerup", (event) => {
    const [first = 0, last = 0] = range(at(event));
    start = -1;
    marker.remove();
    onselect(first, last);
  });
}
