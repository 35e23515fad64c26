/** <rg-field>: a label with its input, hint and error; and forms made of such fields. */
import { ApiError, isAbort } from "../lib/http.js";
import { h, setAttributes, uniqueId } from "../lib/dom.js";

/**
 * @typedef {{label: string, name: string, type?: string, value?: string, hint?: string, required?: boolean,
 *   autocomplete?: string, multiline?: boolean, rows?: number, mono?: boolean, checked?: boolean,
 *   visuallyLabelled?: boolean,
 *   options?: {value: string, label: string}[], attributes?: Record<string, import("../lib/dom.js").Attribute>}} FieldOptions
 */

export class Field extends HTMLElement {
  /** @type {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} */
  input = h("input");
  /** @type {HTMLElement} */
  #error = h("p", { class: "field-error" });

  /** @param {FieldOptions} options */
  build(options) {
    const id = uniqueId("field");
    const { label, name, type = "text", hint, required = false, attributes = {} } = options;
    this.input = inputOf(options);
    const described = [hint ? `${id}-hint` : "", `${id}-error`].join(" ").trim();
    setAttributes(this.input, { id, name, required, "aria-describedby": described, ...attributes });
    this.#error.id = `${id}-error`;
    const labelNode = h("label", { for: id, class: options.visuallyLabelled ? "visually-hidden" : null }, label);
    const hintNode = hint ? h("p", { class: "field-hint", id: `${id}-hint` }, hint) : null;
    this.className = type === "checkbox" ? "field check" : "field";
    if (type === "checkbox") {
      this.append(h("div", { class: "row" }, this.input, labelNode), hintNode ?? "", this.#error);
    } else {
      this.append(labelNode, this.input, hintNode ?? "", this.#error);
    }
    this.input.addEventListener("input", () => this.setError(""));
    return this;
  }

  get name() {
    return this.input.name;
  }

  get value() {
    return this.input.value;
  }

  set value(value) {
    this.input.value = value;
  }

  get checked() {
    return this.input instanceof HTMLInputElement && this.input.checked;
  }

  /** Shows an error below the input; "" removes it. @param {string} message */
  setError(message) {
    this.#error.textContent = message;
    setAttributes(this.input, { "aria-invalid": message ? "true" : null });
  }
}
customElements.define("rg-field", Field);

/** @param {FieldOptions} options */
function inputOf(options) {
  const { type = "text", value = "", multiline, mono, options: choices, autocomplete, checked = false } = options;
  const css = mono ? "input mono" : "input";
  if (choices) {
    const entries = choices.map((choice) =>
      h("option", { value: choice.value, selected: choice.value === value }, choice.label));
    return h("select", { class: css }, entries);
  }
  if (multiline) {
    const area = h("textarea", { class: css, rows: options.rows ?? 6, spellcheck: "false" });
    area.value = value;
    return area;
  }
  const autocapitalize = type === "text" ? null : "none";
  const input = h("input", { class: type === "checkbox" ? "checkbox" : css, type, autocomplete, autocapitalize });
  if (type === "checkbox") {
    input.checked = checked;
  } else if (type !== "file") {
    input.value = value;
  }
  return input;
}

/** @param {FieldOptions} options */
export function field(options) {
  return /** @type {Field} */ (document.createElement("rg-field")).build(options);
}

/**
 * A form of fields. `onsubmit` gets the values by name; an ApiError that it throws is shown at the
 * fields that it names, anything else above the button. What was typed always stays.
 *
 * @param {{fields: (Field | Node)[], submit: string, danger?: boolean, extra?: Node[],
 *   onsubmit: (values: Record<string, string>) => unknown}} options
 */
export function form({ fields, submit, onsubmit, danger = false, extra = [] }) {
  const problem = h("div", { class: "problem", role: "alert", hidden: true });
  const button = h("button", { type: "submit", class: danger ? "button danger" : "button primary" }, submit);
  const inputs = () => [...element.querySelectorAll("rg-field")].filter((entry) => entry instanceof Field);
  const element = h("form", { class: "stack form", novalidate: true }, fields, problem,
    h("div", { class: "row form-actions" }, button, extra));
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-busy")) {
      return;
    }
    problem.hidden = true;
    const incomplete = inputs().filter((entry) => !validate(entry));
    if (incomplete.length > 0) {
      incomplete[0]?.input.focus();
      return;
    }
    setAttributes(button, { "aria-busy": "true" });
    try {
      await onsubmit(Object.fromEntries(inputs().map((entry) => [entry.name, entry.value])));
    } catch (error) {
      showProblem(error, problem, inputs());
    } finally {
      setAttributes(button, { "aria-busy": null });
    }
  });
  return element;
}

/** Checks a field as the browser would, and says what is wrong below it. @param {Field} entry */
function validate(entry) {
  const valid = entry.input.validity.valid;
  entry.setError(valid ? "" : entry.input.validationMessage);
  return valid;
}

/**
 * @param {unknown} error
 * @param {HTMLElement} problem
 * @param {Field[]} entries
 */
function showProblem(error, problem, entries) {
  if (isAbort(error)) {
    return;
  }
  const unplaced = [];
  const violations = error instanceof ApiError ? error.violations : [];
  for (const violation of violations) {
    const entry = entries.find((candidate) => violation.instancePath === `/${candidate.name}`);
    if (entry) {
      entry.setError(sentence(violation.message));
      entry.input.focus();
    } else {
      unplaced.push(`${violation.instancePath.replace(/^\//, "")} ${violation.message}`);
    }
  }
  if (violations.length === 0 || unplaced.length > 0) {
    problem.replaceChildren(...problemText(error, unplaced));
    problem.hidden = false;
  }
}

/** @param {string} text */
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/**
 * What an error says, with the request id that an administrator can look up.
 *
 * @param {unknown} error
 * @param {string[]} [details]
 */
export function problemText(error, details = []) {
  const message = error instanceof Error ? error.message : String(error);
  const parts = [h("p", {}, [message, ...details].join(" · "))];
  if (error instanceof ApiError && error.requestId) {
    parts.push(h("p", { class: "small soft" }, "Request ", h("code", {}, error.requestId)));
  }
  return parts;
}
