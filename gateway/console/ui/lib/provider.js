/**
 * Signing in with a provider (OpenID Connect): the way there and the way back. What the way back
 * needs is kept for this tab; it is worthless without the code that the gateway adds to the URL.
 *
 * @typedef {{code: string, error: string, linkToken: string, verifier: string, to: string}} Return
 */
import { toBase64 } from "./envelope.js";

const storage = "realmgate.provider";

/** The address to which the gateway sends the browser back. */
export const returnAddress = () => `${window.location.origin}/`;

/** @param {Uint8Array} bytes */
const base64Url = (bytes) => toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** Leaves for the sign-in page of a provider. @param {string} name */
export async function leaveFor(name) {
  const verifier = base64Url(crypto.getRandomValues(new Uint8Array(32)));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const to = window.location.pathname + window.location.search;
  sessionStorage.setItem(storage, JSON.stringify({ verifier, to }));
  const query = new URLSearchParams({
    redirect_uri: returnAddress(), code_challenge: base64Url(new Uint8Array(digest)), client: "Console",
  });
  window.location.assign(`/api/v1/auth/oidc/${encodeURIComponent(name)}?${query}`);
}

/**
 * Returns what a provider's sign-in came back with, once, and puts the URL back to where the person
 * wanted to go; null when this page was opened in another way.
 *
 * @returns {Return | null}
 */
export function takeReturn() {
  const query = new URLSearchParams(window.location.search);
  const kept = sessionStorage.getItem(storage);
  if (!kept || window.location.pathname !== "/" || !(query.has("code") || query.has("error"))) {
    return null;
  }
  sessionStorage.removeItem(storage);
  const { verifier, to } = JSON.parse(kept);
  history.replaceState(null, "", to);
  return {
    code: query.get("code") ?? "", error: query.get("error") ?? "", linkToken: query.get("link_token") ?? "",
    verifier, to,
  };
}
