/**
 * Differences of two texts, line by line.
 *
 * @typedef {{kind: "same" | "added" | "removed", text: string}} Line
 */
const mostCells = 4000000;

/**
 * @param {string} before
 * @param {string} after
 * @returns {Line[]}
 */
export function diffLines(before, after) {
  const [old, now] = [before.split("\n"), after.split("\n")];
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) {
    start += 1;
  }
  let end = 0;
  while (end < old.length - start && end < now.length - start && old.at(-1 - end) === now.at(-1 - end)) {
    end += 1;
  }
  const same = (/** @type {string[]} */ lines) => lines.map((text) => /** @type {Line} */ ({ kind: "same", text }));
  return [
    ...same(old.slice(0, start)),
    ...middle(old.slice(start, old.length - end), now.slice(start, now.length - end)),
    ...same(old.slice(old.length - end)),
  ];
}

/**
 * The longest common subsequence of the lines that differ; texts of very many lines are shown as
 * removed and added whole.
 *
 * @param {string[]} old
 * @param {string[]} now
 * @returns {Line[]}
 */
function middle(old, now) {
  /** @type {Line[]} */
  const result = [];
  const width = now.length + 1;
  if (old.length * now.length > mostCells) {
    old.forEach((text) => result.push({ kind: "removed", text }));
    now.forEach((text) => result.push({ kind: "added", text }));
    return result;
  }
  const lengths = new Uint32Array((old.length + 1) * width);
  const at = (/** @type {number} */ i, /** @type {number} */ j) => lengths[i * width + j] ?? 0;
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = now.length - 1; j >= 0; j -= 1) {
      lengths[i * width + j] = old[i] === now[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      result.push({ kind: "same", text: old[i] ?? "" });
      i += 1;
      j += 1;
    } else if (i < old.length && (j >= now.length || at(i + 1, j) >= at(i, j + 1))) {
      result.push({ kind: "removed", text: old[i] ?? "" });
      i += 1;
    } else {
      result.push({ kind: "added", text: now[j] ?? "" });
      j += 1;
    }
  }
  return result;
}
