// Building and renewing the page. Text becomes text nodes only, so nothing that a machine
// is called can become markup. Handlers are found by data-act, so that a part can be
// renewed without losing them, the focus or what the reader has selected.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "line", "rect", "circle", "polyline", "polygon", "text", "g", "title"]);

export function h(tag, attrs, ...children) {
  const e = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attrs ?? {}))
    if (value === true) e.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) e.setAttribute(name, String(value));
  e.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false)
    .map((c) => (c instanceof Node ? c : document.createTextNode(String(c)))));
  return e;
}

const keyOf = (n) => (n.nodeType === 1 ? n.getAttribute("data-key") : null);
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

function morphAttributes(from, to) {
  // What the reader opened stays open.
  const keep = (name) => name === "open" && from.nodeName === "DETAILS";
  for (const { name } of [...from.attributes])
    if (!to.hasAttribute(name) && !keep(name)) from.removeAttribute(name);
  for (const { name, value } of to.attributes)
    if (from.getAttribute(name) !== value && !keep(name)) from.setAttribute(name, value);
}

function morph(from, to) {
  if (from.nodeType !== 1) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  morphAttributes(from, to);
  renew(from, [...to.childNodes]);
}

// Makes the parent's children equal to `wanted`, changing as little as it can.
export function renew(parent, wanted) {
  let at = parent.firstChild;
  for (const node of wanted) {
    const key = keyOf(node);
    let match = at;
    if (key !== null)
      while (match && keyOf(match) !== key) match = match.nextSibling;
    if (match && alike(match, node)) {
      if (match !== at) parent.insertBefore(match, at);
      else at = at.nextSibling;
      morph(match, node);
    } else {
      parent.insertBefore(node, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

const acts = new Map();

// fn(element, event) when something with data-act=name is pressed.
export function onAct(name, fn) {
  acts.set(name, fn);
}

document.addEventListener("click", (event) => {
  const e = event.target.closest("[data-act]");
  if (e) acts.get(e.dataset.act)?.(e, event);
});
