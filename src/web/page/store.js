// What the page knows. Filled by the stream; whoever shows it asks to be told of changes.

export const store = {
  about: null,
  jobs: new Map(), // by id, in the journal's order
  syncs: null, // array; null: this hotadd has no Live Sync, or nothing is known yet
  lines: [], // newest last
  actions: new Map(),
  trouble: "",
  link: "opening", // "live", "lost"
  lostAt: 0,
  known: false, // the first picture has come
};

const KEEP_LINES = 300;
const listeners = new Set();
let asked = false;

export const onChange = (fn) => listeners.add(fn);

// At most once a frame, however much comes in.
export function changed() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    for (const fn of listeners) fn();
  });
}

export function addLine(line) {
  if (store.lines.some((l) => l.seq === line.seq)) return;
  store.lines.push(line);
  store.lines.sort((a, b) => a.seq - b.seq);
  store.lines.splice(0, store.lines.length - KEEP_LINES);
}

export const needsAttention = (job) => job.problem !== null;
export const isOpen = (job) => job.state !== "done" && job.state !== "undone";
export const jobsNewestFirst = () => [...store.jobs.values()].reverse();
