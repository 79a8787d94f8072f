"""Intervals: values from papers, by hand, and what must hold for all of them."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trajeval.intervals import (
    Z,
    as_interval,
    auc_limits,
    auc_variance,
    correlation_of,
    difference_limits,
    excess,
    mean_auc_limits,
    median_limits,
    share_limits,
    takes_to_settle,
    wilson,
)

counts = st.integers(1, 200)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), "Two-sided confidence intervals ...", table I
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (3, 3, 0.4385, 1.0),
    ],
)
def test_wilsons_interval(hits, n, low, high):
    assert wilson(hits / n, n) == pytest.approx((low, high), abs=5e-5)


def test_few_hits_and_few_misses_are_believed_less():
    assert share_limits(1.0, 3) == pytest.approx((0.4385, 1), abs=5e-5)
    low, high = share_limits(1 / 29, 29)
    assert low == pytest.approx(-np.log(0.95) / 29, abs=1e-5) and high == wilson(1 / 29, 29)[1]
    low, high = share_limits(28 / 29, 29)
    assert high == pytest.approx(1 + np.log(0.95) / 29, abs=1e-5)
    assert share_limits(0.5, 100) == wilson(0.5, 100)


@given(st.floats(0, 1), counts)
def test_limits_of_a_share(share, n):
    low, high = share_limits(share, n)
    assert 0 <= low <= share <= high <= 1 and high - low > 0.3 / n
    mirrored = share_limits(1 - share, n)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-9)


@given(st.floats(0, 1), counts, counts)
def test_limits_of_an_auc_are_where_the_variance_says(area, n_right, n_wrong):
    low, high = auc_limits(area, n_right, n_wrong)
    assert 0 <= low <= area <= high <= 1 and high - low > 0.1 / max(n_right, n_wrong)
    for limit in (low, high):
        if 1e-6 < limit < 1 - 1e-6:
            deviation = np.sqrt(auc_variance(limit, n_right, n_wrong))
            assert abs(area - limit) == pytest.approx(Z * deviation, rel=1e-3, abs=1e-6)
    wider = auc_limits(area, n_right, n_wrong, 1.0)
    assert wider[0] <= low + 1e-9 and high - 1e-9 <= wider[1]


def test_an_auc_of_three_against_three_may_be_chance():
    """One of twenty orders is perfect: a probability of 5 %, at one side."""
    assert auc_limits(1.0, 3, 3)[0] < 0.5


def test_limits_of_a_mean_of_aucs():
    pair = mean_auc_limits(np.array([0.8, 0.8]), np.array([5, 5]), np.array([5, 5]))
    assert np.array(pair) == pytest.approx(
        np.array(auc_limits(0.8, 5, 5))
    )  # of two, one may be the other
    many = mean_auc_limits(np.full(11, 0.8), np.full(11, 5), np.full(11, 50))
    alone = auc_limits(0.8, 5, 50)
    assert alone[0] < many[0] < 0.8 < many[1] < alone[1]
    perfect = mean_auc_limits(np.ones(11), np.full(11, 5), np.full(11, 50))
    assert perfect[0] < 0.99 and perfect[1] == 1
    dependent = mean_auc_limits(np.full(11, 0.8), np.full(11, 5), np.full(11, 50), observed=0.01)
    assert dependent[0] < many[0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1], (1, 9)),
        ([1] * 5, (1, 9)),  # one in sixteen of five are on one side
        ([1] * 6, (1, 1)),
        (list(range(1, 11)), (2, 9)),  # binomial: 22 of 1024 are outside
        ([3, 1, 2, 4, 5, 6, 7], (1, 7)),
    ],
)
def test_limits_of_a_median(values, expected):
    assert median_limits(np.array(values), 1, 9) == expected


def number(hits, n):
    return as_interval(hits / n, wilson(hits / n, n))


@pytest.mark.parametrize(
    ("both", "first_only", "second_only", "neither", "low", "high"),
    [  # Newcombe (1998), "... based on paired data", method 10
        (36, 12, 2, 0, 0.0569, 0.3404),
        (0, 0, 0, 54, -0.0664, 0.0664),
        (54, 0, 0, 0, -0.0664, 0.0664),
    ],
)
def test_limits_of_a_paired_difference(both, first_only, second_only, neither, low, high):
    n = both + first_only + second_only + neither
    first = np.repeat([1, 1, 0, 0], [both, first_only, second_only, neither])
    second = np.repeat([1, 0, 1, 0], [both, first_only, second_only, neither])
    numbers = number(second.sum(), n), number(first.sum(), n)
    found = difference_limits(*numbers, correlation_of(first, second))
    assert found == pytest.approx((low, high), abs=5e-5)


@example(3, 27, 1.0)
@given(st.integers(0, 30), st.integers(0, 30), st.floats(-1, 1))
def test_a_difference_does_not_collapse(a, b, correlation):
    first, second = number(a, 30), number(b, 30)
    low, high = difference_limits(first, second, correlation)
    assert low <= second["value"] - first["value"] <= high
    assert high - low > 0 or (a == b and correlation == 1)
    careful = difference_limits(first, second, -1)
    assert careful[0] <= low + 1e-9 and high - 1e-9 <= careful[1]


def test_nothing_is_known_of_a_constant():
    assert correlation_of([1, 1, 1], [1, 2, 3]) == 0
    assert correlation_of([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert excess(0.5, 0.0) == 1 and excess(0.5, 0.25) == 2 and excess(0.1, 0.25) == 1


def test_takes_that_settle():
    takes = takes_to_settle([1.0, 0.95, 0.9, 0.5], 0.9, 12, np.ones(4))
    assert takes[2] is None and takes[3] < takes[0] < takes[1]
    low = [auc_limits(1.0, k, 11 * k)[0] for k in (takes[0] - 1, takes[0])]
    assert low[0] <= 0.9 < low[1]
    assert takes_to_settle([0.95], 0.9, 12, np.array([2.0]))[0] > takes[1]
