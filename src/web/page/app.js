// Boot, routes, theme, keys. Everything shown comes from the store; the stream fills it.
import { h, onAct, renew } from "./dom.js";
import { get, listen, login, logout } from "./api.js";
import { ask, act, ended, recallActions, toast } from "./dialog.js";
import { duration, now } from "./format.js";
import { jobList, overview } from "./jobs.js";
import { jobChanged, jobView } from "./job.js";
import { syncView, syncsChanged } from "./sync.js";
import { fillHistories, syncList } from "./syncs.js";
import { empty } from "./parts.js";
import { addLine, changed, needsAttention, onChange, store } from "./store.js";

const $ = (id) => document.getElementById(id);
const main = $("main");
let loggedIn = false, leave = null;

// ---- routes ----

function route() {
  const hash = location.hash.slice(1) || "/", [path, query] = hash.split("?");
  const parts = path.split("/").filter(Boolean).map((p) => {
    try { return decodeURIComponent(p); } catch { return p; }
  });
  if (!parts.length) return { title: "Overview", nav: "", view: overview };
  if (parts[0] === "jobs" && parts[1]) return { title: store.jobs.get(parts[1])?.title ?? parts[1], nav: "jobs", view: () => jobView(parts[1]) };
  if (parts[0] === "jobs") return { title: "Jobs", nav: "jobs", view: () => jobList(query ?? "all") };
  if (parts[0] === "replicas" && parts[1]) return { title: parts[1], nav: "replicas", view: () => syncView(parts[1]) };
  if (parts[0] === "replicas") return { title: "Replicas", nav: "replicas", view: syncList };
  return { title: "Not found", nav: null, view: () => [h("h1", null, "Nothing is here"), empty(h("a", { href: "#/" }, "To the overview"))] };
}

function navigation(here) {
  const wrong = [...store.jobs.values()].filter(needsAttention).length;
  const items = [["", "Overview", wrong], ["jobs", "Jobs", 0]];
  if (store.about?.syncs) items.push(["replicas", "Replicas", 0]);
  return h("ul", null, items.map(([key, name, count]) => h("li", { "data-key": key || "overview" },
    h("a", { href: `#/${key}`, "aria-current": here === key ? "page" : null }, name,
      count ? h("span", { class: "count" }, count, h("span", { class: "unseen" }, " to look at")) : null))));
}

function render() {
  if (!loggedIn) return;
  const r = route();
  document.title = `${r.title} · hotadd`;
  renew($("nav"), [navigation(r.nav)]);
  renew(main, store.known ? [r.view()].flat() : [empty(store.link === "lost" ? "The monitor does not answer." : "Reading the journal…")]);
  main.classList.toggle("stale", store.link === "lost" && store.known);
  renderLink();
  $("trouble").hidden = !store.trouble;
  $("trouble").textContent = store.trouble;
}

function renderLink() {
  const lost = store.link === "lost";
  $("link").dataset.state = store.link;
  $("link").textContent = lost ? `No connection for ${duration(now() - store.lostAt)}` : store.link === "live" ? "Live" : "Connecting";
}

function renderFoot() {
  const a = store.about;
  renew($("foot"), [h("span", null, `hotadd ${a.version} · ${a.journal}${a.read_only ? " · read only" : ""} `),
    a.sessions ? h("button", { type: "button", class: "plain", "data-act": "logout" }, "Log out") : ""]);
}

// ---- the stream ----

function announce(before, job) {
  if (!before || before.state === job.state) return;
  $("live").textContent = `${job.title}: ${job.state}${job.problem ? `, ${job.problem.message}` : ""}`;
}

const handlers = {
  hello: (about) => {
    store.about = about;
    renderFoot();
  },
  jobs: (jobs) => {
    store.jobs = new Map(jobs.map((j) => [j.id, j]));
    store.known = true;
    for (const j of jobs) jobChanged(j.id);
    changed();
  },
  job: (job) => {
    announce(store.jobs.get(job.id), job);
    store.jobs.set(job.id, job);
    jobChanged(job.id);
    changed();
  },
  "job-removed": ({ id }) => {
    store.jobs.delete(id);
    changed();
  },
  line: (line) => {
    addLine(line);
    changed();
  },
  syncs: (syncs) => {
    store.syncs = syncs;
    fillHistories();
    syncsChanged();
    changed();
  },
  action: ended,
  trouble: ({ message }) => {
    store.trouble = message;
    changed();
  },
};

function onLink(state, error) {
  if (state === "lost" && store.link !== "lost") store.lostAt = now();
  store.link = state;
  if (error?.status === 401) showLogin("The session has ended.");
  changed();
}

async function start() {
  store.about = await get("about");
  loggedIn = true;
  renderFoot();
  get("events?max=100").then(({ events }) => {
    events.forEach(addLine);
    changed();
  }, () => {});
  recallActions().catch(() => {});
  leave?.();
  leave = listen(handlers, onLink);
  render();
}

// ---- who is there ----

function showLogin(words) {
  loggedIn = false;
  leave?.();
  leave = null;
  document.title = "hotadd";
  renew($("nav"), []);
  $("link").textContent = "";
  renew(main, [h("form", { class: "card login stack", id: "login", "data-key": "login" },
    h("h1", null, "hotadd monitor"),
    h("p", { class: "muted" }, "The address that ", h("code", null, "hotadd serve"), " printed has the token in it. It is also in the file given with ", h("code", null, "--token-file"), "."),
    h("div", null, h("label", { for: "token" }, "Token"), h("input", { id: "token", type: "password", autocomplete: "current-password", required: true, "aria-describedby": "login-error" })),
    h("p", { id: "login-error", role: "alert", class: "small" }, words ?? ""),
    h("button", { class: "primary" }, "Open the monitor"))]);
  $("token").focus();
}

async function enter(token) {
  await login(token);
  await start();
}

document.addEventListener("submit", async (event) => {
  if (event.target.id !== "login") return;
  event.preventDefault();
  try {
    await enter($("token").value.trim());
    main.focus();
  } catch (error) {
    $("login-error").textContent = error.status === 401 ? "That is not this monitor's token." : error.message;
    $("token").select();
  }
});

onAct("logout", async () => {
  await logout().catch(() => {});
  showLogin("You are logged out.");
});

// ---- actions on jobs ----

onAct("job-resume", (e) => act(`jobs/${e.dataset.id}/actions/resume`, { confirm: e.dataset.id }));
onAct("job-undo", (e) => ask({
  title: `Undo ${e.dataset.title}`, text: "Everything the job made is removed, newest first. What was copied has to be copied again by another job.",
  typed: e.dataset.id, danger: true, go: "Undo", path: `jobs/${e.dataset.id}/actions/undo`, body: { confirm: e.dataset.id },
}));

onAct("copy", async (e) => {
  try {
    await navigator.clipboard.writeText(e.dataset.text);
    $("live").textContent = "Copied";
    e.textContent = "Copied";
    setTimeout(() => (e.textContent = "Copy"), 1500);
  } catch {
    toast("", "Copy this", e.dataset.text);
  }
});

// ---- theme: as the system has it, light, or dark ----

const THEMES = ["auto", "light", "dark"];
const dark = matchMedia("(prefers-color-scheme: dark)");
const chosen = () => (THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");

function applyTheme() {
  const theme = chosen();
  document.documentElement.dataset.theme = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
  $("theme").textContent = `Theme: ${theme}`;
}
onAct("theme", () => {
  localStorage.setItem("theme", THEMES[(THEMES.indexOf(chosen()) + 1) % THEMES.length]);
  applyTheme();
});
dark.addEventListener("change", applyTheme);

// ---- boot ----

onAct("skip", (e, event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", () => {
  // The printed address, opened in a tab that has the page already.
  const token = takeToken();
  if (token) return enter(token).catch((error) => showLogin(error.message));
  if (!loggedIn) return;
  render();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
});
onChange(render);
setInterval(() => document.visibilityState === "visible" && changed(), 1000);
applyTheme();

// Out of the address bar and the history before anything else.
function takeToken() {
  const token = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (token) history.replaceState(null, "", "/#/");
  return token;
}

const token = takeToken();
try {
  await (token ? enter(token) : start());
} catch (error) {
  if (error.status === 401) showLogin(token ? "That is not this monitor's token." : "");
  else {
    renew(main, [empty(error.message || "The monitor does not answer.", " Reload to try again.")]);
  }
}
