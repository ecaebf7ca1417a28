// Purges, and what the edges said to the latest.

import { ask, can, get } from "./api.js";
import { choice, clock, field, h, mount, plural, section, state, table, took } from "./dom.js";
import { problem, question } from "./parts.js";

const resultsMax = 10;
const results = []; // the newest first; lost with the tab

export function forgetResults() {
  results.length = 0;
}

const kinds = [
  ["url", "A URL", "With all its variants, http and https"],
  ["prefix", "All below a URL"],
  ["tag", "A tag", "Of Cache-Tag, Surrogate-Key or Cache-Groups"],
  ["site", "A site"],
  ["all", "Everything"],
];

export const purge = {
  title: () => "Purge",
  load: async () => null,
  view: (_, place) => [
    h("h1", null, "Purge"),
    mount(place.own, "form", () => ({ element: form(place) })),
    h("div", { "aria-live": "polite" }, results.length > 0 && section("Results", null, results.map(outcome))),
  ],
};

function form(place) {
  const { query } = place;
  const trouble = h("div");
  const value = h("input", { name: "value", autocomplete: "off", spellcheck: "false", maxlength: "8192", value: query.value });
  const names = h("datalist", { id: "names" });
  const site = h("input", { name: "site", autocomplete: "off", list: "names", value: query.site });
  let asking;
  site.oninput = () => {
    clearTimeout(asking);
    if (!can("read")) return;
    asking = setTimeout(async () => {
      const found = await get("/sites", { query: { contains: site.value.trim(), limit: 20 } }).catch(() => []);
      names.replaceChildren(...found.map((s) => h("option", { value: s.name })));
    }, 250);
  };
  const valueField = field("URL", value);
  const siteField = field("Site", site);
  const go = h("button", { type: "submit", class: "primary" }, "Purge");
  const element = h("form", { class: "sheet-form", onsubmit: (event) => submit(event, { element, trouble, go, place }) },
    choice("What", "kind", "radio", kinds, [query.kind ?? "url"]), valueField, siteField, names,
    choice("How", "how", "radio", [["hard", "Hard", "It is gone: the next request asks the origin."], ["soft", "Soft", "It becomes stale: served on while the origin is asked. For weak origins."]], ["hard"]),
    trouble, go);
  const adapt = () => {
    const kind = element.elements.kind.value;
    valueField.hidden = kind === "site" || kind === "all";
    siteField.hidden = kind !== "site" && kind !== "tag";
    valueField.querySelector("label").textContent = { prefix: "URL that they begin with", tag: "Tag" }[kind] ?? "URL";
    value.placeholder = { url: "https://shop.example.net/logo.svg", prefix: "https://shop.example.net/img/", tag: "product-17" }[kind] ?? "";
    siteField.querySelector("label").textContent = kind === "tag" ? "Site (empty: all)" : "Site";
    value.required = !valueField.hidden;
    site.required = kind === "site";
  };
  element.onchange = adapt;
  adapt();
  return element;
}

async function submit(event, { element, trouble, go, place }) {
  event.preventDefault();
  const { kind, value, site, how } = element.elements;
  const body = { kind: kind.value, soft: how.value === "soft" || undefined };
  if (!value.closest(".field").hidden) body.value = value.value.trim();
  if (!site.closest(".field").hidden) body.site = site.value.trim() || undefined;
  const send = () => ask("POST", "/purges", { body, long: true });
  trouble.replaceChildren();
  go.disabled = true;
  go.textContent = "Waiting for the edges …";
  try {
    const result = body.kind === "all" || body.kind === "site" ? await question({
      title: body.kind === "all" ? "Purge everything" : `Purge all of ${body.site}`,
      action: "Purge",
      kind: "danger",
      content: h("p", null, `${body.kind === "all" ? "All requests of all sites go" : "All requests of the site go"} to the origins until the caches are full again. Can they bear that?${body.soft ? "" : " Soft is milder."}`),
      run: send,
    }) : await send();
    if (result) {
      results.unshift({ ...result, at: new Date().toISOString() });
      results.length = Math.min(results.length, resultsMax);
    }
  } catch (error) {
    trouble.replaceChildren(problem(error));
  }
  go.disabled = false;
  go.textContent = "Purge";
  place.update();
}

function outcome(r) {
  const [confirmed, away, pending] = [r.confirmed ?? [], r.away ?? [], r.pending ?? []];
  const what = [r.purge.kind === "all" ? "everything" : r.purge.value || "", r.purge.site && ` ${r.purge.value ? "of " : ""}${r.purge.site}`, r.purge.soft && " (soft)"];
  return h("article", { class: "result" },
    h("p", null, state(pending.length ? "down" : "up", pending.length ? "not confirmed by all" : "confirmed"), h("span", { class: "quiet" }, ` at `, clock(r.at))),
    h("p", null, h("code", null, what)),
    h("p", null, confirmed.length ? `${plural(confirmed.length, "edge")} confirmed in ${took(r.took)}.` : "No edge is there."),
    away.length > 0 && h("p", null, h("strong", null, "Away"), `, and will catch up before they serve: ${away.join(", ")}.`),
    pending.length > 0 && h("p", { class: "error" }, `There, but didn't confirm in time: ${pending.join(", ")}. They may still serve it, and get the purge by themselves.`),
    confirmed.length > 0 && h("details", null, h("summary", null, "Each edge"), table("Edges that confirmed", ["Edge", { name: "Took", class: "number" }], confirmed.map((n) => [n.node, took(n.took)]))));
}
