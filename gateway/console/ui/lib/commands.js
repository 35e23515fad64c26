/**
 * What the command palette offers beside the screens. A screen adds its commands and gives them back
 * when it is left.
 *
 * @typedef {{label: string, hint?: string, run: () => unknown}} Command
 */

/** @type {Set<() => Command[]>} */
const sources = new Set();

/**
 * Adds commands until the signal fires.
 *
 * @param {() => Command[]} source
 * @param {AbortSignal} signal
 */
export function addCommands(source, signal) {
  sources.add(source);
  signal.addEventListener("abort", () => sources.delete(source));
}

/** All commands of the moment. */
export const commands = () => [...sources].flatMap((source) => source());
