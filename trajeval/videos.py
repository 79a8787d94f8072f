"""A video file -> n frames, evenly spread over it: uint8 [T, H, W, 3].

A file is read twice. The first pass lists its packets without decoding them. The second decodes
from the last keyframe before each wanted frame, and converts and scales only the wanted frames;
with cores to spare, several parts of a video are decoded in parallel. Where packets do not identify
frames reliably (some formats, some codecs, damage), every frame is decoded and counted instead:
slower, in the same memory, with the same result.
"""

import collections
import contextlib
import operator
import os
import threading
from concurrent.futures import Future, as_completed
from typing import NamedTuple

import numpy as np

from trajeval import packets
from trajeval.containers import Damaged, Stopped, VideoError, changed, check_file, open_video
from trajeval.devices import n_cores
from trajeval.frames import collect

RESIZES = ("crop", "stretch")
MAX_WORKERS = 8
BYTES_AHEAD = 2 << 30  # of frames at their own size


class Clip(NamedTuple):
    """Frames of one video.

    frames: uint8 [T, H, W, 3], RGB, upright; with a function for `resize`, the shape and dtype of
    what it returns. indices: int64 [T], the frames' numbers in the video, ascending (a short video
    repeats frames). length: how many frames the video has, or how many are readable. fps: average
    frame rate, None if unknown. size: (width, height) in pixels of the upright video before
    resizing. warning: None, or what is wrong with the file.
    """

    frames: np.ndarray
    indices: np.ndarray
    length: int
    fps: float | None
    size: tuple[int, int]
    warning: str | None


def sample_indices(length, n_frames):
    """The frames that represent a video of `length` frames: i * length // n, int64 [n_frames].

    Raises ValueError if length or n_frames is below 1.
    """
    if length < 1 or n_frames < 1:
        raise ValueError(f"length and n_frames must be at least 1, got {length} and {n_frames}")
    return np.arange(n_frames, dtype=np.int64) * length // n_frames


def read_clip(path, n_frames, resize="crop", size=224):
    """Reads n_frames frames, evenly spread over the video at path, as a Clip.

    resize: "crop" scales the shorter side to `size` pixels and cuts out the centre square;
    "stretch" scales to size by size; both with FFmpeg's bicubic, assuming square pixels. A function
    gets each frame at its own size, uint8 [H, W, 3], and returns an array of any shape and dtype,
    or raises ValueError for a frame it cannot take. If the size changes within a video, frames are
    scaled to the first one's.

    A video damaged in the middle is used up to the damage, and the clip has a warning; damage that
    no wanted frame depends on goes unnoticed. Raises VideoError if no frame can be read, ValueError
    for arguments out of range.
    """
    _check_arguments(n_frames, resize, size)
    return _read(path, n_frames, resize, size, _most_workers(), lambda: False)


def read_clips(paths, n_frames, resize="crop", size=224, workers=None):
    """Yields, for each path in turn, its Clip, or its VideoError if it cannot be read.

    Up to `workers` videos (default: one per core, at most 8) are decoded ahead of the one last
    asked for, each in a thread; fewer if a function resizes them and their frames are large. When
    the iterator is closed or exhausted, the threads have ended. The other arguments are those of
    `read_clip`.
    """
    _check_arguments(n_frames, resize, size)
    workers = workers or _most_workers()
    at_once = min(workers, operator.length_hint(paths, workers))
    n_threads = max(1, _most_workers() // max(1, at_once))
    pending = collections.deque()  # of (Future, bytes)

    def read(path, stopped):
        try:
            return _read(path, n_frames, resize, size, n_threads, stopped)
        except VideoError as error:
            return VideoError(*error.problems)  # without the traceback, which holds frames

    with _threads() as (start, stopped):
        for path in paths:
            n_bytes = n_frames * _frame_bytes(path) if callable(resize) else 0
            while pending and n_bytes + sum(n for _, n in pending) > BYTES_AHEAD:
                yield pending.popleft()[0].result()
            pending.append((start(read, path, stopped), n_bytes))
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
    """How many videos, or parts of one, are decoded in parallel."""
    return min(MAX_WORKERS, n_cores())


@contextlib.contextmanager
def _threads():
    """Yields start(function, *arguments), which runs a function in a thread and returns its Future,
    and stopped(), which the threads ask. Leaving the block stops them and waits until they have
    ended. They are daemons, unlike an executor's threads, which would hold up the end of a program
    that did not close an iterator."""
    threads, stop = [], threading.Event()

    def start(function, *arguments):
        future = Future()

        def work():
            try:
                future.set_result(function(*arguments))
            except BaseException as error:  # raised where the result is asked for
                future.set_exception(error)

        threads[:] = [thread for thread in threads if thread.is_alive()]
        thread = threading.Thread(target=work, daemon=True)
        thread.start()  # which an interrupt may end, so that it cannot be joined
        threads.append(thread)
        return future

    try:
        yield start, stop.is_set
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _frame_bytes(path):
    """The size of a video's frames in RGB; 0 if it cannot be read."""
    path = os.fsdecode(path)
    try:
        check_file(path)
        with open_video(path) as (_, stream):
            return stream.width * stream.height * 3
    except Exception:  # reading it will say what is wrong
        return 0


def _read(path, n_frames, resize, size, n_threads, stopped):
    """The Clip of a video. Whatever goes wrong with it is a VideoError."""
    path = os.fsdecode(path)
    try:
        return _clip(path, n_frames, resize, size, n_threads, stopped)
    except (VideoError, Stopped):
        raise
    except MemoryError:
        raise VideoError(f"{path}: too large for the memory; scale it down") from None
    except Exception as error:
        problem = f"reading it failed ({type(error).__name__}: {error})"
        raise VideoError(f"{path}: {problem}; convert it to H.264 in an MP4 file") from error


def _clip(path, n_frames, resize, size, n_threads, stopped):
    listing = packets.list_packets(path, stopped)
    length, damage, found = len(listing.order), listing.damage, None
    if listing.exact:
        indices = sample_indices(length, n_frames)
        with contextlib.suppress(packets.Untrusted):
            found = _read_in_threads(path, listing, indices, n_threads, resize, size, stopped)
    if found is None:
        length, damage = packets.count_frames(path, listing, stopped)
        if listing.exact and length < len(listing.order):
            damage = damage or "it ends early"
        damage = damage or listing.damage
        if length == 0:
            problem = f"damaged from the first frame ({damage})" if damage else "holds no frame"
            raise VideoError(f"{path}: {problem}; record or download it again")
        indices = sample_indices(length, n_frames)
        numbered = packets.decode_all(path, listing, stopped)
        try:
            found = collect(path, numbered, indices, resize, size)
        except Damaged:
            raise changed(path) from None
    frames, upright = found
    warning = None
    if damage:
        total = max(listing.claimed, len(listing.order))
        used = f"only the first {length} of {total}" if total > length else f"the first {length}"
        warning = f"damaged ({damage}); {used} frames could be read"
    elif length == 1 < n_frames:
        warning = f"a still picture: all {n_frames} frames are the same"
    return Clip(frames, indices, length, listing.fps, upright, warning)


def _read_in_threads(path, listing, indices, n_threads, resize, size, stopped):
    """The frames at indices, [T, ...], decoded group by group, and the video's upright size.

    Parts of the indices are decoded in parallel: parts that take about as many packets, divided
    where a group begins, as a group would otherwise be decoded twice.
    """
    ends = listing.order[indices]
    starts = packets.group_starts(listing, ends)
    first = np.unique(starts, return_index=True)[1]  # [groups], where each begins in indices
    n_packets = np.maximum.reduceat(ends, first) - starts[first] + 1
    middle = np.cumsum(n_packets) - n_packets / 2
    cuts = first[1:][np.diff(middle * n_threads // n_packets.sum()) > 0]

    with _threads() as (start, failed):

        def read(part):
            wanted = np.unique(part)
            numbered = packets.decode_wanted(path, listing, wanted, lambda: stopped() or failed())
            return collect(path, numbered, part, resize, size)

        if len(cuts) == 0:
            return read(indices)
        reading = [start(read, part) for part in np.split(indices, cuts)]
        for part in as_completed(reading):
            part.result()  # the first failure ends the others
        parts, sizes = zip(*[part.result() for part in reading])
    if len({part.shape[1:] for part in parts}) > 1:
        raise packets.Untrusted  # the size changes within the video: all take the first frame's
    return np.concatenate(parts), sizes[0]
