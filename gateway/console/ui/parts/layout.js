/** The frame of all screens: navigation, the bar of small screens, the heading and the banner for trouble. */
import { h, setAttributes } from "../lib/dom.js";
import { openHelp, openPalette, reachable } from "../lib/keys.js";
import { session } from "../lib/session.js";
import { icon, mark } from "./icon.js";
import { skeleton } from "./panel.js";

export class Layout {
  #heading = h("h1", { tabindex: -1 });
  #actions = h("div", { class: "row" });
  #content = h("div", { class: "stack screen-content" });
  #links = h("ul", { class: "nav-links" });
  #nav = h("nav", { "aria-label": "Main", class: "nav", id: "nav" });
  #menu = h("button", {
    type: "button", class: "button menu", "aria-expanded": "false", "aria-controls": "nav",
    onclick: () => this.#toggle(),
  }, icon("menu"), "Menu");

  constructor() {
    const brand = () => h("a", { href: "/", class: "brand" }, mark(26), "Realmgate");
    const search = () => h("button", { type: "button", class: "button search", onclick: openPalette }, icon("search"),
      h("span", {}, "Commands"), h("kbd", {}, "Ctrl K"));
    this.#nav.append(
      h("div", { class: "nav-brand" }, brand()),
      search(),
      this.#links,
      h("div", { class: "nav-foot stack tight" },
        h("p", { class: "small soft truncate", "data-user": true }, session.user?.email ?? ""),
        h("div", { class: "row" },
          h("button", { type: "button", class: "button", onclick: () => this.#signOut() }, icon("leave"), "Sign out"),
          h("button", { type: "button", class: "button icon-only", "aria-label": "Keyboard help",
            title: "Keyboard help", onclick: openHelp }, icon("help")))),
    );
    this.element = h(
      "div",
      { class: "shell" },
      h("header", { class: "bar" }, brand(), this.#menu),
      this.#nav,
      h("main", { id: "main", tabindex: -1 },
        h("div", { class: "screen-head" }, this.#heading, this.#actions), this.#content),
    );
    this.#nav.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#menu.getAttribute("aria-expanded") === "true") {
        this.#toggle(false);
        this.#menu.focus();
      }
    });
    this.markUser();
  }

  /** Draws the links that the signed-in person may follow. */
  markUser() {
    const name = this.#nav.querySelector("[data-user]");
    if (name) {
      name.textContent = session.user?.email ?? "";
      setAttributes(name, { title: session.user?.email });
    }
    this.#links.replaceChildren(...reachable().map((route) =>
      h("li", {}, h("a", { href: route.path, class: "nav-link" }, icon(route.icon ?? ""), route.link ?? ""))));
    this.markPlace();
  }

  /** Marks the link of the current screen and closes the menu. */
  markPlace() {
    this.#toggle(false);
    const path = window.location.pathname;
    for (const link of this.#links.querySelectorAll("a")) {
      const own = link.pathname;
      const current = path === own || (own !== "/" && path.startsWith(`${own}/`));
      setAttributes(link, { "aria-current": current ? "page" : null });
    }
  }

  /** Shows grey lines until the screen has come. @param {string} title */
  wait(title) {
    this.show({ title, content: skeleton(6) });
  }

  /** @param {{title: string, content: Node, actions?: Node[]}} screen */
  show(screen) {
    this.setTitle(screen.title);
    this.#actions.replaceChildren(...(screen.actions ?? []));
    this.#content.replaceChildren(screen.content);
  }

  /** @param {string} title */
  setTitle(title) {
    document.title = `${title} · Realmgate`;
    this.#heading.textContent = title;
  }

  /** Moves the focus to the heading, so that a screen reader says where the person is. */
  focus() {
    this.#heading.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }

  /** @param {boolean} [open] */
  #toggle(open = this.#menu.getAttribute("aria-expanded") !== "true") {
    setAttributes(this.#menu, { "aria-expanded": String(open) });
    setAttributes(this.#nav, { "data-open": open });
  }

  async #signOut() {
    await session.signOut().catch(() => undefined); // The tabs have forgotten the session in any case.
  }
}
