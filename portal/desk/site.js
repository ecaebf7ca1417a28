// One site, the network's settings, or a site that isn't there yet: the text, what control says of it, and what can be done.

import { ask, can, get, may, sitePath } from "./api.js";
import { ago, button, choice, download, field, h, link, mount, plural, took } from "./dom.js";
import { difference, message, notice, problem, question, unified } from "./parts.js";
import { merge } from "./diff.js";
import { draftOf, forget, isDirty, rebase } from "./drafts.js";
import { editor } from "./editor.js";

const everyMs = () => 5000;
const template = `name: shop
hosts: [shop.example.net]
origins: [{url: "https://origin.example.net"}]
`;

export const site = {
  everyMs,
  title: ({ params }) => params.name,
  load: ({ params }, signal) => get(sitePath(params.name), { signal }),
  view: (held, place) => [siteHead(held, place), documentView(place, { name: held.name, held, mayEdit: may("deploy", held.name) })],
  instead: ({ params }) => h("p", null, link(historyOf(params.name), "Its history"), " stays, if it was there once: roll back to bring it."),
};

export const settings = {
  everyMs,
  title: () => "Network settings",
  async load(_, signal) {
    const all = await get(sitePath("network", "revisions"), { signal });
    const current = all.find((r) => r.state === "current");
    const candidate = all.find((r) => r.state === "candidate");
    const { yaml } = await get(sitePath("network", "revisions", current.number), { signal });
    return { ...current, name: "network", revision: current.number, candidate: candidate?.number, yaml };
  },
  view: (held, place) => [siteHead(held, place), documentView(place, { name: "network", held, mayEdit: may("deploy") })],
};

export const newSite = {
  title: () => "New site",
  load: async () => ({ name: "", revision: 0, yaml: template }),
  view: (held, place) => [
    h("h1", null, "New site"),
    h("p", { class: "quiet" }, "Its name is what ", h("code", null, "name"), " says. Files that it names, such as a certificate, are added below."),
    documentView(place, { name: "", held, mayEdit: can("deploy") }),
  ],
};

const historyOf = (name) => `#/sites/${encodeURIComponent(name)}/history`;

function siteHead(held, place) {
  const isSite = held.name !== "network";
  const mayDeploy = may("deploy", isSite ? held.name : undefined);
  return [
    h("div", { class: "bar title" },
      h("h1", null, place.page.title(place)),
      h("div", { class: "actions" },
        h("a", { class: "button", href: historyOf(held.name) }, "History"),
        isSite && may("purge", held.name) && h("a", { class: "button", href: `#/purge?kind=site&site=${encodeURIComponent(held.name)}` }, "Purge …"),
        button("Export", () => download(`${held.name}.yaml`, `# revision: ${held.revision}\n${held.yaml}`)),
        isSite && mayDeploy && held.revision > 0 && button("Delete …", () => remove(held.name), "danger"))),
    h("p", { class: "quiet" }, [
      isSite && [(held.hosts ?? []).slice(0, 6).join(", "), (held.hosts ?? []).length > 6 && " …", h("br")],
      held.revision > 0 ? [`Revision ${held.revision}`, " by ", held.author, ", ", ago(held.at), held.message && `: ${held.message}`] : "Nothing holds yet.",
    ]),
    h("div", null, held.candidate > 0 && h("p", { class: "notice" }, h("span", null, `Revision ${held.candidate} is being rolled out`, held.rollout && [": ", link(`#/rollouts/${held.rollout}`, held.rollout)], "."))),
  ];
}

// documentView is the editor with its buttons and what came of them.
function documentView(place, { name, held, mayEdit }) {
  const { own } = place;
  const draft = draftOf(name, held);
  own.holds = held.revision;
  if (own.draft !== draft) {
    Object.assign(own, { draft, outcome: undefined });
    own.editor?.set(draft.text);
  }
  if (!own.busy && held.revision !== draft.base && !isDirty(draft)) {
    rebase(draft, held, held.yaml);
    own.editor?.set(draft.text);
  }
  const text = mount(own, "editor", () => {
    const made = editor(name === "network" ? "The network's settings as YAML" : "The site as YAML", (value) => {
      own.draft.text = value;
      place.update();
    });
    made.set(draft.text);
    return made;
  });
  const dirty = name === "" || isDirty(draft);
  const overtaken = held.revision !== draft.base && dirty && !own.busy;
  const work = { place, own, draft, held };
  return [
    text,
    mayEdit && filesView(work),
    h("div", { class: "actions below" },
      mayEdit && [
        h("button", { type: "button", disabled: own.busy, onclick: () => run(work, check) }, "Check"),
        h("button", { type: "button", class: "primary", disabled: own.busy || !dirty, onclick: () => run(work, apply) }, "Apply …"),
      ],
      isDirty(draft) && button("Discard my changes", () => discard(work)),
      h("span", { class: "quiet", role: "status" }, own.busy ? "Asking control and an edge …" : !mayEdit ? "Your token may look at this, not change it." : name && isDirty(draft) ? `Changed by you, based on revision ${draft.base}` : "")),
    h("div", { class: "outcome", "aria-live": "polite" }, overtaken ? staleView(work) : own.outcome),
  ];
}

function filesView({ place, own, draft, held }) {
  const input = h("input", { type: "file", multiple: true, class: "unseen", id: "files", tabindex: "-1", onchange: async (event) => {
    for (const file of event.target.files) {
      const content = new Uint8Array(await file.arrayBuffer()).toBase64?.() ?? btoa(Array.from(new Uint8Array(await file.arrayBuffer()), (b) => String.fromCharCode(b)).join(""));
      draft.files = [...draft.files.filter((f) => f.name !== file.name), { name: file.name, content }];
    }
    event.target.value = "";
    place.update();
  } });
  if (draft.name === "network") return h("div");
  return h("div", { class: "files" },
    h("span", { class: "quiet" }, (held.files ?? []).length ? `Files in control: ${held.files.join(", ")}.` : "No files."),
    draft.files.map((f) => h("span", { class: "file" }, `${f.name} goes along`, button("Leave out", () => { draft.files = draft.files.filter((o) => o !== f); place.update(); }))),
    h("span", null, input, button("Add a file …", () => document.getElementById("files").click())));
}

// run does one thing at a time, and shows what came of it.
async function run(work, what) {
  const { place, own } = work;
  own.busy = true;
  own.outcome = undefined;
  place.update();
  try {
    own.outcome = await what(work);
  } catch (error) {
    own.outcome = problem(error);
    if (!(error.status >= 0)) console.error(error);
  }
  own.busy = false;
  place.update();
}

function nameOf(draft) {
  return draft.name || (/^name:[ \t]*["']?([^\s"'#]+)/m.exec(draft.text)?.[1] ?? "");
}

function documentOf(draft) {
  return { name: nameOf(draft), yaml: draft.text, base: draft.base, files: draft.files.length ? draft.files : undefined };
}

// tryOut asks control, and through it an edge, what they would make of the text. It returns their answer, or {refused}: what to show instead.
async function tryOut({ place, own, draft }) {
  if (nameOf(draft) === "") {
    own.editor.mark([{ line: 1, column: 1, detail: "the site has no name", action: "a line such as name: shop" }]);
    return { refused: h("p", null, "Nothing was asked yet: the site needs a name.") };
  }
  try {
    const answer = await ask("POST", "/apply", { body: { documents: [documentOf(draft)], dry_run: true }, long: true });
    own.editor.mark([]);
    return answer;
  } catch (error) {
    own.editor.mark(error.errors ?? [], draft.name === "network" ? "network.yaml" : `${nameOf(draft)}.yaml`);
    if (error.status === 409 && (await overtook({ place, own, draft }))) return { refused: undefined };
    const places = error.errors?.length ?? 0;
    return { refused: places ? h("div", { class: "problem", role: "alert" }, h("p", null, h("strong", null, `Refused: ${plural(places, "mistake")}.`), " Nothing was changed.")) : problem(error) };
  }
}

// overtook says whether another revision holds by now; the page then shows it.
async function overtook({ place, own, draft }) {
  if (!draft.name) return false;
  await place.refresh();
  return own.holds !== draft.base;
}

function warnings(answer) {
  const all = answer.warnings ?? [];
  return all.length > 0 && h("ul", { class: "warnings" }, all.map((text) => h("li", null, text)));
}

async function check(work) {
  const answer = await tryOut(work);
  if ("refused" in answer) return answer.refused;
  const [document] = answer.documents;
  return [
    h("p", { class: "fine" }, state(document)),
    warnings(answer),
    document.changed && unified("What would change", document.diff),
  ];
}

function state(document) {
  return document.changed ? "Control and an edge can use this. What would change:" : "Control can use this. It is what holds already: there is nothing to apply.";
}

async function apply(work) {
  const { draft } = work;
  const answer = await tryOut(work);
  if ("refused" in answer) return answer.refused;
  const [document] = answer.documents;
  if (!document.changed) return h("p", { class: "fine" }, state(document));
  const result = await askHow({
    title: `Apply revision ${document.revision} of ${document.name}`,
    content: [warnings(answer), unified("What changes", document.diff)],
    action: "Apply",
    send: ({ text, emergency }) => ask("POST", "/apply", { body: { documents: [documentOf(draft)], message: text, emergency, wait: emergency }, long: true }),
  });
  if (!result) {
    await overtook(work);
    return undefined;
  }
  forget(draft.name);
  carriedOut(result, document.name);
  return undefined;
}

// askHow asks why, and whether by phases or everywhere at once, and then sends.
export function askHow({ title, content, action, send }) {
  return question({
    title,
    wide: true,
    action,
    content: [
      content,
      field("Why", message(), "Stands in the history and in the audit log."),
      choice("How", "how", "radio", [
        ["phases", "In phases", "A canary, its cluster, a quarter of the edges, all; what does badly is taken back by itself."],
        ["emergency", "Emergency: everywhere at once", "No phases, no health gate, nothing is taken back by itself. Seconds."],
      ], ["phases"]),
    ],
    run: (form) => send({ text: form.elements.message.value.trim(), emergency: form.elements.how.value === "emergency" }),
  });
}

// carriedOut says what became of a change and shows its roll-out.
export function carriedOut(result, name) {
  const made = (result.documents ?? []).map((d) => `Revision ${d.revision} of ${name}`).join(", ");
  const target = name === "network" ? "#/settings" : `#/sites/${encodeURIComponent(name)}`;
  const [id] = result.rollouts ?? [];
  if (id) {
    notice(`${made} is being rolled out.`);
    location.hash = `#/rollouts/${id}`;
    return;
  }
  notice(`${made} holds. `, servingText(result));
  if (location.hash === target) dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = target;
}

function servingText({ serving, away, took: nanoseconds }) {
  return [
    (serving ?? []).length > 0 && `${plural(serving.length, "edge")} serve it after ${took(nanoseconds)}. `,
    (away ?? []).length > 0 && `Not there, and will catch up: ${away.join(", ")}.`,
  ];
}

function discard({ place, draft }) {
  if (!confirm("Throw your changes away?")) return;
  forget(draft.name);
  place.update();
}

// staleView shows what somebody else has made of the document meanwhile, and offers to put the changes on it.
function staleView({ place, own, draft, held }) {
  const joined = merge(draft.baseText, draft.text, held.yaml);
  const rebased = () => {
    rebase(draft, held, joined.text);
    own.editor.set(draft.text);
    own.outcome = joined.conflicts
      ? h("div", { class: "problem", role: "alert" }, h("p", null, `${plural(joined.conflicts, "place")} that both of you changed: choose between the lines that <<<<<<<, ======= and >>>>>>> mark, then check.`))
      : h("p", { class: "fine" }, `Your change stands on revision ${held.revision} now. Check it, then apply.`);
    place.update();
  };
  return h("div", { class: "problem", role: "alert" },
    h("p", null, h("strong", null, held.revision ? `Somebody was faster: ${held.author} made revision ${held.revision} ` : "It was removed meanwhile. ", held.revision > 0 && ago(held.at)), held.message && `: ${held.message}`),
    h("p", null, `Yours is based on revision ${draft.base}. What has changed since:`),
    difference("What somebody else changed", draft.baseText, held.yaml),
    h("div", { class: "actions" },
      button(joined.conflicts ? `Put my change on it (${plural(joined.conflicts, "conflict")})` : "Put my change on it", rebased, "primary"),
      button("Discard mine", () => discard({ place, draft }))));
}

async function remove(name) {
  const result = await question({
    title: `Delete the site ${name}`,
    action: "Delete",
    kind: "danger",
    content: [
      h("p", null, "Every edge stops serving it at once. Its history stays, and a rollback brings it back."),
      field("Why", message()),
      field(`Type ${name} to confirm`, h("input", { name: "typed", required: true, autocomplete: "off" })),
    ],
    run: async (form) => {
      if (form.elements.typed.value.trim() !== name) throw { title: "Nothing was deleted", detail: "What you typed isn't the site's name." };
      return ask("DELETE", sitePath(name), { query: { message: form.elements.message.value.trim() }, long: true });
    },
  });
  if (!result) return;
  forget(name);
  notice(`The site ${name} is deleted. `, servingText(result).slice(1));
  location.hash = "#/sites";
}
