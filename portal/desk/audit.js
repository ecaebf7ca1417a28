// Who changed what, and what was refused.

import { get } from "./api.js";
import { clock, empty, h, link, state, table } from "./dom.js";

const pageSize = 100;

export const audit = {
  title: () => "Audit log",
  everyMs: () => 10_000,
  load: ({ query }, signal) => get("/audit", { query: { subject: query.subject, actor: query.actor, before: query.before, limit: pageSize }, signal }),
  view(all, { query }) {
    return [
      h("h1", null, "Audit log"),
      h("form", { class: "filter", role: "search", onsubmit: (event) => event.preventDefault(), onchange: (event) => filter(event.currentTarget) },
        h("label", { for: "actor", class: "unseen" }, "Token"),
        h("input", { id: "actor", name: "actor", type: "search", placeholder: "Token, such as ci-shop", value: query.actor, autocomplete: "off" }),
        h("label", { for: "subject", class: "unseen" }, "Subject"),
        h("input", { id: "subject", name: "subject", type: "search", placeholder: "Subject, such as site/shop", value: query.subject, autocomplete: "off" })),
      all.length === 0
        ? empty(query.actor || query.subject || query.before ? "Nothing is like that. " : "Nothing was changed yet.", (query.actor || query.subject || query.before) && link("#/audit", "Show all"))
        : table("Audit log", ["When", "Who", "What", { name: "Subject", class: "c-long" }, "Before → after", { name: "Why", class: "c-long" }], all.map((r) => [
            clock(r.at), r.actor,
            [r.action, r.refused && [" ", state("down", "refused")]],
            r.subject,
            beforeAfter(r),
            [r.message, r.refused && h("small", { class: "error said" }, r.refused)],
          ])),
      h("nav", { class: "pager", "aria-label": "Pages" },
        query.before && link(hash({ ...query, before: "" }), "Newest"),
        all.length === pageSize && link(hash({ ...query, before: all.at(-1).at }), `Earlier ${pageSize}`)),
    ];
  },
};

// beforeAfter links revisions to their difference.
function beforeAfter({ subject, before, after }) {
  if (!before && !after) return "";
  const name = subject === "network" ? "network" : subject.startsWith("site/") ? subject.slice(5) : "";
  const text = `${before || "–"} → ${after || "–"}`;
  const revisions = /^\d+$/.test(before) && /^\d+$/.test(after) && after !== "0";
  return name && revisions ? link(`#/sites/${encodeURIComponent(name)}/diff/${before}/${after}`, text) : text;
}

function hash(query) {
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  return `#/audit${text && `?${text}`}`;
}

function filter(form) {
  location.hash = hash({ actor: form.elements.actor.value.trim(), subject: form.elements.subject.value.trim() });
}
