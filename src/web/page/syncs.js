// All replicas.
import { h } from "./dom.js";
import { get } from "./api.js";
import { syncCard } from "./jobs.js";
import { empty } from "./parts.js";
import { changed, store } from "./store.js";

// The list comes without history; the charts want it. Read again when a pass has ended.
const histories = new Map(); // name: {mark, history}
const markOf = (s) => JSON.stringify([s.passes, s.last ?? null, s.point]);

export async function fillHistories() {
  for (const s of store.syncs ?? []) {
    const known = histories.get(s.name);
    s.history = known?.history ?? s.history;
    if (known?.mark === markOf(s)) continue;
    histories.set(s.name, { mark: markOf(s), history: known?.history });
    try {
      const full = await get(`syncs/${encodeURIComponent(s.name)}`);
      histories.get(s.name).history = full.history;
      const current = store.syncs?.find((c) => c.name === s.name);
      if (current) current.history = full.history;
      changed();
    } catch {
      histories.delete(s.name); // it will be asked for again
    }
  }
}

export function syncList() {
  if (!store.about?.syncs) return [h("h1", null, "Replicas"), empty("This hotadd has no Live Sync.")];
  if (!store.syncs?.length)
    return [h("h1", null, "Replicas"), empty("No replica is kept yet: ", h("code", null, "hotadd sync create NAME --vm ID --repo REPO"))];
  return h("div", { class: "stack", "data-key": "syncs" }, h("h1", null, "Replicas"), h("div", { class: "cards" }, store.syncs.map(syncCard)));
}
