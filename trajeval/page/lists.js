// The clips with the worst margins, and the pairs that are taken for each other.

import { bestOfGroup, data, make, score, shown } from "./data.js";
import { createPlayer } from "./player.js";

const FIRST = 10;

export function showMargins(section, run, onPick) {
  const order = data.rows
    .map((_, i) => i)
    .filter((i) => run.margins && run.margins[i] !== null)
    .sort((a, b) => run.margins[a] - run.margins[b] || a - b);
  section.hidden = !order.length;
  const host = section.querySelector("#margins-list");
  const widest = Math.max(...order.map((i) => Math.abs(run.margins[i])), 1e-9);
  const body = make("tbody");
  const add = (rows) => body.append(...rows.map((i) => marginRow(run, i, widest, onPick)));
  add(order.slice(0, FIRST));
  const names = ["clip", "margin", "", "is", "best wrong"];
  const header = make("tr", {}, ...names.map((text, i) => make("th", { scope: "col", className: i === 1 ? "n" : "" }, text)));
  host.replaceChildren(make("table", {}, make("thead", {}, header), body));
  if (order.length > FIRST) {
    const more = make("button", { type: "button", className: "more" }, `Show all ${order.length}`);
    more.addEventListener("click", () => {
      add(order.slice(FIRST));
      more.remove();
    });
    host.append(more);
  }
}

function marginRow(run, i, widest, onPick) {
  const margin = run.margins[i];
  const label = data.rows[i].groups.find((name) => run.groupNumbers.has(name));
  const wrong = run.groups
    .map((_, g) => g)
    .filter((g) => run.groups[g] !== label)
    .reduce((most, g) => (score(run, i, g) > score(run, i, most) ? g : most));
  const button = make("button", { type: "button", className: "link name" }, data.rows[i].short);
  button.addEventListener("click", () => onPick(i, bestOfGroup(run, i, run.groups[wrong])));
  const bar = make("span", { className: margin < 0 ? "bar bad" : "bar good" });
  const share = (50 * Math.abs(margin)) / widest;
  bar.style.left = `${margin < 0 ? 50 - share : 50}%`;
  bar.style.width = `${share}%`;
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, button),
    make("td", { className: margin < 0 ? "n bad" : "n" }, shown(margin)),
    make("td", { className: "bars middle" }, bar),
    make("td", { className: "name" }, label),
    make("td", { className: "name" }, run.groups[wrong]),
  );
}

export function showPairs(section, run, onPick) {
  section.hidden = !run.pairs.length;
  const list = section.querySelector("#pairs-list");
  const clips = section.querySelector("#pairs-clips");
  let players = [];
  const buttons = run.pairs.map((pair) => {
    const count = pair.there + pair.back;
    const text = count ? `${pair.there} + ${pair.back}` : "closest";
    const button = make(
      "button",
      { type: "button", className: "chip" },
      make("span", { className: "name" }, `${run.groups[pair.a]} ↔ ${run.groups[pair.b]}`),
      make("small", {}, ` ${text}`),
    );
    button.addEventListener("click", () => open(pair, button));
    return button;
  });
  const closed = () => {
    players.forEach((player) => player.close());
    players = [];
  };

  function open(pair, button) {
    closed();
    buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    const sides = [[pair.left, pair.a, pair.b, pair.there], [pair.right, pair.b, pair.a, pair.back]];
    clips.replaceChildren(...sides.map(side));
  }

  function side([row, own, other, count]) {
    const player = createPlayer(data.rows[row]);
    players.push(player);
    const link = make("button", { type: "button", className: "link name" }, data.rows[row].short);
    link.addEventListener("click", () => onPick(row, bestOfGroup(run, row, run.groups[other])));
    const total = run.confusion[own].reduce((sum, n) => sum + n, 0);
    const table = make("table", {}, make("tbody", {}, ...[own, other].map((g) => make(
      "tr",
      { className: g === own ? "right" : "" },
      make("th", { scope: "row", className: "name" }, run.groups[g]),
      make("td", {}, g === own ? "right" : ""),
      make("td", { className: "n" }, shown(score(run, row, g))),
    ))));
    const taken = make("p", { className: "muted" }, `${count} of ${total} `, make("span", { className: "name" }, run.groups[own]), " taken for ", make("span", { className: "name" }, run.groups[other]));
    return make("div", { className: "card" }, make("h3", {}, link), player.element, table, taken);
  }

  const more = run.more_pairs ? [make("p", { className: "muted" }, `and ${run.more_pairs} more pairs: see confusion above`)] : [];
  list.replaceChildren(...buttons, ...more);
  clips.replaceChildren();
  // The clips are loaded once somebody comes near them.
  const watcher = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watcher.disconnect();
    open(run.pairs[0], buttons[0]);
  }, { rootMargin: "300px" });
  if (run.pairs.length) watcher.observe(section);
  return () => {
    watcher.disconnect();
    closed();
  };
}
