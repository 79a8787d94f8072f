"""Views of a trajectory: which of its frames make which clips. Functions of numbers alone."""

from typing import NamedTuple

import numpy as np

ORDERS = ("still", "shuffled", "reversed")  # the controls
SEED = 0  # of the shuffled order


class View(NamedTuple):
    """One clip of a trajectory, or one for each of several points along it.

    order: None, its frames as they are; "still": the middle one of the sampled frames, repeated;
    "shuffled": the sampled frames in an order that is the same for all trajectories; "reversed".
    how: None, one clip of the whole; "prefix": of the frames up to each point; "window": of the
    last `window` seconds before it. points: how many there are, evenly spread over the frames, the
    last one at the end. most: None, or that the clips are made of no more than so many frames, also
    evenly spread, which models that embed frame by frame need not embed for each point anew.
    """

    order: str | None = None
    how: str | None = None
    points: int = 1
    window: float | None = None
    most: int | None = None

    @property
    def key(self) -> dict:
        """What tells a view from the whole, for the cache."""
        differs = {name: value for name, value in self._asdict().items() if value != DEFAULTS[name]}
        return {"view": differs} if differs else {}


DEFAULTS = View._field_defaults
WHOLE = View()


class Layout(NamedTuple):
    """The R clips of a view, of T frames each.

    frames: int64 [R, T], numbers of frames. slots: int64 [R, T], the frames whose places in time
    they take, ascending. ends: int64 [R], the frame at each point.
    """

    frames: np.ndarray
    slots: np.ndarray
    ends: np.ndarray


def views_of(
    curves: str | None, points: int, window: float | None, controls: bool, most: int | None
) -> list[View]:
    """All views that options ask for, the whole first. most: as in View, for the curves."""
    orders = (None, *ORDERS) if controls else (None,)
    views = [View(order) for order in orders]
    if curves is not None:
        views += [View(o, curves, points, window, most) for o in orders if o != "still"]
    return views


def sample_indices(length, n_frames):
    """The frames that represent a video of `length` frames: i * length // n, int64 [n_frames].

    Raises ValueError if length or n_frames is below 1.
    """
    if length < 1 or n_frames < 1:
        raise ValueError(f"length and n_frames must be at least 1, got {length} and {n_frames}")
    return np.arange(n_frames, dtype=np.int64) * length // n_frames


def lay_out(
    view: View,
    length: int,
    n_frames: int,
    ticks: np.ndarray | None = None,
    width: int | None = None,
) -> Layout:
    """The clips of a view of a trajectory of `length` frames. ticks, width: for windows, when each
    frame is shown, int64 [length], ascending, and how long a window is, both in any unit of time.
    """
    if view.order == "reversed" and ticks is not None:
        ticks = ticks[-1] - ticks[::-1]
    starts, stops = stretches(view, length, ticks, width)
    grid = sample_indices(length, min(length, view.most or length))
    high = np.searchsorted(grid, stops)
    low = np.minimum(np.searchsorted(grid, starts), high - 1)
    slots = grid[sampled(low, high, n_frames)]
    if view.order is None:
        return Layout(slots, slots, stops - 1)
    if view.order == "reversed":
        mirrored = sampled(len(grid) - high, len(grid) - low, n_frames)
        return Layout(grid[mirrored[:, ::-1]], slots, stops - 1)
    frames = sample_indices(length, n_frames)
    if view.order == "still":
        return Layout(np.full_like(slots, frames[n_frames // 2]), slots, stops - 1)
    # Each of the sampled frames stands for a share of the time.
    low, high = starts * n_frames // length, -(-stops * n_frames // length)
    return Layout(frames[shuffle(n_frames)][sampled(low, high, n_frames)], slots, stops - 1)


def stretches(view: View, length: int, ticks, width) -> tuple[np.ndarray, np.ndarray]:
    """Where the clips of a view begin and the frame after their ends, int64 [R] each. A video of
    fewer frames than points repeats points."""
    stops = -(-np.arange(1, view.points + 1, dtype=np.int64) * length // view.points)
    if view.how != "window":
        return np.zeros_like(stops), stops
    return np.searchsorted(ticks, ticks[stops - 1] - width, side="right"), stops


def sampled(low: np.ndarray, high: np.ndarray, n_frames: int) -> np.ndarray:
    """`sample_indices` of each stretch from low to before high, [R] -> int64 [R, n_frames]."""
    return low[:, None] + np.arange(n_frames) * (high - low)[:, None] // n_frames


def shuffle(n_frames: int) -> np.ndarray:
    """The shuffled order of the sampled frames, int64 [n_frames], the same in all versions of NumPy
    and never the order itself but for a single frame."""
    random, order = np.random.RandomState(SEED), np.arange(n_frames)
    shuffled = order
    while n_frames > 1 and np.array_equal(shuffled, order):
        shuffled = random.permutation(n_frames)
    return shuffled
