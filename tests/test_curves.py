"""Value-order correlation and what else is computed of curves."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from trajeval.curves import (
    average_ranks,
    best_times,
    correlations,
    group_curves,
    normalised,
    points_of,
    value_order_correlation,
)
from trajeval.table import Table, entry_of

GOLDEN = json.loads((Path(__file__).parent / "golden/voc.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["value_order_correlation"], ids=lambda case: case["name"])
def test_the_reference(case):
    values = np.array(case["values"], float)  # "nan" too
    found = value_order_correlation(values, np.array(case["true_values"], float))
    assert float(found) == pytest.approx(float(case["voc"]), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("case", GOLDEN["VOCMetric"], ids=lambda case: case["name"])
def test_the_metric_of_the_reference_counts_undefined_as_0(case):
    order = np.array(case["shuffled_frames_indices"])
    values = np.array(case["shuffled_frames_predicted_completion_rates"])
    found = np.nan_to_num(value_order_correlation(values, order))
    assert float(found) == pytest.approx(case["value"], abs=1e-9)


FEW = st.integers(-3, 3).map(float)


@given(arrays(float, st.tuples(st.integers(1, 4), st.integers(2, 9)), elements=FEW))
def test_ranks_are_scipys(values):
    assert np.array_equal(average_ranks(values) + 1, stats.rankdata(values, axis=-1))


@given(arrays(float, st.integers(2, 20), elements=FEW))
def test_the_correlation_is_scipys_and_turns_with_time(values):
    times = np.arange(len(values))
    found = value_order_correlation(values, times)
    if len(set(values)) == 1:
        assert np.isnan(found)
        return
    assert found == pytest.approx(stats.spearmanr(values, times)[0], abs=1e-12)
    assert value_order_correlation(values[::-1], times) == pytest.approx(-found, abs=1e-12)


def test_many_curves_at_once():
    values = np.random.default_rng(0).normal(size=(5, 3, 7))
    found = value_order_correlation(values, np.arange(7))
    assert found.shape == (5, 3)
    assert found[2, 1] == value_order_correlation(values[2, 1], np.arange(7))


def test_points_that_a_short_video_repeats_count_once():
    frames = np.array([[0, 1, 1, 2, 2, 2], [0, 2, 4, 6, 8, 10], [0] * 6])
    assert points_of(frames[0]).tolist() == [0, 1, 3]
    values = np.array([[3, 1, 1, 2, 2, 2], [3, 1, 1, 2, 2, 2], [1.0] * 6])[..., None]
    short, long, single = correlations(frames, values)[:, 0]
    assert short == -0.5
    assert long == pytest.approx(stats.spearmanr(values[1, :, 0], range(6))[0])
    assert np.isnan(single)  # a single frame


def test_a_group_of_prompts_has_the_mean_of_their_curves():
    columns = [entry_of("it runs", "run"), entry_of("it jumps", "jump"), entry_of("runs", "run")]
    table = Table(np.zeros((1, 3), np.float32), [entry_of("a.mp4", "run")], columns, "softmax at")
    groups, found = group_curves(table, np.array([[[1, 2, 3], [5, 6, 7]]], np.float32))
    assert [group.name for group in groups] == ["run", "jump"]
    assert found.tolist() == [[[2, 2], [6, 6]]]


def test_the_best_moment():
    values = np.array([[1, 5], [3, 5], [3, 4]], float)[None]
    assert best_times(np.array([[0, 0.5, 1]]), values).tolist() == [[0.5, 0]]
    assert np.isnan(best_times(np.full((1, 3), np.nan), values)).all()


def test_normalised_as_topreward_does():
    """The values are those of LeRobot's normalize_rewards."""
    mixed = normalised(np.array([-4.0, -1.0, -2.5, -7.25]))
    assert mixed.tolist() == pytest.approx([0.5199999809265137, 1.0, 0.7599999904632568, 0.0])
    assert mixed.dtype == np.float32
    both = normalised(np.array([[-2, -2, -2], [1, 2, 3]]))
    assert both.tolist() == [[1, 1, 1], [0, 0.5, 1]]
    assert normalised(np.array([-3.0])).tolist() == [1]
