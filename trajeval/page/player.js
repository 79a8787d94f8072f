// A clip: a video, or a sequence of images that plays like one.
//
// A player has element, frames (the numbers of the frames that it can show, [] of a video), frame(i)
// to show one of them, time in seconds from the beginning of the file (null if unknown), seek(time),
// toggle(), onTime(callback), and close().

import { make, timeOf } from "./data.js";

const STILL_RATE = 4; // images a second where the frame rate is unknown

export function createPlayer(row) {
  const { media } = row;
  if (media.kind === "video") return videoPlayer(row, media);
  if (media.kind === "images" || media.kind === "strip") return imagePlayer(row, media);
  return { ...nothing(media.why), frames: [] };
}

function nothing(text) {
  const element = make("p", { className: "nothing" }, `No clip: ${text}.`);
  const silent = () => {};
  return { element, time: null, seek: silent, toggle: silent, onTime: silent, frame: silent, close: silent };
}

// An embedded clip starts at 0, wherever the part starts in the file: `offset` is that moment.
function videoPlayer(row, media) {
  const offset = media.offset || 0;
  const video = make("video", { controls: true, muted: true, loop: true, preload: "auto", playsInline: true });
  video.setAttribute("aria-label", `clip ${row.short}`);
  const element = make("div", { className: "screen" }, video);
  video.addEventListener("error", () => {
    const why = "the browser cannot play the file, or it is not beside the page";
    element.replaceChildren(nothing(why).element);
  });
  const callbacks = [];
  const tell = () => callbacks.forEach((callback) => callback());
  for (const name of ["timeupdate", "seeked", "loadeddata"]) video.addEventListener(name, tell);
  keepToPart(video, media.src);
  let running = 0;
  const everyFrame = () => {
    tell();
    if (!video.paused) running = requestAnimationFrame(everyFrame);
  };
  video.addEventListener("play", everyFrame);
  video.src = media.src;
  return {
    element,
    video,
    frames: [],
    frame: () => {},
    get time() {
      return video.currentTime + offset;
    },
    seek(time) {
      video.currentTime = Math.max(0, time - offset);
    },
    toggle() {
      if (video.paused) video.play().catch(() => {});
      else video.pause();
    },
    onTime: (callback) => callbacks.push(callback),
    close() {
      cancelAnimationFrame(running);
      video.pause();
      video.removeAttribute("src");
      video.load();
    },
  };
}

// Browsers stop at the end of #t=START,END once; played again they would go on beyond it.
function keepToPart(video, src) {
  const part = /#t=([\d.]*)(?:,([\d.]+))?$/.exec(src);
  if (!part) return;
  const [start, end] = [Number(part[1]), Number(part[2] ?? Infinity)];
  video.loop = false; // to the beginning of the file
  video.addEventListener("play", () => {
    if (video.currentTime < start || video.currentTime >= end) video.currentTime = start;
  });
  video.addEventListener("timeupdate", () => {
    if (!video.paused && video.currentTime >= end) video.pause();
  });
}

function imagePlayer(row, media) {
  const seen = [...new Set(row.frames)];
  const count = media.kind === "strip" ? media.count : media.src.length;
  // A strip has some of the frames that the model saw, evenly spread.
  const frames = Array.from({ length: count }, (_, i) => row.frames[Math.floor((i * row.frames.length) / count)]);
  if (media.kind === "images") frames.splice(0, frames.length, ...seen);
  const image = make("img", { alt: "", draggable: false });
  const button = make("button", { type: "button", className: "play", title: "play (space)" }, "Play");
  const slider = make("input", { type: "range", min: 0, max: count - 1, step: 1, value: 0 });
  slider.setAttribute("aria-label", "frame");
  const picture = make("div", { className: media.kind === "strip" ? "picture strip" : "picture" }, image);
  const element = make("div", { className: "screen" }, picture, make("div", { className: "controls" }, button, slider));
  const callbacks = [];
  let [at, timer] = [0, 0];
  if (media.kind === "strip") {
    image.src = media.src;
    picture.style.aspectRatio = `${media.width} / ${media.height}`;
    image.style.width = `${100 * count}%`;
  }

  function frame(i) {
    at = i;
    slider.value = i;
    slider.setAttribute("aria-valuetext", `frame ${frames[i]}`);
    if (media.kind === "strip") image.style.transform = `translateX(${(-100 * i) / count}%)`;
    else image.src = media.src[i];
    callbacks.forEach((callback) => callback());
  }

  function toggle() {
    if (timer) {
      clearInterval(timer);
      timer = 0;
    } else {
      const last = frames[count - 1] - frames[0];
      const rate = row.fps && last ? ((count - 1) * row.fps) / last : STILL_RATE;
      timer = setInterval(() => frame((at + 1) % count), 1000 / rate);
    }
    button.textContent = timer ? "Pause" : "Play";
  }

  button.addEventListener("click", toggle);
  slider.addEventListener("input", () => frame(Number(slider.value)));
  frame(0);
  return {
    element,
    frames,
    frame,
    get position() {
      return frames[at];
    },
    get time() {
      return timeOf(row, frames[at]);
    },
    seek(time) {
      const gaps = frames.map((number) => Math.abs(timeOf(row, number) - time));
      frame(gaps.indexOf(Math.min(...gaps)));
    },
    toggle,
    onTime: (callback) => callbacks.push(callback),
    close: () => clearInterval(timer),
  };
}
