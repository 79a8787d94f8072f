"""Success detection: thresholds, held out."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from trajeval.ratings import Rated
from trajeval.success import as_lines, detect, detection, failures_needed

LIMIT = 0.05


def rated(*groups, kind="numbers"):
    """Groups as (scores, ratings)."""
    scores, ratings = ([np.array(values, float) for values in of] for of in zip(*groups))
    names = [f"group {i}" for i in range(len(groups))]
    return Rated(kind, names, scores, ratings, True, {"unrated": 0, "unlabelled": 0})


def detected(scores, is_success, limit=LIMIT):
    return detection(np.array(scores, float), np.array(is_success, bool), limit)


SCORED = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=15)


@given(SCORED, st.sampled_from((0, 0.05, 0.2, 0.5, 0.9)))
def test_against_the_definitions(pairs, limit):
    """The threshold by trying them all, held out by leaving out each failure, areas by
    scikit-learn."""
    scores, is_success = (np.array(values) for values in zip(*pairs))
    found = detected(scores, is_success, limit)
    wrong = scores[~is_success]
    if is_success.all() or not is_success.any():
        assert found["threshold"] is None and found["auprc"] is None and found["auc"] is None
        assert found["why"] == ("no failures" if is_success.all() else "no successes")
        return

    def keeps(threshold, failures):
        """A new failure is above it if it is above the same number of n or fewer."""
        return (failures > threshold).sum() + 1 <= limit * (len(failures) + 1) + 1e-9

    def threshold(failures):
        return min((t for t in failures if keeps(t, failures)), default=max(failures))

    assert found["threshold"] == threshold(wrong)
    assert found["found"] == [(scores[is_success] > threshold(wrong)).sum(), is_success.sum()]
    assert found["auprc"]["value"] == pytest.approx(average_precision_score(is_success, scores))
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(is_success, scores))
    if len(wrong) == 1:
        assert found["false"] is None and "one failure" in found["why"]
        return
    rank = min(max(int(limit * (len(wrong) + 1) + 1e-9), 1), len(wrong) - 1)
    held_out = [wrong[i] > np.sort(np.delete(wrong, i))[-rank] for i in range(len(wrong))]
    assert found["false"] == [sum(held_out), len(wrong)]


def test_the_sentence():
    rng = np.random.default_rng(0)
    failures, successes = rng.normal(size=20), rng.normal(3, size=20)
    scores = np.concatenate([failures, successes])
    found = detect(rated((scores, np.repeat([0, 1], 20))), None, LIMIT)
    [group] = found["groups"]
    at = failures.max()  # a new failure is above it with a chance of 1 in 21
    n_found = int((successes > at).sum())
    assert group["threshold"] == at and group["found"] == [n_found, 20]
    assert group["false"] == [1, 20]  # the highest is above the others
    assert found["sentence"] == (
        f"threshold {at:.4g}: finds {n_found} of 20 successes, 1 of 20 failures (held out)"
    )
    assert found["above"] == 0 and group["why"] is None
    assert group["false_rate"]["low"] > 0 and group["false_rate"]["high"] < 0.3
    json.dumps(found, allow_nan=False)
    assert as_lines(found)[-1] == found["sentence"] and len(as_lines(found)) == 3


def test_what_a_success_is():
    scores = [1.0, 2, 3, 4]
    words = rated((scores, [0, 1, 2, 2]), kind="order")
    found = detect(words, None, LIMIT)
    assert found["above"] == "suboptimal" and found["groups"][0]["successes"] == 2
    numbers = rated((scores, [0.1, 0.5, 0.5, 0.9]))
    assert detect(numbers, None, LIMIT) is None
    for above, n in ((0.1, 3), (0.5, 1), (7, 0)):
        found = detect(numbers, above, LIMIT)
        assert found["above"] == above and found["groups"][0]["successes"] == n
    assert found["sentence"] == "success: nothing to tell apart: no successes"
    apart = detect(rated(([1.0, 2], [0, 0]), ([1.0, 2], [1, 1])), None, LIMIT)
    assert apart["sentence"].endswith(": no group has both successes and failures")
    two = detect(rated((scores, [-1, 4, 4, -1])), None, LIMIT)
    assert two["above"] == -1 and two["groups"][0]["successes"] == 2
    assert detect(rated((scores, [1, 1, 1, 1])), None, LIMIT) is None


def test_too_few_is_said():
    no_failures, one_each = ([1.0, 2], [1, 1]), ([1.0, 2], [0, 1])
    found = detect(rated(no_failures, one_each, ([3.0, 1, 2], [1, 0, 0])), None, LIMIT)
    assert [group["why"] for group in found["groups"]] == [
        "no failures",
        "one success; one failure, so none can be held out",
        "one success; a rate of 0.05 needs 19 failures or more",
    ]
    assert found["sentence"] == ("2 thresholds: find 2 of 2 successes, 1 of 2 failures (held out)")
    lines = as_lines(found)
    assert lines[1] == "group 0  -  no failures" and lines[2].endswith("none can be held out")
    json.dumps(found, allow_nan=False)


def test_equal_scores_find_nothing():
    found = detected([1, 1, 1, 1], [0, 0, 1, 1])
    assert found["found"] == [0, 2] and found["false"] == [0, 2]
    assert found["auprc"]["value"] == found["chance"] == found["auc"]["value"] == 0.5


def test_how_many_failures_a_rate_takes():
    assert [failures_needed(limit) for limit in (0, 0.05, 0.1, 0.3, 0.5)] == [0, 19, 9, 3, 1]


@pytest.mark.parametrize("n", [19, 20, 25, 39, 40, 100])
def test_the_rate_is_kept_on_new_failures_and_said_as_it_is(n):
    rng = np.random.default_rng(0)
    real, said = [], []
    for _ in range(400):
        failures = rng.random(n)
        found = detected([*failures, 2], [*np.zeros(n), 1])
        real.append(1 - found["threshold"])  # the share of all failures above it
        said.append(found["false"][0] / n)
    assert np.mean(real) < LIMIT + 0.005
    assert np.mean(real) == pytest.approx(np.mean(said), abs=0.01)
