// What several pages show: problems, questions, differences.

import { button, h } from "./dom.js";
import { compare, hunks } from "./diff.js";

// titles are what HTTP's words for a status mean here.
const titles = { 401: "The token isn't accepted", 403: "The token may not do this", 422: "Refused" };

// problem shows what is wrong and what to do about it.
export function problem(error) {
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("p", null, h("strong", null, titles[error.status] ?? error.title ?? "Something is wrong with this page")),
    h("p", { class: "said" }, error.detail ?? String(error)),
    error.action && h("p", null, error.action),
  );
}

// question asks before something is done. `run` gets the form and does it; what it throws is shown, and can be tried again. The promise is of what
// run returned, or of undefined if the person thought better of it.
export function question({ title, content, action, kind = "primary", wide, run }) {
  return new Promise((resolve) => {
    const trouble = h("div");
    const go = h("button", { type: "submit", class: kind }, action);
    const cancel = button("Cancel", () => box.close());
    const form = h("form", { method: "dialog" }, h("h2", { id: "question" }, title), content, trouble, h("div", { class: "actions" }, cancel, go));
    const box = h("dialog", { "aria-labelledby": "question", class: wide ? "wide" : "" }, form);
    let result;
    let busy = false; // what is asked for happens, so the answer is waited for
    box.addEventListener("cancel", (event) => busy && event.preventDefault());
    form.onsubmit = async (event) => {
      event.preventDefault();
      if (busy) return;
      busy = go.disabled = cancel.disabled = true;
      go.textContent = "Working …";
      try {
        result = (await run(form)) ?? true;
        box.close();
      } catch (error) {
        trouble.replaceChildren(problem(error));
        trouble.scrollIntoView({ block: "nearest" });
      }
      busy = go.disabled = cancel.disabled = false;
      go.textContent = action;
    };
    box.addEventListener("close", () => {
      box.remove();
      resolve(result);
    });
    document.body.append(box);
    box.showModal();
    (form.querySelector("input:not([type=radio]):not([type=checkbox]), textarea, select") ?? cancel).focus();
  });
}

// tell shows something that has to be seen before going on.
export function tell(title, ...content) {
  return new Promise((resolve) => {
    const box = h(
      "dialog",
      { "aria-labelledby": "question" },
      h("form", { method: "dialog" }, h("h2", { id: "question" }, title), content, h("div", { class: "actions" }, h("button", { class: "primary" }, "Done"))),
    );
    box.addEventListener("close", () => {
      box.remove();
      resolve();
    });
    document.body.append(box);
    box.showModal();
  });
}

// notice says what was done, at the head of the page, until the page after the next.
export function notice(...content) {
  const place = document.getElementById("notices");
  const item = h("div", { class: "notice" }, h("div", null, content), button("Dismiss", () => item.remove()));
  item.dataset.at = Date.now();
  place.replaceChildren(item);
}

export function clearNotices() {
  for (const item of document.querySelectorAll("#notices > *")) if (Date.now() - item.dataset.at > 2000) item.remove();
}

function diffLine(kind, text) {
  return h("span", { class: { "+": "added", "-": "removed", "@": "place" }[kind] ?? "" }, `${text}\n`);
}

function diff(label, all) {
  return h("pre", { class: "diff", tabindex: "0", role: "region", "aria-label": label }, all);
}

// unified shows a difference as control says it.
export function unified(label, text) {
  const all = text.replace(/\n$/, "").split("\n").filter((line) => !/^(---|\+\+\+) /.test(line));
  return diff(label, all.map((line) => diffLine(line[0], line)));
}

// difference shows how two texts differ.
export function difference(label, before, after) {
  const all = compare(before, after);
  const found = hunks(all);
  if (found.length === 0) return h("p", { class: "empty" }, "There is no difference.");
  const place = (hunk) => hunk.find((line) => line.to)?.to ?? hunk[0].from;
  return diff(label, found.map((hunk) => [diffLine("@", `@@ line ${place(hunk)} @@`), hunk.map((line) => diffLine(line.kind, line.kind + line.text))]));
}

// How a change reaches the edges: part of the questions before an apply and a rollback.
export function message() {
  return h("input", { name: "message", maxlength: "500", autocomplete: "off" });
}
