/**
 * <rg-panel>: a titled part of a screen that loads by itself: a skeleton first, then its content, or
 * what went wrong with a button to try again. <rg-skeleton> is the skeleton alone.
 */
import { isAbort } from "../lib/http.js";
import { h, uniqueId } from "../lib/dom.js";
import { problemText } from "./field.js";

class Skeleton extends HTMLElement {}
customElements.define("rg-skeleton", Skeleton);

/** Grey lines in the place of content that is still loading. @param {number} [lines] */
export function skeleton(lines = 3) {
  const element = document.createElement("rg-skeleton");
  element.setAttribute("aria-hidden", "true");
  element.append(...Array.from({ length: lines }, () => h("span")));
  return element;
}

export class Panel extends HTMLElement {
  #body = h("div", { class: "panel-body" });
  #load = async () => /** @type {import("../lib/dom.js").Child} */ (null);
  #lines = 3;
  #run = 0;

  /** @param {PanelOptions} options */
  build({ title, load, lines = 3, actions = [], level = "h2", plain = false }) {
    this.#load = load;
    this.#lines = lines;
    this.className = plain ? "panel plain" : "panel";
    if (title) {
      const id = uniqueId("panel");
      this.setAttribute("role", "region");
      this.setAttribute("aria-labelledby", id);
      this.append(h("div", { class: "panel-head" }, h(level, { id }, title), h("div", { class: "row" }, actions)));
    }
    this.append(this.#body);
    void this.reload();
    return this;
  }

  /** Loads the content again; what is there stays until the new content has come. */
  async reload() {
    this.#run += 1;
    const run = this.#run;
    this.setAttribute("aria-busy", "true");
    if (!this.#body.hasChildNodes() || this.#body.querySelector(".problem")) {
      this.#body.replaceChildren(skeleton(this.#lines));
    }
    try {
      const content = await this.#load();
      if (run === this.#run) {
        this.#body.replaceChildren(h("div", { class: "stack" }, content));
      }
    } catch (error) {
      if (run === this.#run && !isAbort(error)) {
        this.#body.replaceChildren(problem(error, () => this.reload()));
      }
    } finally {
      if (run === this.#run) {
        this.removeAttribute("aria-busy");
      }
    }
  }
}
customElements.define("rg-panel", Panel);

/**
 * @typedef {{title?: string, load: () => Promise<import("../lib/dom.js").Child>, lines?: number,
 *   actions?: Node[], level?: "h2" | "h3", plain?: boolean}} PanelOptions
 */

/** @param {PanelOptions} options */
export function panel(options) {
  return /** @type {Panel} */ (document.createElement("rg-panel")).build(options);
}

/**
 * An error in the place of content, with the request id and a button to try again. When the server
 * can be reached again, it is tried by itself.
 *
 * @param {unknown} error
 * @param {(() => unknown)} [again]
 */
export function problem(error, again) {
  const button = again && h("button", { type: "button", class: "button", onclick: again }, "Try again");
  const element = h("div", { class: "problem", role: "alert" }, problemText(error), button);
  if (again) {
    const stop = new AbortController();
    window.addEventListener("reachable", (event) => {
      if (/** @type {CustomEvent} */ (event).detail) {
        stop.abort();
        void (element.isConnected && again());
      }
    }, { signal: stop.signal });
  }
  return element;
}
