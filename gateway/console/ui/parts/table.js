/**
 * <rg-table>: rows with a caption for screen readers and columns that sort. On a phone each row
 * becomes a card whose cells name their column. Rows beyond the first hundred are added while the
 * person scrolls, so ten thousand rows cost no more than a hundred.
 *
 * @template Row
 * @typedef {{label: string, cell: (row: Row) => import("../lib/dom.js").Child, numeric?: boolean, main?: boolean,
 *   sort?: (row: Row) => string | number, hideLabel?: boolean}} Column main: the cell that names the row
 */
import { h, setAttributes } from "../lib/dom.js";

const step = 100;

/** @template Row */
export class Table extends HTMLElement {
  /** @type {Column<Row>[]} */
  #columns = [];
  /** @type {Row[]} */
  #rows = [];
  #shown = 0;
  /** @type {{column: number, descending: boolean} | null} */
  #order = null;
  /** @type {(row: Row, element: HTMLTableRowElement) => void} */
  #decorate = () => {};
  #body = h("tbody");
  #head = h("tr");
  #end = h("div", { class: "table-end" });
  #observer = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) {
      this.#more();
    }
  }, { rootMargin: "600px" });

  /** @param {TableOptions<Row>} options */
  build({ caption, columns, rows = [], decorate, order }) {
    this.#columns = columns;
    this.#decorate = decorate ?? this.#decorate;
    this.#order = order ?? null;
    this.className = "table";
    const table = h("table", {}, h("caption", { class: "visually-hidden" }, caption), h("thead", {}, this.#head),
      this.#body);
    this.append(table, this.#end);
    this.#observer.observe(this.#end);
    this.setRows(rows);
    return this;
  }

  /** Replaces the rows. @param {Row[]} rows */
  setRows(rows) {
    this.#rows = this.#sorted(rows);
    const keep = Math.max(step, this.#shown);
    const focused = this.#body.contains(document.activeElement) ? document.activeElement?.getAttribute("href") : null;
    this.#shown = 0;
    this.#body.replaceChildren();
    this.#head.replaceChildren(...this.#columns.map((column, index) => this.#heading(column, index)));
    this.#add(keep);
    if (focused) {
      [...this.#body.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
    }
  }

  #more() {
    if (this.#shown < this.#rows.length) {
      this.#add(step);
      this.#observer.unobserve(this.#end); // Observing again reports whether there is still room.
      this.#observer.observe(this.#end);
    }
  }

  /** @param {number} count */
  #add(count) {
    const next = this.#rows.slice(this.#shown, this.#shown + count);
    this.#shown += next.length;
    this.#body.append(...next.map((row) => this.#row(row)));
  }

  /** @param {Row} row */
  #row(row) {
    const element = h("tr", {}, this.#columns.map((column) => h(
      column.main ? "th" : "td",
      {
        scope: column.main ? "row" : null,
        class: [column.numeric && "numeric", column.main && "main"].filter(Boolean).join(" ") || null,
        "data-label": column.hideLabel ? null : column.label,
      },
      h("div", { class: "cell" }, column.cell(row)),
    )));
    this.#decorate(row, element);
    return element;
  }

  /** @param {Column<Row>} column @param {number} index */
  #heading(column, index) {
    const current = this.#order?.column === index ? this.#order : null;
    const direction = current ? (current.descending ? "descending" : "ascending") : null;
    const cell = h("th", { scope: "col", class: column.numeric ? "numeric" : null, "aria-sort": direction });
    if (!column.sort) {
      cell.append(column.hideLabel ? h("span", { class: "visually-hidden" }, column.label) : column.label);
      return cell;
    }
    const sort = () => {
      this.#order = { column: index, descending: current ? !current.descending : false };
      this.setRows(this.#rows);
      this.#head.querySelectorAll("th")[index]?.querySelector("button")?.focus();
    };
    const button = h("button", { type: "button", class: "sort", onclick: sort }, column.label);
    setAttributes(button, { "data-direction": direction });
    cell.append(button);
    return cell;
  }

  /** @param {Row[]} rows */
  #sorted(rows) {
    const order = this.#order;
    const key = order && this.#columns[order.column]?.sort;
    if (!order || !key) {
      return rows;
    }
    const sign = order.descending ? -1 : 1;
    return [...rows].sort((a, b) => {
      const [left, right] = [key(a), key(b)];
      return (left < right ? -1 : left > right ? 1 : 0) * sign;
    });
  }
}
customElements.define("rg-table", Table);

/**
 * @template Row
 * @typedef {{caption: string, columns: Column<Row>[], rows?: Row[], order?: {column: number, descending: boolean},
 *   decorate?: (row: Row, element: HTMLTableRowElement) => void}} TableOptions
 */

/**
 * @template Row
 * @param {TableOptions<Row>} options
 * @returns {Table<Row>}
 */
export function table(options) {
  return /** @type {Table<Row>} */ (document.createElement("rg-table")).build(options);
}
