// Puts the parts together: one state, and what follows from it.

import { bestColumn, bestOfGroup, data, make, shown, value } from "./data.js";
import { onThemeChange, styleOf } from "./colours.js";
import { VIEWS, buildView, ordersOf, viewsOf } from "./views.js";
import { createHeatmap } from "./heatmap.js";
import { createDetail } from "./detail.js";
import { showMargins, showPairs } from "./lists.js";
import { listen } from "./keyboard.js";

const READ = 50; // rows and columns of the table for screen readers
const byId = (id) => document.getElementById(id);
const state = { run: 0, view: "similarity", order: "list", query: "", sortColumn: 0, row: -1, column: -1, picked: false };
const cellViews = ["similarity", "difference"]; // whose cells are a clip and a prompt
let view = null;
let closePairs = () => {};

const current = () => data.runs[state.run];
const grid = byId("heatmap");
const heatmap = createHeatmap(grid, { pick: pickCell, hover: showTip, header: sortBy });
const detail = createDetail(byId("detail"), pick, close);

function pickCell(r, c) {
  const cell = view.pick(r, c);
  if (cell) pick(...cell);
  if (!cellViews.includes(view.name)) heatmap.select([r, c]);
}

function pick(row, column) {
  Object.assign(state, { row, column, picked: true });
  document.body.classList.add("open");
  open();
}

function open() {
  const { row, column } = state;
  detail.show(row, column, data.runs, current());
  heatmap.select(cellOf(row, column), !state.picked);
  const name = current().columns[column].name;
  byId("announce").textContent = `${data.rows[row].short}, ${name}: ${shown(value(current(), row, column))}`;
}

function close() {
  state.picked = false;
  document.body.classList.remove("open");
  detail.close();
  heatmap.select(null);
}

function cellOf(row, column) {
  if (!cellViews.includes(view.name)) return null;
  const r = view.rows.findIndex((entry) => entry.index === row);
  const c = view.columns.findIndex((entry) => entry.index === column);
  return r >= 0 && c >= 0 ? [r, c] : null;
}

function move(rows, columns) {
  const [r, c] = heatmap.selected || [-rows, -columns];
  const limit = (at, n) => Math.max(0, Math.min(n - 1, at));
  const cell = [limit(r + rows, view.rows.length), limit(c + columns, view.columns.length)];
  heatmap.select(cell);
  pickCell(...cell);
}

function sortBy(column) {
  if (!cellViews.includes(view.name)) return;
  state.sortColumn = view.columns[column].index;
  state.order = "prompt";
  refresh();
}

function refresh() {
  const run = current();
  if (!viewsOf(run).includes(state.view)) state.view = "similarity";
  view = buildView(run, state);
  heatmap.show(view, state.row < 0 ? null : cellOf(state.row, state.column));
  fillOrders(run);
  byId("search").setAttribute("aria-invalid", String(!view.found));
  byId("view-text").textContent = view.found ? view.caption : `nothing is called "${state.query}"`;
  drawScale();
}

function drawScale() {
  const canvas = byId("scale");
  const context = canvas.getContext("2d");
  const { low, high } = view.scale;
  for (let x = 0; x < canvas.width; x++) {
    context.fillStyle = styleOf(view.scale, low + ((high - low) * x) / (canvas.width - 1)).fill;
    context.fillRect(x, 0, 1, canvas.height);
  }
  byId("scale-text").textContent = `${shown(low, 2)} to ${shown(high, 2)}`;
}

function fillOrders(run) {
  const orders = ordersOf(run);
  if (state.order === "prompt") orders.prompt = `by prompt: ${run.columns[state.sortColumn].name}`;
  else if (!orders[state.order]) state.order = "list";
  if (!orders.prompt) orders.pick = "by a prompt: click on its name";
  fillSelect(byId("order"), orders, state.order);
  const off = view.name === "groups" || view.name === "confusion";
  byId("order").disabled = off;
  const pickOption = byId("order").querySelector('[value="pick"]');
  if (pickOption) pickOption.disabled = true;
}

function fillSelect(select, options, chosen) {
  select.replaceChildren(...Object.entries(options).map(([key, text]) => make("option", { value: key, selected: key === chosen }, text)));
}

// For screen readers: the group means, or without groups the table itself; of each the first part.
function fillTable() {
  const run = current();
  const table = run.means || { rows: data.rows.map((row) => row.short), columns: run.columns.map((column) => column.name), values: run.values };
  const [rows, columns] = [table.rows.slice(0, READ), table.columns.slice(0, READ)];
  const header = make("tr", {}, make("td"), ...columns.map((name) => make("th", { scope: "col" }, name)));
  const body = rows.map((name, i) =>
    make("tr", {}, make("th", { scope: "row" }, name), ...columns.map((_, j) => make("td", {}, shown(table.values[i * table.columns.length + j])))),
  );
  const whole = rows.length === table.rows.length && columns.length === table.columns.length;
  const caption = `${run.label}${run.means ? ", mean over groups" : ""}${whole ? "" : `, the first ${READ}`}`;
  byId("as-table").replaceChildren(make("table", {}, make("caption", {}, caption), make("thead", {}, header), make("tbody", {}, ...body)));
}

function showTip(r, c, event) {
  const tip = byId("tip");
  tip.hidden = c < 0 || !event;
  if (tip.hidden) return;
  const lines = r >= 0 ? view.describe(r, c) : [nameOf(view.columns[c]), view.columns[c].group, "click to sort by it"];
  tip.replaceChildren(...lines.filter(Boolean).map((text, i) => make(i ? "div" : "b", { className: "name" }, text)));
  const { offsetWidth: width, offsetHeight: height } = tip;
  const left = Math.min(event.clientX + 14, window.innerWidth - width - 8);
  const above = event.clientY + 18 + height > window.innerHeight;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${above ? event.clientY - height - 12 : event.clientY + 18}px`;
}

function nameOf(entry) {
  return cellViews.includes(view.name) ? current().columns[entry.index].name : entry.label;
}

function showLists() {
  closePairs();
  showMargins(byId("margins"), current(), goTo);
  closePairs = showPairs(byId("pairs"), current(), goTo);
}

// To a clip from the lists below: the heatmap must show it, and be in view.
function goTo(row, column) {
  state.query = byId("search").value = "";
  if (!cellViews.includes(state.view)) byId("view").value = state.view = "similarity";
  refresh();
  pick(row, column);
  byId("explore").scrollIntoView({ block: "start" });
}

function chooseRun(index) {
  state.run = Number(index);
  state.sortColumn = 0;
  if (state.order === "prompt") state.order = "list";
  const run = current();
  fillSelect(byId("view"), Object.fromEntries(viewsOf(run).map((name) => [name, VIEWS[name]])), state.view);
  if (state.row >= 0) state.column = bestColumn(run, state.row);
  refresh();
  fillTable();
  showLists();
  if (state.row >= 0) open();
}

// The clip that is shown at first: the one with the worst margin.
function first() {
  const run = current();
  let row = 0;
  if (run.margins) {
    const margins = run.margins.map((margin) => margin ?? Infinity);
    row = margins.indexOf(Math.min(...margins));
  }
  state.row = row;
  state.column = run.answered ? bestOfGroup(run, row, run.groups[run.answered[row]]) : bestColumn(run, row);
}

byId("run-choice").hidden = data.runs.length < 2;
fillSelect(byId("run"), Object.fromEntries(data.runs.map((run, i) => [i, run.name])), "0");
byId("run").addEventListener("change", (event) => chooseRun(event.target.value));
byId("view").addEventListener("change", (event) => {
  state.view = event.target.value;
  refresh();
  grid.scrollTo(0, 0);
});
byId("order").addEventListener("change", (event) => {
  state.order = event.target.value;
  refresh();
  grid.scrollTo(0, 0);
});
byId("search").addEventListener("input", (event) => {
  state.query = event.target.value;
  refresh();
});
listen(
  grid,
  byId("search"),
  {
    move,
    toggle: () => detail.player?.toggle(),
    search: () => byId("search").focus(),
    escape() {
      if (state.query) {
        state.query = byId("search").value = "";
        refresh();
      } else if (document.activeElement === byId("search")) grid.focus();
      else close();
    },
  },
  () => state.picked,
);
onThemeChange(refresh);
first();
chooseRun(0);
