"""What a browser can show of each trajectory of a run: the video itself, the images of a folder, or
where it can do neither, a strip of the frames that the model saw.

Videos are found through run.json's `file`, the path from the folder of the results. What is decoded
is kept in the cache, so that a kept run decodes nothing.
"""

import base64
import io
import os
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from trajeval.cache import Cache
from trajeval.small_clips import small_clips
from trajeval.sources import Source, fragment, frames_in
from trajeval.terminal import progress

STRIP_VERSION = 1  # to be raised when strips are made in another way
MAX_STRIP, STRIP_HEIGHT, STRIP_QUALITY = 16, 96, 55
IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")  # that every browser shows
# Formats and codecs that Chromium, Firefox and Safari play, with 8 bits and half the colours.
CONTAINERS = {".mp4": "mov", ".m4v": "mov", ".mov": "mov", ".webm": "matroska"}
CODECS = ("h264", "vp8", "vp9", "libdav1d", "av1")
PIXELS = ("yuv420p", "yuvj420p")


def media_of(
    record: dict,
    entries: list[dict],
    folder: str | Path,
    cache: Cache,
    place: str | Path | None = None,
) -> list[dict]:
    """For each entry of run.json's trajectories what a page shows of it:

    kind "video", `src`, and for one inside of the page `offset`, the seconds of the file where it
    begins; "images", `src` of each sampled frame; "strip", `src`, a row of `count` frames of
    `width` by `height` pixels; "none", and `why`.

    folder: of the results. place: the folder of the page, which `src` is relative to, by default
    the same.
    """
    place = folder if place is None else place
    arguments = record.get("arguments", {})
    sources = [source_of_entry(entry, folder, arguments.get("fps")) for entry in entries]
    if arguments.get("embed_clips"):
        found = embedded(entries, sources, cache)
    else:
        found = [shown(entry, source, place, cache) for entry, source in zip(entries, sources)]
    missing = [i for i, media in enumerate(found) if media is None]
    strips = strips_of([entries[i] for i in missing], [sources[i] for i in missing], cache)
    for i, strip in zip(missing, strips):
        found[i] = strip
    return [media for media in found if media]


def source_of_entry(entry: dict, folder: str | Path, fps: float | None) -> Source:
    """Results of older versions have no `file`; their paths start at the current folder."""
    path = os.path.join(folder, entry["file"]) if "file" in entry else path_in(entry)
    return Source(os.path.abspath(path), entry.get("start"), entry.get("end"), fps)


def path_in(entry: dict) -> str:
    """The path of an entry without #t=START,END."""
    return entry["path"].removesuffix(fragment(entry.get("start"), entry.get("end")))


def embedded(entries: list[dict], sources: list[Source], cache: Cache) -> list[dict | None]:
    """Clips inside of the page; None for what has no times, which gets a strip."""
    chosen = [i for i, entry in enumerate(entries) if entry.get("fps")]
    contents = [entries[i].get("content") for i in chosen]
    found: list[dict | None] = [None] * len(entries)
    for i, clip in zip(chosen, small_clips([sources[i] for i in chosen], contents, cache)):
        if "mp4" in clip:
            found[i] = {
                "kind": "video",
                "src": f"data:video/mp4;base64,{clip['mp4']}",
                "offset": clip["first"] / entries[i]["fps"],
            }
        else:
            found[i] = {"kind": "none", "why": clip["why"]}
    return found


def shown(entry: dict, source: Source, folder: str | Path, cache: Cache) -> dict | None:
    """What needs no decoding; None for what needs a strip."""
    path = str(source.path)
    if os.path.isdir(path):
        try:
            names = frames_in(path)
            frames = [names[i] for i in dict.fromkeys(entry["frames"])]
        except (OSError, ValueError, IndexError) as error:
            return {"kind": "none", "why": f"the folder cannot be read: {error}"}
        if all(name.lower().endswith(IMAGES) for name in frames):
            return {"kind": "images", "src": [address(f"{path}/{name}", folder) for name in frames]}
        return None
    if not os.path.isfile(path):
        return {"kind": "none", "why": "the file is not where the run found it"}
    if "frames" not in entry:
        return {"kind": "video", "src": address(path, folder)}
    if is_playable(path, entry.get("content"), cache):
        part = fragment(source.start, source.end)
        return {"kind": "video", "src": address(path, folder) + part}
    return None


def address(path: str, folder: str | Path) -> str:
    """The path as a page in the folder has it: relative, percent-encoded."""
    path = os.path.abspath(path)
    try:
        relative = os.path.relpath(path, os.path.abspath(folder))
    except ValueError:  # another drive of Windows
        return Path(path).as_uri()
    return quote(os.fsencode(relative.replace(os.sep, "/")))


def is_playable(path: str, content: str | None, cache: Cache) -> bool:
    """Whether browsers play a file: by its name's suffix, its format, its codec and its pixels."""
    if Path(path).suffix.lower() not in CONTAINERS:
        return False
    key = {"content": content, "suffix": Path(path).suffix.lower(), "formats": CODECS}
    known = cache.get("playable", key, {"playable": bool}) if content else None
    if known is None:
        known = {"playable": is_played_format(path)}
        if content:
            cache.put("playable", key, known)
    return known["playable"]


def is_played_format(path: str) -> bool:
    from trajeval.containers import Unusable, open_video

    try:
        with open_video(path) as (container, stream):
            codec = stream.codec_context
            wanted = CONTAINERS[Path(path).suffix.lower()]
            is_known = container.format.name.startswith(wanted) and codec.name in CODECS
            return is_known and codec.pix_fmt in PIXELS
    except Unusable:
        return False


# --- strips


def strips_of(entries: list[dict], sources: list[Source], cache: Cache) -> list[dict]:
    """A strip for each entry, decoded unless the cache has it."""
    fields = {"jpeg": str, "count": int, "width": int, "height": int}
    keys = [strip_key(entry, source) for entry, source in zip(entries, sources)]
    found = [
        cache.get("strips", key, fields) if entry.get("content") else None
        for entry, key in zip(entries, keys)
    ]
    missing = [i for i, strip in enumerate(found) if strip is None]
    answers: dict[int, dict] = {}
    for i, made in zip(
        missing, decoded([entries[i] for i in missing], [sources[i] for i in missing])
    ):
        answers[i] = made
        if "jpeg" in made and entries[i].get("content"):
            cache.put("strips", keys[i], made)
    strips = [strip or answers[i] for i, strip in enumerate(found)]
    return [
        {
            "kind": "strip",
            "src": f"data:image/jpeg;base64,{strip['jpeg']}",
            **{name: strip[name] for name in ("count", "width", "height")},
        }
        if "jpeg" in strip
        else strip
        for strip in strips
    ]


def strip_key(entry: dict, source: Source) -> dict:
    return {
        "version": STRIP_VERSION,
        "content": entry.get("content"),
        "part": [source.start, source.end, source.fps],
        "count": strip_length(len(entry["frames"])),
        "packages": [version("av"), version("pillow")],
    }


def strip_length(n_frames: int) -> int:
    """How many frames a strip has: a divisor of the number that the model saw, so that they are
    some of these."""
    best = max(n for n in range(1, MAX_STRIP + 1) if n_frames % n == 0)
    return best if best > 3 else n_frames


def decoded(entries: list[dict], sources: list[Source]):
    """Yields for each a strip, or what says why there is none."""
    if not entries:
        return
    from trajeval.videos import read_clips

    by_length: dict[int, list[int]] = {}
    for i, entry in enumerate(entries):
        by_length.setdefault(strip_length(len(entry["frames"])), []).append(i)
    made: dict[int, dict] = {}
    with progress("decoding for the page", len(entries), "videos") as advance:
        for count, members in by_length.items():
            clips = read_clips([sources[i] for i in members], count, resize=reduced)
            with closing(clips):
                for i, clip in zip(members, clips):
                    made[i] = as_strip(clip)
                    advance(1)
    yield from (made[i] for i in range(len(entries)))


def reduced(pixels):
    """uint8 [H, W, 3] at STRIP_HEIGHT pixels' height, or less."""
    import numpy as np
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = min(1, STRIP_HEIGHT / height, 3 * STRIP_HEIGHT / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(
        Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2)
    )


def as_strip(clip) -> dict:
    """The frames of a Clip side by side, as JPEG in base64; of a VideoError, why there is none."""
    import numpy as np
    from PIL import Image

    if isinstance(clip, Exception):
        return {"kind": "none", "why": "it could not be decoded again"}
    count, height, width = clip.frames.shape[:3]
    row = np.concatenate(clip.frames, axis=1)
    file = io.BytesIO()
    Image.fromarray(row).save(file, "JPEG", quality=STRIP_QUALITY, optimize=True)
    jpeg = base64.b64encode(file.getvalue()).decode()
    return {"jpeg": jpeg, "count": int(count), "width": int(width), "height": int(height)}
