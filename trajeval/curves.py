"""Similarities along the time of each trajectory: pure functions of their arrays."""

from typing import NamedTuple

import numpy as np

from trajeval.table import Entry, Table, groups_of, membership


class Curves(NamedTuple):
    """The similarities of N trajectories with P prompts at K times of each.

    how: "prefix", of the clip from the beginning to then, or "window", of the last seconds before.
    frames: int64 [N, K], the number of the last frame that each point has seen, ascending; a short
    video repeats points. times: float64 [N, K], when that frame is shown, in seconds from the
    trajectory's first frame; NaN where the frame rate is unknown. values: float32 [N, K, P], rows
    and columns as in the run's Table, before --normalize and --softmax.
    """

    how: str
    frames: np.ndarray
    times: np.ndarray
    values: np.ndarray


class Control(NamedTuple):
    """What became of the run's Table, and of its Curves if it has any, when every trajectory was
    changed in one way. curves: None without, and for a still picture, whose curve is constant."""

    table: Table
    curves: Curves | None


def value_order_correlation(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each curve with time, ties by their average rank: VOC, of Ma et
    al., "Vision Language Models are In-Context Value Learners" (https://arxiv.org/abs/2411.04549).

    values: float [..., K], times: [K]. Returns float64 [...], -1 to 1; NaN where undefined: fewer
    than two points, a constant curve (as np.isclose sees it: within 1e-5 of its first value), a
    NaN.
    """
    values = np.asarray(values, np.float64)
    found = np.full(values.shape[:-1], np.nan)
    if values.shape[-1] < 2:
        return found
    curves, when = average_ranks(values), average_ranks(np.asarray(times, np.float64))
    curves, when = curves - curves.mean(-1, keepdims=True), when - when.mean()
    size = np.sqrt((curves**2).sum(-1) * (when**2).sum())
    constant = np.isclose(values, values[..., :1]).all(-1) | np.isnan(values).any(-1)
    np.divide(curves @ when, size, out=found, where=(size > 0) & ~constant)
    return found


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, from 0 up, equal values by the mean of theirs. float64 [..., K]"""
    order = np.argsort(values, axis=-1, kind="stable")
    ascending = np.take_along_axis(values, order, -1)
    places = np.broadcast_to(np.arange(values.shape[-1]), values.shape)
    edge = np.ones((*values.shape[:-1], 1), bool)
    differs = ascending[..., 1:] != ascending[..., :-1]
    first = np.where(np.concatenate([edge, differs], -1), places, 0)
    last = np.where(np.concatenate([differs, edge], -1), places, values.shape[-1])
    first = np.maximum.accumulate(first, -1)
    last = np.minimum.accumulate(last[..., ::-1], -1)[..., ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2, -1)
    return ranks


def points_of(frames: np.ndarray) -> np.ndarray:
    """The points of a trajectory without repeated ones: those of different frames. frames: int [K],
    ascending. int64 [k]"""
    return np.unique(frames, return_index=True)[1]


def group_curves(table: Table, values: np.ndarray) -> tuple[list[Entry], np.ndarray]:
    """The prompt groups, and each trajectory's curve for each of them: the mean over the group's
    prompts. values: as in Curves. float64 [N, K, G], rounded like `table.group_scores`."""
    groups, of_columns = groups_of(table.columns)
    weights = membership(of_columns)  # [P, G]
    return groups, np.round(np.asarray(values, np.float64) @ (weights / weights.sum(0)), 12)


def correlations(frames: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value-order correlation of every curve over its points that differ. frames: int [N, K],
    values: [N, K, G]. float64 [N, G], NaN where undefined."""
    found = np.full((len(values), values.shape[2]), np.nan)
    for i, of_trajectory in enumerate(frames):
        points = points_of(of_trajectory)
        found[i] = value_order_correlation(values[i, points].T, of_trajectory[points])
    return found


def best_times(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """When each curve is highest, the first time in a tie, in seconds. times: [N, K], values:
    [N, K, G]. float64 [N, G], NaN where the time is unknown."""
    return np.take_along_axis(times[..., None], values.argmax(1)[:, None], 1)[:, 0]


def normalised(values: np.ndarray) -> np.ndarray:
    """Each curve from 0, its lowest value, to 1, its highest; a constant one, or one of a single
    point, is 1 throughout, as TOPReward does (LeRobot's `normalize_rewards`). values: float
    [..., K]. float32 [..., K]"""
    values = np.asarray(values, np.float64)
    low, high = values.min(-1, keepdims=True), values.max(-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(high > low, (values - low) / (high - low), 1).astype(np.float32)
