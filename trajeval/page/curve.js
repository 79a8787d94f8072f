// The similarity along a clip, with a cursor that follows the clip, and that the clip follows.

import { theme } from "./colours.js";
import { make, shown, timeOf } from "./data.js";

const HEIGHT = 130;
const EDGE = { left: 38, right: 8, top: 8, bottom: 20 };

// lines: [{values, colour, width, dash}] over xs, seconds of the file or numbers of frames.
// player: what the cursor follows. Returns {element, draw}.
export function createCurve(xs, lines, player, timed, label) {
  const canvas = make("canvas", { className: "curve", height: HEIGHT });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  const context = canvas.getContext("2d");
  const flat = lines.flatMap((line) => line.values);
  const [low, high] = [Math.min(...flat), Math.max(...flat)];
  const [start, end] = [xs[0], xs[xs.length - 1]];

  function across(x) {
    const width = canvas.clientWidth - EDGE.left - EDGE.right;
    return EDGE.left + (end > start ? (x - start) / (end - start) : 0.5) * width;
  }

  function down(y) {
    const height = HEIGHT - EDGE.top - EDGE.bottom;
    return EDGE.top + (high > low ? (high - y) / (high - low) : 0.5) * height;
  }

  function now() {
    return timed ? player.time : player.position;
  }

  function draw() {
    const colours = theme();
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    if (!width) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(HEIGHT * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, HEIGHT);
    context.font = "10.5px system-ui, sans-serif";
    context.fillStyle = colours.muted;
    context.textAlign = "right";
    context.fillText(shown(high, 2), EDGE.left - 5, EDGE.top + 8);
    context.fillText(shown(low, 2), EDGE.left - 5, HEIGHT - EDGE.bottom);
    const unit = timed ? " s" : "";
    context.fillText(`${Number(end.toFixed(2))}${unit}`, width - EDGE.right, HEIGHT - 5);
    context.textAlign = "left";
    context.fillText(timed ? `${Number(start.toFixed(2))} s` : `frame ${start}`, EDGE.left, HEIGHT - 5);
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    context.strokeRect(EDGE.left - 0.5, EDGE.top - 0.5, width - EDGE.left - EDGE.right, HEIGHT - EDGE.top - EDGE.bottom);
    for (const line of lines) {
      context.strokeStyle = colours[line.colour];
      context.lineWidth = line.width;
      context.setLineDash(line.dash || []);
      context.beginPath();
      xs.forEach((x, i) => context.lineTo(across(x), down(line.values[i])));
      context.stroke();
    }
    context.setLineDash([]);
    const at = now();
    if (at === null || at === undefined) return;
    const x = Math.max(EDGE.left, Math.min(width - EDGE.right, across(at)));
    canvas.dataset.cursor = x.toFixed(1);
    context.fillStyle = colours.text;
    context.fillRect(x - 0.75, EDGE.top - 4, 1.5, HEIGHT - EDGE.top - EDGE.bottom + 8);
  }

  function follow(event) {
    if (event.type === "pointermove" && !(event.buttons & 1)) return;
    const bounds = canvas.getBoundingClientRect();
    const width = canvas.clientWidth - EDGE.left - EDGE.right;
    const share = Math.max(0, Math.min(1, (event.clientX - bounds.left - EDGE.left) / width));
    const x = start + share * (end - start);
    if (timed) {
      player.seek(x);
    } else {
      const gaps = player.frames.map((frame) => Math.abs(frame - x));
      if (gaps.length) player.frame(gaps.indexOf(Math.min(...gaps)));
    }
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    follow(event);
  });
  canvas.addEventListener("pointermove", follow);
  player.onTime(draw);
  new ResizeObserver(draw).observe(canvas);
  return { element: canvas, draw };
}

// Where the points of a row's curves lie: seconds of the file, or else the numbers of frames.
export function pointsOf(curves, row, index) {
  const first = timeOf(row, row.frames[0]);
  if (curves.times[index] && first !== null) {
    return { timed: true, xs: curves.times[index].map((time) => time + first) };
  }
  return { timed: false, xs: curves.frames[index] };
}
