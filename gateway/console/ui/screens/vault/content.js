/** The fields of a key's content and what they say. */
import { h, setAttributes } from "../../lib/dom.js";
import { dateTime, size } from "../../lib/format.js";
import { ApiError } from "../../lib/http.js";
import { field } from "../../parts/field.js";
import { fileOf, readFile } from "./files.js";

const kinds = [{ value: "text", label: "Text" }, { value: "json", label: "JSON" }, { value: "file", label: "File" }];
const hour = 3600000;
const expiries = [
  { value: "", label: "Never" },
  { value: String(hour), label: "In an hour" },
  { value: String(24 * hour), label: "In a day" },
  { value: String(7 * 24 * hour), label: "In a week" },
  { value: String(30 * 24 * hour), label: "In 30 days" },
  { value: "at", label: "At a time…" },
];

/** Whether a text is a JSON object or array. @param {string} text */
function isJson(text) {
  try {
    return /^\s*[[{]/.test(text) && JSON.parse(text) !== null;
  } catch {
    return false;
  }
}

/**
 * @param {import("../../lib/vault.js").Item | null} current
 * @param {string} text
 * @param {boolean} sealed
 */
export function contentFields(current, text, sealed) {
  const isFile = fileOf(current?.metadata);
  const keep = current?.expires_at ? [{ value: "keep", label: `As it is: ${dateTime(current.expires_at)}` }] : [];
  const key = field({ label: "Key", name: "key", required: true, mono: true, autocomplete: "off",
    attributes: { maxlength: 255, spellcheck: "false", autocapitalize: "none" } });
  const kindNow = isFile ? "file" : isJson(text) ? "json" : "text";
  const kind = field({ label: "Kind", name: "kind", options: kinds, value: kindNow });
  const value = field({ label: "Value", name: "value", multiline: true, mono: true, rows: 8,
    value: isFile ? "" : text });
  const file = field({ label: "File", name: "file", type: "file",
    ...(isFile ? { hint: `Now: ${current?.metadata.filename ?? "a file"}, ${size(current?.size_bytes ?? 0)}` } : {}) });
  const format = h("button", { type: "button", class: "button quiet" }, "Format");
  const metadata = field({ label: "Metadata as JSON", name: "metadata", multiline: true, mono: true, rows: 4,
    value: current?.metadata ? JSON.stringify(current.metadata, null, 2) : "" });
  const expires = field({ label: "Expires", name: "expires", options: [...keep, ...expiries],
    value: keep[0]?.value ?? "" });
  const at = field({ label: "Time", name: "expires_at", type: "datetime-local" });
  const lock = field({ label: "Lock with the vault password", name: "lock", type: "checkbox", checked: sealed,
    hint: "The value is encrypted in this browser. Programs need the official SDK and the same password to open it." });
  /** @type {{text: string, metadata: any} | null} */
  let loaded = null;
  const draw = () => {
    value.hidden = kind.value === "file";
    format.hidden = kind.value !== "json";
    file.hidden = kind.value !== "file";
    at.hidden = expires.value !== "at";
    setAttributes(at.input, { required: expires.value === "at" });
  };
  format.addEventListener("click", () => {
    try {
      value.value = JSON.stringify(JSON.parse(value.value), null, 2);
      value.setError("");
    } catch (error) {
      value.setError(`This is not JSON: ${error instanceof Error ? error.message : ""}`);
    }
  });
  file.input.addEventListener("change", async () => {
    const chosen = /** @type {HTMLInputElement} */ (file.input).files?.[0];
    loaded = chosen ? await readFile(chosen) : null;
    if (loaded) {
      metadata.value = JSON.stringify({ ...parse(metadata.value, "metadata"), ...loaded.metadata }, null, 2);
    }
  });
  kind.input.addEventListener("change", draw);
  expires.input.addEventListener("change", draw);
  draw();
  const entries = [key, kind, value, file, metadata, expires, at, lock];
  const state = () => JSON.stringify([...entries.map((entry) => entry.value), lock.checked]);
  const initial = state();
  return {
    nodes: [...(current ? [] : [key]), kind, h("div", { class: "stack tight" }, value, h("div", {}, format)), file,
      h("details", { open: Boolean(current?.metadata) }, h("summary", {}, "Metadata"), metadata), expires, at, lock],
    key: () => key.value.trim(),
    locked: () => lock.checked,
    changed: () => state() !== initial,
    content: () => {
      if (kind.value === "json") {
        parse(value.value, "value");
      }
      if (kind.value === "file" && !loaded && !isFile) {
        throw refused("file", "choose a file");
      }
      const content = kind.value === "file" ? (loaded?.text ?? text) : value.value;
      const until = expiry(expires.value, at.value, current);
      return { value: content, metadata: parse(metadata.value, "metadata"), ...until };
    },
  };
}

/** @param {string} choice @param {string} time @param {object | null} current */
function expiry(choice, time, current) {
  if (choice === "keep" || (choice === "" && !current)) {
    return {};
  }
  if (choice === "at") {
    return { expires_at: new Date(time).toISOString() };
  }
  return { expires_at: choice === "" ? null : new Date(Date.now() + Number(choice)).toISOString() };
}

/** Reads JSON of a field; "" is null. @param {string} text @param {string} name */
function parse(text, name) {
  try {
    return text.trim() === "" && name === "metadata" ? null : JSON.parse(text);
  } catch (error) {
    throw refused(name, `this is not JSON: ${error instanceof Error ? error.message : ""}`);
  }
}

/** @param {string} name @param {string} message */
const refused = (name, message) => new ApiError(400, message, { data: [{ instancePath: `/${name}`, message }] });
