// The list of sites, by pages and filtered by control: there may be tens of thousands.

import { can, get, may, session } from "./api.js";
import { ago, button, download, empty, h, link, table } from "./dom.js";
import { notice, problem, question } from "./parts.js";
import { tar } from "./tar.js";

const pageSize = 50;
const typingMs = 250;

export const sites = {
  everyMs: () => 5000,
  title: () => "Sites",
  async load({ query }, signal) {
    const all = await get("/sites", { query: { contains: query.contains, after: query.after, limit: pageSize + 1 }, signal });
    return { sites: all.slice(0, pageSize), more: all.length > pageSize };
  },
  view({ sites: list, more }, place) {
    const { contains, after } = place.query;
    return [
      h("div", { class: "bar title" },
        h("h1", null, "Sites"),
        h("div", { class: "actions" },
          can("deploy") && h("a", { class: "button primary", href: "#/new" }, "New site"),
          h("a", { class: "button", href: "#/settings" }, "Network settings"),
          button("Export all …", exportAll))),
      h("form", { class: "filter", role: "search", onsubmit: (event) => event.preventDefault() },
        h("label", { for: "contains", class: "unseen" }, "Find by name or host"),
        h("input", { id: "contains", type: "search", placeholder: "Find by name or host", value: contains, autocomplete: "off", oninput: (event) => typed(event.target.value) })),
      list.length > 0
        ? table("Sites", [{ name: "Site", class: "c-name" }, { name: "Hosts", class: "c-long" }, "Revision", "Changed"], list.map(row))
        : nothing(contains, after),
      h("nav", { class: "pager", "aria-label": "Pages" },
        after && link(hash({ contains }), "First page"),
        more && link(hash({ contains, after: list.at(-1).name }), `Next ${pageSize}`)),
    ];
  },
};

function row(s) {
  return [
    link(`#/sites/${encodeURIComponent(s.name)}`, s.name),
    [(s.hosts ?? []).slice(0, 3).join(", "), (s.hosts ?? []).length > 3 && ` and ${s.hosts.length - 3} more`],
    [String(s.revision || "–"), s.candidate > 0 && [" → ", link(`#/rollouts/${s.rollout}`, `${s.candidate} is rolled out`)]],
    [ago(s.at), ` by ${s.author}`, s.message && h("small", null, s.message)],
  ];
}

function nothing(contains, after) {
  if (contains) return empty(`No site has “${contains}” in its name or in a host. `, link("#/sites", "Show all"));
  if (after) return empty("There are no further sites. ", link("#/sites", "First page"));
  return empty("There is no site yet. ", can("deploy") ? link("#/new", "Make one") : "Somebody whose token may deploy can make one", ", or apply a file: ", h("code", null, "wherry apply -f shop.yaml"), ".");
}

function hash(query) {
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  return `#/sites${text && `?${text}`}`;
}

let typing;
function typed(contains) {
  clearTimeout(typing);
  typing = setTimeout(() => {
    if (!location.hash.startsWith("#/sites")) return;
    history.replaceState(null, "", hash({ contains: contains.trim() }));
    dispatchEvent(new HashChangeEvent("hashchange"));
  }, typingMs);
}

async function exportAll() {
  await question({
    title: "Export the network",
    action: "Download",
    content: [
      h("p", null, session.sites.length ? "All sites that your token is for" : "The settings and all sites", ", and the files that they name, in a tar archive: ", h("code", null, "tar xf network.tar && wherry apply -f network"), " makes the same network."),
      may("admin") && h("label", { class: "box" }, h("input", { type: "checkbox", name: "secrets" }), h("span", null, "With private keys", h("small", null, "Keep the file as you keep the keys. It stands in the audit log."))),
    ],
    run: async (form) => {
      const answer = await get("/export", { query: { secrets: form.elements.secrets?.checked }, long: true });
      const files = (answer.files ?? []).map((f) => ({ name: `network/${f.name}`, content: Uint8Array.from(atob(f.content ?? ""), (c) => c.charCodeAt(0)) }));
      download("network.tar", tar(files), "application/x-tar");
      notice(`${files.length} files were exported.`);
    },
  });
}
