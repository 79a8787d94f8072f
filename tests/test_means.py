"""Intervals of means of few bounded values."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from trajeval import means

VALUES = st.lists(st.floats(-1, 1), min_size=1, max_size=12)


@given(VALUES)
@example([1.0, 1.0])
def test_an_interval_holds_its_value_and_never_collapses(values):
    found = means.mean(np.array(values), -1, 1)
    assert -1 <= found["low"] <= found["value"] <= found["high"] <= 1
    assert found["value"] == pytest.approx(np.mean(values))
    assert found["high"] - found["low"] > 0.1


@pytest.mark.parametrize("hits, n", [(3, 3), (5, 5), (4, 5), (20, 30), (1, 1)])
def test_of_two_values_it_is_clopper_and_pearsons(hits, n):
    found = means.mean(np.repeat([1, 0], [hits, n - hits]), 0, 1)
    exact = stats.binomtest(hits, n).proportion_ci(method="exact")
    assert (found["low"], found["high"]) == pytest.approx((exact.low, exact.high), abs=0.02)


def test_it_is_the_same_every_time():
    assert means.mean(np.array([0.1, 0.9]), -1, 1) == means.mean(np.array([0.9, 0.1]), -1, 1)


def test_pairs_that_go_together_are_told_apart_better():
    values = np.random.default_rng(0).uniform(-1, 1, 30)
    lower = values * 0.8 - 0.2
    paired = means.paired_difference(values, lower, -1, 1)
    shuffled = means.paired_difference(values, lower[::-1], -1, 1)
    assert paired["value"] == pytest.approx(shuffled["value"])
    assert paired["low"] > 0 and shuffled["low"] < 0
    backwards = means.paired_difference(lower, values, -1, 1)
    assert backwards["low"] == pytest.approx(-paired["high"])


def test_of_one_pair_nothing_is_known():
    found = means.paired_difference(np.array([1.0]), np.array([1.0]), -1, 1)
    assert found["value"] == 0 and found["low"] < -1.5 and found["high"] > 1.5


def test_the_average_of_many_behaviours_is_surer():
    values = [np.array([0.8, 0.9, 1.0])] * 12
    one = means.mean(values[0], -1, 1)
    many = means.average([one] * 12, values, 1)
    assert many["value"] == pytest.approx(one["value"])
    assert many["low"] - many["value"] == pytest.approx((one["low"] - one["value"]) / 12**0.5)
    single = means.average([one], values[:1], 1)
    assert single["low"] == pytest.approx(one["low"]) and single["high"] <= 1
