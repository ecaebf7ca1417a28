// Which versions run where, the upgrade under way, and the next one.

import { ask, get, may } from "./api.js";
import { button, bytes, choice, empty, field, h, plural, section, short, table } from "./dom.js";
import { message, notice, question } from "./parts.js";
import { rolloutTable } from "./rollouts.js";

export const software = {
  everyMs: () => 3000,
  title: () => "Software",
  async load(_, signal) {
    const [status, rollouts] = await Promise.all([get("/status", { signal }), get("/rollouts", { signal })]);
    return { nodes: status.nodes ?? [], upgrades: rollouts.filter((r) => r.subject === "software") };
  },
  view({ nodes, upgrades }) {
    const byVersion = [...Map.groupBy(nodes, (n) => n.report?.version ?? "")].sort(([, a], [, b]) => b.length - a.length);
    const running = upgrades.filter((r) => r.state === "running" || r.state === "paused");
    const past = upgrades.filter((r) => !running.includes(r));
    const idle = may("admin") && running.length === 0;
    return [
      h("div", { class: "bar title" },
        h("h1", null, "Software"),
        h("div", { class: "actions" }, idle && [button("Upgrade …", upgrade, "primary"), past.some((r) => r.state === "done") && button("Back to the version before …", back)])),
      section("Upgrade under way", null, running.length ? rolloutTable("Upgrade under way", running) : empty("None. All nodes run what they are meant to run.")),
      section("Versions", null, table("Versions", ["Version", { name: "Nodes", class: "number" }, "Which"], byVersion.map(([version, list]) => [
        [short(version) === "–" ? "unknown" : short(version), version.includes(" ") && h("small", null, version.slice(version.indexOf(" ") + 1))],
        String(list.length),
        list.length <= 6 ? list.map((n) => n.name).join(", ") : h("details", null, h("summary", null, plural(list.length, "node")), list.map((n) => n.name).join(", ")),
      ]))),
      past.length > 0 && section("Past upgrades", null, rolloutTable("Past upgrades", past)),
    ];
  },
};

const ways = () => choice("How", "how", "radio", [
  ["phases", "Wave by wave", "A canary first; sockets are handed over, so no request is refused; a program that dies twice is given up."],
  ["emergency", "Emergency: everywhere at once"],
], ["phases"]);

async function upgrade() {
  await question({
    title: "Upgrade the nodes",
    action: "Send it and begin",
    content: [
      field("Program", h("input", { name: "program", type: "file", required: true }), "The wherry executable for Linux."),
      field("Call it", h("input", { name: "version", autocomplete: "off" }), "Empty: by its hash."),
      field("Nodes", h("input", { name: "nodes", autocomplete: "off" }), "Names with commas between; empty: all."),
      field("Why", message()),
      ways(),
    ],
    run: async (form) => {
      const { program, version, nodes, message: why, how } = form.elements;
      const [file] = program.files;
      const query = { version: version.value.trim(), emergency: how.value === "emergency", message: why.value.trim() };
      const only = nodes.value.split(/[\s,]+/).filter(Boolean);
      begun(await ask("POST", `/upgrade${only.length ? `?${only.map((n) => `node=${encodeURIComponent(n)}`).join("&")}` : ""}`, { query, program: file, long: true }), `${file.name}, ${bytes(file.size)},`);
    },
  });
}

async function back() {
  await question({
    title: "Back to the version before",
    action: "Go back",
    content: [h("p", null, "All nodes get the program that they ran before the last upgrade."), field("Why", message()), ways()],
    run: async (form) => {
      const { message: why, how } = form.elements;
      begun(await ask("POST", "/upgrade", { query: { back: true, emergency: how.value === "emergency", message: why.value.trim() }, long: true }), "The version before");
    },
  });
}

function begun(result, what) {
  const [id] = result.rollouts ?? [];
  notice(id ? `${what} is being rolled out.` : `${what} goes to all nodes at once.`);
  if (id) location.hash = `#/rollouts/${id}`;
}
