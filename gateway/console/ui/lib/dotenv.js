/**
 * Files of secrets: `.env` and JSON.
 *
 * @typedef {{key: string, value: string, metadata?: any, line?: number}} Secret
 */

/**
 * Reads a file in either format. JSON is an object of values, or an array of {key, value, metadata?}
 * as the export writes it. Throws an Error that says where the file is wrong.
 *
 * @param {string} text
 * @returns {Secret[]}
 */
export function parseSecrets(text) {
  const trimmed = text.trim();
  return trimmed.startsWith("{") || trimmed.startsWith("[") ? parseJson(trimmed) : parseDotenv(text);
}

/** @param {string} text @returns {Secret[]} */
function parseJson(text) {
  const parsed = JSON.parse(text);
  if (Array.isArray(parsed)) {
    return parsed.map((entry, index) => {
      if (typeof entry?.key !== "string" || typeof entry.value !== "string") {
        throw new Error(`Entry ${index + 1} has no key and value.`);
      }
      return { key: entry.key, value: entry.value, ...(entry.metadata ? { metadata: entry.metadata } : {}) };
    });
  }
  return Object.entries(parsed).map(([key, value]) => ({
    key,
    value: typeof value === "string" ? value : JSON.stringify(value),
  }));
}

const assignment =
  /^\s*(?:export\s+)?([^\s=#]+)\s*=[ \t]*(?:"((?:\\[^]|[^"\\])*)"|'([^']*)'|([^\n]*))[ \t]*(?:#[^\n]*)?$/;

/** @param {string} text @returns {Secret[]} */
function parseDotenv(text) {
  /** @type {Secret[]} */
  const secrets = [];
  const lines = text.replace(/^\ufeff/, "").replaceAll("\r\n", "\n").split("\n");
  for (let index = 0; index < lines.length; index += 1) {
    const line = index + 1;
    let statement = lines[index] ?? "";
    if (/^\s*(#|$)/.test(statement)) {
      continue;
    }
    while (openQuote(statement) && index + 1 < lines.length) {
      index += 1;
      statement += `\n${lines[index]}`;
    }
    const [matched, key = "", double, single, bare] = assignment.exec(statement) ?? [];
    if (matched === undefined) {
      throw new Error(`Line ${line} is not NAME=value.`);
    }
    const value = double !== undefined ? unescape(double) : single ?? (bare ?? "").replace(/\s+#.*$/, "").trim();
    secrets.push({ key, value, line });
  }
  return secrets;
}

/** Whether a quoted value goes on in the next line. @param {string} statement */
function openQuote(statement) {
  const [, quote, rest = ""] = /^[^=]*=[ \t]*(["'])([^]*)$/.exec(statement) ?? [];
  return quote === "'" ? !rest.includes("'") : quote === '"' && !/^(?:\\[^]|[^"\\])*"/.test(rest);
}

/** @type {Record<string, string>} */
const escapes = { n: "\n", r: "\r", t: "\t" };

/** @param {string} text */
const unescape = (text) => text.replace(/\\([^])/g, (_, character) => escapes[character] ?? character);

/** Writes secrets as `.env`. @param {Secret[]} secrets */
export function formatDotenv(secrets) {
  const quote = (/** @type {string} */ value) => (/^[A-Za-z0-9_./:@%+,-]*$/.test(value) ? value
    : `"${value.replace(/[\\"$`]/g, "\\$&").replaceAll("\n", "\\n").replaceAll("\r", "\\r")}"`);
  return secrets.map(({ key, value }) => `${key}=${quote(value)}\n`).join("");
}

/** Writes secrets as JSON that {@link parseSecrets} reads. @param {Secret[]} secrets */
export const formatJson = (secrets) => `${JSON.stringify(secrets.map(({ key, value, metadata }) =>
  ({ key, value, ...(metadata ? { metadata } : {}) })), null, 2)}\n`;
