/**
 * <rg-tree>: a tree of permissions with boxes of three states: all, some or none of a branch. It
 * shows only what is offered.
 *
 * @typedef {{[name: string]: boolean | Tree}} Tree
 */
import { h } from "../lib/dom.js";

export class PermissionTree extends HTMLElement {
  /** @type {Tree} */
  #offered = {};
  /** @type {Map<string, HTMLInputElement>} */
  #boxes = new Map();

  /** @param {Tree} offered @param {Tree} chosen */
  build(offered, chosen) {
    this.#offered = offered;
    this.className = "tree";
    this.append(this.#branch(offered, chosen, ""));
    this.#settle(offered, "");
    this.addEventListener("change", (event) => {
      const box = /** @type {HTMLInputElement} */ (event.target);
      for (const [path, other] of this.#boxes) {
        if (path.startsWith(`${box.name}.`)) {
          other.checked = box.checked;
        }
      }
      this.#settle(offered, "");
    });
    return this;
  }

  /** The chosen permissions: a tree of booleans that has only what was chosen. @returns {Tree} */
  get value() {
    return this.#collect(this.#offered, "");
  }

  /** Chooses exactly what a tree allows. @param {Tree} chosen */
  set value(chosen) {
    this.#choose(this.#offered, chosen, "");
    this.#settle(this.#offered, "");
  }

  /**
   * @param {Tree} offered
   * @param {boolean | Tree | undefined} chosen
   * @param {string} prefix
   * @returns {HTMLUListElement}
   */
  #branch(offered, chosen, prefix) {
    return h("ul", {}, Object.entries(offered).filter(([, entry]) => entry !== false).map(([name, entry]) => {
      const path = prefix ? `${prefix}.${name}` : name;
      const own = typeof chosen === "object" ? chosen[name] : chosen;
      const box = h("input", { type: "checkbox", class: "checkbox", name: path });
      box.checked = own === true;
      this.#boxes.set(path, box);
      const label = h("label", { class: "row" }, box, h("span", {}, readable(name)));
      return h("li", {}, label, typeof entry === "object" ? this.#branch(entry, own, path) : null);
    }));
  }

  /**
   * Sets the boxes of branches by their leaves; returns how many leaves are chosen, of how many.
   *
   * @param {Tree} tree
   * @param {string} prefix
   * @returns {[number, number]}
   */
  #settle(tree, prefix) {
    let [chosen, total] = [0, 0];
    for (const [name, entry] of Object.entries(tree)) {
      const path = prefix ? `${prefix}.${name}` : name;
      const box = this.#boxes.get(path);
      if (!box) {
        continue;
      }
      let [own, all] = [box.checked ? 1 : 0, 1];
      if (typeof entry === "object") {
        [own, all] = this.#settle(entry, path);
        box.checked = all > 0 && own === all;
        box.indeterminate = own > 0 && own < all;
      }
      chosen += own;
      total += all;
    }
    return [chosen, total];
  }

  /** @param {Tree} tree @param {string} prefix @returns {Tree} */
  #collect(tree, prefix) {
    /** @type {Tree} */
    const result = {};
    for (const [name, entry] of Object.entries(tree)) {
      const path = prefix ? `${prefix}.${name}` : name;
      if (typeof entry === "object") {
        const inner = this.#collect(entry, path);
        if (Object.keys(inner).length > 0) {
          result[name] = inner;
        }
      } else if (this.#boxes.get(path)?.checked) {
        result[name] = true;
      }
    }
    return result;
  }

  /** @param {Tree} tree @param {boolean | Tree | undefined} chosen @param {string} prefix */
  #choose(tree, chosen, prefix) {
    for (const [name, entry] of Object.entries(tree)) {
      const path = prefix ? `${prefix}.${name}` : name;
      const own = typeof chosen === "object" ? chosen[name] : chosen;
      const box = this.#boxes.get(path);
      if (box) {
        box.checked = own === true;
      }
      if (typeof entry === "object") {
        this.#choose(entry, own, path);
      }
    }
  }
}
customElements.define("rg-tree", PermissionTree);

/** "read_account" → "Read account". @param {string} name */
function readable(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** @param {Tree} offered @param {Tree} [chosen] */
export function permissionTree(offered, chosen = {}) {
  return /** @type {PermissionTree} */ (document.createElement("rg-tree")).build(offered, chosen);
}
