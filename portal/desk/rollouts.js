// Roll-outs: those under way and those that ended, and one with what its gate goes by.

import { ask, get, may, rolloutPath } from "./api.js";
import { ago, button, empty, h, link, percent, plural, section, short, span, state, table, took } from "./dom.js";
import { notice, question } from "./parts.js";

const isOver = (r) => r.state !== "running" && r.state !== "paused";
const kinds = { running: "busy", paused: "warn", done: "up", reverted: "down", aborted: "down" };
const siteOf = (r) => (r.subject.startsWith("site/") ? r.subject.slice(5) : undefined);

function subject(r) {
  const site = siteOf(r);
  if (site) return link(`#/sites/${encodeURIComponent(site)}`, site);
  if (r.subject === "network") return link("#/settings", "Network settings");
  return link("#/software", `Software ${short(r.version)}`);
}

function change(r) {
  const site = siteOf(r) ?? (r.subject === "network" ? "network" : undefined);
  const text = `${r.from || "nothing"} → ${r.to || "removed"}`;
  return site && r.to ? link(`#/sites/${encodeURIComponent(site)}/diff/${r.from}/${r.to}`, text) : text;
}

function duration(r) {
  if (!isOver(r)) return ["since ", ago(r.started)];
  return [ago(r.ended), h("small", null, `took ${span(Math.round((new Date(r.ended) - new Date(r.started)) / 1000))}`)];
}

export function rolloutTable(label, list) {
  return table(label, ["Roll-out", "Of", "Revision", "State", "When", "Who"], list.map((r) => [
    link(`#/rollouts/${encodeURIComponent(r.id)}`, r.id),
    subject(r),
    change(r),
    [state(kinds[r.state] ?? "", r.state), !isOver(r) && ` in phase ${r.phase}`, r.why && h("small", null, r.why)],
    duration(r),
    r.author,
  ]));
}

export const rollouts = {
  everyMs: (all) => ((all ?? []).some((r) => !isOver(r)) ? 1500 : 4000),
  title: () => "Roll-outs",
  load: (_, signal) => get("/rollouts", { signal }),
  view(all) {
    const running = all.filter((r) => !isOver(r));
    const over = all.filter(isOver);
    return [
      h("h1", null, "Roll-outs"),
      section("Under way", null, running.length ? rolloutTable("Under way", running) : empty("Nothing is being rolled out. A change of a ", link("#/sites", "site"), " begins one.")),
      section("Past", null, over.length ? rolloutTable("Past", over) : empty("None has ended yet.")),
    ];
  },
};

export const rollout = {
  everyMs: (r) => (r && isOver(r) ? 0 : 1000),
  title: ({ params }, r) => (r ? `Roll-out ${r.id} is ${r.state}` : `Roll-out ${params.id}`),
  load: ({ params }, signal) => get(rolloutPath(params.id), { signal }),
  view(r, place) {
    const mayDeploy = may("deploy", siteOf(r));
    const steer = (how) => async () => {
      await ask("POST", rolloutPath(r.id, how)).catch((error) => notice(`${error.detail} ${error.action ?? ""}`));
      place.refresh();
    };
    return [
      h("p", { class: "trail" }, link("#/rollouts", "Roll-outs")),
      h("section", { class: `health ${{ up: "calm", down: "broken", warn: "worried" }[kinds[r.state]] ?? "working"}` },
        h("h1", null, headline(r)),
        h("p", null, subject(r), ", revision ", change(r), ", by ", r.author, ", ", ago(r.started)),
        r.why && h("p", null, r.why)),
      h("div", { class: "actions" }, mayDeploy && !isOver(r) && [
        r.state === "running" ? button("Pause", steer("pause")) : button("Resume", steer("resume"), "primary"),
        button("Abort …", () => abort(r, place), "danger"),
      ]),
      section("Phases", null, h("ol", { class: "phases" }, (r.phases ?? []).map((p) => phase(p, r)))),
      h("div", null, r.gate && gate(r)),
    ];
  },
};

function headline(r) {
  const what = siteOf(r) ?? (r.subject === "network" ? "The network's settings" : `Version ${short(r.version)}`);
  switch (r.state) {
    case "running": return `${what}: in phase ${r.phase}`;
    case "paused": return `${what}: paused in phase ${r.phase}`;
    case "done": return `${what}: everywhere`;
    case "reverted": return `${what}: taken back in phase ${r.phase}`;
    case "aborted": return `${what}: aborted in phase ${r.phase}`;
  }
  return `${what}: ${r.state}`;
}

function phase(p, r) {
  const began = p.began && !p.began.startsWith("0001-");
  const ended = p.ended && !p.ended.startsWith("0001-");
  const failed = ended && p.name === r.phase && (r.state === "reverted" || r.state === "aborted");
  const now = began && !ended && !isOver(r);
  const nodes = p.nodes ?? [];
  return h("li", { class: now ? "now" : "" },
    h("div", null,
      h("strong", null, p.name), " ",
      failed ? state("down", r.state) : ended ? state("up", "done") : now ? state(r.state === "paused" ? "warn" : "busy", r.state === "paused" ? "paused" : "under way") : h("span", { class: "quiet" }, isOver(r) ? "not reached" : "to come"),
      ended && h("span", { class: "quiet" }, ` after ${span(Math.round((new Date(p.ended) - new Date(p.began)) / 1000))}`)),
    h("p", null, nodes.length <= 4 ? nodes.join(", ") || "whoever comes" : h("details", null, h("summary", null, plural(nodes.length, "node")), nodes.join(", "))),
    p.verdict && h("p", { class: "verdict" }, p.verdict));
}

// gate shows what the gate compares. Errors, latency and crashes of the nodes with the change are held against both other columns.
function gate({ gate: g, phase: name }) {
  const columns = [g.with, g.before, g.others];
  const line = (label, of) => [label, ...columns.map((s) => (s.requests ? of(s) : "–"))];
  return section(`What the gate sees in phase ${name}`, null,
    h("p", { class: "quiet" }, `${g.adopted} of ${plural(g.nodes, "node")} of this phase have the change.`),
    table("Gate", ["Requests", { name: "With the change", class: "number" }, { name: "The same nodes before", class: "number" }, { name: "Nodes without it", class: "number" }], [
      line("All", (s) => s.requests.toLocaleString("en")),
      line("Errors", (s) => `${s.errors.toLocaleString("en")} (${percent(s.errors, s.requests)})`),
      line("Rejected (4xx)", (s) => percent(s.rejected, s.requests)),
      line("From the cache", (s) => percent(s.hits, s.requests)),
      line("First byte, median below", (s) => (s.median ? took(s.median) : "–")),
    ], "gate"));
}

async function abort(r, place) {
  const done = await question({
    title: `Abort the roll-out ${r.id}`,
    action: "Abort and go back",
    kind: "danger",
    content: h("p", null, "All nodes go back to what held before", r.from ? `, revision ${r.from}.` : "."),
    run: () => ask("POST", rolloutPath(r.id, "abort")),
  });
  if (done) place.refresh();
}
