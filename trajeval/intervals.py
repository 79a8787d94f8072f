"""95 % confidence intervals that do not collapse where a share is 0 or 1."""

import numpy as np

Z = 1.959963984540054  # the normal distribution's 97.5 % quantile


def as_interval(value, limits) -> dict[str, float]:
    """A number with its limits, as metrics.json has them."""
    low, high = limits
    return {"value": float(value), "low": float(low), "high": float(high)}


def share_limits(share, n):
    """The limits of a proportion: Wilson (1927), "Probable inference, the law of succession, and
    statistical inference". share: 0 to 1; n: of how many, more than 0. Floats or arrays."""
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return np.clip(middle - half, 0, share), np.clip(middle + half, share, 1)


def difference_limits(first: dict, second: dict, correlation: float) -> tuple[float, float]:
    """The limits of second less first, two numbers with limits that were measured on the same
    trajectories. correlation: of the two; 0 is the careful choice where it is not known.

    The limits' distances are added as standard errors are: Newcombe (1998), "Improved confidence
    intervals for the difference between binomial proportions based on paired data", method 10; Zou
    and Donner (2008) for anything with limits.
    """
    change = second["value"] - first["value"]
    limits = []
    for here, there in (("low", "high"), ("high", "low")):
        a, b = abs(second["value"] - second[here]), abs(first[there] - first["value"])
        limits.append(np.sqrt(max(a**2 + b**2 - 2 * correlation * a * b, 0)))
    return change - limits[0], change + limits[1]


def correlation_of(first, second) -> float:
    """Pearson's, of two arrays of one shape; 0 where one of them is constant."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
