"""95 % confidence intervals that hold for three trajectories and do not collapse at perfect scores.

An interval is the set of true values for which (measured - true)² is at most Z² times the variance
that the true value implies, which is not 0 where the measured variance is, as at a perfect score.
`benchmarks/coverage.py` measures how often each interval holds; docs/metrics.md has the tables.
"""

from collections.abc import Callable

import numpy as np

Z = 1.959963984540054  # the normal distribution's 97.5 % quantile
# The least number of hits expected, in Poisson's distribution, where 0, 1, 2, 3 are as many as is
# believable: half the 5 % quantile of chi squared with twice as many degrees of freedom
HITS, LEAST = (0, 1, 2, 3), (0.0, 0.051293, 0.355362, 0.817691)
MOST_TAKES = 1000  # of a behaviour that anyone would record
STEPS = 40  # of a bisection: 1e-12
CLOSEST = 1 - 1e-6  # that two numbers are related: at 1, limits as far apart give a point


def as_interval(value, limits) -> dict[str, float]:
    """A number with its limits, as metrics.json has them."""
    low, high = limits
    return {"value": float(value), "low": float(low), "high": float(high)}


def wilson(share, n):
    """The limits of a proportion: Wilson (1927), "Probable inference, the law of succession, and
    statistical inference". share: 0 to 1; n: of how many, more than 0. Floats or arrays."""
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return middle - half, middle + half


def share_limits(share, n):
    """The limits of a proportion, or of a mean of n values between 0 and 1: they vary no more.

    Wilson's; of one to three hits (or misses) the limit at their side is Poisson's where that is
    farther out, as Brown, Cai and DasGupta (2001), "Interval estimation for a binomial proportion",
    modify it: Wilson's alone holds in 84 % of cases there. Floats or arrays, as of `wilson`.
    """
    share = np.clip(share, 0.0, 1.0)
    low, high = wilson(share, n)
    few, few_misses = least(share * n, n), least(n - share * n, n)
    return np.clip(np.minimum(low, few), 0, share), np.clip(
        np.maximum(high, 1 - few_misses), share, 1
    )


def least(hits, n):
    """The lowest share that makes as many hits believable; 1 where Wilson's limit is as good."""
    return np.where((hits <= HITS[-1]) & (hits < n), np.interp(hits, HITS, LEAST) / n, 1.0)


def auc_variance(area, n_right, n_wrong):
    """The variance of an AUC of n_right against n_wrong trajectories if its true value is `area`.

    Hanley and McNeil's, with the larger of the two counts in the place of both counts less one:
    Newcombe (2006), "Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic. Part 2", method 5, has their mean less one, which is right only where right and wrong
    scores spread equally. Floats or arrays.
    """
    larger = np.maximum(n_right, n_wrong)
    pairs = 1 + larger * ((1 - area) / (2 - area) + area / (1 + area))
    return area * (1 - area) * pairs / (n_right * n_wrong)


def auc_limits(areas, n_right, n_wrong, observed=0.0):
    """The limits of AUCs. Arrays [G] or floats.

    observed: the variances estimated from the scores themselves (DeLong's); where one is larger
    than `auc_variance`, as where some takes failed, the interval is wider by as much.
    """
    wider = excess(observed, auc_variance(areas, n_right, n_wrong))
    return score_limits(areas, lambda area: wider * auc_variance(area, n_right, n_wrong))


def mean_auc_limits(areas, n_right, n_wrong, observed=0.0):
    """The limits of the mean of AUCs [G], of behaviours that share their trajectories.

    As if all true values were the mean, which gives the largest variance. Of G behaviours that are
    compared with each other only G - 1 are independent: two may have the same AUC by construction.
    observed: the variance of the mean estimated from the scores themselves.
    """

    def variance(area):
        return auc_variance(area, n_right, n_wrong).sum() / (len(areas) * max(len(areas) - 1, 1))

    mean = np.mean(areas)
    wider = excess(observed, variance(mean))
    return score_limits(mean, lambda area: wider * variance(area))


def excess(observed, expected):
    """How many times a variance is that expected, 1 at least, and where neither is known."""
    known = expected > 1e-12
    return np.maximum(1, observed / np.where(known, expected, 1) * known)


def score_limits(values, variance: Callable):
    """The farthest true values, 0 to 1, that the measured ones do not contradict: a bisection at
    either side. variance: of true values, of the shape of `values`."""
    values = np.asarray(values, np.float64)
    limits = []
    for end in (0.0, 1.0):
        inside, outside = values.copy(), np.full_like(values, end)
        for _ in range(STEPS):
            middle = (inside + outside) / 2
            holds = (values - middle) ** 2 <= Z**2 * variance(middle)
            inside, outside = np.where(holds, middle, inside), np.where(holds, outside, middle)
        limits.append(outside)
    return tuple(limits)


def median_limits(values, lowest: float, highest: float) -> tuple[float, float]:
    """The limits of a median: the values at Wilson's limits of one half, in their order; of fewer
    than six values, which cannot say so much, the lowest and the highest possible."""
    low, high = wilson(0.5, len(values))
    ordered = np.concatenate([[lowest], np.sort(values), [highest]])
    return ordered[int(len(values) * low)], ordered[int(np.ceil(len(values) * high)) + 1]


def difference_limits(first: dict, second: dict, correlation: float) -> tuple[float, float]:
    """The limits of second less first, two numbers with limits that were measured on the same
    trajectories. correlation: of the two; 0 is the careful choice where it is not known.

    The distances to the limits are added like standard errors: Newcombe (1998), "Improved
    confidence intervals for the difference between binomial proportions based on paired data",
    method 10; Zou and Donner (2008) for anything with limits.
    """
    change, correlation = second["value"] - first["value"], min(correlation, CLOSEST)
    limits = []
    for here, there in (("low", "high"), ("high", "low")):
        a, b = abs(second["value"] - second[here]), abs(first[there] - first["value"])
        limits.append(np.sqrt(max(a**2 + b**2 - 2 * correlation * a * b, 0)))
    return change - limits[0], change + limits[1]


def shrunk(correlation: float, n: int) -> float:
    """A correlation of n pairs, shrunk towards 0: few pairs say little about it, and 0 gives the
    wider interval if it is positive."""
    return correlation * max(n - 2, 0) / n


def correlation_of(first, second) -> float:
    """Pearson's, of two arrays of one shape; 0 where one of them is constant."""
    first, second = (np.asarray(x, np.float64) - np.mean(x) for x in (first, second))
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / scale) if scale > 1e-12 else 0.0


def takes_to_settle(areas, border: float, n_groups: int, wider) -> list[int | None]:
    """For each AUC in areas [G]: how many trajectories of each of n_groups behaviours would take
    `border` out of its interval if it stayed as it is; None if more than MOST_TAKES.

    wider: [G], by how much its variance is larger than `auc_variance`.
    """
    takes = np.arange(1, MOST_TAKES + 1)[:, None]  # [K, 1]
    far = (np.asarray(areas) - border) ** 2
    settled = far > Z**2 * wider * auc_variance(border, takes, takes * (n_groups - 1))  # [K, G]
    return [int(column.argmax()) + 1 if column.any() else None for column in settled.T]
