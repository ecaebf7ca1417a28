// Asks /api/v1/. The token is in memory and in the tab's sessionStorage, and goes out in Authorization alone: there is no cookie that a foreign
// page could make the browser send.

const stored = "wherry-token";
const patienceMs = 15_000;

export const session = { token: sessionStorage.getItem(stored) ?? "", name: "", verbs: [], sites: [] };

export function keepToken(token, self) {
  Object.assign(session, { token, name: self.name, verbs: self.scope.verbs ?? [], sites: self.scope.sites ?? [] });
  sessionStorage.setItem(stored, token);
}

export function forgetToken() {
  Object.assign(session, { token: "", name: "", verbs: [], sites: [] });
  sessionStorage.removeItem(stored);
}

// can says whether the token has a verb, may whether for a site, or for the whole network if none is named. Control has the last word: this only
// hides what it would refuse.
export function can(verb) {
  const { verbs } = session;
  return verbs.includes(verb) || verbs.includes("admin") || (verbs.includes("deploy") && (verb === "read" || verb === "purge"));
}

export function may(verb, site) {
  return can(verb) && (session.sites.length === 0 || session.sites.includes(site));
}

// Problem is an error as control says it (RFC 9457), or why it couldn't be asked (status 0).
export class Problem extends Error {
  constructor({ title, status, detail, action, errors }) {
    super(detail);
    Object.assign(this, { title, status, detail, action, errors: errors ?? [] });
  }

  // away: nobody is there who could answer, so what is shown already may still be true.
  get away() {
    return this.status === 0 || this.status >= 500;
  }
}

function unreachable(error) {
  const detail =
    error.name === "TimeoutError" ? `It doesn't answer within ${patienceMs / 1000} s.` : "This page can't reach the node that it came from.";
  return new Problem({
    title: "Control can't be reached",
    status: 0,
    detail,
    action: "Edges serve on meanwhile. Look whether the node runs, or open the portal of another control node.",
  });
}

// ask sends one request and returns what is answered. `long` is for what waits for a roll-out or carries a program.
export async function ask(method, path, { query, body, program, signal, long, token = session.token } = {}) {
  const url = new URL(`/api/v1${path}`, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== "" && value !== false && value !== 0) url.searchParams.set(name, value);
  }
  const headers = { accept: "application/json, application/problem+json" };
  try {
    new Headers({ authorization: `Bearer ${token}` });
    headers.authorization = `Bearer ${token}`;
  } catch {
    throw new Problem({ title: "Unauthorized", status: 401, detail: "A token has no such characters.", action: "Copy it again, as wherry init or wherry token create printed it." });
  }
  if (body !== undefined) headers["content-type"] = "application/json";
  if (program) headers["content-type"] = "application/octet-stream";
  const signals = [signal, long ? undefined : AbortSignal.timeout(patienceMs)].filter(Boolean);
  let response, text;
  try {
    response = await fetch(url, {
      method,
      headers,
      body: program ?? (body === undefined ? undefined : JSON.stringify(body)),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: signals.length ? AbortSignal.any(signals) : undefined,
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable(error);
  }
  const answer = parse(text);
  if (response.ok && (answer !== undefined || response.status === 204)) return answer;
  throw new Problem({
    title: answer?.title ?? "No API",
    status: response.status < 300 ? 502 : response.status,
    detail: answer?.detail ?? `What answers here is no API of Wherry (${response.status}).`,
    action: answer?.action ?? "Open the portal of a node of role control.",
    errors: answer?.errors,
  });
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const part = encodeURIComponent;

export const get = (path, options) => ask("GET", path, options);
export const sitePath = (name, ...more) => ["/sites", part(name), ...more.map((one) => part(one))].join("/");
export const rolloutPath = (id, ...more) => ["/rollouts", part(id), ...more].join("/");
export const nodePath = (name, ...more) => ["/nodes", part(name), ...more].join("/");
export const tokenPath = (name) => `/tokens/${part(name)}`;
