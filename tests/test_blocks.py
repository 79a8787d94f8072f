"""Large tables: in blocks of rows, pairs counted by sorting, and what metrics.json leaves out."""

import json
from itertools import combinations, product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_metrics import several

from trajeval import chance, inputs, metrics, pairs, probe, ratings, rising, robometer, table
from trajeval.areas import areas_of, auc
from trajeval.arguments import check_memory
from trajeval.behaviours import behaviour_aucs
from trajeval.comparison import with_parts
from trajeval.curves import Curves
from trajeval.similarity import rescaled
from trajeval.spool import Rows
from trajeval.table import Entry, Table, entry_of, group_scores, grouped
from trajeval.verdict import judge

SOME = arrays(np.int64, st.integers(1, 14), elements=st.integers(-3, 3))


def in_blocks_and_at_once(function):
    """What a function gives of all rows at once and in blocks of one to three rows."""
    found = []
    for size in (1 << 22, 6):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(table, "BLOCK", size)
            patch.setattr("trajeval.areas.BLOCK", size)
            found.append(function())
    return found


def plain_ranks(scores, right):
    best = np.where(right, scores, -np.inf).max(1)
    return 1 + ((scores >= best[:, None]) & ~right).sum(1)


@given(several())
def test_ranks_answers_and_margins(case):
    scores, right = case
    best = np.where(right, scores, -np.inf)
    wrong = np.where(right, -np.inf, scores)
    is_first = plain_ranks(scores, right) == 1
    for function, expected in (
        (metrics.ranks_of_right, plain_ranks(scores, right)),
        (metrics.answers, np.where(is_first, best.argmax(1), wrong.argmax(1))),
        (metrics.best_wrong, wrong.argmax(1)),
        (metrics.margins, np.where(right.sum(1) == 1, best.max(1) - wrong.max(1), np.nan)),
    ):
        for found in in_blocks_and_at_once(lambda function=function: function(scores, right)):
            assert np.array_equal(found, expected, equal_nan=True)


def plain_areas(scores, right):
    """The AUC of each group that has one, pair by pair, and what each trajectory adds to its
    error, [N, G]."""
    values, errors = [], []
    for group in range(right.shape[1]):
        has_it = right[:, group]
        if has_it.all() or not has_it.any():
            continue
        apart = scores[has_it, group][:, None] - scores[~has_it, group]
        wins = (apart > 0) + (apart == 0) / 2
        values.append(wins.mean())
        of = np.empty(len(scores))
        for which, shares in ((has_it, wins.mean(1)), (~has_it, wins.mean(0))):
            n = len(shares)
            of[which] = (shares - wins.mean()) / np.sqrt(n * max(n - 1, 1))
        errors.append(of)
    return np.array(values), np.array(errors).reshape(len(values), len(scores)).T


@given(several())
def test_areas(case):
    scores, right = case
    values, errors = plain_areas(scores, right)
    for found in in_blocks_and_at_once(lambda: areas_of(scores, right)):
        assert found.values == pytest.approx(values, abs=1e-12)
        assert found.variances == pytest.approx((errors**2).sum(0), abs=1e-12)
        assert found.mean_errors == pytest.approx(
            errors.mean(1) if len(values) else 0 * found.mean_errors, abs=1e-12
        )
        parts = [area.parts for area in behaviour_aucs(scores, right).values()]
        assert np.allclose(np.array(parts).reshape(errors.T.shape), errors.T)
    by_prompt = auc(scores, np.arange(scores.shape[1]), right)
    assert by_prompt[~np.isnan(by_prompt)] == pytest.approx(values)


@given(several(), st.sampled_from(["cosine", "softmax at temperature 1"]), st.booleans())
@settings(max_examples=50)
def test_tables(case, label, has_rows):
    """Scores, means over groups and rescaled values are those of the whole table."""
    scores, right = case
    names = [f"group {i % 3}" for i in range(scores.shape[1])]
    groups = [tuple(dict.fromkeys(names[i] for i in np.flatnonzero(of))) for of in right]
    rows = [Entry(f"{i}.mp4", of if has_rows else ()) for i, of in enumerate(groups)]
    made = Table(scores.astype(np.float32), rows, list(map(entry_of, names, names)), label)

    def numbers():
        means = grouped(made)
        values = [rescaled(made, normalize=how).values for how in ("prompt", "vista")]
        values += [rescaled(made, normalize="prompt", softmax=0.5).values, group_scores(made)]
        return [means.table.values, means.deviations, means.counts, *values]

    for whole, of_blocks in zip(*in_blocks_and_at_once(numbers)):
        assert whole == pytest.approx(of_blocks, abs=1e-6)
    members = {name: [i for i, other in enumerate(names) if other == name] for name in names}
    if label == "cosine":
        expected = [scores[:, of].mean(1) for of in members.values()]
    else:
        expected = [scores[:, of].sum(1) for of in members.values()]
    assert group_scores(made) == pytest.approx(np.array(expected).T)


def test_the_verdict_is_the_same_in_blocks():
    rng = np.random.default_rng(0)
    names = ["a", "b", "c", "d"]
    labels = [(names[i % 4],) if i % 5 else (names[i % 4], names[i // 5 % 4]) for i in range(60)]
    rows = [Entry(f"{i}.mp4", tuple(dict.fromkeys(of))) for i, of in enumerate(labels)]
    values = rng.integers(-3, 4, size=(60, 6)).astype(np.float32)
    made = Table(values, rows, list(map(entry_of, "uvwxyz", [*names, *names])), "cosine")
    whole, of_blocks = in_blocks_and_at_once(lambda: judge(made, "S3D"))
    assert json.dumps(whole) == json.dumps(of_blocks)


# --- what random scores get


@pytest.mark.parametrize("n_labels", [1, 2])
def test_what_random_scores_get_is_what_drawing_many_gives(n_labels, monkeypatch):
    rng = np.random.default_rng(1)
    right = np.zeros((30, 6), bool)
    for i in range(30):
        right[i, rng.choice(5, size=rng.integers(1, n_labels + 1), replace=False)] = True
    drawn = [metrics.ranked(rng.random(right.shape), right) for _ in range(1500)]
    monkeypatch.setattr(metrics, "DRAWN", 0)
    found = metrics.chance_of(right, rng)
    for name in drawn[0]:
        values = [of[name].value for of in drawn]
        error = np.std(values) / np.sqrt(len(values)) + 0.002 * np.mean(values)
        assert found[name] == pytest.approx(np.mean(values), abs=4 * error), name


def test_chance_of_average_precision_is_the_mean_over_all_orders():
    for n, n_right in ((5, 2), (6, 1), (6, 6)):
        places = [np.array(of) + 1 for of in combinations(range(n), n_right)]
        expected = np.mean([(np.arange(1, n_right + 1) / of).mean() for of in places])
        found = chance.average_precision(np.array([n_right]), n)
        assert found == pytest.approx([expected])


# --- pairs


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=30))
def test_counts_of_pairs(values):
    first, second = np.array(values, float).T
    above, higher = first[:, None] - first, second[:, None] - second
    assert np.array_equal(pairs.below_both(first, second), ((above > 0) & (higher > 0)).sum(1))
    net = (np.sign(above) * np.sign(higher)).sum(1)
    assert np.array_equal(pairs.net_agreement(first, second), net)
    in_order = np.triu((above == 0) & (higher < 0)).sum()
    assert robometer.in_order_among_equal(first, second) == in_order


@given(SOME, SOME, SOME)
def test_choices_of_one_of_each_of_three(first, second, third):
    expected = dict.fromkeys(robometer.tuples_by_signs(*map(np.sort, (first, second, third))), 0)
    for x, y, z in product(first, second, third):
        expected[np.sign(y - x), np.sign(z - x), np.sign(z - y)] += 1
    assert robometer.tuples_by_signs(*map(np.sort, (first, second, third))) == expected


# --- what is left out of metrics.json


@pytest.fixture
def large(monkeypatch):
    """A table of 12 trajectories counts as large, of which three are listed."""
    monkeypatch.setattr(inputs, "LARGE_ROWS", 10)
    monkeypatch.setattr("trajeval.verdict.LOWEST", 3)
    monkeypatch.setattr(rising, "LOWEST", 3)


def rated_table(n):
    rng = np.random.default_rng(0)
    rows = [Entry(f"{i}.mp4", ("ab"[i % 2],), float(i % 3)) for i in range(n)]
    values = rng.random((n, 2)).astype(np.float32)
    return Table(values, rows, list(map(entry_of, "ab", "ab")), "cosine")


def test_of_a_large_table_the_lowest_margins_are_listed(large):
    small, found = judge(rated_table(10), "S3D"), judge(rated_table(12), "S3D")
    assert len(small["margins"]) == 10 and "n_margins" not in small
    assert len(found["margins"]) == 3 and found["n_margins"] == 12
    scores = rated_table(12).values.astype(float)
    apart = sorted((scores[:, 0] - scores[:, 1]) * np.tile([1, -1], 6))
    assert [one["margin"] for one in found["margins"]] == pytest.approx(apart[:3])


def test_of_a_large_table_the_lowest_curves_are_listed(large):
    made = rated_table(12)
    values = np.random.default_rng(1).random((12, 4, 2)).astype(np.float32)
    frames = np.tile(np.arange(4), (12, 1))
    found = rising.judge(made, Curves("prefix", frames, frames / 2, values))
    assert found["n_trajectories"] == 12
    listed = [one["right"] for one in found["trajectories"]]
    own = rising.order_of(made, Curves("prefix", frames, frames / 2, values))
    assert listed == sorted(own.vocs[own.right].tolist())[:3]
    assert with_parts({}, found, made) == {}  # unknown of most
    assert ratings.rank(ratings.rated(made))["groups"][0]["count"] == 6


def test_curves_that_take_too_much_memory_are_refused_before_anything_is_embedded():
    args = SimpleNamespace(curves="prefix", curve_points=15, controls=False, shard=None)
    assert check_memory(args, 100, 100_000) == []
    [problem] = check_memory(args, 100, 1_000_000)
    assert problem.startswith(
        "--curves: 1,000,000 trajectories x 15 points x 100 prompts would take 12.0 GB of memory"
    )
    assert "--max-per-group" in problem and "--shard" in problem
    args.controls = True
    assert check_memory(args, 100, 150_000)
    args.shard = (1, 2)
    assert check_memory(args, 100, 1_000_000) == []


# --- the probe


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_the_probe_leaves_out_each_recording(seed):
    """Against means that are computed anew for each trajectory."""
    rng = np.random.default_rng(seed)
    labels, n = np.tile(np.arange(3), 5), 15
    recordings = np.unique(rng.integers(9, size=n), return_inverse=True)[1]
    if any(len(set(recordings[labels == label])) < 2 for label in range(3)):
        return
    values = (rng.normal(size=(n, 4)) + np.eye(4)[labels]).astype(np.float32)
    embeddings = Rows((4,))
    for row in values:
        embeddings.append(row)
    unit = probe.unit_length(values)
    expected = []
    for i in range(n):
        others = recordings != recordings[i]
        means = [unit[others & (labels == label)].mean(0) for label in range(3)]
        apart = np.round(((unit[i] - means) ** 2).sum(1), 12)
        expected.append((apart > apart[labels[i]]).sum() == 2)

    def found():
        return probe.centroid_answers(embeddings, np.arange(n), labels, recordings)

    for of in in_blocks_and_at_once(found):
        assert of.tolist() == expected


def test_a_large_table_has_the_cheaper_probe(large):
    made, embeddings = rated_table(24), Rows((2,))
    for i in range(24):
        embeddings.append(np.array([i % 2, 1.0]))
    assert probe.probe(made, embeddings)["kind"] == "nearest centroid"
    assert probe.probe(made, None) is None
