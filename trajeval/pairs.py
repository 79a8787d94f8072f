"""Counting pairs of trajectories without going through them: a million have 10^12."""

import numpy as np


def ranks_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many values are below each, and how many are below or equal. Two int64 [n]"""
    order = np.argsort(values)
    ordered = values[order]
    below, up_to = np.empty((2, len(values)), np.int64)
    for found, side in ((below, "left"), (up_to, "right")):
        found[order] = np.searchsorted(ordered, ordered, side)
    return below, up_to


def dense(values: np.ndarray) -> np.ndarray:
    """The number of each value among those that occur, ascending from 0. int64 [n]"""
    return np.unique(values, return_inverse=True)[1]


def below_both(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """For each of n how many others are lower in first and in second. int64 [n]

    Sorted by first, and equal ones by second, falling: how many before it are lower in second. The
    numbers of two values have the same bits down to one where the lower has 0 and the other 1. So
    for each bit, from the highest, those that have the same higher bits are put together in their
    order, and each that has 1 counts those before it that have 0.
    """
    numbers = dense(second)
    order = np.lexsort((-numbers, first))
    found, places = np.zeros((2, len(order)), np.int64)
    places[:] = np.arange(len(order))
    for bit in reversed(range(int(numbers.max(initial=0)).bit_length())):
        bits = numbers[order] >> bit
        is_one, together = (bits & 1).astype(bool), bits >> 1
        starts = np.zeros(len(order), np.int64)
        starts[1:] = np.where(together[1:] != together[:-1], places[1:], 0)
        starts = np.maximum.accumulate(starts)
        zeros = np.concatenate([[0], np.cumsum(~is_one)])  # before each
        found[order[is_one]] += (zeros[:-1] - zeros[starts])[is_one]
        order = order[np.argsort(bits, kind="stable")]
    return found


def net_agreement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """For each of n the number of others on the same side of it in first and second, less that of
    others on different sides; equal ones are on no side. int64 [n]"""
    n, first, second = len(first), dense(first), dense(second)
    (below, up_to), (lower, lower_to) = ranks_of(first), ranks_of(second)
    lower_below, lower_up_to = ranks_of(second * n + first)  # by second, then by first
    below_lower, _ = ranks_of(first * n + second)
    # Of the others 4 kinds are on some side in both. One is counted, the rest is what is left of
    # those below and above in one order when those that are equal in the other are taken away.
    ties = lower_below - lower - (lower_to - lower_up_to) + 2 * (below_lower - below)
    return 4 * below_both(first, second) + n - up_to - below - 2 * lower + ties
