// A field for YAML with line numbers, where what control says of a line stands beside it.

import { button, h } from "./dom.js";

const lineEm = 1.5; // as .editor in desk.css has it
const linesMin = 14;
const linesMax = 34;

// editor returns {element, text, set, mark}. `changed` is called with what was typed.
export function editor(label, changed) {
  const numbers = h("pre", { class: "numbers", "aria-hidden": "true" });
  const remarks = h("div", { class: "remarks", "aria-hidden": "true" });
  const area = h("textarea", {
    "aria-label": label,
    wrap: "off",
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    autocorrect: "off",
  });
  const list = h("ol", { class: "mistakes" });
  let count = 0;

  function number() {
    const lines = area.value.split("\n").length;
    if (lines === count) return;
    count = lines;
    numbers.textContent = Array.from({ length: lines }, (_, i) => i + 1).join("\n");
    area.rows = Math.min(Math.max(lines + 1, linesMin), linesMax);
  }
  area.oninput = () => {
    remarks.replaceChildren(); // their lines may have moved
    number();
    changed(area.value);
  };
  area.onscroll = () => {
    numbers.style.transform = `translateY(${-area.scrollTop}px)`;
    remarks.style.transform = `translate(${-area.scrollLeft}px, ${-area.scrollTop}px)`;
  };

  // goTo selects a place and brings it into sight.
  function goTo(line, column) {
    const lines = area.value.split("\n");
    const before = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    const at = before + [...(lines[line - 1] ?? "")].slice(0, column - 1).join("").length; // columns are characters, not UTF-16
    area.focus();
    area.setSelectionRange(at, Math.max(at, before + (lines[line - 1] ?? "").length));
    area.scrollTop = Math.max(0, (line - 5) * lineEm * parseFloat(getComputedStyle(area).fontSize));
  }

  // mark shows mistakes, {file, line, column, path, detail, action}, beside their lines and in a list. Those of other files have no line here.
  function mark(mistakes, ownFile) {
    const lines = area.value.split("\n");
    const own = mistakes.filter((m) => (!ownFile || m.file === ownFile) && m.line <= lines.length);
    const byLine = Map.groupBy(own, (m) => m.line);
    remarks.replaceChildren(
      ...[...byLine].map(([line, all]) => {
        const remark = h("span", { class: "remark" }, all.map((m) => m.detail).join("; "));
        remark.style.top = `${(line - 1) * lineEm}em`;
        remark.style.left = `${lines[line - 1].length + 2}ch`;
        return remark;
      }),
    );
    const said = (m) => [m.path && h("code", null, m.path), m.path && " ", m.detail, m.action && h("small", null, m.action)];
    list.replaceChildren(
      ...mistakes.map((m) =>
        h("li", null, own.includes(m) ? button(`Line ${m.line}, column ${m.column}`, () => goTo(m.line, m.column), "place") : h("span", { class: "place" }, `${m.file} ${m.line}:${m.column}`), h("span", null, said(m))),
      ),
    );
    area.setAttribute("aria-invalid", mistakes.length > 0);
  }

  function set(text) {
    area.value = text;
    remarks.replaceChildren();
    list.replaceChildren();
    number();
  }

  const element = h("div", null, h("div", { class: "editor" }, h("div", { class: "gutter" }, numbers), h("div", { class: "sheet" }, area, h("div", { class: "over" }, remarks))), list);
  return { element, set, mark, get text() { return area.value; } };
}
