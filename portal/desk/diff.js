// Compares and joins texts line by line. Pure.

const effortMax = 4e6; // pairs of lines that are compared; beyond that what differs is shown as wholly different

function lines(text) {
  const all = text.split("\n");
  if (all.at(-1) === "") all.pop();
  return all;
}

// matches pairs the lines that two texts have in common: [i, j] ascending in both.
function matches(a, b) {
  const pairs = [];
  let front = 0;
  while (front < a.length && front < b.length && a[front] === b[front]) pairs.push([front, front++]);
  let back = 0;
  while (back < a.length - front && back < b.length - front && a[a.length - 1 - back] === b[b.length - 1 - back]) back++;
  const n = a.length - front - back;
  const m = b.length - front - back;
  if (n * m <= effortMax) {
    const common = Array.from({ length: n + 1 }, () => new Uint32Array(m + 1)); // of what follows i and j
    for (let i = n - 1; i >= 0; i--) {
      for (let j = m - 1; j >= 0; j--) {
        common[i][j] = a[front + i] === b[front + j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
      }
    }
    for (let i = 0, j = 0; i < n && j < m; ) {
      if (a[front + i] === b[front + j]) pairs.push([front + i++, front + j++]);
      else if (common[i + 1][j] >= common[i][j + 1]) i++;
      else j++;
    }
  }
  for (let k = back; k > 0; k--) pairs.push([a.length - k, b.length - k]);
  return pairs;
}

// compare returns the lines of both texts in order: {kind: " ", "-" or "+", text, from, to}, numbered from 1.
export function compare(before, after) {
  const a = lines(before);
  const b = lines(after);
  const all = [];
  let i = 0;
  let j = 0;
  for (const [x, y] of [...matches(a, b), [a.length, b.length]]) {
    while (i < x) all.push({ kind: "-", text: a[i++], from: i });
    while (j < y) all.push({ kind: "+", text: b[j++], to: j });
    if (i < a.length && j < b.length) all.push({ kind: " ", text: a[i], from: ++i, to: ++j });
  }
  return all;
}

// hunks leaves out what is far from any change. Each is a list of lines.
export function hunks(all, around = 3) {
  const found = [];
  let last = -Infinity; // the index after the last line taken
  all.forEach((line, i) => {
    if (line.kind === " ") return;
    const begin = Math.max(0, i - around);
    if (begin > last) found.push([]);
    for (let k = Math.max(begin, last); k < Math.min(all.length, i + around + 1); k++) found.at(-1).push(all[k]);
    last = Math.max(last, Math.min(all.length, i + around + 1));
  });
  return found;
}

// merge puts what `mine` changed of `base` on `theirs`. Where both changed the same lines in different ways, both stand between marks.
export function merge(base, mine, theirs) {
  const o = lines(base);
  const a = lines(mine);
  const b = lines(theirs);
  const inMine = new Map(matches(o, a));
  const inTheirs = new Map(matches(o, b));
  const out = [];
  let conflicts = 0;
  let i = 0; // in base
  let x = 0; // in mine
  let y = 0; // in theirs
  const settle = (oldPart, minePart, theirPart) => {
    const same = (p, q) => p.length === q.length && p.every((line, k) => line === q[k]);
    if (same(minePart, theirPart) || same(oldPart, theirPart)) out.push(...minePart);
    else if (same(oldPart, minePart)) out.push(...theirPart);
    else {
      conflicts++;
      out.push("<<<<<<< yours", ...minePart, "=======", ...theirPart, ">>>>>>> theirs");
    }
  };
  for (let k = 0; k < o.length; k++) {
    if (!inMine.has(k) || !inTheirs.has(k)) continue;
    settle(o.slice(i, k), a.slice(x, inMine.get(k)), b.slice(y, inTheirs.get(k)));
    out.push(o[k]);
    [i, x, y] = [k + 1, inMine.get(k) + 1, inTheirs.get(k) + 1];
  }
  settle(o.slice(i), a.slice(x), b.slice(y));
  return { text: out.map((line) => `${line}\n`).join(""), conflicts };
}
