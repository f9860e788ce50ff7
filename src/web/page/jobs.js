// The overview and the list of jobs.
import { h } from "./dom.js";
import { bytes, duration, when } from "./format.js";
import { lagChart } from "./charts.js";
import { bar, chip, empty, jobChip, log, paceWords, problem, syncChip } from "./parts.js";
import { isOpen, jobsNewestFirst, needsAttention, store } from "./store.js";

function jobCard(job) {
  return h("article", { class: "card stack tight", "data-key": job.id, "aria-label": job.title },
    h("div", { class: "head" },
      h("h3", null, h("a", { class: "cover", href: `#/jobs/${job.id}` }, job.title)),
      h("span", { class: "end" }, jobChip(job))),
    bar(job),
    h("p", { class: "muted small" }, [job.kind, paceWords(job)].filter(Boolean).join(" · ")),
    job.total_bytes ? h("p", { class: "muted small" }, `${bytes(job.done_bytes)} of ${bytes(job.total_bytes)} durable`) : null);
}

function jobRow(job) {
  return h("li", { class: "job-row", "data-key": job.id },
    h("span", null, h("a", { class: "cover name", href: `#/jobs/${job.id}` }, job.title),
      h("span", { class: "muted small" }, ` ${job.kind} · ${job.id}`)),
    jobChip(job),
    h("span", { class: "bar" }, isOpen(job) ? [bar(job), h("span", { class: "muted small" }, paceWords(job) || "–")] : h("span", { class: "muted small" }, job.total_bytes ? bytes(job.total_bytes) : "")),
    h("span", { class: "muted small num ago" }, when(job.updated)));
}

const late = (s) => s.rpo_met === false || s.error || s.state === "needs-resync";

export function syncCard(sync) {
  return h("article", { class: "card stack tight", "data-key": sync.name, "aria-label": sync.name },
    h("div", { class: "head" },
      h("h3", null, h("a", { class: "cover", href: `#/replicas/${encodeURIComponent(sync.name)}` }, sync.name)),
      h("span", { class: "end" }, syncChip(sync))),
    lagChart(sync, 56, false),
    h("div", { class: "head small" },
      h("span", null, sync.lag_s === null ? "not seeded yet" : `${duration(sync.lag_s)} `, h("span", { class: "muted" }, sync.lag_s === null ? "" : `of ${duration(sync.rpo_s)}`)),
      sync.lag_s !== null && h("span", { class: "end" }, sync.rpo_met ? chip("ok", "on target") : chip("bad", "late"))),
    sync.error && h("p", { class: "small" }, sync.error.message));
}

function section(key, title, content, end) {
  return h("section", { class: "stack tight", "data-key": key, "aria-labelledby": `h-${key}` },
    h("div", { class: "head" }, h("h2", { id: `h-${key}` }, title), end && h("span", { class: "end small" }, end)), content);
}

export function overview() {
  const jobs = jobsNewestFirst(), running = jobs.filter((j) => j.state === "running");
  const wrong = jobs.filter(needsAttention), lateSyncs = (store.syncs ?? []).filter(late);
  const finished = jobs.filter((j) => !isOpen(j)).slice(0, 6);
  const calm = !wrong.length && !lateSyncs.length;
  if (!jobs.length && !store.syncs?.length)
    return [h("h1", { "data-key": "h" }, "Nothing here yet"),
      empty("Jobs appear as soon as one begins: ", h("code", null, "hotadd convert web01.ova"))];
  return h("div", { class: "stack", "data-key": "overview" },
    h("div", { class: "head" }, h("h1", null, calm ? (running.length ? "All is going well" : "All is quiet") : "Something needs you"),
      h("span", { class: "muted" }, `${running.length} running · ${wrong.length + lateSyncs.length} to look at`)),
    wrong.length ? section("wrong", "What is wrong", h("div", { class: "stack" },
      wrong.map((j) => h("div", { class: "stack tight", "data-key": j.id },
        h("div", { class: "head" }, h("h3", null, h("a", { href: `#/jobs/${j.id}` }, j.title)), jobChip(j), h("span", { class: "muted small end" }, when(j.updated))),
        problem(j))))) : null,
    lateSyncs.length ? section("late", "Replicas that need a look", h("div", { class: "cards" }, lateSyncs.map(syncCard))) : null,
    running.length ? section("running", "Running", h("div", { class: "cards" }, running.map(jobCard))) : null,
    store.syncs?.length ? section("replicas", "Replicas", h("div", { class: "cards" }, store.syncs.filter((s) => !late(s)).map(syncCard)), h("a", { href: "#/replicas" }, "All replicas")) : null,
    finished.length ? section("finished", "Finished lately", h("div", { class: "card" }, h("ul", { class: "rows" }, finished.map(jobRow))), h("a", { href: "#/jobs" }, "All jobs")) : null,
    section("events", "Events", h("div", { class: "card" }, log(store.lines.slice(-40), { withJob: true }))));
}

const FILTERS = {
  all: ["All", () => true],
  running: ["Running", (j) => j.state === "running"],
  attention: ["To look at", needsAttention],
  finished: ["Finished", (j) => !isOpen(j)],
};

export function jobList(filter) {
  const [, keep] = FILTERS[filter] ?? FILTERS.all;
  const jobs = jobsNewestFirst().filter(keep);
  return h("div", { class: "stack", "data-key": "jobs" },
    h("div", { class: "head" }, h("h1", null, "Jobs"),
      h("nav", { class: "filters end", "aria-label": "Which jobs" }, Object.entries(FILTERS).map(([key, [name]]) =>
        h("a", { href: key === "all" ? "#/jobs" : `#/jobs?${key}`, "aria-current": (FILTERS[filter] ? filter : "all") === key ? "true" : null }, name)))),
    jobs.length ? h("div", { class: "card" }, h("ul", { class: "rows" }, jobs.map(jobRow))) : empty("No job is like that."));
}
