/**
 * The screens: one row each. `link`, `key` and `icon` make an entry of the navigation, reached by
 * `g` and the key. A row is added together with its screen, never before.
 *
 * @type {import("./lib/router.js").Route[]}
 */
export const routes = [
  { path: "/", load: () => import("./screens/overview.js"), link: "Overview", key: "o", icon: "overview" },
  {
    path: "/vault",
    under: "/vault/{key}",
    load: () => import("./screens/vault.js"),
    link: "Vault",
    key: "v",
    icon: "vault",
    hint: "secrets keys values",
  },
  { path: "/device", load: () => import("./screens/device.js") },
  { path: "/verify-email", load: () => screen("verify"), public: true },
  { path: "/reset-password", load: () => screen("reset"), public: true },
];

/** @param {"verify" | "reset"} name */
const screen = async (name) => ({ default: (await import("./screens/mailed.js"))[name] });
