// One replica: its lag, its points, its tests, and failing over.
import { h, onAct } from "./dom.js";
import { get } from "./api.js";
import { lagChart, passChart, pointTime } from "./charts.js";
import { act, ask } from "./dialog.js";
import { bytes, date, duration, when } from "./format.js";
import { chip, command, empty, syncChip } from "./parts.js";
import { changed, store } from "./store.js";

let shown = { name: null, detail: null, error: null, loading: false };

async function load(name) {
  if (shown.loading) return;
  shown.loading = true;
  try {
    const detail = await get(`syncs/${encodeURIComponent(name)}`);
    if (shown.name === name) Object.assign(shown, { detail, error: null });
  } catch (error) {
    if (shown.name === name) shown.error = error.message;
  }
  shown.loading = false;
  changed();
}

export function syncsChanged() {
  if (shown.name) load(shown.name);
}

// What may be done in which state; the command itself has the last word.
const MAY = {
  run: ["new", "active"], pause: ["active", "new"], resume: ["paused"], resync: ["needs-resync", "active", "paused"],
  test: ["active", "paused"], failover: ["active", "paused", "needs-resync"], "undo-failover": ["failed-over", "failing-over", "undoing"], failback: ["failed-over", "failing-back"],
};
const may = (sync, action) => (sync.commands ? sync.commands[action] === null : MAY[action].includes(sync.state));

function button(sync, action, words, look = "") {
  if (!may(sync, action)) return null;
  return h("button", { type: "button", class: look, "data-act": "sync", "data-key": action, "data-name": sync.name, "data-action": action }, words);
}

function controls(sync) {
  if (store.about?.read_only) return h("p", { class: "muted" }, "This monitor shows only; act with ", h("code", null, `hotadd sync … ${sync.name}`));
  return h("div", { class: "buttons", role: "group", "aria-label": `Actions on ${sync.name}` },
    button(sync, "run", "Sync now"), button(sync, "pause", "Pause"), button(sync, "resume", "Resume"), button(sync, "resync", "Resync…"),
    button(sync, "test", "Test failover…", "primary"), button(sync, "failover", "Fail over…", "danger"),
    button(sync, "undo-failover", "Undo failover…"), button(sync, "failback", "Fail back…"));
}

const QUESTIONS = {
  test: ["Test failover", "A copy of the replica is converted and started in an isolated network, its boot is recorded, and everything is removed again. Neither the replica nor the source is touched.", "Start the test", false],
  failover: ["Fail over", "An instance is made of the replica, in the production network, in the place of the source machine. Passes stop until this is undone or committed.", "Fail over", true],
  "undo-failover": ["Undo the failover", "The instance is removed with everything that was changed on it since the failover. Passes go on.", "Undo the failover", true],
  failback: ["Fail back", "The instance's volumes are backed up into the repository, as a recovery point that the source's platform can restore.", "Fail back", false],
  resync: ["Resync", "All of the replica is read and compared with the newest recovery point, and what differs is written.", "Resync", false],
};

function choices(sync, action) {
  const points = sync.points ?? [];
  if (action !== "test" && action !== "failover") return null;
  return h("div", { class: "stack tight" },
    points.length ? h("div", null, h("label", { for: "at" }, "Recovery point"),
      h("select", { id: "at" }, h("option", { value: "" }, "the newest"),
        points.map((p) => h("option", { value: p.time }, new Date(p.time).toLocaleString())))) : null,
    action === "failover" ? h("label", { class: "check" }, h("input", { type: "checkbox", id: "planned" }), " Planned: a final backup and pass first, then the source is stopped") : null);
}

onAct("sync", (e) => {
  const { name, action } = e.dataset, path = `syncs/${encodeURIComponent(name)}/actions/${action}`;
  const sync = shown.detail?.name === name ? shown.detail : store.syncs?.find((s) => s.name === name) ?? {};
  const q = QUESTIONS[action];
  if (!q) return act(path, { confirm: name });
  ask({
    title: `${q[0]}: ${name}`, text: q[1], go: q[2], danger: q[3], typed: name, path, body: { confirm: name },
    extra: choices(sync, action),
    read: (dialog) => {
      const at = dialog.querySelector("#at")?.value, planned = dialog.querySelector("#planned")?.checked;
      return { ...(at ? { at } : {}), ...(planned ? { planned: true } : {}) };
    },
  });
});

function trouble(sync) {
  if (!sync.error) return null;
  return h("section", { class: "card problem", "data-key": "problem", "aria-label": "What is wrong" }, h("h2", null, "The last pass failed"),
    h("p", { class: "message" }, sync.error.message), h("p", { class: "muted small" }, when(sync.error.time)),
    h("ul", { class: "mend" }, h("li", null, command(sync.state === "needs-resync" ? `hotadd sync resync ${sync.name}` : `hotadd sync run ${sync.name}`))));
}

function points(sync) {
  const all = sync.points ?? [];
  return h("section", { class: "card", "data-key": "points" }, h("h2", null, "Recovery points"),
    all.length ? h("ul", { class: "rows" }, all.map((p) => h("li", { class: "head", "data-key": p.time },
      h("strong", null, date(p.time)), h("span", { class: "muted small" }, when(p.time)),
      p.pinned_by?.length ? chip("warn", `in use: ${p.pinned_by.join(", ")}`) : null,
      h("span", { class: "muted small end" }, `${p.snapshots?.length ?? 0} snapshot${p.snapshots?.length === 1 ? "" : "s"}`))))
      : h("p", { class: "muted" }, "There is none yet: the first pass makes one."));
}

function testItem(sync, t) {
  return h("li", { class: "stack tight", "data-key": t.job },
    h("div", { class: "head" }, t.booted ? chip("ok", "booted") : chip("bad", "did not boot"), t.ended ? date(t.ended) : null,
      h("span", { class: "muted small" }, t.point ? ["point ", date(t.point.slice(t.point.indexOf("@") + 1))] : null, t.seconds ? ` · ${duration(t.seconds)}` : null),
      h("a", { class: "end small", href: `#/jobs/${t.job}` }, "Evidence")),
    t.error && h("p", null, t.error),
    t.kept && h("p", { class: "small" }, "The machine was kept: ", h("code", null, t.instance_id), " ", command(`hotadd undo --done ${t.job}`)),
    t.console ? h("details", { "data-key": "console" }, h("summary", null, "Console text"), h("pre", { class: "console", tabindex: "0" }, t.console)) : null);
}

function tests(sync) {
  const all = Array.isArray(sync.tests) ? sync.tests : sync.tests ? [sync.tests] : [];
  return h("section", { class: "card", "data-key": "tests" }, h("h2", null, "Tests"),
    all.length ? h("ul", { class: "rows" }, all.map((t) => testItem(sync, t))) : h("p", { class: "muted" }, "The replica has not been booted in a test yet."));
}

function facts(sync) {
  const all = [["machine", sync.vm], ["repository", sync.repo], ["newest backup", sync.newest_time && when(sync.newest_time)], ["group", sync.group], ["window", sync.window], ["keeps", sync.keep], ["disks", sync.disks?.map((d) => `${d.name} ${bytes(d.size_bytes)}`).join(", ")], ["written in all", sync.total_written_bytes !== undefined ? bytes(sync.total_written_bytes) : null], ["passes", sync.passes]];
  return h("section", { class: "card", "data-key": "facts" }, h("h2", null, "What is replicated"),
    h("dl", { class: "facts" }, all.filter(([, v]) => v !== null && v !== undefined && v !== "").map(([n, v]) => [h("dt", null, n), h("dd", null, v)])));
}

export function syncView(name) {
  if (shown.name !== name) {
    shown = { name, detail: null, error: null, loading: false };
    load(name);
  }
  const sync = { ...shown.detail, ...store.syncs?.find((s) => s.name === name), history: shown.detail?.history, points: shown.detail?.points, tests: shown.detail?.tests };
  if (!sync.name) return shown.error ? [h("h1", null, "No such replica"), empty(shown.error, ". ", h("a", { href: "#/replicas" }, "All replicas"))] : empty("Reading the journal…");
  const held = pointTime(sync.point);
  return h("div", { class: "stack", "data-key": `sync-${name}` },
    h("div", { class: "stack tight" },
      h("p", { class: "small" }, h("a", { href: "#/replicas" }, "Replicas")),
      h("div", { class: "head" }, h("h1", null, sync.name), syncChip(sync), sync.lag_s !== null && (sync.rpo_met ? chip("ok", "on target") : chip("bad", "late"))),
      h("p", { class: "muted" }, held ? ["Holds the backup of ", date(new Date(held * 1000).toISOString()), `, ${duration(sync.lag_s)} old; target ${duration(sync.rpo_s)}`] : "Not seeded yet"),
      sync.job && h("p", { class: "small" }, h("a", { href: `#/jobs/${sync.job}` }, "The pass under way"))),
    controls(sync), trouble(sync),
    h("section", { class: "card", "data-key": "lag" }, h("h2", null, "Lag"), lagChart(sync)),
    h("div", { class: "two", "data-key": "two" },
      h("div", { class: "stack" }, points(sync), h("section", { class: "card", "data-key": "passes" }, h("h2", null, "Written by each pass"), passChart(sync))),
      h("div", { class: "stack" }, tests(sync), facts(sync))));
}
