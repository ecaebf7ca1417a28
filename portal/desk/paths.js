// By which ways a node's traffic goes to others, and why; whom it asks before the origins; and what a measurement says.

import { ask, get, may, nodePath } from "./api.js";
import { ago, button, bytes, empty, field, h, link, milliseconds, missing, morph, mount, plural, section, state, table, took } from "./dom.js";
import { drawing, drawn, drawnMax, loss } from "./drawing.js";
import { problem, question } from "./parts.js";

const shownAtFirst = 30;
const mebibyte = 1 << 20;
const narrow = matchMedia("(max-width: 44rem)"); // as desk.css has it

export const paths = {
  everyMs: () => 2000,
  title: (_, data) => (data?.node ? `Paths of ${data.node.name}` : "Paths"),
  async load({ query }, signal) {
    const nodes = (await get("/nodes", { signal })).sort((a, b) => (a.name < b.name ? -1 : 1));
    const live = nodes.filter((n) => n.live);
    const node = query.node ? nodes.find((n) => n.name === query.node) : (live.find((n) => n.roles?.includes("edge")) ?? live[0]);
    if (!node?.live) return { live, node };
    try {
      return { live, node, told: await get(nodePath(node.name, "paths"), { signal }) };
    } catch (trouble) {
      if (!(trouble.status > 0) || trouble.status === 401) throw trouble;
      return { live, node, trouble }; // the node's, not control's
    }
  },
  view({ live, node, told, trouble }, place) {
    narrow.onchange = place.update;
    const { own, query } = place;
    const select = mount(own, "chooser", chooser);
    own.chooser.show(live, query.node ?? node?.name);
    return [
      h("div", { class: "bar title" },
        h("h1", null, "Paths"),
        h("div", { class: "actions" }, may("admin") && told && live.length > 1 && button("Measure …", () => measure(node, live, place)))),
      h("div", null, (live.length > 0 || query.node) && select),
      h("div", { class: "paths" }, content({ live, node, told, trouble }, place)),
      h("div", { "aria-live": "polite" }, own.measured && outcome(own.measured)),
    ];
  },
};

function chooser() {
  const select = h("select", { id: "node", onchange: () => { location.hash = `#/paths?node=${encodeURIComponent(select.value)}`; } });
  const show = (live, chosen) => {
    const names = live.map((n) => n.name);
    if (chosen && !names.includes(chosen)) names.push(chosen);
    morph(select, h("select", null, names.map((name) => h("option", { value: name }, name))));
    if (chosen && select.value !== chosen) select.value = chosen;
  };
  return { element: h("div", { class: "filter" }, h("label", { for: "node" }, "Node"), select), show };
}

function content({ live, node, told, trouble }, place) {
  if (trouble) return problem({ title: `${node.name} doesn't tell its paths`, detail: trouble.detail, action: "It is asked again by itself. Other nodes may tell how they reach it." });
  if (!node) return empty(place.query.node ? `There is no node ${place.query.node}. Choose another one.` : "No node is live.");
  if (!told) return empty(state("down", "away"), ` ${node.name} `, missing(node.seen) ? "was never seen" : ["was seen ", ago(node.seen)], ", and can't be asked for its paths. Edges that used it move to others by themselves.");
  const { own } = place;
  const peers = told.peers ?? [];
  const list = own.all ? peers : peers.slice(0, shownAtFirst);
  const chosen = drawn(peers);
  return [
    peers.length === 0
      ? section("Connections", null, empty(`${node.name} has no connection over the overlay now; one is made when it is needed. `, live.length > 1 && "A site with a parent, or a measurement, makes one."))
      : section("Connections", null,
          h("figure", { class: "drawing" }, drawing(told.node, chosen, narrow.matches ? "narrow" : "wide"),
            h("figcaption", null,
              h("span", { class: "key chosen" }, "in use"), h("span", { class: "key" }, "ready"), h("span", { class: "key silent" }, "silent"),
              h("span", null, "Beside a line: round trip and loss."),
              chosen.length < peers.length && h("span", null, `${drawnMax} of ${plural(peers.length, "node")} are drawn: those that most was sent to.`)))),
    list.map((peer) => toPeer(told.node, peer)),
    list.length < peers.length && h("p", null, button(`Show all ${peers.length}`, () => { own.all = true; place.update(); })),
    told.forwarded_bytes > 0 && h("p", { class: "quiet" }, `Forwarded for others: ${bytes(told.forwarded_bytes)}; ${plural(told.forwarded_dropped_packets, "packet")} beyond the budget.`),
    parents(told.parents ?? []),
  ];
}

function toPeer(node, peer) {
  const name = `${node} → ${peer.node}`;
  return section([`${node} → `, link(`#/paths?node=${encodeURIComponent(peer.node)}`, peer.node)], null,
    h("p", { class: "quiet" }, peer.switches > 0 && `Moved to another path ${plural(peer.switches, "time")}.`),
    table(`Paths ${name}`, ["Path", "Used", { name: "RTT ± variance", class: "number" }, { name: "Loss", class: "number" }, { name: "Goodput", class: "number" }, { name: "Sent", class: "number" }, { name: "Packet", class: "number" }, "State", { name: "Why", class: "c-long" }], (peer.paths ?? []).map((path) => [
      path.via ? `via ${path.via}` : "direct",
      used(path),
      path.rtt_ms ? `${milliseconds(path.rtt_ms)} ± ${milliseconds(path.variance_ms)}` : "–",
      loss(path),
      path.goodput ? megabits((path.goodput * 8) / 1e6) : "–",
      bytes(path.delivered),
      `${path.packet} B`,
      path.state,
      path.chosen ? peer.why : path.note,
    ])));
}

function used(path) {
  if (!path.alive) return state("down", path.chosen ? "in use, silent" : "silent");
  return path.chosen ? state("up", "in use") : h("span", { class: "quiet" }, "ready");
}

function megabits(n) {
  return `${n < 10 ? n.toFixed(1) : Math.round(n)} Mbit/s`;
}

function parents(list) {
  return section("Whom it asks for sites", null, list.length === 0
    ? empty("No site was asked for lately.")
    : table("Parents of sites", ["Site", "Asks", { name: "Own way to the origin", class: "number" }, "Others' way"], list.map((p) => [
        link(`#/sites/${encodeURIComponent(p.site)}`, p.site),
        p.cluster || "the origins",
        p.own_ms ? milliseconds(p.own_ms) : "not known",
        (p.others ?? []).map((o) => `${o.cluster} ${milliseconds(o.connect_ms)}`).join(", ") || "–",
      ])));
}

async function measure(node, live, place) {
  const others = live.filter((n) => n.name !== node.name);
  const measured = await question({
    title: `Measure from ${node.name}`,
    action: "Measure",
    content: [
      h("p", null, `${node.name} fetches the same bytes from the other node in several ways, one after another: over TCP with TLS, over the overlay, and over each detour that is open. It takes what the network gives meanwhile, for up to 30 s each.`),
      field("From which node", h("select", { name: "to" }, others.map((n) => h("option", { value: n.name }, n.name)))),
      field("Each time, in MiB", h("input", { name: "size", type: "number", min: "1", max: "256", value: "16", required: true })),
    ],
    run: ({ elements: { to, size } }) => ask("POST", nodePath(node.name, "bench"), { body: { to: to.value, bytes: Number(size.value) * mebibyte }, long: true }),
  });
  if (!measured) return;
  place.own.measured = measured;
  place.refresh();
}

function outcome(b) {
  return section(`Measured: ${b.from} ← ${b.to}, ${bytes(b.bytes)} each`, null,
    table("Measurement", ["Way", { name: "First byte", class: "number" }, { name: "Took", class: "number" }, { name: "Goodput", class: "number" }, { name: "Trouble", class: "c-long" }], (b.runs ?? []).map((run) => [
      run.way,
      ...(run.error ? ["–", "–", "–"] : [milliseconds(run.first_ms), took(1e9 * run.seconds), megabits(run.mbit_s)]),
      run.error && h("span", { class: "error" }, run.error),
    ])));
}
