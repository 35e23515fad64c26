/**
 * Signing in a device: the person types the code that the device shows, sees what asks from where,
 * and approves or denies it.
 */
import { api } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { ago } from "../lib/format.js";
import { go } from "../lib/router.js";
import { field, form } from "../parts/field.js";
import { panel } from "../parts/panel.js";

/** @param {import("../lib/router.js").Place} place */
export default function device({ query, signal }) {
  const code = query.get("user_code") ?? "";
  const content = h("div", { class: "card stack narrow" });
  if (code === "") {
    content.append(ask());
  } else {
    content.append(panel({ plain: true, load: () => question(code, signal, content) }),
      h("p", {}, h("a", { href: "/device" }, "Another code")));
  }
  return { title: "Sign in a device", content };
}

const ask = () => form({
  fields: [
    h("p", {}, "Type the code that the device or the program shows."),
    field({ label: "Code", name: "code", required: true, mono: true, autocomplete: "off",
      attributes: { autocapitalize: "characters", spellcheck: "false", placeholder: "XXXX-XXXX", maxlength: 12 } }),
  ],
  submit: "Continue",
  onsubmit: ({ code = "" }) => go(`/device?user_code=${encodeURIComponent(code.trim())}`),
});

/** @param {string} code @param {AbortSignal} signal @param {HTMLElement} content */
async function question(code, signal, content) {
  const { data } = await api("GET", "/auth/device", { query: { user_code: code }, signal });
  const answer = async (/** @type {"approve" | "deny"} */ verb) => {
    await api("POST", `/auth/device/${verb}`, { body: { user_code: code } });
    const done = h("p", { role: "status", tabindex: -1 }, h("strong", {}, verb === "approve"
      ? "The device is signed in. You can close this page."
      : "The device was refused. If you did not start this, there is nothing else to do."));
    content.replaceChildren(done);
    done.focus();
  };
  /** @type {[string, string][]} */
  const facts = [
    ["Asks", data.client_name || "a program without a name"],
    ["From", data.ip_address],
    ["Since", ago(data.created_at)],
    ["Code", code.toUpperCase()],
  ];
  const refuse = form({ fields: [], submit: "Deny", onsubmit: () => answer("deny") });
  refuse.querySelector("button")?.classList.remove("primary");
  return [
    h("p", {}, "A device wants to act in your name. Approve it only if you started this yourself just now, ",
      "and the device shows the same code."),
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    h("div", { class: "row" }, form({ fields: [], submit: "Approve", onsubmit: () => answer("approve") }), refuse),
  ];
}
