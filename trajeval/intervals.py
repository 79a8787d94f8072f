"""Intervals of 95 % that do not collapse where a share is 0 or 1."""

import math

Z = 1.959963984540054  # of a standard normal distribution, 2.5 % lie above


def wilson(share: float, count: float) -> dict[str, float]:
    """Wilson's score interval of a share of `count` independent trials, which need not be whole:
    `value`, `low`, `high`, in [0, 1]. (Wilson, 1927)"""
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(share * (1 - share) / count + (Z / (2 * count)) ** 2)
    low, high = min(middle - half, share), max(middle + half, share)  # but for rounding
    return {"value": float(share), "low": max(0.0, low), "high": min(1.0, high)}


def paired_difference(both: int, first: int, second: int, neither: int) -> dict[str, float]:
    """How much more often the second of two paired answers is right than the first: `value`, `low`,
    `high`, in [-1, 1].

    both, first, second, neither: how often both are right, only the first, only the second, none;
    not all 0. Newcombe's method 10 (Statistics in Medicine, 1998, 17, 2635-2650).
    """
    n = both + first + second + neither
    of_first, of_second = wilson((both + first) / n, n), wilson((both + second) / n, n)
    cross = both * neither - first * second
    if cross > 0:
        cross = max(cross - n / 2, 0)
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    phi = cross / math.sqrt(product) if product else 0.0
    value = of_second["value"] - of_first["value"]

    def away(above: float, below: float) -> float:
        return math.sqrt(max(above**2 - 2 * phi * above * below + below**2, 0))

    down = away(of_second["value"] - of_second["low"], of_first["high"] - of_first["value"])
    up = away(of_second["high"] - of_second["value"], of_first["value"] - of_first["low"])
    return {"value": value, "low": max(-1.0, value - down), "high": min(1.0, value + up)}


def mean_of(found: list[dict[str, float]]) -> dict[str, float] | None:
    """The mean of independent values, each with an interval; None of none. Each side of the
    interval has the root of the sum of squares of theirs (Zou and Donner, Statistics in Medicine,
    2008, 27, 1693-1702)."""
    if not found:
        return None
    n = len(found)
    value = sum(one["value"] for one in found) / n
    down = math.sqrt(sum((one["value"] - one["low"]) ** 2 for one in found)) / n
    up = math.sqrt(sum((one["high"] - one["value"]) ** 2 for one in found)) / n
    return {"value": value, "low": value - down, "high": value + up}
