// Questions before something happens, and what became of it.
import { h, onAct, renew } from "./dom.js";
import { get, post } from "./api.js";
import { changed, store } from "./store.js";

const dialog = document.getElementById("dialog");
const toasts = document.getElementById("toasts");
let pending = null;

export function toast(look, title, text, lasting) {
  const e = h("div", { class: `toast ${look}` }, h("strong", null, title), text && h("pre", null, text),
    h("button", { type: "button", class: "plain", "data-act": "close-toast" }, "Close"));
  toasts.append(e);
  if (!lasting) setTimeout(() => e.remove(), 8000);
}
onAct("close-toast", (e) => e.closest(".toast").remove());

// ask({title, text, typed, danger, go, path, body, extra}): `typed` is what must be typed
// before the button can be pressed; path and body are posted.
export function ask(question) {
  pending = question;
  renew(dialog, [h("form", { class: "stack", method: "dialog", id: "ask" },
    h("h2", { id: "dialog-title" }, question.title),
    ...[question.text].flat().map((t) => h("p", null, t)),
    question.extra,
    question.typed && h("div", null,
      h("label", { for: "typed" }, "Type ", h("code", null, question.typed), " to confirm"),
      h("input", { id: "typed", autocomplete: "off", autocapitalize: "off", spellcheck: "false" })),
    h("p", { class: "small", role: "alert", id: "ask-error", hidden: true }),
    h("div", { class: "buttons" },
      h("button", { type: "button", "data-act": "dialog-close" }, "Cancel"),
      h("button", { type: "submit", id: "ask-go", class: question.danger ? "danger" : "primary", disabled: Boolean(question.typed) }, question.go)))]);
  dialog.showModal();
  (document.getElementById("typed") ?? document.getElementById("ask-go")).focus();
}

onAct("dialog-close", () => dialog.close());
dialog.addEventListener("close", () => (pending = null));
dialog.addEventListener("input", (event) => {
  if (event.target.id === "typed")
    document.getElementById("ask-go").disabled = event.target.value.trim() !== pending?.typed;
});
dialog.addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = pending, go = document.getElementById("ask-go");
  if (!question || go.disabled) return;
  go.disabled = true;
  const extra = question.read?.(dialog) ?? {};
  try {
    started(await post(question.path, { ...question.body, ...extra }));
    dialog.close();
  } catch (error) {
    const e = document.getElementById("ask-error");
    e.textContent = error.message;
    e.hidden = false;
    go.disabled = false;
  }
});

function started(action) {
  store.actions.set(action.id, action);
  toast("", "Started", action.command);
  changed();
}

// One that needs no question.
export async function act(path, body) {
  try {
    started(await post(path, body));
  } catch (error) {
    toast("bad", "Not started", error.message, true);
  }
}

// The stream tells when an action's process has ended.
export function ended(action) {
  store.actions.set(action.id, action);
  if (action.state === "failed")
    toast("bad", `${action.command}: ${action.exit}`, action.said || "It said nothing.", true);
  else toast("ok", `${action.command}: done`);
}

export async function recallActions() {
  for (const a of (await get("actions")).actions) store.actions.set(a.id, a);
}
