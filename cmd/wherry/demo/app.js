// Shows what the edge said about each file of this page.

const paths = ["/", "/style.css", "/app.js", "/logo.svg", "/river.jpg", "/clock"];
const rows = document.getElementById("files");
const again = document.getElementById("again");

for (const here of document.querySelectorAll(".here")) here.textContent = location.origin;

// The browser's own cache must not answer, and the edge's must: with the mode no-store a browser adds `Cache-Control: no-cache`,
// which asks the edge to go to the origin, unless the page names both fields itself. no-transform changes nothing here.
const pastTheBrowser = { cache: "no-store", headers: { "cache-control": "no-transform", pragma: "none" } };

async function ask(path) {
  const began = performance.now();
  try {
    const response = await fetch(path, pastTheBrowser);
    const tookMs = Math.round(performance.now() - began);
    await response.arrayBuffer();
    const field = (name) => response.headers.get(name) ?? "";
    return [field("cache-status") || "none: no edge in between", field("age"), field("cache-control"), `${tookMs} ms`];
  } catch (error) {
    return [`no answer: ${error.message}`, "", "", ""];
  }
}

function row(path, cells) {
  const tr = document.createElement("tr");
  [path, ...cells].forEach((text, i) => {
    const cell = document.createElement(i === 0 ? "th" : "td");
    if (i === 0) cell.scope = "row";
    if (i === 2 || i === 4) cell.className = "number";
    if (text) {
      const code = document.createElement("code");
      code.textContent = text;
      cell.append(code);
    }
    tr.append(cell);
  });
  return tr;
}

async function show() {
  again.disabled = true;
  rows.replaceChildren(...(await Promise.all(paths.map(async (path) => row(path, await ask(path))))));
  again.disabled = false;
}

again.addEventListener("click", show);
show();
