/** The pages that mails link to: verify an address, and set a new password. The token is in the fragment. */
import { h } from "../lib/dom.js";
import { ApiError, send } from "../lib/http.js";
import { field, form } from "../parts/field.js";
import { gate } from "../parts/gate.js";

const signIn = () => h("a", { href: "/", class: "button primary" }, "Go to sign in");

/** Reads the token of the link and removes it from the address bar and the history. */
function takeToken() {
  const token = new URLSearchParams(window.location.hash.slice(1)).get("token") ?? "";
  history.replaceState(null, "", window.location.pathname);
  return token;
}

/** @param {string} what */
const incomplete = (what) => [
  h("p", {}, `This link is incomplete. Open the link of the mail again, or ask for a new one to ${what}.`),
  h("a", { href: "/", class: "button" }, "Go to sign in"),
];

export function verify() {
  const token = takeToken();
  const place = h("div", { class: "stack" });
  if (token === "") {
    place.append(...incomplete("verify the address"));
  } else {
    place.append(form({
      fields: [h("p", {}, "Confirm that this address is yours.")],
      submit: "Verify",
      onsubmit: async () => {
        const { data } = await send("POST", "/api/v1/auth/verify-email", { body: { token } }).catch(explain);
        place.replaceChildren(h("p", { role: "status" }, h("strong", { class: "break" }, data?.email ?? "The address"),
          " is verified."), h("div", { class: "row" }, signIn()));
      },
    }));
  }
  return gate({ title: "Verify your address", content: place, foot: h("a", { href: "/" }, "Sign in") });
}

export function reset() {
  const token = takeToken();
  const place = h("div", { class: "stack" });
  if (token === "") {
    place.append(...incomplete("set a password"));
  } else {
    place.append(form({
      fields: [field({ label: "New password", name: "password", type: "password", required: true,
        autocomplete: "new-password", attributes: { autofocus: true },
        hint: "At least 12 characters, with three of: small letters, capitals, digits, symbols." })],
      submit: "Save",
      onsubmit: async ({ password }) => {
        await send("POST", "/api/v1/auth/reset-password", { body: { token, password } }).catch(explain);
        place.replaceChildren(h("p", { role: "status" }, "The new password is set. All sessions were ended."),
          h("div", { class: "row" }, signIn()));
      },
    }));
  }
  return gate({ title: "Set a new password", content: place, foot: h("a", { href: "/" }, "Sign in") });
}

/**
 * Puts the refusal of a password at its field, and says what to do about a link.
 *
 * @param {unknown} error
 * @returns {never}
 */
function explain(error) {
  if (error instanceof ApiError && error.code === "WEAK_PASSWORD") {
    error.data = [{ instancePath: "/password", message: error.message }];
  } else if (error instanceof ApiError && error.status === 400 && error.violations.length === 0) {
    error.message = "This link was used already, or is too old. Sign in to see whether it worked, "
      + "or ask for a new link there.";
  }
  throw error;
}
