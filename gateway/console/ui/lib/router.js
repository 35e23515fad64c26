/**
 * The router: every screen, filter and selected row has a URL. Links are ordinary links; a click on
 * one that leads to a screen changes the page without loading it.
 *
 * @typedef {{params: Record<string, string>, query: URLSearchParams, signal: AbortSignal}} Place
 * @typedef {{title: string, content: Node, update?: (place: Place) => void}} Screen
 * @typedef {{default: (place: Place) => Screen | Promise<Screen>}} ScreenModule
 * @typedef {{path: string, under?: string, load: () => Promise<any>, link?: string, key?: string, icon?: string,
 *   admin?: boolean, hint?: string, public?: boolean}} Route
 *
 * A route's `under` is a second path of the same screen, such as "/vault/{key}" for "/vault": going
 * from one to the other calls the screen's `update`.
 */
import { routes } from "../routes.js";

export const location$ = new EventTarget();

/**
 * Goes to a URL of this page.
 *
 * @param {string} url
 * @param {{replace?: boolean}} [options] replace: the current entry of the history is replaced
 */
export function go(url, { replace = false } = {}) {
  if (replace) {
    history.replaceState(null, "", url);
  } else {
    history.pushState(null, "", url);
  }
  location$.dispatchEvent(new Event("change"));
}

/**
 * Changes query parameters of the current URL; an empty value removes one.
 *
 * @param {Record<string, string | null | undefined>} changes
 * @param {{replace?: boolean}} [options]
 */
export function setQuery(changes, options = { replace: true }) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value) {
      url.searchParams.set(name, value);
    } else {
      url.searchParams.delete(name);
    }
  }
  go(url.pathname + url.search, options);
}

/**
 * Finds the route of a path and the values of its {parameters}.
 *
 * @param {string} path
 * @returns {{route: Route, params: Record<string, string>} | null}
 */
export function match(path) {
  for (const route of routes) {
    const params = matchPath(route.path, path) ?? (route.under ? matchPath(route.under, path) : null);
    if (params) {
      return { route, params };
    }
  }
  return null;
}

/**
 * @param {string} pattern
 * @param {string} path
 * @returns {Record<string, string> | null}
 */
function matchPath(pattern, path) {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) {
    return null;
  }
  /** @type {Record<string, string>} */
  const params = {};
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? "";
    if (part.startsWith("{")) {
      try {
        params[part.slice(1, -1)] = decodeURIComponent(value);
      } catch {
        return null;
      }
    } else if (part !== value) {
      return null;
    }
  }
  return params;
}

/** Follows clicks on links and the browser's back and forward buttons. */
export function listen() {
  window.addEventListener("popstate", () => location$.dispatchEvent(new Event("change")));
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    const modified = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button !== 0;
    if (!link || modified || event.defaultPrevented || link.target || link.hasAttribute("download")) {
      return;
    }
    const url = new URL(link.href);
    if (url.origin === location.origin && !link.getAttribute("href")?.startsWith("#") && match(url.pathname)) {
      event.preventDefault();
      go(url.pathname + url.search + url.hash);
    }
  });
}
