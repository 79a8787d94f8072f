// Colours: of the theme, as the style sheet names them, and of values (viridis; RdBu reversed).

const VIRIDIS = [
  "440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725",
];
const RDBU = [
  "053061", "2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b",
  "67001f",
];
const COUNTS = { light: ["eef1f5", "9dbbe6", "1d5fc4", "0b2a5c"], dark: ["23282e", "27477c", "82b1ff", "dbe8ff"] };
const STEPS = 256;

function channels(hex) {
  return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

function ramp(anchors) {
  const stops = anchors.map(channels);
  return Array.from({ length: STEPS }, (_, i) => {
    const at = (i / (STEPS - 1)) * (stops.length - 1);
    const left = Math.min(Math.floor(at), stops.length - 2);
    return stops[left].map((low, c) => Math.round(low + (stops[left + 1][c] - low) * (at - left)));
  });
}

function luminance(colour) {
  const [r, g, b] = colour.map((c) => {
    const part = c / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// Texts and styles of a ramp: what fills a cell, and the text that is legible on it.
function styles(colours) {
  return colours.map((colour) => ({
    fill: `rgb(${colour.join(" ")})`,
    text: luminance(colour) > 0.179 ? "#000" : "#fff",
  }));
}

const SCALES = {
  sequential: styles(ramp(VIRIDIS)),
  centred: styles(ramp(RDBU)),
  light: styles(ramp(COUNTS.light)),
  dark: styles(ramp(COUNTS.dark)),
};

function isDark() {
  return matchMedia("(prefers-color-scheme: dark)").matches && !matchMedia("print").matches;
}

// The scale {kind, low, high} of shares: 0 is as good as the page itself.
export function shares() {
  return { kind: isDark() ? "dark" : "light", low: 0, high: 1 };
}

// The style of a value on a scale.
export function styleOf(scale, number) {
  const span = scale.high - scale.low;
  const share = span > 0 ? (number - scale.low) / span : 0.5;
  const step = Math.round(share * (STEPS - 1));
  return SCALES[scale.kind][Math.max(0, Math.min(STEPS - 1, step))];
}

let names = null;

// The theme's colours by the names of their custom properties, without dashes.
export function theme() {
  if (!names) {
    const style = getComputedStyle(document.documentElement);
    const wanted = ["ground", "panel", "text", "muted", "line", "accent", "good", "bad", "mark"];
    names = Object.fromEntries(wanted.map((name) => [name, style.getPropertyValue(`--${name}`)]));
  }
  return names;
}

export function onThemeChange(redraw) {
  for (const query of ["(prefers-color-scheme: dark)", "print"]) {
    matchMedia(query).addEventListener("change", () => {
      names = null;
      redraw();
    });
  }
}
