/**
 * Sign in, sign up and forgot password. They stand at whichever URL the person wanted to go to and
 * are told apart by the fragment, so the way leads back there by itself.
 */
import { h } from "../lib/dom.js";
import { ago } from "../lib/format.js";
import { ApiError, send } from "../lib/http.js";
import { leaveFor, takeReturn } from "../lib/provider.js";
import { session } from "../lib/session.js";
import { field, form } from "../parts/field.js";
import { gate } from "../parts/gate.js";
import { toast } from "../parts/toast.js";

const passwordRule = "At least 12 characters, with three of: small letters, capitals, digits, symbols.";

/**
 * @typedef {{signupEnabled: boolean, inviteRequired: boolean, appName: string,
 *   providers?: {name: string, label: string}[]}} Config
 */

/** @returns {Promise<Config>} */
const config = async () => (await send("GET", "/api/v1/auth/config")).data;

export default async function signin() {
  const back = takeReturn();
  if (back) {
    return (await import("./provider.js")).default(back);
  }
  switch (window.location.hash) {
    case "#sign-up":
      return signUp(await config());
    case "#forgot":
      return forgot();
    default:
      return signIn(await config());
  }
}

/** @param {Config} offered */
function signIn({ signupEnabled, providers = [] }) {
  const place = h("div", { class: "stack" });
  const email = emailField();
  place.append(form({
    fields: [
      email,
      field({ label: "Password", name: "password", type: "password", required: true,
        autocomplete: "current-password" }),
    ],
    submit: "Sign in",
    extra: [h("a", { href: "#forgot", class: "forgot" }, "Forgot password?")],
    onsubmit: async ({ email: address = "", password = "" }) => {
      await enter({ email: address.trim(), password }, place);
    },
  }));
  return gate({
    title: "Sign in",
    content: [place, providers.length > 0 && h("div", { class: "stack tight providers" }, providers.map((entry) => h(
      "button", { type: "button", class: "button", onclick: () => leaveFor(entry.name) }, `Continue with ${entry.label}`,
    )))],
    foot: signupEnabled && ["New here? ", h("a", { href: "#sign-up" }, "Sign up")],
  });
}

/**
 * Signs in, asks for the second factor when it is due and explains what stands in the way.
 *
 * @param {{email: string, password: string}} credentials
 * @param {HTMLElement} place what the next step replaces
 */
async function enter(credentials, place) {
  try {
    const due = await session.signIn(credentials);
    if (due) {
      place.replaceChildren(codeForm(due.temp_token));
      place.querySelector("input")?.focus();
    }
  } catch (error) {
    if (error instanceof ApiError && error.code === "EMAIL_NOT_VERIFIED") {
      inbox(credentials.email, place);
      return;
    }
    throw explain(error);
  }
}

/** @param {string} tempToken */
export function codeForm(tempToken) {
  return form({
    fields: [
      h("p", {}, "Enter the code of your authenticator app, or one of your backup codes."),
      field({ label: "Code", name: "code", required: true, autocomplete: "one-time-code", mono: true,
        attributes: { autocapitalize: "characters", spellcheck: "false" } }),
    ],
    submit: "Sign in",
    extra: [h("button", { type: "button", class: "button quiet forgot", onclick: () => window.location.reload() },
      "Start again")],
    onsubmit: async ({ code = "" }) => {
      await session.signIn({ temp_token: tempToken, code: code.trim() }).catch((error) => {
        throw explain(error);
      });
    },
  });
}

/** @param {string} email @param {HTMLElement} place */
function inbox(email, place) {
  const resend = form({
    fields: [],
    submit: "Send a new link",
    onsubmit: async () => {
      await send("POST", "/api/v1/auth/resend-verification", { body: { email } }).catch((error) => {
        throw explain(error);
      });
      toast("If the address is waiting to be verified, a new link is on its way.");
    },
  });
  place.replaceChildren(
    h("h2", { tabindex: -1 }, "Check your inbox"),
    h("p", {}, "A link was sent to ", h("strong", { class: "break" }, email),
      ". Open it to verify the address, and then ",
      h("a", { href: "/", onclick: () => window.location.reload() }, "sign in"), "."),
    resend,
  );
  place.querySelector("h2")?.focus();
}

/** @param {Config} offered */
function signUp({ signupEnabled, inviteRequired }) {
  const back = ["Have an account? ", h("a", { href: "#" }, "Sign in")];
  if (!signupEnabled) {
    return gate({ title: "Sign up", foot: back,
      content: h("p", {}, "This server takes no sign-ups. Ask its administrator for an account.") });
  }
  const place = h("div", { class: "stack" });
  const invite = inviteRequired
    ? [field({ label: "Invite code", name: "invite_code", required: true, autocomplete: "off" })]
    : [];
  place.append(form({
    fields: [
      emailField(),
      field({ label: "Password", name: "password", type: "password", required: true, autocomplete: "new-password",
        hint: passwordRule }),
      ...invite,
    ],
    submit: "Sign up",
    onsubmit: async ({ email = "", password = "", invite_code }) => {
      const body = { email: email.trim(), password, ...(invite_code ? { invite_code: invite_code.trim() } : {}) };
      await send("POST", "/api/v1/auth/signup", { body }).catch((error) => {
        throw explain(error);
      });
      await enter({ email: body.email, password }, place).catch(() => inbox(body.email, place));
    },
  }));
  return gate({ title: "Sign up", content: place, foot: back });
}

function forgot() {
  const place = h("div", { class: "stack" });
  place.append(form({
    fields: [
      h("p", {}, "Tell us your address and we send a link to set a new password."),
      emailField(),
    ],
    submit: "Send the link",
    onsubmit: async ({ email = "" }) => {
      await send("POST", "/api/v1/auth/forgot-password", { body: { email: email.trim() } }).catch((error) => {
        throw explain(error);
      });
      place.replaceChildren(
        h("h2", { tabindex: -1 }, "Check your inbox"),
        h("p", {}, "If there is an account with this address, a link to set a new password is on its way."),
      );
      place.querySelector("h2")?.focus();
    },
  }));
  return gate({ title: "Forgot password", content: place, foot: h("a", { href: "#" }, "Back to sign in") });
}

const emailField = () => field({
  label: "E-mail", name: "email", type: "email", required: true, autocomplete: "username",
  attributes: { autofocus: true, inputmode: "email", spellcheck: "false" },
});

/** Says what to do about an error. @param {unknown} error */
export function explain(error) {
  if (!(error instanceof ApiError)) {
    return error;
  }
  const when = error.retryAfter > 0 ? ago(Date.now() + error.retryAfter * 1000 + 999) : "later";
  /** @type {Record<string, string>} */
  const advice = {
    INVALID_CREDENTIALS: "E-mail or password is wrong. Check both, or set a new password with “Forgot password?”.",
    ACCOUNT_BANNED: "This account is banned. Ask an administrator of this server.",
    RATE_LIMITED: `Too many attempts. Try again ${when}.`,
    TWOFACTOR_RATE_LIMIT: `Too many wrong codes. Try again ${when}.`,
    INVALID_OTP_CODE: "The code is wrong or was used already. Wait for the next one and try again.",
  };
  error.message = advice[error.code] ?? error.message;
  return error;
}
