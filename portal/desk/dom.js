// Makes and changes the document. Text goes in as text: nothing here, or in the modules above, parses HTML.

// The handlers that morph takes over from the new element to the old one.
const handlers = ["onclick", "onchange", "oninput", "onsubmit", "onkeydown", "onscroll", "ontoggle"];

// h makes an element. Attributes that are false or missing are left out; what begins with "on" is a handler.
export function h(tag, attributes, ...children) {
  return build(document.createElement(tag), attributes, children);
}

// svg makes an element of a drawing.
export function svg(tag, attributes, ...children) {
  return build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false && child !== ""));
  return element;
}

// morph makes the children of `from` equal to those of `to`, and leaves alone what is the same, so that focus, selection, scroll position and
// what was typed stay. An element with data-keep belongs to who made it and stays as long as the name does.
export function morph(from, to) {
  const wanted = [...to.childNodes];
  wanted.forEach((next, i) => {
    let old = from.childNodes[i];
    const keep = keepOf(next);
    if (keep && keepOf(old) !== keep) {
      const there = [...from.children].find((child) => keepOf(child) === keep);
      if (there) {
        from.insertBefore(there, old);
        old = there;
      }
    }
    if (!old) from.append(next);
    else if (keepOf(old) && keepOf(old) !== keep) old.before(next); // it is wanted further down, or goes with what is left over
    else if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName || keepOf(old) !== keepOf(next)) old.replaceWith(next);
    else if (old.nodeType === Node.ELEMENT_NODE) morphElement(old, next);
    else if (old.data !== next.data) old.data = next.data;
  });
  while (from.childNodes.length > wanted.length) from.lastChild.remove();
}

function keepOf(node) {
  return node?.dataset?.keep ?? "";
}

function morphElement(old, next) {
  if (keepOf(old)) return;
  for (const name of handlers) old[name] = next[name];
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  morph(old, next);
}

// mount puts an element into a page that makes it once and changes it itself: what the page is later made of holds its place.
export function mount(own, name, make) {
  own[name] ??= make();
  const { element } = own[name];
  element.dataset.keep = name;
  return element.isConnected ? h(element.nodeName, { "data-keep": name }) : element;
}

// table makes a table that becomes a list of cards on a phone. Columns are names, or {name, class}; rows are cells, the first of which names the row.
export function table(label, columns, rows, kind = "") {
  const named = columns.map((column) => (typeof column === "string" ? { name: column } : column));
  const head = named.map((column) => h("th", { role: "columnheader", scope: "col", class: column.class }, column.name || h("span", { class: "unseen" }, "Actions")));
  const cells = (row) =>
    row.map((cell, i) =>
      i === 0
        ? h("th", { role: "rowheader", scope: "row" }, cell)
        : h("td", { role: "cell", class: named[i].class, "data-label": named[i].name }, h("div", null, cell)),
    );
  return h(
    "table",
    { role: "table", class: `loose ${kind}`, "aria-label": label },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
    h("tbody", { role: "rowgroup" }, rows.map((row) => h("tr", { role: "row" }, cells(row)))),
  );
}

// section is a part of a page under a heading, with what can be done about it beside it.
export function section(title, actions, ...content) {
  return h("section", null, h("div", { class: "bar" }, h("h2", null, title), h("div", { class: "actions" }, actions)), content);
}

export function empty(...text) {
  return h("p", { class: "empty" }, text);
}

export function button(text, onclick, kind = "") {
  return h("button", { type: "button", class: kind, onclick }, text);
}

export function link(hash, ...text) {
  return h("a", { href: hash }, text);
}

// state shows a word with a mark that doesn't need colours.
export function state(kind, text) {
  return h("span", { class: `state ${kind}` }, text);
}

// field is a labelled input; with a hint below it.
let fields = 0;
export function field(label, input, hint) {
  if (!input.id) input.id = `field-${++fields}`;
  if (hint) input.setAttribute("aria-describedby", `${input.id}-hint`);
  return h("div", { class: "field" }, h("label", { for: input.id }, label), input, hint && h("small", { id: `${input.id}-hint` }, hint));
}

// choice is a group of radio buttons or boxes: [value, text, hint] each.
export function choice(legend, name, type, options, chosen) {
  return h(
    "fieldset",
    { class: "choice" },
    h("legend", null, legend),
    options.map(([value, text, hint]) =>
      h("label", null, h("input", { type, name, value, checked: chosen.includes(value) }), h("span", null, text, hint && h("small", null, hint))),
    ),
  );
}

// copyable is a line to paste elsewhere.
export function copyable(text) {
  const code = h("code", { tabindex: "0" }, text);
  const copy = button(
    "Copy",
    async () => {
      try {
        await navigator.clipboard.writeText(text);
        copy.textContent = "Copied";
      } catch {
        // No clipboard on plain http from another machine: select the text, so that the keyboard can copy it.
        getSelection().selectAllChildren(code);
        copy.textContent = "Selected";
      }
    },
    "copy",
  );
  return h("div", { class: "command" }, code, copy);
}

// download hands over a file.
export function download(name, content, type = "application/yaml") {
  const url = URL.createObjectURL(new Blob([content], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export function plural(n, what) {
  return `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
}

// missing says whether control left a time out.
export function missing(time) {
  return !time || time.startsWith("0001-");
}

// ago shows a time as an age; the time itself is its title.
export function ago(time) {
  if (missing(time)) return h("span", { class: "quiet" }, "never");
  const at = new Date(time);
  const seconds = Math.round((Date.now() - at) / 1000);
  const text = seconds < -5 ? `in ${span(-seconds)}` : seconds < 5 ? "just now" : `${span(seconds)} ago`;
  return h("time", { datetime: time, title: at.toLocaleString() }, text);
}

export function span(seconds) {
  for (const [unit, size, limit] of [
    ["s", 1, 60],
    ["min", 60, 3600],
    ["h", 3600, 2 * 86400],
    ["days", 86400, Infinity],
  ]) {
    if (seconds < limit) return `${Math.floor(seconds / size)} ${unit}`;
  }
}

export function clock(time) {
  return h("time", { datetime: time }, new Date(time).toLocaleString("sv"));
}

// took shows nanoseconds.
export function took(nanoseconds) {
  const ms = nanoseconds / 1e6;
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

export function bytes(n) {
  let unit = 0;
  for (; n >= 1024 && unit < 4; unit++) n /= 1024;
  return `${n < 10 && unit ? n.toFixed(1) : Math.round(n)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

// milliseconds shows a time that was measured; 0 is one that wasn't.
export function milliseconds(ms) {
  if (!ms) return "–";
  return `${ms < 1 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

export function percent(part, whole) {
  if (!whole) return "–";
  const share = (100 * part) / whole;
  return `${share > 0 && share < 10 ? share.toFixed(1) : Math.round(share)} %`;
}

// version without the commit and the release of Go.
export function short(version) {
  return (version || "–").split(" ")[0];
}
