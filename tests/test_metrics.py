"""The metrics against scikit-learn, against cases counted by hand, and against their own laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score, roc_auc_score

from trajeval import metrics
from trajeval.areas import areas_of, auc
from trajeval.behaviours import behaviours
from trajeval.metrics import answers, confusion, margins, measure, ranks_of_right

# four trajectories, three prompts; trajectory 2 is wrong, trajectory 3 a tie
SCORES = np.array([[0.9, 0.1, 0.2], [0.3, 0.8, 0.1], [0.7, 0.2, 0.6], [0.5, 0.1, 0.5]])
LABELS = np.array([0, 1, 2, 0])
RIGHT = LABELS[:, None] == np.arange(3)


@st.composite
def cases(draw, distinct=False):
    n, n_groups = draw(st.integers(1, 12)), draw(st.integers(2, 5))
    few = st.integers(-3, 3)
    scores = draw(arrays(np.int64, (n, n_groups), elements=few)).astype(float)
    if distinct:
        scores = draw(st.permutations(range(n * n_groups)))
        scores = np.array(scores, float).reshape(n, n_groups)
    labels = draw(arrays(np.int64, n, elements=st.integers(0, n_groups - 1)))
    return scores, labels


def right(labels, n_groups):
    """Which groups are right, bool [N, G], for labels int [N]."""
    return np.asarray(labels)[:, None] == np.arange(n_groups)


def values(scores, labels):
    of_all = right(labels, scores.shape[1])
    return {name: found.value for name, found in metrics.all_metrics(scores, of_all).items()}


def test_by_hand():
    assert ranks_of_right(SCORES, RIGHT).tolist() == [1, 1, 2, 2]
    assert answers(SCORES, RIGHT).tolist() == [0, 1, 0, 2]
    found = values(SCORES, LABELS)
    assert found["top1"] == 0.5
    # hits, labels, answers of the groups: 1 2 2, 1 1 1, 0 1 1
    assert found["macro_f1"] == pytest.approx((0.5 + 1 + 0) / 3)
    # prompt 0 ranks 0 2 3 1, of which 0 and 3 are right; prompts 1 and 2 rank theirs first
    expected = [(1 + 2 / 3) / 2, 1, 1]
    assert found["mean_average_precision"] == pytest.approx(np.mean(expected))
    assert found["prompt_to_trajectory_recall_at_1"] == 1
    assert found["trajectory_to_prompt_recall_at_1"] == 0.5
    assert found["trajectory_to_prompt_median_rank"] == 1.5
    assert found["trajectory_to_prompt_mean_reciprocal_rank"] == 0.75
    assert margins(SCORES, RIGHT) == pytest.approx([0.7, 0.5, -0.1, 0])
    assert confusion(SCORES, RIGHT).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert auc(SCORES, np.arange(3), RIGHT) == pytest.approx([3 / 4, 1, 1])


def test_ties_count_against_the_model():
    scores = np.zeros((3, 4))
    labels = np.array([0, 1, 2])
    found = values(scores, labels)
    assert found["top1"] == found["top3"] == found["macro_f1"] == 0
    assert found["mean_auc"] == 0.5
    assert found["prompt_to_trajectory_median_rank"] == 3
    assert found["mean_average_precision"] == pytest.approx(1 / 3)
    assert auc(scores, np.arange(4), right(labels, 4))[:3].tolist() == [0.5] * 3


@given(cases())
def test_agrees_with_scikit_learn(case):
    scores, labels = case
    of_all = right(labels, scores.shape[1])
    found, answered = values(scores, labels), answers(scores, of_all)
    assert found["macro_f1"] == pytest.approx(
        f1_score(labels, answered, average="macro", zero_division=0)
    )
    everything = np.arange(scores.shape[1])
    assert np.array_equal(
        confusion(scores, of_all), confusion_matrix(labels, answered, labels=everything)
    )
    present = np.unique(labels)
    expected = [average_precision_score(labels == g, scores[:, g]) for g in present]
    assert found["mean_average_precision"] == pytest.approx(np.mean(expected))
    areas = auc(scores, everything, of_all)
    for group in everything:
        if 0 < (labels == group).sum() < len(labels):
            assert areas[group] == pytest.approx(roc_auc_score(labels == group, scores[:, group]))
        else:
            assert np.isnan(areas[group])


@given(cases(distinct=True), st.randoms(use_true_random=False))
def test_order_and_scale_do_not_matter(case, random):
    scores, labels = case
    rows = random.sample(range(len(labels)), len(labels))
    columns = random.sample(range(scores.shape[1]), scores.shape[1])
    moved = 2 * scores[rows][:, columns] - 5
    new_name = np.argsort(columns)  # the new number of each old group
    assert values(moved, new_name[labels[rows]]) == pytest.approx(values(scores, labels))


@given(cases())
@settings(max_examples=20)
def test_every_value_and_interval_is_a_number(case):
    scores, labels = case
    for name, metric in measure(scores, right(labels, scores.shape[1])).items():
        assert np.isfinite(list(metric.values())).all(), name
        assert metric["low"] <= metric["high"]


def test_the_baselines():
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(4), 15)
    scores = rng.normal(size=(60, 4)) + 1.2 * (labels[:, None] == np.arange(4))
    of_all = right(labels, 4)
    found = measure(scores, of_all)
    assert found["top1"]["chance"] == found["top1"]["majority"] == 0.25
    assert found["mean_auc"]["chance"] == found["mean_auc"]["majority"] == 0.5
    assert found["macro_f1"]["chance"] == pytest.approx(0.25, abs=0.03)
    assert measure(scores, of_all) == found  # seeded


def test_the_mean_auc_is_that_of_the_behaviours():
    scores = np.random.default_rng(0).normal(size=(20, 4))
    of_all = right(np.repeat([0, 1, 2], [3, 7, 10]), 4)  # nothing is of the fourth group
    found = [behaviour["auc"]["value"] for behaviour in behaviours(scores, of_all, list("abcd"))]
    assert measure(scores, of_all)["mean_auc"]["value"] == pytest.approx(np.mean(found))
    assert found == pytest.approx(auc(scores, np.arange(3), of_all).tolist())


def test_errors_of_an_auc_give_the_variance_of_delong():
    """By hand: 3 right scores with the shares 1, 1/2, 1 of the wrong ones below them, two wrong
    ones with the shares 1 and 2/3 of the right ones above them."""
    scores, of_all = (
        np.array([[9.0], [3], [8], [1], [5]]),
        np.array([[1], [1], [1], [0], [0]], bool),
    )
    found = areas_of(scores, of_all)
    assert found.values == pytest.approx([5 / 6])
    expected = np.var([1, 0.5, 1], ddof=1) / 3 + np.var([1, 2 / 3], ddof=1) / 2
    assert found.variances == pytest.approx([expected])


@pytest.mark.parametrize("n_groups", [2, 3, 4, 6])
def test_what_is_among_the_first_of_few_groups_is_left_out(n_groups):
    labels = np.arange(3 * n_groups) % n_groups
    found = measure(
        np.random.default_rng(0).random((len(labels), n_groups)), right(labels, n_groups)
    )
    ways = ("trajectory_to_prompt", "prompt_to_trajectory")
    for k in (1, 5, 10):
        assert all((f"{way}_recall_at_{k}" in found) == (k < n_groups) for way in ways)
    assert "top1" in found and ("top3" in found) == (n_groups > 3)


@pytest.mark.parametrize("count", [1, 2, 3, 30])
@pytest.mark.parametrize("n_groups", [2, 3, 12])
def test_perfect_scores_leave_room(count, n_groups):
    labels = np.repeat(np.arange(n_groups), count)
    of_all = right(labels, n_groups)
    found = measure(of_all.astype(float), of_all)
    for name, metric in found.items():
        if not name.endswith("median_rank"):
            assert metric["low"] < metric["value"] == metric["high"] == 1, name
    for behaviour in behaviours(of_all.astype(float), of_all, [str(i) for i in range(n_groups)]):
        assert behaviour["accuracy"]["low"] < 1 and behaviour["auc"]["low"] < 1
    median = found["trajectory_to_prompt_median_rank"]
    assert median["low"] == 1 and median["high"] == (n_groups if len(labels) < 6 else 1)


def test_majority_baseline_is_the_share_of_the_most_frequent_label():
    labels = np.array([2, 2, 2, 0, 1])
    found = measure(np.eye(3)[labels], right(labels, 3))
    assert found["top1"]["value"] == 1 and found["top1"]["majority"] == 0.6


def test_one_trajectory_and_one_group():
    found = measure(np.array([[0.2, 0.1]]), right([0], 2))
    assert found["top1"]["value"] == found["top1"]["high"] == 1 and found["top1"]["low"] < 0.25
    assert "mean_auc" not in found
    (behaviour,) = behaviours(np.array([[0.2, 0.1]]), right([0], 2), ["a", "b"])
    assert behaviour["auc"] is None and behaviour["taken_for"] == []


def test_a_thousand_by_a_hundred():
    rng = np.random.default_rng(0)
    found = measure(rng.normal(size=(1000, 100)), right(rng.integers(100, size=1000), 100))
    assert found["top1"]["low"] < found["top1"]["chance"] < found["top1"]["high"]


# --- several labels

# the fourth trajectory shows both of the first two groups, the fifth the last two
SEVERAL = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1]], bool)
OF_SEVERAL = np.array(
    [[0.9, 0.1, 0.2], [0.3, 0.8, 0.1], [0.7, 0.2, 0.6], [0.2, 0.5, 0.4], [0.6, 0.3, 0.6]]
)


def test_several_labels_by_hand():
    assert ranks_of_right(OF_SEVERAL, SEVERAL).tolist() == [1, 1, 2, 1, 2]
    assert answers(OF_SEVERAL, SEVERAL).tolist() == [0, 1, 0, 1, 0]
    found = {name: metric["value"] for name, metric in measure(OF_SEVERAL, SEVERAL).items()}
    assert found["top1"] == pytest.approx(2 / 3)
    alone = measure(OF_SEVERAL[:3], SEVERAL[:3])
    assert found["macro_f1"] == alone["macro_f1"]["value"]
    assert found["trajectory_to_prompt_recall_at_1"] == pytest.approx(3 / 5)
    assert found["trajectory_to_prompt_mean_reciprocal_rank"] == pytest.approx(4 / 5)
    # group 0: 0 2 4 1 3, of which 0 and 3 are right; 1: 1 3 4, all right; 2: 2 and 4 first
    expected = [(1 + 2 / 5) / 2, 1, 1]
    assert found["mean_average_precision"] == pytest.approx(np.mean(expected))
    assert auc(OF_SEVERAL, np.arange(3), SEVERAL) == pytest.approx([3 / 6, 1, 1])
    assert margins(OF_SEVERAL, SEVERAL) == pytest.approx(
        [0.7, 0.5, -0.1, np.nan, np.nan], nan_ok=True
    )
    assert confusion(OF_SEVERAL, SEVERAL).tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
    first, second, third = behaviours(OF_SEVERAL, SEVERAL, ["a", "b", "c"])
    assert first["count"] == 1 and first["with_others"] == 1 and first["taken_for"] == []
    assert second["count"] == 1 and second["with_others"] == 2
    assert third["accuracy"]["value"] == 0 and third["taken_for"] == [{"name": "a", "count": 1}]


@st.composite
def several(draw):
    n, n_groups = draw(st.integers(2, 12)), draw(st.integers(2, 5))
    scores = draw(arrays(np.int64, (n, n_groups), elements=st.integers(-3, 3))).astype(float)
    of_all = draw(arrays(bool, (n, n_groups)))
    of_all[np.arange(n), draw(arrays(np.int64, n, elements=st.integers(0, n_groups - 1)))] = True
    return scores, of_all


@given(several())
@settings(max_examples=50)
def test_several_labels_agree_with_scikit_learn(case):
    scores, of_all = case
    found = measure(scores, of_all)
    present = np.flatnonzero(of_all.any(0))
    expected = [average_precision_score(of_all[:, g], scores[:, g]) for g in present]
    assert found["mean_average_precision"]["value"] == pytest.approx(np.mean(expected))
    areas = auc(scores, np.arange(scores.shape[1]), of_all)
    for group in range(scores.shape[1]):
        if of_all[:, group].all() or not of_all[:, group].any():
            assert np.isnan(areas[group])
        else:
            assert areas[group] == pytest.approx(roc_auc_score(of_all[:, group], scores[:, group]))
    single = metrics.has_one(of_all)
    assert ("top1" in found) == ("macro_f1" in found) == single.any()
    if single.any():
        alone = measure(scores[single], of_all[single])
        for name in {"top1", "top3", "macro_f1"} & set(alone):
            assert found[name]["value"] == alone[name]["value"]
            assert found[name]["majority"] == alone[name]["majority"]
    for name, metric in found.items():
        assert np.isfinite(list(metric.values())).all(), name
    assert len(behaviours(scores, of_all, list("abcde"))) == len(present)


def test_one_label_among_many_trajectories_has_an_interval():
    of_all = np.ones((50, 3), bool)
    of_all[0] = [True, False, False]
    found = measure(np.random.default_rng(0).random((50, 3)), of_all)
    assert found["top1"]["high"] - found["top1"]["low"] > 0.7
