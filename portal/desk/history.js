// The revisions of a site or of the network's settings: who, when, why; what was changed; and back.

import { ask, get, may, sitePath } from "./api.js";
import { ago, button, download, empty, h, link, state, table } from "./dom.js";
import { difference } from "./parts.js";
import { askHow, carriedOut } from "./site.js";

const shownAtFirst = 50;

const called = (name) => (name === "network" ? "Network settings" : name);
const home = (name) => (name === "network" ? "#/settings" : `#/sites/${encodeURIComponent(name)}`);
const below = (name, ...more) => `#/sites/${[name, ...more].map(encodeURIComponent).join("/")}`;
const mayDeploy = (name) => may("deploy", name === "network" ? undefined : name);

export const history = {
  everyMs: () => 5000,
  title: ({ params }) => `History of ${called(params.name)}`,
  load: ({ params }, signal) => get(sitePath(params.name, "revisions"), { signal }),
  view(revisions, place) {
    const { own, params } = place;
    own.from ??= revisions[1]?.number;
    own.to ??= revisions[0]?.number;
    const list = own.all ? revisions : revisions.slice(0, shownAtFirst);
    const pick = (which, r) =>
      h("input", { type: "radio", name: which, value: r.number, checked: own[which] === r.number, "aria-label": `${which === "from" ? "From" : "To"} revision ${r.number}`, onchange: () => { own[which] = r.number; place.update(); } });
    return [
      h("p", { class: "trail" }, link(home(params.name), called(params.name))),
      h("div", { class: "bar title" },
        h("h1", null, place.page.title(place)),
        h("div", { class: "actions" },
          revisions.length > 1 && h("a", { class: "button", href: below(params.name, "diff", own.from, own.to) }, `Compare ${own.from} with ${own.to}`))),
      revisions.length === 0
        ? empty("There is no revision.")
        : table("Revisions", ["Revision", "State", "Made", "Why", { name: "From, to", class: "narrow" }, { name: "", class: "narrow" }], list.map((r) => [
            link(below(params.name, "revisions", r.number), String(r.number)),
            word(r),
            [ago(r.at), ` by ${r.author}`],
            r.message ?? "",
            h("span", { class: "picks" }, pick("from", r), pick("to", r)),
            mayDeploy(params.name) && r.state !== "current" && r.state !== "candidate" && button("Roll back …", () => back(params.name, r.number, revisions)),
          ])),
      list.length < revisions.length && h("p", null, button(`Show all ${revisions.length}`, () => { own.all = true; place.update(); })),
    ];
  },
};

const kinds = { current: "up", candidate: "busy", reverted: "down", aborted: "down", removed: "down" };
const words = { current: "holds", candidate: "is rolled out", past: "past", reverted: "was reverted", aborted: "was aborted", removed: "removed" };

function word(r) {
  return kinds[r.state] ? state(kinds[r.state], words[r.state]) : h("span", { class: "quiet" }, words[r.state] ?? r.state);
}

export const revision = {
  title: ({ params }) => `Revision ${params.number} of ${called(params.name)}`,
  load: ({ params }, signal) => get(sitePath(params.name, "revisions", params.number), { signal }),
  view: (r, { page, params, ...place }) => [
    h("p", { class: "trail" }, link(home(params.name), called(params.name)), " / ", link(below(params.name, "history"), "History")),
    h("div", { class: "bar title" },
      h("h1", null, page.title({ params })),
      h("div", { class: "actions" },
        r.number > 1 && h("a", { class: "button", href: below(params.name, "diff", r.number - 1, r.number) }, "What it changed"),
        button("Export", () => download(`${params.name}.${r.number}.yaml`, `# revision: ${r.number}\n${r.yaml}`)),
        mayDeploy(params.name) && r.state !== "current" && r.state !== "candidate" && button("Roll back …", () => back(params.name, r.number)))),
    h("p", { class: "quiet" }, word(r), ", made ", ago(r.at), ` by ${r.author}`, r.message && `: ${r.message}`),
    r.yaml ? h("pre", { class: "text", tabindex: "0" }, r.yaml) : empty("It removed the site."),
  ],
};

export const comparison = {
  title: ({ params }) => `${called(params.name)}: revision ${params.from} → ${params.to}`,
  load: ({ params }, signal) => Promise.all([params.from, params.to].map((n) => (n === "0" ? { number: 0, yaml: "" } : get(sitePath(params.name, "revisions", n), { signal })))),
  view: ([from, to], { page, params }) => [
    h("p", { class: "trail" }, link(home(params.name), called(params.name)), " / ", link(below(params.name, "history"), "History")),
    h("div", { class: "bar title" },
      h("h1", null, page.title({ params })),
      h("div", { class: "actions" }, h("a", { class: "button", href: below(params.name, "diff", to.number, from.number) }, "The other way round"))),
    h("p", { class: "quiet" }, [from, to].filter((r) => r.number).map((r) => [`${r.number}: `, ago(r.at), ` by ${r.author}`, r.message && `, ${r.message}`, h("br")])),
    difference(`From revision ${from.number} to ${to.number}`, from.yaml ?? "", to.yaml ?? ""),
  ],
};

// back asks, with the difference to what holds, and makes an earlier revision hold again.
async function back(name, number, known) {
  const all = known ?? (await get(sitePath(name, "revisions")));
  const current = all.find((r) => r.state === "current");
  const [now, then] = await Promise.all([current && get(sitePath(name, "revisions", current.number)), get(sitePath(name, "revisions", number))]);
  const result = await askHow({
    title: `Roll ${called(name)} back to revision ${number}`,
    content: then.yaml ? difference("What changes", now?.yaml ?? "", then.yaml) : h("p", null, "That revision removed the site."),
    action: "Roll back",
    send: ({ text, emergency }) => ask("POST", sitePath(name, "rollback"), { body: { name, to: number, message: text || undefined, emergency, wait: emergency }, long: true }),
  });
  if (result) carriedOut(result, name);
}
