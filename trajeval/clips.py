"""One source -> the frames that its views are made of, each decoded once."""

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
from trajeval.views import WHOLE, View, lay_out


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


class Shots(NamedTuple):
    """The R clips of one view. places: int64 [R, T], where their frames are in Footage.frames.
    times: float64 [R, T], when each is shown, as in Clip, with the frames in another order as the
    frames before. ends: int64 [R], the number in the video of the last frame before each point;
    end_times: float64 [R], when that is shown. warning: as in Clip."""

    places: np.ndarray
    times: np.ndarray
    ends: np.ndarray
    end_times: np.ndarray
    warning: str | None


class Footage(NamedTuple):
    """The frames of one trajectory that its views are made of. frames: uint8 [F, H, W, 3], each
    once, and indices: int64 [F], their numbers in the video. The others are those of Clip."""

    frames: np.ndarray
    indices: np.ndarray
    views: dict[View, Shots]
    length: int
    fps: float | None
    size: tuple[int, int]

    @property
    def whole(self) -> Clip:
        """The clip of the whole, which must be among the views."""
        shots = self.views[WHOLE]
        places, facts = shots.places[0], (self.length, self.fps, self.size, shots.warning)
        return Clip(self.frames[places], self.indices[places], shots.times[0], *facts)


class Span(NamedTuple):
    """A source's frames: `length` of them, from number `first` of the video on. ticks: when each is
    shown, from the first one on, ascending int [length] in units of `unit` seconds; None if that is
    unknown. inside: whether frames after these could be read."""

    first: int
    length: int
    ticks: np.ndarray | None
    unit: Fraction
    inside: bool


def read(source, views, n_frames, resize, size, n_threads, known, stopped):
    """The Footage of a source. Whatever goes wrong with it is a VideoError that names it."""
    try:
        if stack := open_stack(source):
            return of_stack(source, views, stack, n_frames, resize, size)
        return of_video(source, views, n_frames, resize, size, n_threads, known, stopped)
    except Stopped:
        raise
    except Unusable as error:
        raise VideoError(f"{source.name}: {error}") from None
    except MemoryError:
        raise VideoError(f"{source.name}: too large for the memory; scale it down") from None
    except Exception as error:
        problem = f"reading it failed ({type(error).__name__}: {error})"
        raise VideoError(f"{source.name}: {problem}; convert it to H.264 in an MP4 file") from error


def of_stack(source, views, stack, n_frames, resize, size):
    span = span_of(source, stack.length, stack.times, stack.time_base)
    wanted, shots = plan(span, views, n_frames, still(source, span, n_frames))
    frames, upright = collect(stack.read(wanted.tolist()), wanted, resize, size)
    fps = stack.fps or (source.fps and float(source.fps))
    return Footage(frames, wanted, shots, span.length, fps, upright)


def of_video(source, views, n_frames, resize, size, n_threads, known, stopped):
    """All views are decoded together. Where that meets damage, each is decoded alone, so that what
    it sees does not depend on the others; those that cannot be see the frames before the damage."""
    path = source.path
    listing = (known.of if source.is_part else listings.list_packets)(path, stopped)

    def decoded(views):
        times = listing.pts[listing.order]
        span = span_of(source, len(times), times, listing.time_base, listing.damage)
        warning = warning_of(source, span, n_frames, listing, len(times), listing.damage)
        wanted, shots = plan(span, views, n_frames, warning)
        try:
            frames, upright = read_in_threads(
                path, listing, wanted, n_threads, resize, size, stopped
            )
        except packets.Untrusted:
            return None
        return Footage(frames, wanted, shots, span.length, listing.fps, upright)

    if listing.exact and (together := decoded(views)):
        return together
    try_alone = listing.exact and len(views) > 1
    alone = [decoded([view]) if try_alone else None for view in views]
    found = [footage for footage in alone if footage]
    left = [view for view, footage in zip(views, alone) if not footage]
    if left:
        found.append(counted(source, left, listing, n_frames, resize, size, stopped))
    return joined(found)


def counted(source, views, listing, n_frames, resize, size, stopped):
    """The Footage of a video whose packets do not give its frames: all are decoded and counted."""
    times, damage = packets.count_frames(source.path, listing, stopped)
    if listing.exact and len(times) < len(listing.order):
        damage = damage or "it ends early"
    damage, length = damage or listing.damage, len(times)
    if length == 0:
        problem = f"damaged from the first frame ({damage})" if damage else "holds no frame"
        raise Unusable(f"{problem}; record or download it again")
    times = None if None in times else np.sort(times)  # AVI has some in another order
    span = span_of(source, length, times, listing.time_base, damage)
    warning = warning_of(source, span, n_frames, listing, length, damage)
    wanted, shots = plan(span, views, n_frames, warning)
    numbered = packets.decode_all(source.path, listing, stopped)
    try:
        frames, upright = collect(numbered, wanted, resize, size)
    except Damaged:
        raise Unusable(CHANGED) from None
    return Footage(frames, wanted, shots, span.length, listing.fps, upright)


def joined(found: list[Footage]) -> Footage:
    """Several of one source as one; its length is that of the whole, if any has that."""
    found.sort(key=lambda footage: WHOLE not in footage.views)
    starts = np.cumsum([0, *(len(footage.frames) for footage in found)])
    return found[0]._replace(
        frames=np.concatenate([footage.frames for footage in found]) if found[1:] else found[0][0],
        indices=np.concatenate([footage.indices for footage in found]),
        views={
            view: shots._replace(places=start + shots.places)
            for start, footage in zip(starts, found)
            for view, shots in footage.views.items()
        },
    )


def plan(span: Span, views, n_frames, warning: str | None) -> tuple[np.ndarray, dict[View, Shots]]:
    """The numbers of the frames that views are made of, int64 [F], ascending, and their clips, of
    which there is a warning. Raises Unusable for a window of frames without times."""
    layouts = {}
    for view in views:
        width = None
        if view.window is not None:
            if span.ticks is None:
                raise Unusable(
                    "has no times, which --curves window needs: give its frames per second (--fps)"
                )
            width = math.ceil(Fraction(repr(view.window)) / span.unit)
        layouts[view] = lay_out(view, span.length, n_frames, span.ticks, width)
    wanted = np.unique(np.concatenate([found.frames.ravel() for found in layouts.values()]))
    shots = {
        view: Shots(
            np.searchsorted(wanted, found.frames),
            seconds(span, found.slots),
            span.first + found.ends,
            seconds(span, found.ends),
            warning,
        )
        for view, found in layouts.items()
    }
    return span.first + wanted, shots


def seconds(span: Span, frames: np.ndarray) -> np.ndarray:
    """When frames are shown, float64 of the same shape."""
    if span.ticks is None:
        return np.full(frames.shape, np.nan)
    # One division, so that 3 times 1/10 is 0.3.
    return span.ticks[frames] * span.unit.numerator / span.unit.denominator


def span_of(source: Source, length, ticks, unit, damage=None) -> Span:
    """The frames of a source, out of `length` > 0. ticks: when each is shown, ascending int
    [length] in units of `unit` seconds, None if unknown. Raises Unusable if the source is a part
    without a frame."""
    if ticks is None and source.fps:
        ticks, unit = np.arange(length), 1 / Fraction(repr(float(source.fps)))
    if not source.is_part:
        return Span(0, length, None if ticks is None else ticks - ticks[0], unit, False)
    if ticks is None:
        raise Unusable("has no times, which #t= needs: give its frames per second (--fps)")
    # The first moments at or after the start and the end, exactly: 0.1 s is 1/10 s.
    low, high = (
        None if at is None else math.ceil(Fraction(repr(float(at))) / unit)
        for at in (source.start, source.end)
    )
    ticks = ticks - ticks[0]
    first = 0 if low is None else int(np.searchsorted(ticks, low))
    last = length if high is None else int(np.searchsorted(ticks, high))
    if first >= last:
        latest = float(ticks[-1] * unit)
        problem = f" (damaged: {damage})" if damage else ""
        raise Unusable(f"no frame lies in this part; the last one is at {latest:g} s{problem}")
    return Span(first, last - first, ticks[first:last] - ticks[first], unit, last < length)


def warning_of(source, span, n_frames, listing, length, damage):
    """What is wrong with a video of which `length` frames could be read, or None."""
    if not damage or span.inside:
        return still(source, span, n_frames)
    total = max(listing.claimed, len(listing.order))
    used = f"only the first {length} of {total}" if total > length else f"the first {length}"
    return f"damaged ({damage}); {used} frames could be read"


def still(source, span, n_frames):
    """A warning of a single frame, None if there are more or no more are wanted."""
    if span.length > 1 or n_frames == 1:
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
