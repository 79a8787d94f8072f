"""Clips small enough to stand inside a page: H.264 in MP4, a few frames a second, as base64."""

import base64
import io
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from importlib.metadata import version

from trajeval.cache import Cache
from trajeval.sources import Source
from trajeval.terminal import progress, tell

VERSION = 1  # to be raised when clips are made in another way
MAX_BYTES = 75_000  # of a clip: 100 kB in base64
MAX_FRAMES, MAX_SIDE = 96, 240  # frames; pixels of the longer side
QUALITIES = (28, 34, 40, 46, 51)  # CRF of x264, best first
THINNED = (1, 2, 4, 8)  # every how many frames are kept, if the worst quality is too large
TIME_BASE = Fraction(1, 1000)


def small_clips(sources: list[Source], contents: list[str | None], cache: Cache) -> list[dict]:
    """For each source a clip: `mp4`, base64, and `first`, the number of its first frame in the
    source, or `why` there is none. A source needs times: fps, or a video's own. contents: hashes of
    what the sources hold, None where nothing is to be kept."""
    n = len(sources)
    tell(f"--embed-clips: {n} clips, at most {n * MAX_BYTES * 4 / 3e6:.1f} MB in report.html")
    keys = [clip_key(source, content) for source, content in zip(sources, contents)]
    fields = {"mp4": str, "first": int}
    found = [
        cache.get("clips", key, fields) if content else None for key, content in zip(keys, contents)
    ]
    missing = [i for i, clip in enumerate(found) if clip is None]
    for i, clip in zip(missing, encoded([sources[i] for i in missing])):
        found[i] = clip
        if contents[i] and "mp4" in clip:
            cache.put("clips", keys[i], clip)
    return [clip for clip in found if clip]


def clip_key(source: Source, content: str | None) -> dict:
    return {
        "version": VERSION,
        "content": content,
        "part": [source.start, source.end, source.fps],
        "packages": [version("av"), version("pillow")],
    }


def encoded(sources: list[Source]) -> Iterator[dict]:
    if not sources:
        return
    from trajeval.videos import read_clips

    with (
        closing(read_clips(sources, MAX_FRAMES, resize=reduced)) as clips,
        progress("encoding for the page", len(sources), "clips") as advance,
    ):
        for clip in clips:
            yield as_small_clip(clip)
            advance(1)


def reduced(pixels):
    """uint8 [H, W, 3] with at most MAX_SIDE pixels to a side, even numbers of them."""
    import numpy as np
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = min(1, MAX_SIDE / max(height, width))
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (width, height))
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def as_small_clip(clip) -> dict:
    import numpy as np

    if isinstance(clip, Exception):
        return {"why": "it could not be decoded again"}
    if not clip.fps:
        return {"why": "its frame rate is unknown"}
    indices, places = np.unique(clip.indices, return_index=True)
    times = np.round((indices - indices[0]) / clip.fps / float(TIME_BASE)).astype(int).tolist()
    frames = clip.frames[places]
    for step in THINNED:
        for quality in QUALITIES:
            content = as_mp4(frames[::step], times[::step], quality)
            if len(content) <= MAX_BYTES:
                return {"mp4": base64.b64encode(content).decode(), "first": int(indices[0])}
    return {"why": "it does not fit into 100 kB"}


def as_mp4(frames, times: list[int], quality: int) -> bytes:
    """frames: uint8 [T, H, W, 3], times: when each is shown, in units of TIME_BASE."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        options = {"crf": str(quality), "preset": "medium"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TIME_BASE
        stream.codec_context.gop_size = 12  # one can go to any moment at once
        for pixels, time in zip(frames, times):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()
