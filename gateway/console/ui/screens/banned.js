/** What a banned person sees: the profile, the reason if it is known, and Sign out. Nothing is requested. */
import { h } from "../lib/dom.js";
import { dateTime } from "../lib/format.js";
import { session } from "../lib/session.js";

export default function banned() {
  const user = session.user;
  /** @type {[string, string][]} */
  const rows = [
    ["E-mail", user?.email ?? ""],
    ["User name", user?.username ?? ""],
    ["Member since", user?.created_at ? dateTime(user.created_at) : ""],
    ["Reason", user?.ban_reason ?? ""], // Known only where the server tells it.
  ];
  return {
    title: "Account banned",
    content: h("main", { id: "main", class: "alone" },
      h("h1", { tabindex: -1 }, "Your account is banned"),
      h("div", { class: "card stack" },
        h("p", {}, "You cannot use this server until an administrator lifts the ban. What you stored is still there."),
        h("dl", { class: "facts" }, rows.filter(([, value]) => value !== "").map(([name, value]) =>
          h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
        h("button", { type: "button", class: "button", onclick: () => session.signOut().catch(() => undefined) },
          "Sign out"))),
  };
}
