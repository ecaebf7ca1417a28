// Draws the paths of a node: it in the middle, the others around it, a line for each path.

import { milliseconds, percent, svg } from "./dom.js";

export const drawnMax = 8;

// The sizes are those that the drawing has on the page, so that its letters are as large as the others.
const shapes = {
  wide: { width: 860, height: 460, low: 260, letters: 22, first: 0 },
  narrow: { width: 340, height: 470, low: 360, letters: 12, first: -Math.PI / 2 },
};
const box = { height: 28, padding: 12, letter: 8.2 };
const figures = { letter: 7.8, line: 16 };
const shares = [0.55, 0.65, 0.45, 0.75, 0.35, 0.85, 0.25]; // of a line, where its figures may stand

// drawn are the peers that a drawing has room for: those that most was sent to.
export function drawn(peers) {
  const sent = (peer) => (peer.paths ?? []).reduce((sum, path) => sum + path.delivered, 0);
  return [...peers].sort((a, b) => sent(b) - sent(a)).slice(0, drawnMax).sort((a, b) => (a.node < b.node ? -1 : 1));
}

// loss is known to the side that chooses the path; it notes something of each that it has measured.
export function loss(path) {
  return path.note ? percent(path.loss, 1) : "–";
}

// drawing shows what drawn chose. The tables of the page say the same in words.
export function drawing(node, peers, shape) {
  const names = [...new Set(peers.flatMap((peer) => [peer.node, ...(peer.paths ?? []).map((path) => path.via)]))].filter((name) => name && name !== node).sort();
  const { width, letters, first, ...tall } = shapes[shape];
  const height = names.length > 2 ? tall.height : tall.low; // two stand in a row
  const middle = { x: width / 2, y: height / 2 };
  const radius = { x: width / 2 - (letters * box.letter) / 2 - box.padding, y: height / 2 - box.height };
  const angles = new Map(names.map((name, i) => [name, first + (2 * Math.PI * i) / names.length]));
  const at = (angle, share = 1) => ({ x: middle.x + share * radius.x * Math.cos(angle), y: middle.y + share * radius.y * Math.sin(angle) });
  const spots = [...names.map((name) => spot(name, at(angles.get(name)), letters, peers.some((peer) => peer.node === name) ? "" : "helper")), spot(node, middle, letters, "own")];
  const lines = peers.flatMap((peer) => (peer.paths ?? []).map((path) => line({ path, peer, angles, at, middle })));
  lines.sort((a, b) => b.path.chosen - a.path.chosen); // what is used gets its figures first
  const taken = spots.map((s) => s.area);
  for (const l of lines) l.label = label(l, taken);
  lines.reverse(); // and lies above
  return svg("svg", { class: "ways", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${node} and its paths to ${peers.map((peer) => peer.node).join(", ")}; the tables below say the same` },
    lines.map((l) => svg("path", { class: `way ${kind(l.path)}`, d: l.d }, svg("title", null, l.title))),
    lines.map((l) => l.label),
    spots.map((s) => s.element));
}

function kind(path) {
  return [path.chosen && "chosen", !path.alive && "silent"].filter(Boolean).join(" ");
}

// line goes straight to the peer, or bends through the node that forwards, inside the ring of nodes.
function line({ path, peer, angles, at, middle }) {
  const to = angles.get(peer.node);
  const end = at(to);
  const title = `${peer.node} ${path.via ? `through ${path.via}` : "directly"}`;
  const via = angles.get(path.via);
  if (via === undefined || path.via === peer.node) {
    return { path, title, d: `M${dot(middle)}L${dot(end)}`, marks: shares.map((share) => at(to, share)) };
  }
  const shorter = Math.atan2(Math.sin(to - via), Math.cos(to - via));
  const turn = shorter < -Math.PI + 0.01 ? Math.PI : shorter; // opposite nodes forward to each other on two sides
  const side = turn < 0 ? -1 : 1;
  const helper = at(via);
  const bend = at(via + side * 0.35, 0.5);
  const bow = at(via + turn / 2, side < 0 ? 0.6 : 0.8); // and neighbours side by side
  const curve = (share, axis) => (1 - share) ** 2 * helper[axis] + 2 * share * (1 - share) * bow[axis] + share ** 2 * end[axis]; // Bézier's
  const marks = shares.map((share) => ({ x: curve(share, "x"), y: curve(share, "y") }));
  return { path, title, d: `M${dot(middle)}Q${dot(bend)} ${dot(helper)}Q${dot(bow)} ${dot(end)}`, marks };
}

// label says round trip and loss where least stands on the line, and takes that place.
function label({ path, marks }, taken) {
  const said = path.alive ? [milliseconds(path.rtt_ms), loss(path)].filter((text) => text !== "–") : ["silent"];
  const size = { width: Math.max(...said.map((text) => text.length), 0) * figures.letter, height: said.length * figures.line };
  const areas = marks.map((mark) => ({ ...mark, ...size }));
  const crowd = areas.map((area) => taken.reduce((sum, other) => sum + common(area, other), 0));
  const area = areas[crowd.indexOf(Math.min(...crowd))];
  taken.push(area);
  const line = (text, i) => svg("text", { x: area.x.toFixed(1), y: (area.y + (i - (said.length - 1) / 2) * figures.line).toFixed(1), dy: "0.35em" }, text);
  return svg("g", { class: `figures ${kind(path)}` }, rect(area, 3), said.map(line));
}

function rect({ x, y, width, height }, rx) {
  return svg("rect", { x: (x - width / 2).toFixed(1), y: (y - height / 2).toFixed(1), width: width.toFixed(1), height: height.toFixed(1), rx });
}

function common(a, b) {
  const over = (axis, size) => Math.max(0, (a[size] + b[size]) / 2 - Math.abs(a[axis] - b[axis]));
  return over("x", "width") * over("y", "height");
}

function dot({ x, y }) {
  return `${x.toFixed(1)},${y.toFixed(1)}`;
}

function spot(name, { x, y }, letters, role) {
  const text = name.length > letters ? `${name.slice(0, letters - 1)}…` : name;
  const area = { x, y, width: text.length * box.letter + 2 * box.padding, height: box.height };
  const element = svg("g", { class: `spot ${role}` }, svg("title", null, name), rect(area, 6), svg("text", { x: x.toFixed(1), y: y.toFixed(1), dy: "0.35em" }, text));
  return { element, area };
}
