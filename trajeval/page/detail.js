// The panel of one clip: the clip, the frames that the model saw, its curve, and all its scores.

import { onThemeChange } from "./colours.js";
import { bestColumn, curvesOf, data, isRight, make, score, shown, timeOf, value } from "./data.js";
import { createCurve, pointsOf } from "./curve.js";
import { createPlayer } from "./player.js";

const THUMB = 56; // pixels of height

// panel: the element to fill. onPick(row, column): another prompt was chosen. onClose().
export function createDetail(panel, onPick, onClose) {
  let open = null; // {row, player, drawings, stopped}

  function close() {
    if (!open) return;
    open.stopped = true;
    open.player.close();
    open = null;
    panel.replaceChildren();
  }

  function show(index, column, runs, current) {
    if (open?.index === index) {
      open.column = column;
    } else {
      close();
      const row = data.rows[index];
      open = { index, column, row, player: createPlayer(row), stopped: false, redraws: [] };
      open.head = heading(row);
      open.seen = framesSeen(open);
      open.body = make("div");
      panel.replaceChildren(open.head, open.player.element, open.seen, open.body);
      panel.scrollTop = 0;
    }
    fill(open, runs, current);
  }

  function heading(row) {
    const button = make("button", { type: "button", className: "close", title: "close (esc)" }, "×");
    button.setAttribute("aria-label", "close the clip");
    button.addEventListener("click", onClose);
    const words = [row.groups.join("; "), row.rating === null ? "" : `rating ${row.rating}`];
    return make(
      "div",
      { className: "head" },
      make("div", {}, make("h2", { className: "name" }, row.short), make("p", { className: "name muted path" }, row.name)),
      make("p", { className: "name tag" }, words.filter(Boolean).join(" · ")),
      button,
    );
  }

  function fill(state, runs, current) {
    state.redraws = [];
    const parts = runs.map((run) => {
      const several = runs.length > 1;
      const part = make("div", { className: run === current ? "part current" : "part" });
      if (several) part.append(make("h3", { className: "name" }, run.name));
      const column = run === current ? state.column : bestColumn(run, state.index);
      part.append(answerLine(run, state.index), curvePart(state, run, column), scoreTable(run, state.index, column, run === current && onPick));
      return part;
    });
    state.body.replaceChildren(...parts);
    state.body.className = parts.length > 1 ? "parts" : "";
  }

  function curvePart(state, run, column) {
    const place = make("div", { className: "curve-part" });
    if (!run.curves) return place;
    curvesOf(run, state.index).then((curves) => {
      if (state.stopped) return;
      const { xs, timed } = pointsOf(run.curves, state.row, state.index);
      const { lines, key } = curveLines(run, state.index, column, curves);
      const label = `similarity along the clip with "${run.columns[column].name}"`;
      const curve = createCurve(xs, lines, state.player, timed, label);
      state.redraws.push(curve.draw);
      place.replaceChildren(key, curve.element);
      curve.draw();
    });
    return place;
  }

  onThemeChange(() => open?.redraws.forEach((draw) => draw()));

  return { show, close, get player() { return open?.player; }, get row() { return open?.index ?? -1; } };
}

// The chosen prompt above all others: the right one that scores highest, and the highest of all.
function curveLines(run, index, column, curves) {
  const named = new Map();
  const best = bestColumn(run, index);
  const right = run.columns
    .map((_, j) => j)
    .filter((j) => isRight(run, index, j))
    .reduce((most, j) => (most < 0 || value(run, index, j) > value(run, index, most) ? j : most), -1);
  const add = (j, what, style) => {
    if (j < 0) return;
    if (named.has(j)) named.get(j).what += `, ${what}`;
    else named.set(j, { what, ...style });
  };
  add(column, "shown", { colour: "accent", width: 2.25 });
  add(right, "right", { colour: "good", width: 1.75 });
  if (run.columns.length > 1) add(best, "highest", { colour: right < 0 ? "text" : "bad", width: 1.75, dash: [5, 3] });
  const others = curves
    .map((values, j) => ({ values, j, colour: "line", width: 1 }))
    .filter(({ j }) => !named.has(j));
  const lines = [...named].map(([j, style]) => ({ values: curves[j], ...style }));
  const key = make("p", { className: "key" });
  for (const [j, { what, colour }] of named) {
    key.append(make("span", { className: `swatch ${colour}` }), make("span", {}, `${what}: `), make("span", { className: "name muted" }, run.columns[j].short), make("br"));
  }
  return { lines: [...others, ...lines.reverse()], key };
}

// What the model answered, and whether that is right.
function answerLine(run, index) {
  const line = make("p", { className: "answer" });
  if (!run.answered || run.hits[index] === null) {
    line.append("Highest: ", make("b", { className: "name" }, run.columns[bestColumn(run, index)].name));
    return line;
  }
  const hit = run.hits[index];
  const answer = run.groups[run.answered[index]];
  line.append(
    make("span", { className: hit ? "good" : "bad" }, hit ? "✓ right: " : "✗ wrong: "),
    make("b", { className: "name" }, answer),
    ` ${shown(score(run, index, run.answered[index]))}`,
  );
  if (!hit) {
    const labels = data.rows[index].groups.filter((name) => run.groupNumbers.has(name));
    line.append(", not ", make("b", { className: "name" }, labels.join("; ")));
    if (labels.length === 1) line.append(` ${shown(score(run, index, run.groupNumbers.get(labels[0])))}`);
  }
  if (run.margins[index] !== null) line.append(make("span", { className: "muted" }, ` · margin ${shown(run.margins[index])}`));
  return line;
}

// All prompts, highest first, as a table with bars; each leads to its cell.
function scoreTable(run, index, column, onPick) {
  const order = run.columns.map((_, j) => j).sort((a, b) => value(run, index, b) - value(run, index, a) || a - b);
  const [high, low] = [value(run, index, order[0]), value(run, index, order[order.length - 1])];
  const best = run.columns.length > 1 ? bestColumn(run, index) : -1;
  const isJudged = run.columns.some((_, j) => isRight(run, index, j));
  const from = low < 0 && high > 0 ? 0 : null;
  const place = (number) => (high > low ? (number - low) / (high - low) : 1);
  const body = make("tbody");
  for (const j of order) {
    const number = value(run, index, j);
    const right = isRight(run, index, j);
    const marks = [right ? "right" : "", j === best ? "highest" : ""].filter(Boolean).join(", ");
    const bar = make("span", { className: "bar" });
    const [start, end] = from === null ? [0, place(number)] : [place(0), place(number)].sort((a, b) => a - b);
    bar.style.left = `${100 * start}%`;
    bar.style.width = `${Math.max(0.5, 100 * (end - start))}%`;
    const button = make("button", { type: "button", className: "link name", title: run.columns[j].name }, run.columns[j].short);
    button.disabled = !onPick;
    if (onPick) button.addEventListener("click", () => onPick(index, j));
    const row = make(
      "tr",
      { className: [right ? "right" : "", j === best ? "best" : "", j === best && isJudged && !right ? "wrong" : "", j === column ? "shown" : ""].join(" ").trim() },
      make("th", { scope: "row" }, button),
      make("td", { className: "marks" }, marks),
      make("td", { className: "bars" }, bar),
      make("td", { className: "n" }, shown(number)),
    );
    body.append(row);
  }
  const header = make(
    "tr",
    {},
    ...["prompt", "", "", run.label].map((text, i) => make("th", { scope: "col", className: i === 3 ? "n" : "" }, text)),
  );
  const caption = make("caption", { className: "sr" }, `Scores of ${data.rows[index].short} for all prompts`);
  return make("div", { className: "scores" }, make("table", {}, caption, make("thead", { className: "sr" }, header), body));
}

// The frames that the model saw: when they are shown, and what they show.
function framesSeen(state) {
  const { row, player } = state;
  const seen = [...new Set(row.frames || [])];
  const place = make("div", { className: "seen" });
  if (!seen.length || row.media.kind === "none") return place;
  const line = make("div", { className: "ticks" });
  const last = Math.max(row.length - 1 + seen[0], seen[seen.length - 1]);
  const share = (index) => (last > seen[0] ? (index - seen[0]) / (last - seen[0]) : 0);
  const goTo = (index) => {
    if (player.frames.length) {
      const gaps = player.frames.map((frame) => Math.abs(frame - index));
      player.frame(gaps.indexOf(Math.min(...gaps)));
    } else if (timeOf(row, index) !== null) {
      player.seek(timeOf(row, index));
    }
  };
  for (const index of seen) {
    const time = timeOf(row, index);
    const tick = make("span", { className: "tick", title: time === null ? `frame ${index}` : `frame ${index}, ${time.toFixed(2)} s` });
    tick.style.left = `${100 * share(index)}%`;
    tick.addEventListener("click", () => goTo(index));
    line.append(tick);
  }
  const cursor = make("span", { className: "cursor" });
  line.append(cursor);
  player.onTime(() => {
    const at = player.frames.length ? player.position : player.time * row.fps;
    cursor.style.left = `${100 * Math.max(0, Math.min(1, share(at)))}%`;
  });
  const strip = make("div", { className: "thumbs" });
  const text = `${seen.length === 1 ? "The frame" : `The ${seen.length} frames`} that the model saw`;
  place.append(make("p", { className: "muted" }, text), line, strip);
  if (player.video && row.fps) drawThumbs(state, seen, strip, goTo);
  else if (player.frames.length) imageThumbs(row, player, strip);
  return place;
}

// Seeks through the video once more, out of sight, and keeps a picture of each frame.
function drawThumbs(state, seen, strip, goTo) {
  const { row, player } = state;
  const video = make("video", { muted: true, preload: "auto", playsInline: true });
  const offset = row.media.offset || 0;
  const pictures = seen.map((index) => {
    const canvas = make("canvas", { className: "thumb", title: `frame ${index}`, height: THUMB, width: THUMB });
    canvas.addEventListener("click", () => goTo(index));
    return canvas;
  });
  strip.append(...pictures);
  let at = -1;
  const next = () => {
    at += 1;
    if (state.stopped || at >= seen.length) {
      video.removeAttribute("src");
      video.load();
    } else {
      // The middle of a frame: rounding must not give the one before.
      video.currentTime = Math.max(0, (seen[at] + 0.5) / row.fps - offset);
    }
  };
  video.addEventListener("seeked", () => {
    const canvas = pictures[at];
    if (!canvas || !video.videoWidth) return;
    canvas.width = Math.round((THUMB * video.videoWidth) / video.videoHeight);
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, THUMB);
    next();
  });
  player.video.addEventListener("loadeddata", () => {
    video.src = row.media.src.split("#")[0];
    video.addEventListener("loadeddata", next, { once: true });
  }, { once: true });
}

function imageThumbs(row, player, strip) {
  const { media } = row;
  player.frames.forEach((frame, i) => {
    const image = make("img", { alt: "", src: media.kind === "strip" ? media.src : media.src[i] });
    const picture = make("button", { type: "button", className: "thumb", title: `frame ${frame}` }, image);
    picture.setAttribute("aria-label", `frame ${frame}`);
    if (media.kind === "strip") {
      picture.style.width = `${(THUMB * media.width) / media.height}px`;
      image.style.width = `${100 * media.count}%`;
      image.style.transform = `translateX(${(-100 * i) / media.count}%)`;
    } else {
      image.loading = "lazy";
    }
    picture.addEventListener("click", () => player.frame(i));
    strip.append(picture);
  });
}

