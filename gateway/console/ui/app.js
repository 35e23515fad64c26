/** The console's entry: finds the session, shows the screen of the URL and keeps both in step. */
import { h } from "./lib/dom.js";
import { isAbort } from "./lib/http.js";
import { listenForKeys } from "./lib/keys.js";
import { listen, location$, match } from "./lib/router.js";
import { session } from "./lib/session.js";
import { Layout } from "./parts/layout.js";
import { showReachable } from "./parts/offline.js";
import { problem } from "./parts/panel.js";
import "./parts/toast.js";

/** @typedef {import("./lib/router.js").Route} Route */

const app = /** @type {HTMLElement} */ (document.getElementById("app"));

/** @type {Layout | null} */
let layout = null;
/**
 * @type {{key: string, route: Route | null, leave: AbortController,
 *   update?: ((place: any) => void) | undefined} | null}
 */
let current = null;
let userId = "";

/** What decides which screen is shown; the fragment counts only on the pages before the sign-in. */
const placeKey = () => window.location.pathname + window.location.search + (session.user ? "" : window.location.hash);

async function render() {
  const key = `${session.user?.id ?? ""} ${session.user?.is_banned ?? ""} ${placeKey()}`;
  if (current?.key === key) {
    return;
  }
  const found = match(window.location.pathname);
  const place = { params: found?.params ?? {}, query: new URLSearchParams(window.location.search) };
  if (session.user?.is_banned === false && current?.update && current.route === found?.route) {
    current.key = key;
    current.update({ ...place, signal: current.leave.signal });
    return;
  }
  const first = current === null;
  current?.leave.abort();
  const leave = new AbortController();
  const mine = { key, route: found?.route ?? null, leave };
  current = mine;
  await showScreen(found?.route ?? null, { ...place, signal: leave.signal }, first, () => current === mine);
}

/**
 * @param {Route | null} route
 * @param {import("./lib/router.js").Place} place
 * @param {boolean} first
 * @param {() => boolean} wanted whether the person is still there
 */
async function showScreen(route, place, first, wanted) {
  const frame = frameFor(route);
  frame?.markPlace();
  const late = setTimeout(() => frame?.wait(route?.link ?? "Realmgate"), 150);
  try {
    const module = await loaderOf(route)();
    const screen = await module.default(place);
    if (!wanted()) {
      return;
    }
    if (frame) {
      frame.show(screen);
      if (!first) {
        frame.focus();
      }
    } else {
      document.title = `${screen.title} · Realmgate`;
      app.replaceChildren(screen.content);
      /** @type {HTMLElement | null} */ (app.querySelector("[autofocus]") ?? app.querySelector("h1"))?.focus();
    }
    if (current) {
      current.update = screen.update;
    }
  } catch (error) {
    if (wanted() && !isAbort(error)) {
      const again = () => window.location.reload();
      (frame ?? plainFrame()).show({ title: "This did not work", content: problem(error, again) });
    }
  } finally {
    clearTimeout(late);
  }
}

/** The frame of signed-in people; null for the pages that stand alone. @param {Route | null} route */
function frameFor(route) {
  if (!session.user || session.user.is_banned || route?.public) {
    layout = null;
    return null;
  }
  if (!layout) {
    layout = new Layout();
    app.replaceChildren(layout.element);
  }
  return layout;
}

/** A frame for errors on pages that stand alone. */
const plainFrame = () => ({
  show: (/** @type {{title: string, content: Node}} */ screen) => app.replaceChildren(
    h("main", { id: "main", class: "alone" }, h("h1", { tabindex: -1 }, screen.title), screen.content)),
});

/** @param {Route | null} route @returns {() => Promise<any>} */
function loaderOf(route) {
  if (route?.public) {
    return route.load;
  }
  if (!session.user) {
    return () => import("./screens/signin.js");
  }
  if (session.user.is_banned) {
    return () => import("./screens/banned.js");
  }
  const allowed = route && (!route.admin || session.user.is_admin);
  return allowed ? route.load : () => import("./screens/missing.js");
}

function sessionChanged() {
  const id = session.user?.id ?? "";
  if (userId !== "" && id !== "" && id !== userId) {
    window.location.reload(); // Another account signed in in another tab.
    return;
  }
  if ((id === "" && userId !== "") || session.user?.is_banned) {
    document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  }
  if (id === "" && userId !== "") {
    layout = null;
    history.replaceState(null, "", "/");
  }
  if (id !== "" && userId === "" && window.location.hash) {
    history.replaceState(null, "", window.location.pathname + window.location.search); // "#sign-up"
  }
  userId = id;
  layout?.markUser();
  void render();
}

async function start() {
  if (!window.isSecureContext) {
    const { default: insecure } = await import("./screens/insecure.js");
    app.replaceChildren(insecure());
    return;
  }
  listen();
  listenForKeys();
  location$.addEventListener("change", () => void render());
  session.addEventListener("change", sessionChanged);
  session.addEventListener("ended", async () => (await import("./parts/renew.js")).askAgain());
  window.addEventListener("reachable", (event) => showReachable(/** @type {CustomEvent} */ (event).detail));
  document.querySelector(".skip")?.addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main")?.focus();
  });
  try {
    await session.restore();
  } catch (error) {
    plainFrame().show({ title: "The server did not answer", content: problem(error, () => window.location.reload()) });
    return;
  }
  await render();
}

void start();
