// The portal of a network with control: who is signed in, which page is shown, and how it stays current.

import { can, forgetToken, get, keepToken, session } from "./api.js";
import { button, field, h, morph } from "./dom.js";
import { clearNotices, problem } from "./parts.js";
import { audit } from "./audit.js";
import { hasDrafts, forgetDrafts } from "./drafts.js";
import { network } from "./network.js";
import { paths } from "./paths.js";
import { forgetResults, purge } from "./purge.js";
import { rollout, rollouts } from "./rollouts.js";
import { comparison, history as revisions, revision } from "./history.js";
import { newSite, settings, site } from "./site.js";
import { sites } from "./sites.js";
import { software } from "./software.js";
import { tokens } from "./tokens.js";

// A page is {title, load, view, everyMs}: load(place, signal) asks control for what view(data, place) shows; place has the names in the path, the
// query and what the page keeps for itself while it is shown.
const pages = [
  ["/", network],
  ["/sites", sites],
  ["/sites/:name", site],
  ["/sites/:name/history", revisions],
  ["/sites/:name/revisions/:number", revision],
  ["/sites/:name/diff/:from/:to", comparison],
  ["/new", newSite],
  ["/settings", settings],
  ["/rollouts", rollouts],
  ["/rollouts/:id", rollout],
  ["/purge", purge],
  ["/paths", paths],
  ["/software", software],
  ["/tokens", tokens],
  ["/audit", audit],
];

const menu = [
  ["/", "Network", "read"],
  ["/sites", "Sites", "read"],
  ["/rollouts", "Roll-outs", "read"],
  ["/purge", "Purge", "purge"],
  ["/paths", "Paths", "read"],
  ["/software", "Software", "read"],
  ["/tokens", "Tokens", "admin"],
  ["/audit", "Audit", "admin"],
];

const main = document.getElementById("main");
const nav = document.getElementById("menu");
const who = document.getElementById("who");
const live = document.getElementById("live");
const stale = document.getElementById("stale");

let place; // what is shown
let shown; // {data, at}: what it was made of
let failure; // the Problem of the last refresh
let timer;
let leaving = new AbortController();

function find(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  const asked = (path || "/").split("/");
  for (const [pattern, page] of pages) {
    const names = pattern.split("/");
    if (names.length !== asked.length || !names.every((name, i) => name.startsWith(":") || name === asked[i])) continue;
    try {
      const params = Object.fromEntries(names.map((name, i) => [name.slice(1), decodeURIComponent(asked[i])]).filter((_, i) => names[i].startsWith(":")));
      return { page, path, params, query: Object.fromEntries(new URLSearchParams(query)), own: {}, refresh, update };
    } catch {
      break; // a % that means nothing
    }
  }
}

function navigate() {
  leaving.abort();
  leaving = new AbortController();
  clearTimeout(timer);
  clearNotices();
  if (!session.name) return;
  const before = place;
  place = find(location.hash);
  showMenu();
  if (!place) {
    show("Nothing here", problem({ title: "There is no such page", detail: location.hash, action: "Choose one of the menu." }));
    return;
  }
  // Another query of the same page, such as a filter that is being typed, changes what is shown; the page itself stays.
  if (before?.page === place.page && before.path === place.path) place.own = before.own;
  else {
    shown = undefined;
    main.replaceChildren(h("p", { class: "loading", role: "status" }, "Asking control …"));
    main.focus();
    scrollTo(0, 0);
  }
  failure = undefined;
  refresh();
}

// refresh asks control again and shows what it says.
async function refresh() {
  clearTimeout(timer);
  const asked = place;
  const { signal } = leaving;
  const began = Date.now();
  try {
    const data = await asked.page.load(asked, signal);
    if (signal.aborted || asked !== place) return;
    shown = { data, at: Date.now() };
    failure = undefined;
    update();
  } catch (error) {
    if (signal.aborted || asked !== place) return;
    if (error.status === 401) {
      signOut(error);
      return;
    }
    if (!(error.status >= 0)) console.error(error);
    failure = error;
    if (!shown || !error.away) {
      shown = undefined;
      show(error.title ?? "Trouble", h("h1", null, asked.page.title(asked)), problem(error), asked.page.instead?.(asked), h("p", null, button("Try again", refresh)));
    }
  }
  showAge();
  const rest = failure && !failure.away ? 0 : (asked.page.everyMs?.(shown?.data) ?? 0); // what control refuses now, it will refuse again
  if ((rest || failure?.away) && document.visibilityState === "visible") {
    timer = setTimeout(refresh, Math.max(rest || 5000, 5 * (Date.now() - began)));
  }
}

// update shows again what is known, for a page whose own state has changed.
function update() {
  if (shown) show(place.page.title(place, shown.data), place.page.view(shown.data, place));
}

function show(title, ...content) {
  document.title = `${title} – Wherry`;
  const next = h("main", null, content);
  main.querySelector(".loading")?.remove();
  morph(main, next);
}

function showAge() {
  const lost = Boolean(failure?.away && shown);
  document.body.classList.toggle("is-stale", lost);
  stale.hidden = !lost;
  // The alert's text changes only with the reason: a screen reader shouldn't count the seconds aloud.
  const text = lost ? `${failure.title}. ${failure.detail} What you see is from ${new Date(shown.at).toLocaleTimeString("sv")}. ${failure.action}` : "";
  if (stale.textContent !== text) stale.textContent = text;
  if (shown && place) document.title = `${lost ? "No news" : place.page.title(place, shown.data)} – Wherry`;
  const current = shown && !failure && place?.page.everyMs?.(shown.data) > 0;
  live.textContent = lost ? `${Math.round((Date.now() - shown.at) / 1000)} s old` : current ? "Live" : "";
  live.classList.toggle("on", Boolean(current));
}

function showMenu() {
  const at = `/${(place?.path ?? "").split("/")[1] ?? ""}`;
  const current = { "/new": "/sites", "/settings": "/sites" }[at] ?? at;
  nav.hidden = false;
  morph(
    nav,
    h("div", null, menu.filter(([, , verb]) => can(verb)).map(([path, text]) =>
      h("a", { href: `#${path}`, "aria-current": path === current ? "page" : false }, text))),
  );
  who.replaceChildren(h("span", { class: "quiet" }, session.name), button("Sign out", () => signOut()));
}

function signOut(reason) {
  if (!reason && hasDrafts() && !confirm("There are changes that you haven't applied. Sign out and lose them?")) return;
  if (!reason) {
    forgetDrafts();
    forgetResults();
  }
  forgetToken();
  leaving.abort();
  clearTimeout(timer);
  place = shown = failure = undefined;
  showAge();
  nav.hidden = true;
  who.replaceChildren();
  document.querySelectorAll("dialog").forEach((box) => box.close());
  signIn(reason);
}

// signIn asks for a token, and says what is wrong with it.
function signIn(reason) {
  const trouble = h("div", null, reason && problem(reason));
  const input = h("input", { type: "password", name: "token", autocomplete: "off", spellcheck: "false", autocapitalize: "off", required: true });
  const go = h("button", { type: "submit", class: "primary" }, "Sign in");
  const form = h(
    "form",
    {
      class: "signin",
      onsubmit: async (event) => {
        event.preventDefault();
        go.disabled = true;
        try {
          await enter(input.value.trim());
        } catch (error) {
          trouble.replaceChildren(problem(error));
          input.select();
          input.focus();
        }
        go.disabled = false;
      },
    },
    h("h1", null, "Sign in"),
    trouble,
    field("Token", input, "It stays in this tab, and is gone when you close it."),
    go,
    h("p", { class: "quiet" }, "The administrator's token was printed by ", h("code", null, "wherry init"), " (or ", h("code", null, "wherry lab"), "). For others: ", h("code", null, "wherry token create NAME --can deploy"), "."),
  );
  document.title = "Sign in – Wherry";
  main.replaceChildren(form);
  input.focus();
}

async function enter(token) {
  const self = await get("/self", { token });
  keepToken(token, self);
  const first = menu.find(([, , verb]) => can(verb));
  const [, , verb] = menu.find(([path]) => path === `/${location.hash.split(/[/?]/)[1] ?? ""}`) ?? [];
  if (verb && !can(verb) && first) history.replaceState(null, "", `#${first[0]}`); // who signed out here may have been allowed more
  navigate();
}

function begin() {
  addEventListener("hashchange", navigate);
  document.getElementById("skip").onclick = (event) => {
    event.preventDefault(); // what stands behind # is the page
    main.focus();
  };
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && place) refresh();
    else clearTimeout(timer);
  });
  addEventListener("beforeunload", (event) => {
    if (hasDrafts()) event.preventDefault();
  });
  setInterval(showAge, 1000);
  if (session.token) resume();
  else signIn();
}

// resume goes on with the token that the tab has, after the page was loaded again.
async function resume() {
  try {
    await enter(session.token);
  } catch (error) {
    if (error.status === 401) signOut(error);
    else {
      main.replaceChildren(h("h1", null, "Control can't be asked"), problem(error), h("p", null, button("Try again", resume), " ", button("Sign out", () => signOut())));
    }
  }
}

begin();
