// A heatmap on a canvas: only the cells in view are drawn, so that its size does not matter.

import { onThemeChange, styleOf, theme } from "./colours.js";
import { make, shown } from "./data.js";

const FONT = "11px system-ui, sans-serif";
const BAND = 46; // of the names of groups above the columns, three lines
const MAX_HEADER = 170;
const PRINTED = { width: 1000, height: 1250 };

// host: the element that scrolls. on: {pick(r, c), hover(r, c, event), header(c)}.
export function createHeatmap(host, on) {
  const canvas = make("canvas");
  const spacer = make("div", { className: "spacer" });
  host.append(canvas, spacer);
  const context = canvas.getContext("2d");
  let view = null;
  let box = null;
  let selected = null;
  let hovered = null;
  let pending = 0;

  function measure() {
    context.font = FONT;
    const widest = (texts, limit) =>
      Math.ceil(Math.min(limit, texts.reduce((most, text) => Math.max(most, context.measureText(text).width), 0)));
    const printing = matchMedia("print").matches;
    const narrow = host.clientWidth < 600;
    const labels = view.rows.slice(0, 500).map((row) => row.label);
    const gutter = widest(labels, narrow ? 96 : 190) + 14;
    const groups = view.rows.some((row) => row.group)
      ? widest(view.rows.map((row) => row.group), narrow ? 56 : 110) + 12
      : 0;
    const band = view.columns.some((column) => column.group) ? BAND : 0;
    const header = widest(view.columns.map((column) => column.label), MAX_HEADER) + 12;
    const left = gutter + groups;
    const room = (printing ? PRINTED.width : host.clientWidth) - left - 2;
    const [n, p] = [view.rows.length, view.columns.length];
    const smallest = view.name === "groups" || view.name === "confusion" ? 30 : 15;
    box = { left, groups, band, top: header + band, printing };
    box.cellWidth = Math.max(smallest, Math.min(72, Math.floor(room / p)));
    box.cellHeight = n > 200 ? 15 : Math.max(16, Math.min(34, Math.floor(460 / n)));
    if (printing) {
      box.cellWidth = Math.min(72, room / p);
      box.cellHeight = Math.min(22, (PRINTED.height - box.top) / n);
    }
    const width = box.left + p * box.cellWidth + 2;
    const height = box.top + n * box.cellHeight + 2;
    spacer.style.width = `${width}px`;
    spacer.style.height = `${height}px`;
    const bar = width > host.clientWidth ? host.offsetHeight - host.clientHeight : 0;
    host.style.height = printing ? `${height}px` : `min(${height + bar}px, var(--tallest))`;
    box.width = printing ? width : Math.min(width, host.clientWidth);
    box.height = printing ? height : Math.min(height, host.clientHeight);
    const ratio = printing ? 2 : window.devicePixelRatio || 1;
    canvas.width = Math.round(box.width * ratio);
    canvas.height = Math.round(box.height * ratio);
    canvas.style.width = `${box.width}px`;
    canvas.style.height = `${box.height}px`;
    box.ratio = ratio;
  }

  function visible() {
    const { left, top, cellWidth, cellHeight, width, height } = box;
    const [x, y] = box.printing ? [0, 0] : [host.scrollLeft, host.scrollTop];
    return {
      x,
      y,
      firstColumn: Math.max(0, Math.floor(x / cellWidth)),
      lastColumn: Math.min(view.columns.length, Math.ceil((x + width - left) / cellWidth)),
      firstRow: Math.max(0, Math.floor(y / cellHeight)),
      lastRow: Math.min(view.rows.length, Math.ceil((y + height - top) / cellHeight)),
    };
  }

  function draw() {
    pending = 0;
    if (!view || !box) return;
    const colours = theme();
    const seen = visible();
    context.setTransform(box.ratio, 0, 0, box.ratio, 0, 0);
    context.fillStyle = colours.panel;
    context.fillRect(0, 0, box.width, box.height);
    context.font = FONT;
    clipped(box.left, box.top, box.width - box.left, box.height - box.top, () => drawCells(seen, colours));
    clipped(0, box.top, box.left, box.height - box.top, () => drawRowNames(seen, colours));
    clipped(box.left, 0, box.width - box.left, box.top, () => drawColumnNames(seen, colours));
  }

  function clipped(x, y, width, height, paint) {
    context.save();
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    paint();
    context.restore();
  }

  function drawCells({ x, y, firstColumn, lastColumn, firstRow, lastRow }, colours) {
    const { left, top, cellWidth: w, cellHeight: h } = box;
    const gap = w > 5 && h > 5 ? 1 : 0;
    const numbered = w >= 28 && h >= 14;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (let r = firstRow; r < lastRow; r++) {
      for (let c = firstColumn; c < lastColumn; c++) {
        const number = view.value(r, c);
        const style = styleOf(view.scale, number);
        const [cx, cy] = [left + c * w - x, top + r * h - y];
        context.fillStyle = style.fill;
        context.fillRect(cx, cy, w - gap, h - gap);
        if (numbered) {
          context.fillStyle = style.text;
          const text = view.write ? view.write(r, c) : shown(number, view.digits);
          context.fillText(text, cx + (w - gap) / 2, cy + h / 2 + 0.5);
        }
        if (view.isRight(r, c)) drawDot(cx, cy, numbered, style);
        if (view.isBest(r, c)) outline(cx + 1, cy + 1, w - gap - 2, h - gap - 2, style.text, 1.5);
      }
    }
    for (const [cell, colour] of [[hovered, colours.text], [selected, colours.mark]]) {
      if (!cell || box.printing) continue;
      const [cx, cy] = [left + cell[1] * w - x, top + cell[0] * h - y];
      outline(cx + 2.5, cy + 2.5, w - gap - 5, h - gap - 5, colours.panel, 1);
      outline(cx + 1, cy + 1, w - gap - 2, h - gap - 2, colour, 2);
    }
  }

  function drawDot(cx, cy, numbered, style) {
    const { cellWidth: w, cellHeight: h } = box;
    if (w < 7 || h < 7) return;
    context.fillStyle = style.text;
    context.beginPath();
    if (numbered) context.arc(cx + 5, cy + 5, 2, 0, 7);
    else context.arc(cx + w / 2 - 0.5, cy + h / 2 - 0.5, 2.5, 0, 7);
    context.fill();
  }

  function outline(x, y, width, height, colour, line) {
    context.strokeStyle = colour;
    context.lineWidth = line;
    context.strokeRect(x, y, width, height);
  }

  function drawRowNames({ y, firstRow, lastRow }, colours) {
    const { left, top, groups, cellHeight: h } = box;
    if (h < 8) return;
    context.textBaseline = "middle";
    for (let r = firstRow; r < lastRow; r++) {
      const row = view.rows[r];
      const middle = top + r * h - y + h / 2;
      const active = selected?.[0] === r || hovered?.[0] === r;
      context.textAlign = "right";
      context.fillStyle = active ? colours.text : colours.muted;
      context.fillText(fitted(row.label, left - groups - 10, true), left - 7, middle);
      const first = r === firstRow || view.rows[r - 1].group !== row.group;
      if (groups && first) {
        context.textAlign = "left";
        context.fillStyle = colours.text;
        // A group of which a part is above stays named.
        const last = r + 1 < view.rows.length && view.rows[r + 1].group === row.group;
        context.fillText(fitted(row.group, groups - 8), 2, last ? Math.max(middle, top + h / 2) : middle);
      }
      if (groups && r > 0 && view.rows[r - 1].group !== row.group) rule(0, middle - h / 2 - 0.5, left - 4, colours);
    }
  }

  function rule(x, y, length, colours) {
    context.fillStyle = colours.line;
    context.fillRect(x, y, length, 1);
  }

  function drawColumnNames({ x, firstColumn, lastColumn }, colours) {
    const { left, top, band, cellWidth: w } = box;
    if (w >= 8) {
      for (let c = firstColumn; c < lastColumn; c++) {
        const active = selected?.[1] === c || hovered?.[1] === c;
        context.save();
        context.translate(left + c * w - x + w / 2, top - 6);
        context.rotate(-Math.PI / 2);
        context.textAlign = "left";
        context.textBaseline = "middle";
        context.fillStyle = active ? colours.text : colours.muted;
        context.fillText(fitted(view.columns[c].label, top - band - 10), 0, 0);
        context.restore();
      }
    }
    if (band) drawBand(x, firstColumn, lastColumn, colours);
  }

  function drawBand(x, firstColumn, lastColumn, colours) {
    const { left, band, cellWidth: w } = box;
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    let c = firstColumn;
    while (c < lastColumn) {
      let end = c + 1;
      while (end < view.columns.length && view.columns[end].group === view.columns[c].group) end++;
      const start = Math.max(left + c * w - x, left);
      const width = left + end * w - x - start - 4;
      context.fillStyle = colours.line;
      context.fillRect(start, band - 3, width + 2, 2);
      context.fillStyle = colours.text;
      folded(view.columns[c].group, width).forEach((text, i, lines) => {
        context.fillText(text, start, band - 8 - 12 * (lines.length - 1 - i));
      });
      c = end;
    }
  }

  // A text in at most so many lines, each fitting a width.
  function folded(text, width, lines = 3) {
    if (lines === 1 || context.measureText(text).width <= width) return [fitted(text, width)];
    const words = text.split(" ");
    let first = words.shift();
    while (words.length && context.measureText(`${first} ${words[0]}`).width <= width) {
      first += ` ${words.shift()}`;
    }
    return [fitted(first, width), ...(words.length ? folded(words.join(" "), width, lines - 1) : [])];
  }

  // As much of a text as fits a width: its beginning, or its end, by which takes differ.
  function fitted(text, width, fromEnd = false) {
    if (context.measureText(text).width <= width) return text;
    const letters = [...text];
    const part = (n) => (fromEnd ? `…${letters.slice(letters.length - n).join("")}` : `${letters.slice(0, n).join("")}…`);
    let [low, high] = [0, letters.length];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (context.measureText(part(middle)).width <= width) low = middle;
      else high = middle - 1;
    }
    return low ? part(low) : "";
  }

  function redraw() {
    if (!pending) pending = requestAnimationFrame(draw);
  }

  function cellAt(event) {
    const bounds = canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - bounds.left, event.clientY - bounds.top];
    const { x, y } = visible();
    const c = Math.floor((px - box.left + x) / box.cellWidth);
    const r = Math.floor((py - box.top + y) / box.cellHeight);
    return {
      row: py >= box.top && r < view.rows.length ? r : -1,
      column: px >= box.left && c < view.columns.length ? c : -1,
    };
  }

  host.addEventListener("scroll", redraw, { passive: true });
  host.addEventListener("mousemove", (event) => {
    const { row, column } = cellAt(event);
    hovered = row >= 0 && column >= 0 ? [row, column] : null;
    canvas.style.cursor = hovered || column >= 0 ? "pointer" : "default";
    on.hover(row, column, event);
    redraw();
  });
  host.addEventListener("mouseleave", () => {
    hovered = null;
    on.hover(-1, -1, null);
    redraw();
  });
  host.addEventListener("click", (event) => {
    const { row, column } = cellAt(event);
    if (row >= 0 && column >= 0) on.pick(row, column);
    else if (column >= 0) on.header(column);
  });

  function relayout() {
    if (!view) return;
    measure();
    draw();
  }

  new ResizeObserver(relayout).observe(host);
  onThemeChange(relayout);

  return {
    show(next, cell) {
      view = next;
      selected = cell;
      hovered = null;
      relayout();
    },
    select(cell, isSeen = false) {
      selected = cell;
      if (cell && !isSeen) reveal(cell);
      redraw();
    },
    get selected() {
      return selected;
    },
  };

  function reveal([r, c]) {
    const { left, top, cellWidth: w, cellHeight: h, width, height } = box;
    const limit = (at, low, high) => Math.max(low, Math.min(high, at));
    host.scrollLeft = limit(host.scrollLeft, (c + 1) * w - (width - left), c * w);
    host.scrollTop = limit(host.scrollTop, (r + 1) * h - (height - top), r * h);
  }
}
