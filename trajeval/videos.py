"""Trajectories -> the frames that their views are made of: uint8 [F, H, W, 3].

A video is read twice. The first pass lists its packets without decoding them. The second decodes
from the last keyframe before each wanted frame, and converts and scales only the wanted frames;
with cores to spare, several stretches of a video are decoded in parallel. Where packets do not
identify frames reliably (some formats, some codecs, damage), every frame is decoded and counted
instead: slower, in the same memory, with the same result. `stacks.py` reads what is not a video.
"""

import collections
import contextlib
import itertools
import operator

from trajeval.clips import Clip, read
from trajeval.containers import VideoError, check_file, open_video
from trajeval.devices import n_cores
from trajeval.listings import Listings
from trajeval.sources import source_of
from trajeval.stacks import open_stack
from trajeval.threads import threads
from trajeval.views import WHOLE, sample_indices

__all__ = ["Clip", "VideoError", "read_clip", "read_clips", "read_views", "sample_indices"]

RESIZES = ("crop", "stretch")
MAX_WORKERS = 8
BYTES_AHEAD = 2 << 30  # of frames


def read_clip(video, n_frames, resize="crop", size=224):
    """Reads n_frames frames, evenly spread over a video, as a Clip.

    video: the path of a video, of a folder of images or of an array file; a part of one,
    PATH#t=START,END; an array, uint8 [T, H, W, 3]; or a sources.Source. resize: "crop" scales the
    shorter side to `size` pixels and cuts out the centre square; "stretch" scales to size by size;
    both with FFmpeg's bicubic, assuming square pixels. A function gets each frame at its own size,
    uint8 [H, W, 3], and returns an array of any shape and dtype, or raises ValueError for a frame
    it cannot take. If the size changes within a video, frames are scaled to the first one's.

    A video damaged in the middle is used up to the damage, and the clip has a warning; damage that
    no wanted frame depends on goes unnoticed. Raises VideoError if no frame can be read, UserError
    for a wrong part, ValueError and TypeError for other wrong arguments.
    """
    _check_arguments(n_frames, resize, size)
    source, n_threads = source_of(video), _most_workers()
    found = read(source, [WHOLE], n_frames, resize, size, n_threads, Listings(), lambda: False)
    return found.whole


def read_clips(videos, n_frames, resize="crop", size=224, workers=None):
    """Yields, for each video in turn, its Clip, or its VideoError if it cannot be read. The
    arguments are those of `read_clip` and `read_views`."""
    views = itertools.repeat([WHOLE])
    with contextlib.closing(read_views(videos, views, n_frames, resize, size, workers)) as found:
        for footage in found:
            yield footage if isinstance(footage, VideoError) else footage.whole


def read_views(videos, views, n_frames, resize="crop", size=224, workers=None):
    """Yields, for each video in turn, the clips.Footage of its views, or its VideoError.

    views: for each video a list of views.View. Up to `workers` videos (default: one per core, at
    most 8) are decoded ahead of the one last asked for, each in a thread; fewer if that would be
    more than BYTES_AHEAD. When the iterator is closed or exhausted, the threads have ended. The
    other arguments are those of `read_clip`.
    """
    _check_arguments(n_frames, resize, size)
    workers = workers or _most_workers()
    at_once = min(workers, operator.length_hint(videos, workers))
    n_threads = max(1, _most_workers() // max(1, at_once))
    pending = collections.deque()  # of (Future, bytes)
    known = Listings()

    def read_one(source, its_views, stopped):
        try:
            return read(source, its_views, n_frames, resize, size, n_threads, known, stopped)
        except VideoError as error:
            return VideoError(*error.problems)  # without the traceback, which holds frames

    with threads() as (start, stopped):
        for number, (video, its_views) in enumerate(zip(videos, views)):
            source = source_of(video, f"video {number}")
            n_bytes = _most_frames(its_views, n_frames) * _frame_bytes(source, resize, size)
            while pending and n_bytes + sum(n for _, n in pending) > BYTES_AHEAD:
                yield pending.popleft()[0].result()
            pending.append((start(read_one, source, its_views, stopped), n_bytes))
            if len(pending) > workers:
                yield pending.popleft()[0].result()
        while pending:
            yield pending.popleft()[0].result()


def _check_arguments(n_frames, resize, size):
    if not callable(resize) and resize not in RESIZES:
        raise ValueError(f"resize must be one of {', '.join(RESIZES)}, got {resize!r}")
    if n_frames < 1 or (not callable(resize) and size < 1):
        raise ValueError(f"n_frames and size must be at least 1, got {n_frames} and {size}")


def _most_workers():
    """How many videos, or stretches of one, are decoded in parallel."""
    return min(MAX_WORKERS, n_cores())


def _most_frames(views, n_frames):
    """How many different frames a video's views are made of, at most."""
    return sum(
        n_frames if view.order in ("still", "shuffled") else view.most or view.points * n_frames
        for view in views
    )


def _frame_bytes(source, resize, size):
    """The size of a video's frames as they are kept; 0 if it cannot be read. What a function makes
    of a frame may be as large as the frame."""
    if not callable(resize):
        return size * size * 3
    try:
        if stack := open_stack(source):
            _, frame = next(stack.read([0]))
            return frame.width * frame.height * 3
        check_file(source.path)
        with open_video(source.path) as (_, stream):
            return stream.width * stream.height * 3
    except Exception:  # reading it will say what is wrong
        return 0
