// Numbers and times for people.
import { h } from "./dom.js";

export function bytes(n) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let u = 0;
  while (n >= 1024 && u < units.length - 1) {
    n /= 1024;
    u++;
  }
  return `${u === 0 || n >= 100 ? Math.round(n) : n.toFixed(n >= 10 ? 1 : 2)} ${units[u]}`;
}

export function duration(s) {
  s = Math.max(0, Math.round(s));
  const two = (n, unit, rest, small) => (rest ? `${n} ${unit} ${rest} ${small}` : `${n} ${unit}`);
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return two(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

export const seconds = (iso) => (iso ? Date.parse(iso) / 1000 : null);
export const now = () => Date.now() / 1000;

export function ago(iso) {
  const s = now() - seconds(iso);
  if (s < 5) return "just now";
  return `${duration(s >= 120 ? s - (s % 60) : s)} ago`;
}

// How long ago, with the exact time in reach.
export const when = (iso) =>
  iso ? h("time", { datetime: iso, title: new Date(iso).toLocaleString() }, ago(iso)) : "–";

export const clock = (iso) =>
  h("time", { datetime: iso, title: new Date(iso).toLocaleString() },
    new Date(iso).toLocaleTimeString([], { hour12: false }));

export const date = (iso) =>
  h("time", { datetime: iso, title: iso },
    new Date(iso).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }));

export const percent = (done, total) => (total ? Math.floor((done * 100) / total) : 0);
