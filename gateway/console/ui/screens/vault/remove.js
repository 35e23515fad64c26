/** Deleting a key: to the trash, with a way back; for good only where the trash is switched off. */
import { ApiError } from "../../lib/http.js";
import { deleteItem, restoreItem } from "../../lib/vault.js";
import { confirm } from "../../parts/dialog.js";
import { toast } from "../../parts/toast.js";

/** @param {import("./views.js").View} view */
export async function remove({ vault, key, close }) {
  const { realm } = vault;
  let restorable = false;
  try {
    restorable = Boolean((await deleteItem(realm, key, true))?.restorable_until);
  } catch (error) {
    const noTrash = error instanceof ApiError && error.status === 400;
    const agreed = noTrash && (await confirm({
      title: `Delete ${key}?`,
      text: "The trash is switched off on this server. The key and its history are gone for good.",
      action: "Delete",
      danger: true,
      act: () => deleteItem(realm, key, false),
    }));
    if (!noTrash) {
      toast(error instanceof Error ? error.message : String(error), { danger: true });
    }
    if (!agreed) {
      return;
    }
    close();
    await vault.refresh(key);
    toast(`${key} was deleted.`);
    return;
  }
  close();
  await vault.refresh(key);
  const undo = async () => {
    try {
      await restoreItem(realm, key);
      await vault.refresh(key);
      toast(`${key} is back.`);
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), { danger: true });
    }
  };
  toast(restorable ? `${key} is in the trash.` : `${key} was deleted.`,
    restorable ? { action: "Undo", onaction: undo } : {});
}
