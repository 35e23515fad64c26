/** Numbers, sizes, dates and durations in the language of the browser. */

const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const percentFormat = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const dateTimeFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const preciseFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const dayFormat = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const units = ["bytes", "KB", "MB", "GB", "TB"];

/** @param {number} value */
export const number = (value) => whole.format(value);

/** A short number for the axis of a chart, such as 12K. @param {number} value */
export const axisNumber = (value) => compact.format(value);

/** @param {number} fraction 0 to 1 */
export const percent = (fraction) => percentFormat.format(fraction);

/** A size in binary units: 1 KB is 1,024 bytes. @param {number} bytes */
export function size(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${short.format(value)} ${bytes === 1 ? "byte" : units[unit]}`;
}

/** @param {string | number | Date} time */
export const dateTime = (time) => dateTimeFormat.format(new Date(time));

/** A time with seconds. @param {string | number | Date} time */
export const preciseTime = (time) => preciseFormat.format(new Date(time));

/** The UTC day of a time. @param {string | number | Date} time */
export const day = (time) => dayFormat.format(new Date(time));

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const steps = [
  ["year", 31536000],
  ["month", 2592000],
  ["week", 604800],
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
];

/** A time as seen from now, such as "3 minutes ago". @param {string | number | Date} time */
export function ago(time) {
  const seconds = (new Date(time).getTime() - Date.now()) / 1000;
  for (const [unit, length] of steps) {
    if (Math.abs(seconds) >= length) {
      return relative.format(Math.round(seconds / length), unit);
    }
  }
  return relative.format(0, "second");
}

/** A duration such as "340 ms" or "2.5 s". @param {number} milliseconds */
export function duration(milliseconds) {
  return milliseconds < 1000 ? `${short.format(milliseconds)} ms` : `${short.format(milliseconds / 1000)} s`;
}

/**
 * "1 key", "12 keys".
 *
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
