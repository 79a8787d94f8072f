"""How often do the intervals of value-order correlations hold?

Curves of 15 points are made of several kinds. The hard ones are those where a few takes all agree
and a rare one does not.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from trajeval import means
from trajeval.curves import value_order_correlation

TAKES = (3, 5, 10, 30)
N_BEHAVIOURS, N_POINTS = 12, 15
N_LARGE = 200_000  # draws for the true mean


def of_curves(curves: np.ndarray) -> np.ndarray:
    return np.nan_to_num(value_order_correlation(curves, np.arange(curves.shape[-1])))


def noise(rng, n):
    return of_curves(rng.normal(size=(n, N_POINTS)))


def drift(rng, n):
    return of_curves(rng.normal(size=(n, N_POINTS)).cumsum(1))


def rise(rng, n):
    return of_curves(np.linspace(0, 3, N_POINTS) + 0.6 * rng.normal(size=(n, N_POINTS)))


def drifting_rise(rng, n):
    return of_curves((0.5 + rng.normal(size=(n, N_POINTS))).cumsum(1))


def one_in_ten_falls(rng, n):
    return np.where(rng.random(n) < 0.9, 1, -1) * rise(rng, n)


def one_in_five_drifts(rng, n):
    return np.where(rng.random(n) < 0.8, rise(rng, n), drift(rng, n))


def a_third_constant(rng, n):
    return np.where(rng.random(n) < 1 / 3, 0, rise(rng, n))


def two_points(rng, n):
    return np.where(rng.random(n) < 0.8, 1.0, -1.0)


KINDS = {
    "noise": noise,
    "drift": drift,
    "rise with noise": rise,
    "rise with drift": drifting_rise,
    "rise, one in ten falls": one_in_ten_falls,
    "rise, one in five drifts": one_in_five_drifts,
    "rise, a third constant": a_third_constant,
    "two points, 4 of 5 rise": two_points,
}


def coverage_of_mean(kind, n: int, n_runs: int, rng) -> float:
    true = kind(rng, N_LARGE).mean()
    runs = kind(rng, n_runs * n).reshape(n_runs, n)
    return share_that_holds([means.mean(values, -1, 1) for values in runs], true)


def coverage_of_difference(kind, n: int, n_runs: int, rng) -> float:
    """Of the kind and one that is the same in half of the takes, else drift."""

    def pairs(n):
        values = kind(rng, n)
        return values, np.where(rng.random(n) < 0.5, values, drift(rng, n))

    first, second = pairs(N_LARGE)
    true = (first - second).mean()
    first, second = (values.reshape(n_runs, n) for values in pairs(n_runs * n))
    found = [means.paired_difference(*pair, -1, 1) for pair in zip(first, second)]
    return share_that_holds(found, true)


def coverage_of_average(kind, n: int, n_runs: int, rng) -> float:
    true = kind(rng, N_LARGE).mean()
    runs = kind(rng, n_runs * n * N_BEHAVIOURS).reshape(n_runs, N_BEHAVIOURS, n)
    found = [means.average([means.mean(of, -1, 1) for of in run], list(run), 1) for run in runs]
    return share_that_holds(found, true)


def share_that_holds(found: list[means.Interval], true: float) -> float:
    return float(np.mean([one["low"] - 1e-9 <= true <= one["high"] + 1e-9 for one in found]))


def table(share: float = 1) -> dict[str, dict[int, list[float]]]:
    """As coverage.SECTIONS has it, of each kind of curves."""
    rng = np.random.default_rng(0)
    what = {
        "value-order correlation of a behaviour": (coverage_of_mean, 2000),
        "value-order correlation: paired difference": (coverage_of_difference, 1000),
        f"value-order correlation: mean over {N_BEHAVIOURS} behaviours": (coverage_of_average, 300),
    }
    return {
        title: {
            n: [measure(kind, n, int(n_runs * share), rng) for kind in KINDS.values()]
            for n in TAKES
        }
        for title, (measure, n_runs) in what.items()
    }
