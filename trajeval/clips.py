"""One source -> its Clip: n frames, evenly spread over it."""

import contextlib
import math
from concurrent.futures import as_completed
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from trajeval import listings, packets
from trajeval.containers import CHANGED, Damaged, Stopped, Unusable, VideoError
from trajeval.frames import collect
from trajeval.sources import Source
from trajeval.stacks import open_stack
from trajeval.threads import threads


class Clip(NamedTuple):
    """Frames of one trajectory.

    frames: uint8 [T, H, W, 3], RGB, upright; with a function for `resize`, the shape and dtype of
    what it returns. indices: int64 [T], the frames' numbers in the video, ascending (a short video
    repeats frames), also those of a part. times: float64 [T], when each is shown, in seconds from
    the first frame of the video or the part; NaN where that is unknown. length: how many frames the
    video, or the part, has, or how many are readable. fps: average frame rate, None if unknown.
    size: (width, height) in pixels of the upright video before resizing. warning: None, or what is
    wrong with the file.
    """

    frames: np.ndarray
    indices: np.ndarray
    times: np.ndarray
    length: int
    fps: float | None
    size: tuple[int, int]
    warning: str | None


class Sample(NamedTuple):
    """indices: int64 [T], the numbers of the sampled frames. times: float64 [T], of each, as in
    Clip. length: of how many frames. inside: whether frames after these could be read."""

    indices: np.ndarray
    times: np.ndarray
    length: int
    inside: bool


def sample_indices(length, n_frames):
    """The frames that represent a video of `length` frames: i * length // n, int64 [n_frames].

    Raises ValueError if length or n_frames is below 1.
    """
    if length < 1 or n_frames < 1:
        raise ValueError(f"length and n_frames must be at least 1, got {length} and {n_frames}")
    return np.arange(n_frames, dtype=np.int64) * length // n_frames


def read(source, n_frames, resize, size, n_threads, known, stopped):
    """The Clip of a source. Whatever goes wrong with it is a VideoError that names it."""
    try:
        if stack := open_stack(source):
            return of_stack(source, stack, n_frames, resize, size)
        return of_video(source, n_frames, resize, size, n_threads, known, stopped)
    except Stopped:
        raise
    except Unusable as error:
        raise VideoError(f"{source.name}: {error}") from None
    except MemoryError:
        raise VideoError(f"{source.name}: too large for the memory; scale it down") from None
    except Exception as error:
        problem = f"reading it failed ({type(error).__name__}: {error})"
        raise VideoError(f"{source.name}: {problem}; convert it to H.264 in an MP4 file") from error


def of_stack(source, stack, n_frames, resize, size):
    sample = sample_of(source, stack.length, stack.times, stack.time_base, n_frames)
    numbered = stack.read(np.unique(sample.indices).tolist())
    frames, upright = collect(numbered, sample.indices, resize, size)
    fps = stack.fps or (source.fps and float(source.fps))
    return Clip(frames, *sample[:3], fps, upright, still(source, sample, n_frames))


def of_video(source, n_frames, resize, size, n_threads, known, stopped):
    path, frames = source.path, None
    listing = (known.of if source.is_part else listings.list_packets)(path, stopped)
    length, damage = len(listing.order), listing.damage
    if listing.exact:
        times = listing.pts[listing.order]
        sample = sample_of(source, length, times, listing.time_base, n_frames, damage)
        with contextlib.suppress(packets.Untrusted):
            frames, upright = read_in_threads(
                path, listing, sample.indices, n_threads, resize, size, stopped
            )
    if frames is None:
        times, damage = packets.count_frames(path, listing, stopped)
        if listing.exact and len(times) < length:
            damage = damage or "it ends early"
        damage, length = damage or listing.damage, len(times)
        if length == 0:
            problem = f"damaged from the first frame ({damage})" if damage else "holds no frame"
            raise Unusable(f"{problem}; record or download it again")
        times = None if None in times else np.sort(times)  # AVI has some in another order
        sample = sample_of(source, length, times, listing.time_base, n_frames, damage)
        numbered = packets.decode_all(path, listing, stopped)
        try:
            frames, upright = collect(numbered, sample.indices, resize, size)
        except Damaged:
            raise Unusable(CHANGED) from None
    warning = still(source, sample, n_frames)
    if damage and not sample.inside:
        total = max(listing.claimed, len(listing.order))
        used = f"only the first {length} of {total}" if total > length else f"the first {length}"
        warning = f"damaged ({damage}); {used} frames could be read"
    return Clip(frames, *sample[:3], listing.fps, upright, warning)


def sample_of(source: Source, length, ticks, time_base, n_frames, damage=None) -> Sample:
    """The frames that represent a source, out of `length` > 0. ticks: when each is shown, ascending
    int [length] in units of time_base seconds, None if unknown. Raises Unusable if the source is a
    part without a frame."""
    if ticks is None and source.fps:
        ticks, time_base = np.arange(length), 1 / Fraction(repr(float(source.fps)))
    first, last = 0, length
    if source.is_part:
        if ticks is None:
            raise Unusable("has no times, which #t= needs: give its frames per second (--fps)")
        first, last = part_of(source, ticks - ticks[0], time_base, damage)
    indices = first + sample_indices(last - first, n_frames)
    times = np.full(n_frames, np.nan)
    if ticks is not None:  # one division, so that 3 times 1/10 is 0.3
        times = (ticks[indices] - ticks[first]) * time_base.numerator / time_base.denominator
    return Sample(indices, times, last - first, last < length)


def part_of(source: Source, ticks, time_base, damage) -> tuple[int, int]:
    """The first frame of a part, and the one after its last. ticks: from the first frame's time."""
    # The first moments at or after the start and the end, exactly: 0.1 s is 1/10 s.
    low, high = (
        None if at is None else math.ceil(Fraction(repr(float(at))) / time_base)
        for at in (source.start, source.end)
    )
    first = 0 if low is None else int(np.searchsorted(ticks, low))
    last = len(ticks) if high is None else int(np.searchsorted(ticks, high))
    if first >= last:
        latest = float(ticks[-1] * time_base)
        problem = f" (damaged: {damage})" if damage else ""
        raise Unusable(f"no frame lies in this part; the last one is at {latest:g} s{problem}")
    return first, last


def still(source, sample, n_frames):
    """A warning of a single frame, None if there are more or no more are wanted."""
    if sample.length > 1 or n_frames == 1:
        return None
    what = "only one frame in this part" if source.is_part else "a still picture"
    return f"{what}: all {n_frames} frames are the same"


def read_in_threads(path, listing, indices, n_threads, resize, size, stopped):
    """The frames at indices, [T, ...], decoded group by group, and the video's upright size.

    Stretches of the indices are decoded in parallel: they take about as many packets, divided
    where a group begins, as a group would otherwise be decoded twice.
    """
    ends = listing.order[indices]
    starts = packets.group_starts(listing, ends)
    first = np.unique(starts, return_index=True)[1]  # [groups], where each begins in indices
    n_packets = np.maximum.reduceat(ends, first) - starts[first] + 1
    middle = np.cumsum(n_packets) - n_packets / 2
    cuts = first[1:][np.diff(middle * n_threads // n_packets.sum()) > 0]

    with threads() as (start, failed):

        def read(part):
            wanted = np.unique(part)
            numbered = packets.decode_wanted(path, listing, wanted, lambda: stopped() or failed())
            return collect(numbered, part, resize, size)

        if len(cuts) == 0:
            return read(indices)
        reading = [start(read, part) for part in np.split(indices, cuts)]
        for part in as_completed(reading):
            part.result()  # the first failure ends the others
        parts, sizes = zip(*[part.result() for part in reading])
    if len({part.shape[1:] for part in parts}) > 1:
        raise packets.Untrusted  # the size changes within the video: all take the first frame's
    return np.concatenate(parts), sizes[0]
