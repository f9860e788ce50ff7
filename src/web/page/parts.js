// Pieces that several views show.
import { h } from "./dom.js";
import { bytes, clock, duration, percent } from "./format.js";
import { store } from "./store.js";

const SHAPES = {
  run: "M8 2v3M8 11v3M2 8h3M11 8h3",
  ok: "M3 8.5l3.2 3.2L13 4.8",
  warn: "M8 3v6M8 12.6v.1",
  bad: "M4 4l8 8M12 4l-8 8",
  idle: "M4 8h8",
};

const JOB_LOOKS = {
  running: "run", done: "ok", failed: "bad", interrupted: "warn", undoing: "warn", undone: "idle",
};
const SYNC_LOOKS = {
  new: "idle", active: "ok", paused: "warn", "needs-resync": "bad", "failing-over": "run",
  "failed-over": "warn", undoing: "run", "failing-back": "run", "failed-back": "warn",
  committed: "idle", deleting: "run",
};

export function chip(look, words) {
  return h("span", { class: `chip is-${look}` },
    h("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, h("path", { d: SHAPES[look] })), words);
}

export const jobChip = (job) => chip(JOB_LOOKS[job.state] ?? "idle", job.state);
export const syncChip = (sync) =>
  chip(sync.running ? "run" : SYNC_LOOKS[sync.state] ?? "idle", sync.running ? "syncing" : sync.state.replace("-", " "));

export function bar(job, big) {
  if (!job.total_bytes) return null;
  const look = job.state === "done" ? "done" : job.problem ? "bad" : "";
  return h("progress", {
    class: `${look}${big ? " big" : ""}`, value: job.done_bytes, max: job.total_bytes,
    "aria-label": `Data of ${job.title}: ${percent(job.done_bytes, job.total_bytes)} %`,
  });
}

// "restore-data · 42 % · 118 MiB/s · 3 min left"
export function paceWords(job) {
  const words = [];
  if (job.step && job.state !== "done" && job.state !== "undone") words.push(job.step);
  if (job.total_bytes && job.done_bytes < job.total_bytes) words.push(`${percent(job.done_bytes, job.total_bytes)} %`);
  if (job.bytes_per_s !== null) words.push(`${bytes(job.bytes_per_s)}/s`);
  if (job.eta_s !== null) words.push(`${duration(job.eta_s)} left`);
  return words.join(" · ");
}

export function command(text) {
  return h("span", { class: "command" }, h("code", null, text),
    h("button", { type: "button", class: "plain", "data-act": "copy", "data-text": text, "aria-label": `Copy: ${text}` }, "Copy"));
}

// What went wrong, why, and the commands that mend it; buttons where they may be pressed.
export function problem(job) {
  const p = job.problem;
  if (!p) return null;
  // Passes and failovers are gone on with at their replica's page.
  const direct = (m) => `${m.command} `.startsWith(`hotadd ${m.action} ${job.id} `);
  return h("section", { class: `card problem${p.what === "failed" ? "" : " soft"}`, "aria-label": "What is wrong", "data-key": "problem" },
    h("h2", null, p.step ? `${p.step}: ${p.what}` : p.what.replace(/^./, (c) => c.toUpperCase())),
    h("p", { class: "message" }, p.message),
    p.hint && h("p", { class: "muted" }, p.hint),
    h("ul", { class: "mend" }, p.mend.map((m) => h("li", { "data-key": m.action },
      command(m.command),
      !store.about?.read_only && direct(m) && h("button", {
        type: "button", class: m.action === "resume" ? "primary" : "", "data-act": `job-${m.action}`,
        "data-id": job.id, "data-title": job.title,
      }, m.action === "resume" ? "Resume" : "Undo…"),
      h("span", { class: "muted small" }, m.does)))));
}

export function log(lines, { withJob } = {}) {
  if (!lines.length) return h("p", { class: "muted" }, "Nothing has been said yet.");
  return h("ol", { class: "log", tabindex: "0", role: "group", "aria-label": "Events, newest first" },
    [...lines].reverse().map((l) => h("li", { "data-level": l.level, "data-key": l.seq },
      clock(l.time),
      h("span", { class: "step" }, withJob
        ? h("a", { href: `#/jobs/${l.job}` }, store.jobs.get(l.job)?.title ?? l.job)
        : l.step ?? "–"),
      h("span", { class: "text" }, l.level === "info" ? "" : h("strong", null, `${l.level}: `),
        withJob && l.step ? `${l.step}: ` : "", l.message))));
}

export const empty = (...words) => h("div", { class: "empty" }, words);
