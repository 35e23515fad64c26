/** The way back from a provider's sign-in: trades the code, links an account, or says what went wrong. */
import { h } from "../lib/dom.js";
import { send } from "../lib/http.js";
import { returnAddress } from "../lib/provider.js";
import { session } from "../lib/session.js";
import { field, form } from "../parts/field.js";
import { gate } from "../parts/gate.js";
import { problem } from "../parts/panel.js";
import { codeForm, explain } from "./signin.js";

/** @type {Record<string, string>} */
const reasons = {
  access_denied: "You refused the sign-in at the provider.",
  temporarily_unavailable: "The provider does not answer at the moment. Try again, or sign in with your password.",
  provider_error: "The provider gave an answer that this server does not accept. Tell its administrator.",
  email_not_verified: "Your address is not verified, at the provider or here. Verify it and try again.",
  account_banned: "This account is banned. Ask an administrator of this server.",
  signup_disabled: "There is no account with your address, and this server takes no sign-ups.",
};

/** @param {import("../lib/provider.js").Return} back */
export default async function provider(back) {
  const place = h("div", { class: "stack" });
  const foot = h("a", { href: "/", onclick: () => window.location.reload() }, "Back to sign in");
  if (back.error === "link_required") {
    place.append(linkForm(back.linkToken, place));
    return gate({ title: "Link your account", content: place, foot });
  }
  if (back.error) {
    place.append(h("p", { role: "alert" }, reasons[back.error] ?? "The sign-in with the provider did not work."));
    return gate({ title: "Not signed in", content: place, foot });
  }
  try {
    const body = { code: back.code, code_verifier: back.verifier, redirect_uri: returnAddress() };
    enter((await send("POST", "/api/v1/auth/exchange", { body })).data, place);
  } catch (error) {
    place.append(problem(explain(error)));
  }
  return gate({ title: "Sign in", content: place, foot });
}

/** Signs in, or asks for the second factor. @param {any} data @param {HTMLElement} place */
function enter(data, place) {
  if (data.requires_2fa) {
    place.replaceChildren(codeForm(data.temp_token));
  } else {
    session.adopt(data);
  }
}

/** @param {string} linkToken @param {HTMLElement} place */
const linkForm = (linkToken, place) => form({
  fields: [
    h("p", {}, "There is an account with your address already. Its password proves that it is yours; after that ",
      "you can sign in either way."),
    field({ label: "Password", name: "password", type: "password", required: true, autocomplete: "current-password",
      attributes: { autofocus: true } }),
  ],
  submit: "Sign in",
  onsubmit: async ({ password = "" }) => {
    const body = { link_token: linkToken, password };
    const answer = await send("POST", "/api/v1/auth/link", { body }).catch((error) => {
      throw explain(error);
    });
    enter(answer.data, place);
  },
});
