// Keeps the page current: asks for the body that the server renders and changes only what differs, so that focus, selection and
// scroll position stay where they are.

const refreshMs = 2000;
const timeoutMs = 5000;

const body = document.getElementById("body");
const live = document.getElementById("live");
const stale = document.getElementById("stale");

let shownAt = Date.now(); // when what the page shows was true
let failure = ""; // why the last refresh failed
let timer;

async function refresh() {
  clearTimeout(timer);
  try {
    const response = await fetch("/api/status", {
      headers: { accept: "text/html" },
      cache: "no-store",
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    const next = document.createElement("main");
    next.innerHTML = await response.text();
    morph(body, next);
    shownAt = Date.now();
    failure = "";
  } catch (error) {
    failure = error.name === "TimeoutError" ? "it does not answer" : error instanceof TypeError ? "it can't be reached" : error.message;
  }
  showAge();
  timer = setTimeout(refresh, refreshMs);
}

function showAge() {
  const seconds = Math.round((Date.now() - shownAt) / 1000);
  document.body.classList.toggle("is-stale", failure !== "");
  stale.hidden = failure === "";
  // The alert's text changes only with the reason: a screen reader shouldn't count the seconds aloud.
  const text = failure && `No news from the network: ${failure}. What you see is from ${new Date(shownAt).toLocaleTimeString()}.`;
  if (stale.textContent !== text) stale.textContent = text;
  document.title = `${failure ? "No news" : document.getElementById("headline").textContent} – Wherry`;
  live.textContent = failure ? `${seconds} s old` : "Live";
  live.classList.toggle("on", failure === "");
}

// morph makes the children and attributes of `from` equal to those of `to`.
function morph(from, to) {
  for (let i = 0; i < to.childNodes.length || i < from.childNodes.length; ) {
    const old = from.childNodes[i];
    const next = to.childNodes[i];
    if (!next) {
      old.remove();
      continue;
    }
    if (!old) from.append(next.cloneNode(true));
    else if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName) old.replaceWith(next.cloneNode(true));
    else if (old.nodeType === Node.ELEMENT_NODE) morphElement(old, next);
    else if (old.data !== next.data) old.data = next.data;
    i++;
  }
}

function morphElement(old, next) {
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (!old.isEqualNode(next)) morph(old, next);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest(".copy");
  if (!button) return;
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    // No clipboard on plain http from another machine: select the text, so that the keyboard can copy it.
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
});

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") refresh();
  else clearTimeout(timer);
});

document.documentElement.classList.add("scripted");
setInterval(showAge, 1000);
refresh();
