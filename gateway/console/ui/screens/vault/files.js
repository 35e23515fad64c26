/**
 * Files as values: the bytes as base64, and in the metadata `filename`, `content_type` and
 * `encoding: "base64"`.
 */
import { fromBase64, toBase64 } from "../../lib/envelope.js";

/** Whether the metadata says that the value is a file. @param {any} metadata */
export const fileOf = (metadata) => metadata?.encoding === "base64";

/** Reads a file. @param {File} file */
export async function readFile(file) {
  return {
    text: toBase64(new Uint8Array(await file.arrayBuffer())),
    metadata: { filename: file.name, content_type: file.type || "application/octet-stream", encoding: "base64" },
  };
}

/** Lets the browser save a value as a file. @param {string} text @param {any} metadata @param {string} name */
export function download(text, metadata, name) {
  const bytes = fileOf(metadata) ? fromBase64(text) : new TextEncoder().encode(text);
  save(new Blob([bytes], { type: "application/octet-stream" }), metadata?.filename ?? name);
}

/** @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
