// What the heatmap can show, in which order, of which rows and columns.
//
// A view: rows and columns (label, group, index), value(r, c), text digits, marks(r, c), the scale
// of its colours, caption, and pick(r, c), the trajectory and the prompt that a cell leads to.

import { shares } from "./colours.js";
import { bestColumn, bestOfGroup, data, ends, isRight, score, shown, value } from "./data.js";

export const VIEWS = {
  similarity: "similarity",
  groups: "group means",
  confusion: "confusion",
  difference: "difference from the baseline",
};

export function viewsOf(run) {
  return Object.keys(VIEWS).filter(
    (name) => (name !== "confusion" || run.confusion) && (name !== "groups" || run.means),
  );
}

export function ordersOf(run) {
  const orders = { list: "as in the list" };
  if (data.rows[0].groups.length) orders.group = "by group";
  if (run.margins) orders.margin = "by margin, lowest first";
  return orders;
}

export function buildView(run, state) {
  if (state.view === "groups") return groupMeans(run, state);
  if (state.view === "confusion") return confusion(run, state);
  return similarities(run, state);
}

function folded(text) {
  return text.normalize("NFKC").toLowerCase();
}

// The numbers of the entries that a query finds; all if it finds none of them.
function found(entries, texts, query) {
  if (!query) return entries;
  const hits = entries.filter((i) => texts(i).some((text) => folded(text).includes(query)));
  return hits.length ? hits : entries;
}

function rowOrder(run, state) {
  const order = data.rows.map((_, i) => i);
  if (state.order === "group") {
    const names = [...new Set(data.rows.map((row) => row.groups[0]))];
    order.sort((a, b) => names.indexOf(data.rows[a].groups[0]) - names.indexOf(data.rows[b].groups[0]));
  } else if (state.order === "margin") {
    const margin = (i) => run.margins[i] ?? Infinity;
    order.sort((a, b) => margin(a) - margin(b) || a - b);
  } else if (state.order === "prompt") {
    order.sort((a, b) => value(run, b, state.sortColumn) - value(run, a, state.sortColumn) || a - b);
  }
  return order;
}

function similarities(run, state) {
  const query = folded(state.query.trim());
  const rowTexts = (i) => [data.rows[i].name, ...data.rows[i].groups];
  const columnTexts = (j) => [run.columns[j].name, run.columns[j].group || ""];
  const rows = found(rowOrder(run, state), rowTexts, query);
  const columns = found(run.order, columnTexts, query);
  const isFound =
    !query || rows.some((i) => rowTexts(i).some((text) => folded(text).includes(query))) ||
    columns.some((j) => columnTexts(j).some((text) => folded(text).includes(query)));
  const difference = state.view === "difference";
  const base = difference ? baselines(run) : null;
  const at = (i, j) => value(run, i, j) - (base ? base[i] : 0);
  const best = new Map();
  return {
    name: state.view,
    rows: rows.map((i) => ({ label: data.rows[i].short, group: data.rows[i].groups.join("; "), index: i })),
    columns: columns.map((j) => ({ label: run.columns[j].short, group: run.columns[j].group || "", index: j })),
    value: (r, c) => at(rows[r], columns[c]),
    digits: 2,
    isRight: (r, c) => isRight(run, rows[r], columns[c]),
    isBest: (r, c) => {
      if (!best.has(rows[r])) best.set(rows[r], bestColumn(run, rows[r]));
      return run.columns.length > 1 && best.get(rows[r]) === columns[c];
    },
    scale: scaleOf(run, difference, at),
    caption: difference ? differenceText(run) : run.label,
    found: isFound,
    pick: (r, c) => [rows[r], columns[c]],
    describe: (r, c) => {
      const [i, j] = [rows[r], columns[c]];
      const lines = [`${shown(at(i, j))}`, run.columns[j].name, data.rows[i].name];
      if (isRight(run, i, j)) lines[0] += " · right";
      if (run.columns.length > 1 && bestColumn(run, i) === j) lines[0] += " · highest of this clip";
      return lines;
    },
  };
}

// The ends of the colours: of the whole table, so that they stay the same while one searches.
function scaleOf(run, difference, at) {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < data.rows.length; i++) {
    for (let j = 0; j < run.columns.length; j++) {
      const number = at(i, j);
      if (number < low) low = number;
      if (number > high) high = number;
    }
  }
  return difference || run.centred ? centred(low, high) : { kind: "sequential", low, high };
}

function centred(low, high) {
  const far = Math.max(Math.abs(low), Math.abs(high));
  return { kind: "centred", low: -far, high: far };
}

// What is subtracted from each row: its similarity with the baseline prompts, or else its mean.
function baselines(run) {
  if (run.baseline) return run.baseline;
  const n = run.columns.length;
  return data.rows.map((_, i) => {
    let sum = 0;
    for (let j = 0; j < n; j++) sum += value(run, i, j);
    return sum / n;
  });
}

function differenceText(run) {
  const what = run.baseline ? "that of the baseline prompts" : "the mean of the clip over all prompts";
  return `${run.label}, less ${what}`;
}

function groupMeans(run, state) {
  const { means } = run;
  const query = folded(state.query.trim());
  const rows = found(means.rows.map((_, i) => i), (i) => [means.rows[i]], query);
  const columns = found(means.columns.map((_, j) => j), (j) => [means.columns[j]], query);
  const at = (i, j) => means.values[i * means.columns.length + j];
  const spread = (i, j) => means.deviations[i * means.columns.length + j];
  const [low, high] = ends(means.values);
  const same = (i, j) => means.rows[i] === means.columns[j];
  const best = (i) => means.columns.reduce((most, _, j) => (at(i, j) > at(i, most) ? j : most), 0);
  return {
    name: "groups",
    rows: rows.map((i) => ({ label: means.rows[i], group: "", index: i })),
    columns: columns.map((j) => ({ label: means.columns[j], group: "", index: j })),
    value: (r, c) => at(rows[r], columns[c]),
    digits: 2,
    isRight: (r, c) => same(rows[r], columns[c]),
    isBest: (r, c) => best(rows[r]) === columns[c],
    scale: run.centred ? centred(low, high) : { kind: "sequential", low, high },
    caption: `${run.label}, mean over groups${means.part ? `: ${means.part}` : ""}`,
    found: true,
    pick: (r, c) => extremeOf(run, means.rows[rows[r]], means.columns[columns[c]]),
    describe: (r, c) => [
      `${shown(at(rows[r], columns[c]))} ± ${shown(spread(rows[r], columns[c]))}`,
      `prompts: ${means.columns[columns[c]]}`,
      `clips: ${means.rows[rows[r]]}`,
    ],
  };
}

// Of a group of clips and one of prompts the cell to look at: the lowest where they belong
// together, else the highest.
function extremeOf(run, rowName, columnName) {
  const isMember = (entry, name) => (entry.groups ?? [entry.group]).includes(name);
  const rows = data.rows.flatMap((row, i) =>
    isMember(row, rowName) || (!row.groups.length && row.short === rowName) ? [i] : [],
  );
  const columns = run.columns.flatMap((column, j) =>
    isMember(column, columnName) || (column.group === null && column.name === columnName) ? [j] : [],
  );
  const sign = rowName === columnName ? -1 : 1;
  let best = null;
  for (const i of rows) {
    for (const j of columns) {
      if (!best || sign * value(run, i, j) > sign * value(run, ...best)) best = [i, j];
    }
  }
  return best;
}

function confusion(run, state) {
  const counts = run.confusion;
  const totals = counts.map((row) => row.reduce((sum, count) => sum + count, 0));
  // In the order of the clips' groups, then the other prompt groups.
  const order = run.means.rows.filter((name) => run.groupNumbers.has(name)).map((name) => run.groupNumbers.get(name));
  const all = [...order, ...run.groups.map((_, g) => g).filter((g) => !order.includes(g))];
  const query = folded(state.query.trim());
  const present = all.filter((g) => totals[g]);
  const rows = found(present, (g) => [run.groups[g]], query);
  const columns = found(all, (g) => [run.groups[g]], query);
  const entry = (g) => ({ label: run.groups[g], group: "", index: g });
  const at = (r, c) => counts[rows[r]][columns[c]];
  return {
    name: "confusion",
    rows: rows.map(entry),
    columns: columns.map(entry),
    value: (r, c) => at(r, c) / totals[rows[r]],
    write: (r, c) => (at(r, c) ? String(at(r, c)) : ""),
    digits: 0,
    isRight: (r, c) => rows[r] === columns[c],
    isBest: () => false,
    scale: shares(),
    caption: "share of each behaviour's clips (down) that were taken for each (across)",
    found: true,
    pick: (r, c) => answeredAs(run, rows[r], columns[c]),
    describe: (r, c) => [
      `${at(r, c)} of ${totals[rows[r]]}`,
      `taken for: ${run.groups[columns[c]]}`,
      `clips: ${run.groups[rows[r]]}`,
    ],
  };
}

// Of a behaviour's clips the one whose score for another is the highest against its own; null if
// none is among those shown.
function answeredAs(run, label, answer) {
  const name = run.groups[label];
  const towards = (i) => score(run, i, answer) - score(run, i, label);
  const members = data.rows.flatMap((row, i) => (row.groups.includes(name) ? [i] : []));
  if (!members.length) return null;
  const row = members.reduce((most, i) => {
    if (label === answer) return run.margins[i] < run.margins[most] ? i : most;
    return towards(i) > towards(most) ? i : most;
  }, members[0]);
  return [row, bestOfGroup(run, row, run.groups[answer])];
}
