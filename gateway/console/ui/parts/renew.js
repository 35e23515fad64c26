/**
 * The dialog that asks for the password when the session was ended elsewhere. The screen stays as it
 * is behind it; requests that failed wait and are sent again.
 */
import { h } from "../lib/dom.js";
import { session } from "../lib/session.js";
import { openDialog } from "./dialog.js";
import { field, form } from "./field.js";

let open = false;

export async function askAgain() {
  const user = session.user;
  if (open || !user) {
    return;
  }
  open = true;
  const stale = session.currentToken;
  const place = h("div", { class: "stack" });
  const signOut = () => session.signOut().catch(() => undefined);
  const leave = h("button", { type: "button", class: "button", onclick: signOut }, "Sign out");
  const codeForm = (/** @type {string} */ tempToken) => form({
    fields: [field({ label: "Code", name: "code", required: true, autocomplete: "one-time-code" })],
    submit: "Sign in",
    extra: [leave],
    onsubmit: async ({ code = "" }) => void (await session.signIn({ temp_token: tempToken, code: code.trim() })),
  });
  const passwordForm = form({
    fields: [
      h("input", { type: "email", name: "email", value: user.email, autocomplete: "username", readonly: true,
        class: "visually-hidden", "aria-label": "E-mail", tabindex: -1 }),
      field({ label: "Password", name: "password", type: "password", required: true,
        autocomplete: "current-password" }),
    ],
    submit: "Sign in",
    extra: [leave],
    onsubmit: async ({ password = "" }) => {
      const due = await session.signIn({ email: user.email, password });
      if (due) {
        place.replaceChildren(codeForm(due.temp_token));
        place.querySelector("input")?.focus();
      }
    },
  });
  place.append(passwordForm);
  const opened = openDialog({
    title: "Sign in again",
    closable: false,
    content: [
      h("p", {}, "Your session was ended: by you in another place, or by an administrator. ",
        "Sign in as ", h("strong", { class: "break" }, user.email),
        " to go on where you are; nothing you typed is lost."),
      place,
    ],
  });
  /** @type {HTMLElement | null} */ (place.querySelector("rg-field input"))?.focus();
  const changed = () => {
    if (session.currentToken !== stale) {
      opened.close();
    }
  };
  session.addEventListener("change", changed);
  await opened.closed;
  session.removeEventListener("change", changed);
  open = false;
}
