/**
 * Creating and changing a key: text, JSON or a file, metadata, expiry and the lock. A change is shown
 * before it overwrites anything; what another wrote meanwhile is never overwritten unseen.
 */
import { parseEnvelope } from "../../lib/envelope.js";
import { h } from "../../lib/dom.js";
import { ApiError } from "../../lib/http.js";
import { readItem, validKey, writeItem } from "../../lib/vault.js";
import { vaultLock } from "../../lib/vaultlock.js";
import { confirm } from "../../parts/dialog.js";
import { form } from "../../parts/field.js";
import { progress } from "../../parts/progress.js";
import { toast } from "../../parts/toast.js";
import { conflict, review } from "./compare.js";
import { contentFields } from "./content.js";
import { fileOf } from "./files.js";
import { openValue, unlock } from "./unlock.js";

const largeValue = 256 * 1024;

/** @typedef {{value: string, metadata: any, expires_at?: string | null}} Content */

/** @param {import("./views.js").View} view */
export default async function editor(view) {
  const { vault, key, signal } = view;
  const current = key ? await readItem(vault.realm, key, { signal }) : null;
  const text = current ? await openValue(current.value).catch((error) => {
    view.close();
    throw error;
  }) : "";
  new Editor(view, current, text).show();
}

class Editor {
  #done = false;

  /**
   * @param {import("./views.js").View} view
   * @param {import("../../lib/vault.js").Item | null} current
   * @param {string} text the opened value of `current`
   */
  constructor(view, current, text) {
    this.view = view;
    this.current = current;
    this.text = text;
    this.fields = contentFields(current, text, current ? parseEnvelope(current.value) !== null : false);
    this.back = h("button", { type: "button", class: "button", onclick: () => this.#leave() }, "Cancel");
    this.form = form({
      fields: this.fields.nodes,
      submit: "Save",
      extra: [this.back],
      onsubmit: () => this.#submit(),
    });
    view.guard(() => this.#mayClose());
    const warn = (/** @type {BeforeUnloadEvent} */ event) => {
      if (this.#changed()) {
        event.preventDefault();
      }
    };
    window.addEventListener("beforeunload", warn, { signal: view.signal });
  }

  show() {
    this.view.place.replaceChildren(this.form);
    this.form.querySelector(this.current ? "textarea" : "input")?.focus();
  }

  #changed() {
    return !this.#done && this.fields.changed();
  }

  async #mayClose() {
    return !this.#changed() || confirm({ title: "Discard what you typed?", text: "It was not saved.", action: "Discard",
      danger: true });
  }

  async #leave() {
    if (await this.#mayClose()) {
      this.#done = true;
      this.view.close();
    }
  }

  /** Checks what was typed; a change of the value is shown before it is saved. */
  async #submit() {
    const name = this.current ? this.view.key : this.fields.key();
    if (!validKey(name)) {
      throw new ApiError(400, "", { data: [{ instancePath: "/key",
        message: "has 1 to 255 letters, digits, dots, dashes and underscores" }] });
    }
    const content = this.fields.content();
    if (this.current && content.value !== this.text && !fileOf(content.metadata)) {
      review(this.view.place, { before: this.text, after: content.value, back: () => this.show(),
        save: () => this.#save(name, content, this.current?.etag ?? "") });
      return;
    }
    await this.#save(name, content, this.current?.etag ?? "");
  }

  /**
   * @param {string} name
   * @param {Content} content
   * @param {string} etag the version that may be overwritten; "" for none
   */
  async #save(name, content, etag) {
    const { vault } = this.view;
    if (this.fields.locked() && !vaultLock.unlocked && !(await unlock())) {
      throw new Error("Without the vault password the value cannot be locked. Nothing was saved.");
    }
    const sealed = { ...content, value: this.fields.locked() ? await vaultLock.seal(content.value) : content.value };
    const large = sealed.value.length > largeValue ? progress("Saving") : null;
    try {
      if (large) {
        this.form.append(large.element);
      }
      const options = large ? { onprogress: large.set, signal: large.signal } : {};
      await writeItem(vault.realm, name, sealed, { create: !etag, ...(etag ? { etag } : {}), ...options });
    } catch (error) {
      if (error instanceof ApiError && error.status === 412) {
        await this.#conflict(name, content);
        return;
      }
      throw error;
    } finally {
      large?.element.remove();
    }
    this.#done = true;
    this.view.close();
    await vault.refresh(name);
    toast(`${name} is saved.`);
  }

  /** Shows both versions when the key was written meanwhile. @param {string} name @param {Content} content */
  async #conflict(name, content) {
    const { vault, place } = this.view;
    const theirs = await readItem(vault.realm, name).catch((error) => {
      if (error instanceof ApiError && error.status === 404) {
        return null;
      }
      throw error;
    });
    conflict(place, {
      name,
      theirs: theirs ? await openValue(theirs.value) : null,
      mine: content.value,
      back: () => this.show(),
      keep: () => {
        this.#done = true;
        this.view.close();
      },
      save: () => this.#save(name, content, theirs?.etag ?? ""),
    });
  }
}
