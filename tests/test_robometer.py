"""Figures under Robometer's names, against golden values of its own code."""

import json

import numpy as np
import pytest
import recipe

from trajeval import robometer

GOLDEN = json.loads((recipe.GOLDEN / "robometer.json").read_text())
AS_RATED = {"failure": 0.0, "suboptimal": 1.0, "successful": 2.0}
# The mean over all tasks is the same figure as ranking_acc.
LEFT_OUT = {"ranking_acc_all_pairs"}


def by_name(section):
    return {case["name"]: case for case in GOLDEN[section]}


def by_task(tasks, scores, ratings):
    """The scores and the ratings of each task, in the order of the trajectories."""
    places = [
        [i for i, other in enumerate(tasks) if other == task] for task in dict.fromkeys(tasks)
    ]
    scores, ratings = np.array(scores, float), np.array(ratings, float)
    return [scores[rows] for rows in places], [ratings[rows] for rows in places]


def expected(value):
    """What the reference gives: NaN, and an error of its own, are undefined here."""
    undefined = value == "nan" or value is None or isinstance(value, dict)
    return None if undefined else pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("name", sorted(by_name("correlations").keys() - {"unequal_length"}))
def test_correlations(name):
    case = by_name("correlations")[name]
    x, y = np.array(case["x"]), np.array(case["y"])
    for name, correlation in robometer.CORRELATIONS.items():
        assert correlation(x, y) == expected(case[f"compute_{name}"])
    assert robometer.kendall(x, y) == expected(case["kendall_tau_a"])


@pytest.mark.parametrize("name", by_name("policy_ranking_quality_label"))
def test_ranking_by_quality(name):
    case = by_name("policy_ranking_quality_label")[name]
    ratings = [AS_RATED[label] for label in case["quality_labels"]]
    found = robometer.figures("order", *by_task(case["tasks"], case["rewards"], ratings))
    del found["preference_accuracy"]
    figures = case["kendall"]["metrics"] | case["spearman"]["metrics"]
    assert found.keys() == figures.keys() - LEFT_OUT
    for figure, value in found.items():
        assert value == expected(figures[figure]), figure


@pytest.mark.parametrize("name", by_name("policy_ranking_partial_success"))
def test_ranking_by_partial_success(name):
    case = by_name("policy_ranking_partial_success")[name]
    of_tasks = by_task(case["tasks"], case["rewards"], case["partial_successes"])
    found = robometer.figures("numbers", *of_tasks)
    for figure, value in (case["kendall"]["metrics"] | case["spearman"]["metrics"]).items():
        assert found[figure] == expected(value), figure


def test_numbers_that_are_no_partial_success():
    scores, ratings = [np.array([0.1, 0.2, 0.3])], [np.array([0.0, 50.0, 100.0])]
    found = robometer.figures("numbers", scores, ratings)
    assert not any(name.endswith("_rba") for name in found)
    assert found["compute_kendall"] == found["preference_accuracy"] == 1


def test_accuracy_of_preferences():
    """Pairs with the last prediction of the chosen and the rejected one; the reference leaves out
    those without."""
    case = GOLDEN["preference_accuracy_from_progress"]
    tasks = []
    for pair in case["pairs"]:
        ends = [
            [value for value in pair[f"progress_pred_{which}"] or () if value is not None]
            for which in ("rejected", "chosen")
        ]
        if pair["preference_label"] is not None and all(ends):
            tasks.append((np.array([end[-1] for end in ends]), np.array([0.0, 1.0])))
    assert len(tasks) == case["result"]["num_total"]
    value = robometer.preference_accuracy(tasks)
    assert value == pytest.approx(case["result"]["preference_accuracy"], abs=1e-9)
    assert robometer.preference_accuracy([]) is case["no_pairs"]["preference_accuracy"] is None


def test_every_choice_of_one_trajectory_of_each_rating():
    """Counting by signs is the same as going through all tuples, with ties."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        levels = [rng.integers(4, size=rng.integers(1, 5)) / 4 for _ in range(3)]
        scores, ratings = np.concatenate(levels), np.repeat([0.0, 1, 2], list(map(len, levels)))
        found = robometer.correlations_over_tuples(scores, ratings)
        tuples = [np.array([a, b, c]) for a in levels[0] for b in levels[1] for c in levels[2]]
        order = np.arange(3.0)
        taus = [robometer.kendall(order, values) for values in tuples]
        rhos = [robometer.spearman(order, values) for values in tuples]
        rhos = [rho for rho in rhos if rho is not None] or [0]
        assert found["kendall"] == pytest.approx(np.mean(taus), abs=1e-12)
        assert found["spearman"] == pytest.approx(np.mean(rhos), abs=1e-12)
