// Tokens for people and programs.

import { ask, get, session, tokenPath } from "./api.js";
import { ago, button, choice, copyable, empty, field, h, missing, table } from "./dom.js";
import { notice, question, tell } from "./parts.js";

export const tokens = {
  title: () => "Tokens",
  everyMs: () => 10_000,
  load: (_, signal) => get("/tokens", { signal }),
  view: (all, place) => [
    h("div", { class: "bar title" }, h("h1", null, "Tokens"), h("div", { class: "actions" }, button("New token …", () => create(place), "primary"))),
    all.length === 0
      ? empty("There is no token.")
      : table("Tokens", ["Token", "May", "Sites", "Made", "Expires", { name: "", class: "narrow" }], all.map((t) => [
          [t.name, t.name === session.name && h("small", null, "yours")],
          (t.scope.verbs ?? []).join(", "),
          (t.scope.sites ?? []).join(", ") || "all",
          [ago(t.created), t.by && ` by ${t.by}`],
          missing(t.expires) ? "never" : new Date(t.expires) < new Date() ? h("span", { class: "error" }, "expired ", ago(t.expires)) : ago(t.expires),
          button("Remove …", () => remove(t, place)),
        ])),
  ],
};

async function create(place) {
  const made = await question({
    title: "New token",
    action: "Make it",
    content: [
      field("Name", h("input", { name: "name", required: true, pattern: "[a-zA-Z0-9][a-zA-Z0-9._@\\-]{0,62}", autocomplete: "off", placeholder: "ci-shop" }), "Of the person or program; it stands in history and audit log."),
      choice("It may", "verb", "radio", [
        ["read", "read", "look at everything but tokens, audit log and keys"],
        ["purge", "purge", "and nothing else"],
        ["deploy", "deploy", "read, purge, apply, roll back, steer roll-outs"],
        ["admin", "admin", "everything"],
      ], ["read"]),
      field("Only for these sites", h("input", { name: "sites", autocomplete: "off" }), "Names with commas between; empty: all."),
      field("Good for, in days", h("input", { name: "days", type: "number", min: "0", max: "3650", value: "90" }), "0: until it is removed."),
    ],
    run: (form) => {
      const { name, verb, sites, days } = form.elements;
      const only = sites.value.split(/[\s,]+/).filter(Boolean);
      return ask("POST", "/tokens", {
        body: { name: name.value.trim(), scope: { verbs: [verb.value], sites: only.length ? only : undefined }, life: Math.round(Number(days.value) * 86_400e9) || undefined },
      });
    },
  });
  if (!made) return;
  await tell(`The token ${made.token.name}`, h("p", null, "This is its secret. It isn't shown again."), copyable(made.secret));
  place.refresh();
}

async function remove(t, place) {
  const own = t.name === session.name;
  const done = await question({
    title: `Remove the token ${t.name}`,
    action: "Remove",
    kind: "danger",
    content: h("p", null, own ? "It is yours: you will have to sign in with another one." : "Who uses it is refused within 2 s."),
    run: () => ask("DELETE", tokenPath(t.name)),
  });
  if (!done) return;
  notice(`The token ${t.name} is removed.`);
  place.refresh();
}
