/**
 * Places of sign-ins: the network of an address, /24 for IPv4 and /48 for IPv6. No geography.
 *
 * @typedef {{ip_address: string, outcome: string, created_at: string}} SignIn
 */
const recent = 14 * 86400 * 1000;

/** The network of an address. @param {string} address */
export function placeOf(address) {
  const mapped = address.replace(/^::ffff:(?=\d+\.)/i, "");
  if (!mapped.includes(":")) {
    return mapped.split(".").slice(0, 3).join(".");
  }
  const [head = "", tail] = mapped.split("::");
  const start = head === "" ? [] : head.split(":");
  const end = tail ? tail.split(":") : [];
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - start.length - end.length }, () => "0");
  return [...start, ...zeros, ...end].slice(0, 3).map((group) => Number.parseInt(group, 16).toString(16)).join(":");
}

/**
 * The sign-ins of the last two weeks that came from a place that no earlier entry has. The first
 * sign-in of an account is not a new place.
 *
 * @param {SignIn[]} history newest first
 * @returns {SignIn[]}
 */
export function newPlaces(history) {
  const seen = new Set();
  const found = [];
  for (const entry of history.filter((candidate) => candidate.outcome === "success").reverse()) {
    const place = placeOf(entry.ip_address);
    if (seen.size > 0 && !seen.has(place) && Date.now() - new Date(entry.created_at).getTime() < recent) {
      found.push(entry);
    }
    seen.add(place);
  }
  return found.reverse();
}
