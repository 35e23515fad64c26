/** What is shown over plain http on another name than loopback, where browsers have no cryptography. */
import { h } from "../lib/dom.js";

export default function insecure() {
  document.title = "https needed · Realmgate";
  return h("main", { id: "main", class: "alone" },
    h("h1", {}, "The console needs https"),
    h("div", { class: "card stack" },
      h("p", {}, "This page came over plain http. Browsers then switch off what protects the session and the vault, ",
        "so the console does not start."),
      h("p", {}, "Open it with https, or on the machine itself at ", h("code", {}, "http://localhost"), ". ",
        h("a", { href: "/docs" }, "The documentation"), " says how to put the gateway behind TLS.")));
}
