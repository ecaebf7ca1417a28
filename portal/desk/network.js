// The network at a glance: nodes, what lags and why, the store of control; machines that join and nodes that go.

import { ask, get, may, nodePath } from "./api.js";
import { ago, bytes, button, choice, copyable, empty, field, h, link, missing, plural, section, short, state, table } from "./dom.js";
import { message, notice, question, tell } from "./parts.js";
import { rolloutTable } from "./rollouts.js";

const shownAtFirst = 100;
const rolloutsShown = 10;

export const network = {
  everyMs: () => 2000,
  title: (_, s) => (s ? verdict(s).text : "Network"),
  load: (_, signal) => get("/status", { signal }),
  view(s, place) {
    const { text, tone } = verdict(s);
    const running = s.rollouts ?? [];
    return [
      h("section", { class: `health ${tone}` },
        h("h1", null, text),
        h("p", { class: "quiet" }, `Version ${short(s.version)}, feed at ${s.position.epoch}/${s.position.seq}. `, s.control.node && `${s.control.node} answers.`)),
      h("div", null, (s.alerts ?? []).length > 0 && section("What somebody should look at", null, h("ul", { class: "alerts" }, s.alerts.map((alert) => h("li", null, alert))))),
      h("div", null, running.length > 0 && section("Roll-outs under way", null, rolloutTable("Roll-outs under way", running.slice(0, rolloutsShown)), running.length > rolloutsShown && h("p", null, link("#/rollouts", `All ${running.length}`)))),
      nodes(s.nodes ?? [], place),
      s.control.node && store(s.control),
    ];
  },
};

const troubled = (n) => !n.live || (n.lags ?? []).length > 0;

function verdict(s) {
  const all = s.nodes ?? [];
  const away = all.filter((n) => !n.live).length;
  const behind = all.filter((n) => n.live && (n.lags ?? []).length > 0).length;
  if (s.control.node && !s.control.quorum) return { text: "Control has no majority", tone: "broken" };
  if (away > 0) return { text: `${away} of ${plural(all.length, "node")} ${away === 1 ? "is" : "are"} away`, tone: "broken" };
  if (behind > 0) return { text: `${behind} of ${plural(all.length, "node")} ${behind === 1 ? "lags" : "lag"}`, tone: "worried" };
  if ((s.alerts ?? []).length > 0) return { text: `All ${plural(all.length, "node")} are live, and something needs a look`, tone: "worried" };
  return { text: all.length === 1 ? "The node is live" : `All ${plural(all.length, "node")} are live`, tone: "calm" };
}

function nodes(all, place) {
  const { own } = place;
  const wanted = own.filter?.toLowerCase();
  const fits = (n) => !wanted || [n.name, n.cluster, n.rack, ...(n.roles ?? [])].some((text) => text?.toLowerCase().includes(wanted));
  const found = all.filter(fits).sort((a, b) => troubled(b) - troubled(a) || (a.name < b.name ? -1 : 1));
  const list = own.all ? found : found.slice(0, shownAtFirst);
  return section("Nodes", may("admin") && button("Let a machine join …", letJoin),
    h("form", { class: "filter", role: "search", hidden: all.length < 12, onsubmit: (event) => event.preventDefault() },
      h("label", { for: "nodes", class: "unseen" }, "Find a node"),
      h("input", { id: "nodes", type: "search", placeholder: "Find by name, cluster, rack or role", autocomplete: "off", oninput: (event) => { own.filter = event.target.value.trim(); place.update(); } })),
    list.length > 0 ? table("Nodes", ["Node", "State", "Version", "Configuration", "Load", "What it hasn't yet", { name: "", class: "narrow" }], list.map((n) => row(n, place))) : empty(wanted ? "No node is like that." : "There is no node."),
    list.length < found.length && h("p", null, button(`Show all ${found.length}`, () => { own.all = true; place.update(); })));
}

function row(n, place) {
  const r = n.report;
  const lags = [...(n.lags ?? [])].filter((text) => !text.startsWith("away since"));
  return [
    [n.name, h("small", null, n.cluster, n.rack && `, ${n.rack}`, h("br"), (n.roles ?? []).join(", "))],
    n.live ? state("up", "live") : [state("down", missing(n.seen) ? "never seen" : "away"), !missing(n.seen) && [" since ", ago(n.seen)]],
    [short(r?.version), r && !missing(r.started) && h("small", null, "started ", ago(r.started))],
    h("code", { title: r?.config }, (r?.config ?? "–").slice(0, 12)),
    r?.load ? [`${r.load.cpu.toFixed(2)} cores`, h("small", null, `${bytes(r.load.memory)}, ${plural(r.load.connections, "connection")}`)] : "–",
    lags.length ? h("ul", { class: "lags" }, lags.map((text) => h("li", null, text))) : h("span", { class: "quiet" }, n.live ? "nothing" : "–"),
    may("admin") && button("Remove …", () => remove(n, place)),
  ];
}

function store(c) {
  const rows = (c.members ?? []).map((m) => [m.name, m.peer, state(m.healthy ? "up" : "down", m.healthy ? "healthy" : "doesn't answer"), [m.name === c.leader && "leads", m.learner && "learns"]]);
  return section("Store of control", null,
    h("p", { class: "quiet" }, c.leader ? `Led by ${c.leader}. ` : "Nobody leads now. ", c.quorum ? "It has a majority. " : "It has NO majority: nothing can be changed until more members are back; edges serve on. ", "Last backup on this node: ", ago(c.backup), "."),
    rows.length > 0 && table("Members of the store", ["Member", "Peer", "State", "Role"], rows));
}

async function remove(n, place) {
  const result = await question({
    title: `Remove the node ${n.name}`,
    action: "Remove for good",
    kind: "danger",
    content: [
      h("p", null, "All other nodes cut it off within seconds, and it can't come back with its certificate. If it was stolen, make new keys for the sites that it served."),
      field("Why", message()),
      field(`Type ${n.name} to confirm`, h("input", { name: "typed", required: true, autocomplete: "off" })),
    ],
    run: async (form) => {
      if (form.elements.typed.value.trim() !== n.name) throw { title: "Nothing was removed", detail: "What you typed isn't the node's name." };
      return ask("DELETE", nodePath(n.name), { query: { message: form.elements.message.value.trim() }, long: true });
    },
  });
  if (!result) return;
  const away = result.away ?? [];
  notice(`${n.name} is cut off: ${plural((result.confirmed ?? []).length, "node")} know it.`, away.length > 0 && ` Not there, and will know when they come back: ${away.join(", ")}.`);
  place.refresh();
}

async function letJoin() {
  const made = await question({
    title: "Let a machine join",
    action: "Make a token",
    content: [
      choice("What it may do", "role", "checkbox", [["edge", "edge"], ["dns", "dns"], ["relay", "relay"], ["collect", "collect"], ["control", "control", "It gets the network's keys."]], ["edge", "dns", "relay", "collect"]),
      field("Its name", h("input", { name: "node", autocomplete: "off" }), "Empty: whatever it calls itself."),
      h("div", { class: "pair" },
        field("Good for, in hours", h("input", { name: "hours", type: "number", min: "1", max: "168", value: "1", required: true })),
        field("Machines", h("input", { name: "uses", type: "number", min: "1", max: "100", value: "1", required: true }))),
    ],
    run: (form) => {
      const { node, hours, uses } = form.elements;
      const roles = [...form.querySelectorAll("input[name=role]:checked")].map((box) => box.value);
      if (roles.length === 0) throw { title: "No token was made", detail: "Choose what the machine may do." };
      return ask("POST", "/join-tokens", { body: { roles, node: node.value.trim() || undefined, life: Number(hours.value) * 3600e9, uses: Number(uses.value) } });
    },
  });
  if (!made) return;
  await tell("Run this on the machine", copyable(made.command), h("p", null, "Then ", h("code", null, "wherry run"), ". The token is good until ", new Date(made.expires).toLocaleString("sv"), " and isn't shown again."));
}
