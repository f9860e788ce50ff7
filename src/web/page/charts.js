// Small charts, drawn as SVG. Each has its words beside it or in its label: a chart shows
// the shape, it is never the only place of a figure.
import { h } from "./dom.js";
import { bytes, duration, now, seconds } from "./format.js";

const W = 640;

// "vm/web01@2026-11-26T05:00:00Z" or a time alone.
export const pointTime = (point) => (point ? seconds(point.slice(point.indexOf("@") + 1)) : null);

// How old the replica was, over time: it grows second by second and falls with each pass.
export function lagPoints(sync) {
  const passes = [...(sync.history ?? [])].filter((p) => !p.error && p.ended && p.to).reverse();
  const out = [];
  for (const p of passes) {
    const at = seconds(p.ended), was = pointTime(p.from), is = pointTime(p.to);
    if (at === null || is === null) continue;
    if (was !== null) out.push([at, Math.max(0, at - was)]);
    out.push([at, Math.max(0, at - is)]);
  }
  if (out.length && sync.point_time) out.push([now(), now() - seconds(sync.point_time)]);
  return out;
}

export function lagChart(sync, height = 110, label = true) {
  const points = lagPoints(sync);
  if (points.length < 2) return h("p", { class: "muted small" }, "The chart begins with the second pass.");
  const t0 = points[0][0], t1 = Math.max(points.at(-1)[0], t0 + 1);
  const top = Math.max(sync.rpo_s ?? 0, ...points.map((p) => p[1])) * 1.15 || 1;
  const x = (t) => (((t - t0) / (t1 - t0)) * W).toFixed(1);
  const y = (v) => (height - (v / top) * height).toFixed(1);
  const line = points.map(([t, v], i) => `${i ? "L" : "M"}${x(t)} ${y(v)}`).join("");
  const words = `Lag of ${sync.name} over ${duration(t1 - t0)}: now ${duration(sync.lag_s ?? 0)}, target ${duration(sync.rpo_s ?? 0)}`;
  const chart = h("svg", { class: `chart${sync.rpo_met === false ? " late" : ""}`, viewBox: `0 0 ${W} ${height + 2}`, role: "img", "aria-label": words },
    h("path", { class: "area", d: `${line}L${x(t1)} ${height}L0 ${height}Z` }),
    h("path", { class: "stroke", d: line }),
    h("line", { class: "axis", x1: 0, x2: W, y1: height, y2: height }),
    sync.rpo_s && h("line", { class: "target", x1: 0, x2: W, y1: y(sync.rpo_s), y2: y(sync.rpo_s) }));
  if (!label) return chart;
  return [chart, h("p", { class: "chart-foot muted small", "aria-hidden": "true" },
    h("span", null, `${duration(t1 - t0)} ago`), sync.rpo_s && h("span", { class: "key" }, `target ${duration(sync.rpo_s)}`), h("span", null, "now"))];
}

// Bytes written by each pass, oldest left.
export function passChart(sync, height = 90) {
  const passes = [...(sync.history ?? [])].slice(0, 48).reverse();
  if (!passes.length) return h("p", { class: "muted small" }, "No pass has ended yet.");
  const top = Math.max(1, ...passes.map((p) => p.written_bytes ?? 0));
  const step = W / Math.max(passes.length, 16);
  const last = passes.at(-1);
  return h("svg", {
    class: "chart", viewBox: `0 0 ${W} ${height + 2}`, role: "img",
    "aria-label": `Bytes written by the last ${passes.length} passes, at most ${bytes(top)}, the last ${bytes(last.written_bytes ?? 0)}`,
  },
  passes.map((p, i) => {
    const tall = Math.max(2, ((p.written_bytes ?? 0) / top) * height);
    return h("rect", { class: `bar${p.error ? " failed" : ""}`, x: (i * step).toFixed(1), y: (height - tall).toFixed(1), width: (step * 0.75).toFixed(1), height: tall.toFixed(1), rx: 2 },
      h("title", null, p.error ? "failed" : `${bytes(p.written_bytes ?? 0)} in ${duration(p.seconds ?? 0)}`));
  }),
  h("line", { class: "axis", x1: 0, x2: W, y1: height, y2: height }));
}
