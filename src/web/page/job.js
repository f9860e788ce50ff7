// One job: where it is, what it made, what it said, and what it left as evidence.
import { h } from "./dom.js";
import { get } from "./api.js";
import { bytes, date, duration, now, seconds, when } from "./format.js";
import { bar, chip, empty, jobChip, log, paceWords, problem } from "./parts.js";
import { changed, store } from "./store.js";

let shown = { id: null, detail: null, lines: [], error: null, loading: false, again: false };

// Reads the details again when the stream says the job changed; one request at a time.
async function load(id) {
  if (shown.loading) {
    shown.again = true;
    return;
  }
  shown.loading = true;
  try {
    const [detail, events] = await Promise.all([get(`jobs/${id}`), get(`jobs/${id}/events?max=300`)]);
    if (shown.id === id) Object.assign(shown, { detail, lines: events.events, error: null });
  } catch (error) {
    if (shown.id === id) shown.error = error.message;
  }
  shown.loading = false;
  changed();
  if (shown.again) {
    shown.again = false;
    setTimeout(() => load(shown.id), 500);
  }
}

export function jobChanged(id) {
  if (shown.id === id) load(id);
}

function stepItem(s) {
  let time = "";
  if (s.state === "running" && s.started) time = duration(now() - seconds(s.started));
  else if (s.ended && s.started) time = duration(seconds(s.ended) - seconds(s.started));
  return h("li", { "data-state": s.state, "data-key": s.name, "aria-current": s.state === "running" ? "step" : null },
    h("span", null, s.name), h("span", { class: "unseen" }, s.state),
    s.runs > 1 && h("span", { class: "muted small" }, `entered ${s.runs} times`),
    h("span", { class: "when" }, time));
}

function figures(job) {
  const all = [];
  if (job.total_bytes) all.push(["durable", `${bytes(job.done_bytes)} of ${bytes(job.total_bytes)}`]);
  if (job.bytes_per_s !== null) all.push(["rate", `${bytes(job.bytes_per_s)}/s`]);
  if (job.eta_s !== null) all.push(["left", duration(job.eta_s)]);
  const open = job.state === "running";
  all.push([open ? "running for" : "took", duration((open ? now() : seconds(job.updated)) - seconds(job.created))]);
  return h("dl", { class: "figures" }, all.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

function disks(detail) {
  if (!detail || detail.disks.length < 2) return null;
  return h("section", { class: "card", "data-key": "disks" }, h("h2", null, "Disks"),
    h("ul", { class: "rows" }, detail.disks.map((d) => h("li", { "data-key": d.disk },
      h("div", { class: "head small" }, h("span", null, `disk ${d.disk + 1}`), h("span", { class: "muted end" }, `${bytes(d.done_bytes)} of ${bytes(d.total_bytes)}`)),
      h("progress", { value: d.done_bytes, max: d.total_bytes, class: d.done_bytes === d.total_bytes ? "done" : "", "aria-label": `disk ${d.disk + 1}` })))));
}

function instance(i) {
  if (!i) return null;
  const facts = [["instance", i.instance_id], ["state", i.state], ["status checks", i.status_checks], ["type", i.type], ["zone", i.zone], ["private address", i.private_ip], ["public address", i.public_ip]];
  return h("section", { class: "card stack", "data-key": "instance" }, h("h2", null, "The machine that was made"),
    h("dl", { class: "facts" }, facts.filter(([, v]) => v).map(([n, v]) => [h("dt", null, n), h("dd", null, v)])),
    i.console ? h("div", { class: "stack tight" }, h("h3", null, "Its console"), h("pre", { class: "console", tabindex: "0", role: "region", "aria-label": "Console text" }, i.console)) : h("p", { class: "muted" }, "It wrote nothing to its serial console."));
}

function evidence(id, v) {
  if (!v) return null;
  return h("section", { class: "card stack", "data-key": "evidence" },
    h("div", { class: "head" }, h("h2", null, "How the test went"), v.booted ? chip("ok", "booted") : chip("bad", "did not boot")),
    v.error && h("p", null, v.error),
    v.screenshot && h("img", { class: "screen", src: `/api/v1/jobs/${id}/screenshot`, alt: "The machine's screen" }),
    v.console ? h("pre", { class: "console", tabindex: "0", role: "region", "aria-label": "Console text" }, v.console) : null);
}

function resources(detail) {
  if (!detail?.resources.length) return null;
  return h("section", { class: "card", "data-key": "resources" }, h("h2", null, "What it made"),
    h("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Resources" }, h("table", null,
      h("thead", null, h("tr", null, ["what", "id", "state"].map((n) => h("th", { scope: "col" }, n)))),
      h("tbody", null, detail.resources.map((r, n) => h("tr", { "data-key": n }, h("td", null, r.key), h("td", null, r.id ? h("code", null, r.id) : "–"), h("td", null, r.state)))))));
}

function guestReport(report) {
  const edits = report?.edits ?? report?.changes;
  if (!Array.isArray(edits) || !edits.length) return null;
  return h("details", { class: "card", "data-key": "guest" }, h("summary", null, `What was changed in the guest (${edits.length})`),
    h("ul", { class: "rows small" }, edits.map((e) => h("li", null, e.path && h("code", null, e.path), " ", e.what ?? e.reason ?? ""))));
}

function words(params) {
  const set = Object.entries(params ?? {}).filter(([, v]) => v !== null && v !== false && v !== "" && v !== 0 && !(Array.isArray(v) && !v.length));
  if (!set.length) return null;
  return h("details", { class: "card", "data-key": "params" }, h("summary", null, "What was asked for"),
    h("dl", { class: "facts small" }, set.map(([n, v]) => [h("dt", null, n), h("dd", null, typeof v === "object" ? JSON.stringify(v) : String(v))])));
}

export function jobView(id) {
  if (shown.id !== id) {
    shown = { id, detail: null, lines: [], error: null, loading: false, again: false };
    load(id);
  }
  const detail = shown.detail, job = store.jobs.get(id) ?? detail;
  if (!job) return shown.error ? [h("h1", null, "No such job"), empty(shown.error, ". ", h("a", { href: "#/jobs" }, "All jobs"))] : empty("Reading the journal…");
  const lines = [...shown.lines, ...store.lines.filter((l) => l.job === id && !shown.lines.some((s) => s.seq === l.seq))];
  return h("div", { class: "stack", "data-key": id },
    h("div", { class: "stack tight" },
      h("p", { class: "small" }, h("a", { href: "#/jobs" }, "Jobs")),
      h("div", { class: "head" }, h("h1", null, job.title), jobChip(job)),
      h("p", { class: "muted" }, `${job.kind} · `, h("code", null, job.id), " · began ", date(job.created), " · changed ", when(job.updated))),
    problem(job),
    h("section", { class: "card stack tight", "aria-label": "Progress", "data-key": "progress" },
      bar(job, true), paceWords(job) ? h("p", { class: "muted small" }, paceWords(job)) : null, figures(job)),
    h("div", { class: "two", "data-key": "two" },
      h("div", { class: "stack" },
        h("section", { class: "card", "data-key": "steps" }, h("h2", null, "Steps"),
          job.steps.length ? h("ol", { class: "steps" }, job.steps.map(stepItem)) : h("p", { class: "muted" }, "It has not begun a step yet.")),
        disks(detail), resources(detail)),
      h("div", { class: "stack" },
        evidence(id, detail?.evidence),
        instance(detail?.instance),
        h("section", { class: "card", "data-key": "log" }, h("h2", null, "Events"), log(lines)),
        guestReport(detail?.guest_report), words(detail?.params))));
}
