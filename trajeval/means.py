"""Means of few bounded values, with 95 % intervals that do not collapse where all values agree.

An interval is {"value", "low", "high"}. benchmarks/coverage.py simulates how often each holds;
docs/metrics.md has the tables.
"""

import math
from functools import lru_cache

import numpy as np

from trajeval.intervals import Z, as_interval, correlation_of, difference_limits, shrunk

N_DRAWS = 4000
LEVEL = 0.025  # of each end

Interval = dict[str, float]


def mean(values: np.ndarray, lowest: float, highest: float) -> Interval:
    """The mean of independent values between lowest and highest, with Gaffke's interval ("Three
    test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable",
    2005): the quantile of their mean under uniform Dirichlet weights, with the end of the range as
    one more value. Of values at the two ends it is Clopper and Pearson's; of one value it is nearly
    the whole range. values: [n], n >= 1."""
    values = np.sort(np.asarray(values, np.float64))
    weights = dirichlet(len(values))
    low = np.quantile(weights @ np.r_[lowest, values], LEVEL)
    high = np.quantile(weights @ np.r_[values, highest], 1 - LEVEL)
    value = values.mean()
    # Weights add up to 1 but for rounding.
    return as_interval(value, (max(min(low, value), lowest), min(max(high, value), highest)))


@lru_cache(4)
def dirichlet(n: int) -> np.ndarray:
    """Draws of uniform weights of n + 1 values that add up to 1, always the same. float64
    [R, n + 1], of 4 million values at most"""
    n_draws = max(200, min(N_DRAWS, 4_000_000 // (n + 1)))
    drawn = np.random.default_rng(n).exponential(size=(n_draws, n + 1))
    return drawn / drawn.sum(1, keepdims=True)


def paired_difference(
    values: np.ndarray, others: np.ndarray, lowest: float, highest: float
) -> Interval:
    """How much higher the mean of values is than that of others, of the same trajectories, from
    the interval of each and the correlation of the pairs. Both [n]."""
    first, second = mean(others, lowest, highest), mean(values, lowest, highest)
    correlation = shrunk(correlation_of(values, others), len(values))
    limits = difference_limits(first, second, correlation)
    return as_interval(second["value"] - first["value"], limits)


def average(found: list[Interval], values: list[np.ndarray], bound: float) -> Interval:
    """The mean of the means of several behaviours. The distances to their limits are added like
    standard errors (Zou and Donner), and are at least Z standard errors, pooled over behaviours: a
    mean at the end of the range has no distance to that end. Of one behaviour it is that one's.

    values: behind each mean, [n]. bound: the mean is between -bound and bound.
    """
    if len(found) == 1:
        return found[0]
    value = sum(one["value"] for one in found) / len(found)
    n, error = sum(map(len, values)), 0.0
    if n > len(values):
        squares = sum(float(((of - of.mean()) ** 2).sum()) for of in values)
        error = Z * math.sqrt(sum(squares / (n - len(values)) / len(of) for of in values))
    low = math.hypot(*(one["value"] - one["low"] for one in found))
    high = math.hypot(*(one["high"] - one["value"] for one in found))
    low, high = (max(way, error) / len(found) for way in (low, high))
    return as_interval(value, (max(value - low, -bound), min(value + high, bound)))
