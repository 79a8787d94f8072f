"""Do similarities rank trajectories as their ratings do?"""

import json
import time
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trajeval.ratings import FIGURES, Pairs, Rated, agreement, as_lines, rank, rated
from trajeval.table import Entry, Table, entry_of

SHORT = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=12)


def arrays(pairs):
    return tuple(np.array(values, float) for values in zip(*pairs))


@given(SHORT)
def test_the_figures_are_those_of_scipy(pairs):
    scores, ratings = arrays(pairs)
    found = agreement(scores, ratings)
    different = [
        np.sign((scores[i] - scores[j]) * (ratings[i] - ratings[j])) / 2 + 0.5
        for i, j in combinations(range(len(pairs)), 2)
        if ratings[i] != ratings[j]
    ]
    if not different:
        assert found["why"] == "all ratings are equal" and not any(found[name] for name in FIGURES)
        return
    assert found["ranking_accuracy"]["value"] == pytest.approx(np.mean(different))
    if len(set(scores)) == 1:
        assert found["why"] == "all scores are equal"
        assert found["kendall"] is None and found["spearman"] is None
        return
    assert found["kendall"]["value"] == pytest.approx(stats.kendalltau(scores, ratings)[0])
    assert found["spearman"]["value"] == pytest.approx(stats.spearmanr(scores, ratings)[0])
    assert found["why"] is None
    for name, (least, most) in zip(FIGURES, ((-1, 1), (-1, 1), (0, 1))):
        of = found[name]
        assert least <= of["low"] <= of["value"] <= of["high"] <= most
        assert of["high"] - of["low"] > 0.1 * (most - least)  # few trajectories settle nothing


@given(SHORT, st.randoms())
def test_the_order_of_trajectories_does_not_matter(pairs, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    found, other = agreement(*arrays(pairs)), agreement(*arrays(shuffled))
    for name in FIGURES:
        assert found[name] == (found[name] and pytest.approx(other[name], abs=1e-12))


def test_intervals_do_not_collapse():
    """Three takes in their order say little, thirty more."""
    widths = []
    for n in (2, 3, 5, 10, 30):
        of = agreement(np.arange(n) / n, np.arange(float(n)))
        assert all(of[name]["value"] == of[name]["high"] == 1 for name in FIGURES)
        widths.append(1 - of["ranking_accuracy"]["low"])
    assert widths[0] == widths[1] > 0.7 and widths == sorted(widths, reverse=True)
    assert widths[-1] == pytest.approx(0.204, abs=1e-3)  # Wilson's interval of 15 of 15


def test_two_ratings_of_which_one_is_rare():
    """Twenty-nine failures do not make up for a single success."""
    scores = np.arange(30.0)
    of = agreement(scores, (scores == 29).astype(float))
    assert of["ranking_accuracy"]["low"] == pytest.approx(0.207, abs=1e-3)  # of 1 of 1


def test_the_jackknife_is_that_of_leaving_out_each():
    rng = np.random.default_rng(0)
    for ratings in (rng.normal(size=12), rng.integers(3, size=12).astype(float)):
        scores = np.round(ratings + rng.normal(size=12), 1)
        pairs = Pairs(scores, ratings)
        for found, of in (
            (pairs.spearman(), stats.spearmanr),
            (pairs.kendall(), stats.kendalltau),
        ):
            without = [of(np.delete(scores, i), np.delete(ratings, i))[0] for i in range(12)]
            variance = 11 / 12 * ((without - np.mean(without)) ** 2).sum()
            assert found.variance == pytest.approx(variance / 4)


def grouped(groups):
    """As table.rated gives them; groups: (scores, ratings)."""
    names, nobody = [str(i) for i in range(len(groups))], {"unrated": 0, "unlabelled": 0}
    return Rated("numbers", names, *map(list, zip(*groups)), True, nobody)


def table(scores, groups, ratings, names=("open", "close")):
    """A table with a prompt for each name; scores: [N, P]."""
    groups = [(group,) if isinstance(group, str) else group or () for group in groups]
    rows = [Entry(f"{i}.mp4", *of) for i, of in enumerate(zip(groups, ratings))]
    return Table(np.asarray(scores, np.float32), rows, [entry_of(n, n) for n in names], "cosine")


def test_each_behaviour_by_the_scores_of_its_own_prompts():
    scores = [[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0, 0]]
    words = ["failure", "suboptimal", "success", "success", None, "failure", "success"]
    labels = ["open"] * 3 + ["close"] * 3 + ["elsewhere"]
    found = rank(rated(table(scores, labels, words)))
    of_open, of_close = found["groups"]
    assert found["kind"] == "order" and found["by_label"]
    assert of_open["name"] == "open" and of_open["count"] == 3 and of_open["kendall"]["value"] == 1
    assert of_close["count"] == 2 and of_close["kendall"]["value"] == -1
    assert (found["unrated"], found["unlabelled"]) == (1, 1)
    mean = found["mean"]["kendall"]
    assert mean["value"] == 0 and mean["low"] < -0.6 and mean["high"] > 0.6
    assert found["robometer"]["kendall"] == 0
    json.dumps(found, allow_nan=False)
    lines = as_lines(found)
    assert lines[1].startswith("open         3   1.00 (") and lines[3].startswith("mean ")
    assert lines[-2:] == [
        "1 trajectory has no rating: left out of the ratings",
        "1 trajectory has no label: left out of the ratings",
    ]


def test_without_labels_every_group_of_prompts_ranks_all():
    scores = np.tile(np.arange(4.0)[:, None], 12) * ([1, -1] * 6)
    names = [f"prompt {i}" for i in range(12)]
    for groups in ([None] * 4, ["a", "a", "b", "b"]):
        found = rank(rated(table(scores, groups, [0.0, 1, 2, 3], names)))
        assert found["kind"] == "numbers" and not found["by_label"] and found["robometer"] == {}
        assert [group["kendall"]["value"] for group in found["groups"]] == [1, -1] * 6
        assert not any(found["mean"].values())  # a mean of right and wrong prompts means nothing
        lines = as_lines(found)
        assert lines[-1] == "... and 2 more groups of prompts; metrics.json has all"


def test_a_trajectory_of_several_labels_counts_for_each():
    both = ("open", "close")
    found = rank(rated(table([[1, 1], [2, 0], [3, 3]], [both, both, ("open",)], [1.0, 2, 3])))
    assert [group["count"] for group in found["groups"]] == [3, 2]
    assert [group["kendall"]["value"] for group in found["groups"]] == [1, -1]


def test_what_is_undefined_is_said():
    scores = [[1, 0], [1, 0], [1, 0], [0, 2], [0, 3]]
    labels = ["open"] * 3 + ["close"] * 2
    cases = [
        ([1.0, 2, 3, 5, 5], ["all scores are equal", "all ratings are equal"]),
        ([1.0, None, None, 4, 5], ["one trajectory", None]),
    ]
    for ratings, whys in cases:
        found = rank(rated(table(scores, labels, ratings)))
        assert [group["why"] for group in found["groups"]] == whys
        for line, why in zip(as_lines(found)[1:], whys):
            assert line.endswith(why or ")")
        json.dumps(found, allow_nan=False)
    equal = found["groups"][0]["ranking_accuracy"]
    assert equal is None
    equal = rank(rated(table(scores, labels, cases[0][0])))["groups"][0]["ranking_accuracy"]
    assert equal == {"value": 0.5, "low": 0, "high": 1}
    assert rated(table(scores, labels, [None] * 5)) is None


def test_numbers_and_words_in_one_table():
    with pytest.raises(ValueError, match="some ratings are numbers, others words"):
        rated(table([[1, 0], [0, 1]], ["open", "close"], [1.0, "success"]))


def test_a_thousand_trajectories_in_a_second():
    rng = np.random.default_rng(0)
    scores, ratings = rng.normal(size=(2, 1000))
    started = time.process_time()
    for _ in range(10):
        agreement(scores, ratings)
    assert time.process_time() - started < 2
