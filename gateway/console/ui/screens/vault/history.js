/** The versions of a key: what each held, how it differs from the current one, and restoring it. */
import { h } from "../../lib/dom.js";
import { ago, dateTime, size } from "../../lib/format.js";
import { listVersions, readItem, restoreItem } from "../../lib/vault.js";
import { confirm } from "../../parts/dialog.js";
import { diff } from "../../parts/diff.js";
import { empty } from "../../parts/empty.js";
import { panel } from "../../parts/panel.js";
import { toast } from "../../parts/toast.js";
import { openValue } from "./unlock.js";

/** @param {import("./views.js").View} view */
export default async function history(view) {
  const { vault, key, place, signal } = view;
  const versions = await listVersions(vault.realm, key, signal);
  const back = h("div", {},
    h("button", { type: "button", class: "button", onclick: () => vault.go({ key }) }, "Back to the value"));
  const earlier = versions.filter((version) => !version.current);
  place.replaceChildren(
    earlier.length === 0 ? empty({ icon: "activity", title: "No earlier versions.",
      text: "When the value changes, the earlier one is kept here." }) : "",
    h("ul", { class: "versions" }, versions.map((version) => entry(view, version))),
    back,
  );
}

/** @param {import("./views.js").View} view @param {import("../../lib/vault.js").Version} version */
function entry(view, version) {
  const { vault, key, signal } = view;
  const compare = h("div", { class: "stack" });
  const show = h("button", { type: "button", class: "button", "aria-expanded": "false" }, "Compare with current");
  show.addEventListener("click", () => {
    const open = compare.hasChildNodes();
    show.setAttribute("aria-expanded", String(!open));
    compare.replaceChildren(open ? "" : panel({
      plain: true,
      load: async () => {
        const [now, then] = await Promise.all([
          readItem(vault.realm, key, { signal }),
          readItem(vault.realm, key, { signal, version: version.version }),
        ]);
        const label = `Version ${version.version} and the current one`;
        return diff(await openValue(then.value), await openValue(now.value), label);
      },
    }));
    if (open) {
      compare.replaceChildren();
    }
  });
  const restore = () => confirm({
    title: `Restore version ${version.version}?`,
    text: "Its value becomes a new version. The current one stays in the history.",
    action: "Restore",
    act: () => restoreItem(vault.realm, key, version.version),
  }).then(async (done) => {
    if (done) {
      toast(`Version ${version.version} is restored.`);
      vault.go({ key });
      await vault.refresh(key);
    }
  });
  return h("li", { class: "stack tight" },
    h("div", { class: "row" }, h("strong", {}, `Version ${version.version}`),
      version.current ? h("span", { class: "badge good" }, "Current") : null,
      h("span", { class: "soft grow" }, `${size(version.size_bytes)} · `,
        h("time", { datetime: version.created_at, title: dateTime(version.created_at) }, ago(version.created_at)))),
    version.current ? null : h("div", { class: "row" }, show,
      h("button", { type: "button", class: "button", onclick: restore }, "Restore")),
    compare);
}
