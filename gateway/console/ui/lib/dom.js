/**
 * Builds elements. Nothing here parses markup, so text can never become an element.
 *
 * @typedef {string | number | boolean | null | undefined | EventListener | ((event: any) => unknown)} Attribute
 * @typedef {Node | string | number | null | undefined | false | Child[]} Child
 */

/**
 * Creates an element. An attribute whose name begins with "on" is a listener, `true` sets an empty
 * attribute, and `false`, `null` and `undefined` leave the attribute out.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, Attribute>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  element.append(...nodes(children));
  return element;
}

/**
 * Creates an SVG element, like {@link h}.
 *
 * @param {string} tag
 * @param {Record<string, Attribute>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(element, attributes);
  element.append(...nodes(children));
  return element;
}

/**
 * Sets attributes and listeners of an element as {@link h} does.
 *
 * @param {Element} element
 * @param {Record<string, Attribute>} attributes
 */
export function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.replace(/^on/, ""), /** @type {EventListener} */ (value));
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value === false || value === null || value === undefined) {
      element.removeAttribute(name);
    } else {
      element.setAttribute(name, String(value));
    }
  }
}

/**
 * Flattens children into nodes and leaves out empty ones.
 *
 * @param {Child | Child[]} children
 * @returns {(Node | string)[]}
 */
export function nodes(children) {
  if (Array.isArray(children)) {
    return children.flatMap((child) => nodes(child));
  }
  if (children === null || children === undefined || children === false) {
    return [];
  }
  return [children instanceof Node ? children : String(children)];
}

let lastId = 0;

/**
 * Returns an id that no other element of this page has.
 *
 * @param {string} prefix
 */
export function uniqueId(prefix) {
  lastId += 1;
  return `${prefix}-${lastId}`;
}
