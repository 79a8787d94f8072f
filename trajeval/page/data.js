// The data of the page: what page_data.py wrote, with its arrays unpacked.

const LEVELS = 255;

export const data = JSON.parse(document.getElementById("data").textContent);

function bytes(text) {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

function floats(text) {
  const view = new DataView(bytes(text).buffer);
  return Float32Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

// Texts without the words that all begin with: "a cheetah is running" is "… running".
function withoutPrefix(texts) {
  const words = texts.map((text) => text.split(" "));
  let n = 0;
  while (texts.length > 1 && words.every((own) => own.length > n + 1 && own[n] === words[0][n])) n++;
  return n < 2 ? texts : words.map((own) => `… ${own.slice(n).join(" ")}`);
}

for (const run of data.runs) {
  withoutPrefix(run.columns.map((column) => column.name)).forEach((text, i) => {
    run.columns[i].short = text;
  });
  run.values = floats(run.values); // [N, P]
  run.baseline = run.baseline && floats(run.baseline); // [N]
  if (run.means) {
    run.means.values = floats(run.means.values); // [R, C]
    run.means.deviations = floats(run.means.deviations);
  }
  run.scores = run.scores && floats(run.scores); // [N, G]
  run.groups = run.groups || [];
  run.groupNumbers = new Map(run.groups.map((name, i) => [name, i]));
}

export function value(run, row, column) {
  return run.values[row * run.columns.length + column];
}

export function score(run, row, group) {
  return run.scores[row * run.groups.length + group];
}

export function isRight(run, row, column) {
  const group = run.columns[column].group;
  return group !== null && data.rows[row].groups.includes(group);
}

// The column with the highest value of a row.
export function bestColumn(run, row) {
  let best = 0;
  for (let column = 1; column < run.columns.length; column++) {
    if (value(run, row, column) > value(run, row, best)) best = column;
  }
  return best;
}

// The column with the highest value of a row among those of a group; -1 without any.
export function bestOfGroup(run, row, group) {
  let best = -1;
  run.columns.forEach((column, j) => {
    if (column.group === group && (best < 0 || value(run, row, j) > value(run, row, best))) best = j;
  });
  return best;
}

// The curves of a row: for each column its values [K].
export async function curvesOf(run, row) {
  const { points, low, high } = run.curves;
  if (!run.curves.steps) {
    const stream = new Blob([bytes(run.curves.values)]).stream();
    const whole = stream.pipeThrough(new DecompressionStream("deflate"));
    run.curves.steps = new Uint8Array(await new Response(whole).arrayBuffer());
  }
  const n = run.columns.length;
  return run.columns.map((_, column) => {
    const start = (row * n + column) * points;
    let level = 0;
    return Array.from(run.curves.steps.subarray(start, start + points), (step) => {
      level = (level + step) & 255;
      return low[row] + ((high[row] - low[row]) * level) / LEVELS;
    });
  });
}

// When frame number `index` of a row's clip is shown, in seconds of the file; null if unknown.
export function timeOf(row, index) {
  return row.fps ? index / row.fps : null;
}

export function ends(numbers) {
  return [numbers.reduce((a, b) => Math.min(a, b)), numbers.reduce((a, b) => Math.max(a, b))];
}

export function shown(number, digits = 3) {
  return number === null || Number.isNaN(number) ? "–" : number.toFixed(digits).replace("-", "−");
}

// An element: properties, then children, which are elements or texts; null ones are left out.
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, content] of Object.entries(properties)) {
    if (name in element) element[name] = content;
    else element.setAttribute(name, content);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}
