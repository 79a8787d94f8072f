"""Which rows of a large table are shown."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajeval import excerpt as module
from trajeval.excerpt import described, excerpt, extremes
from trajeval.metrics import margins
from trajeval.table import Entry, Table, entry_of, group_scores, is_right


def table(values, row_groups=None, column_groups=None, label="cosine similarity"):
    values = np.asarray(values, np.float32)
    sides = []
    for n, groups in zip(values.shape, (row_groups, column_groups)):
        sides.append([entry_of(str(i), group) for i, group in enumerate(groups or [None] * n)])
    return Table(values, *sides, label)


def margins_of(labelled):
    right = is_right(labelled.rows, labelled.columns)
    return margins(group_scores(labelled), right)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 40))
def test_without_labels_those_of_the_highest_and_the_lowest_maximum(maxima, most):
    values = np.c_[maxima, np.zeros(len(maxima))]
    found = excerpt(table(values), most)
    assert len(found) == min(most, len(maxima)) and (np.diff(found) > 0).all()
    if len(maxima) > most:
        strongest, worst = extremes(table(values), most)
        n_worst = most - most // 2
        lowest = sorted(range(len(maxima)), key=lambda i: (maxima[i], i))[:n_worst]
        rest = [i for i in range(len(maxima)) if i not in lowest]
        highest = sorted(rest, key=lambda i: (-maxima[i], i))[: most // 2]
        assert worst.tolist() == lowest and strongest.tolist() == highest


def labelled_table(sizes, seed=0):
    """Rows of each behaviour in turn, of random values."""
    rng = np.random.default_rng(seed)
    groups = [f"g{j}" for j in range(len(sizes))]
    own = [groups[j] for j, size in enumerate(sizes) for _ in range(size)]
    return table(rng.random((len(own), len(sizes))), own, groups)


@pytest.mark.parametrize("block", [3, 1 << 14])
def test_behaviours_share_the_places(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    made = labelled_table([50, 2, 40, 30])
    apart, labels = margins_of(made), np.repeat([0, 1, 2, 3], [50, 2, 40, 30])
    strongest, worst = extremes(made, 20)
    assert np.bincount(labels[worst], minlength=4).tolist() == [3, 2, 3, 2]
    for label in (0, 2):
        members = np.flatnonzero(labels == label)
        assert set(members[np.argsort(apart[members])[:3]]) == set(worst[labels[worst] == label])
        best = members[np.argsort(-apart[members])[:3]]
        assert set(strongest[labels[strongest] == label]) <= {*best, *members[apart[members] > 0]}
    assert not set(strongest) & set(worst)


def test_mistakes_come_first_where_they_fill_the_places():
    values = np.zeros((30, 2))
    values[:20, 0] = 1  # the first behaviour, right
    values[20:, 0] = np.linspace(1, 2, 10)  # the second, wrong
    made = table(values, ["a"] * 20 + ["b"] * 10, ["a", "b"])
    assert set(extremes(made, 10)[1]) == set(range(25, 30))
    assert set(range(20, 30)) < set(extremes(made, 26)[1])  # then come others


def test_rows_without_a_margin_are_a_kind_of_their_own():
    values = np.random.default_rng(0).random((40, 2))
    made = table(values, ["a"] * 10 + ["b"] * 10 + ["other"] * 20, ["a", "b"])
    several = [Entry(row.name, ("a", "b")) for row in made.rows[:2]]
    found = excerpt(made._replace(rows=[*several, *made.rows[2:]]), 24)
    assert len(found) == 24 and 4 <= (found >= 20).sum() <= 12


def test_a_group_for_each_row_gives_the_extremes_of_all():
    values = np.arange(100)[:, None] * [1, 0]
    strongest, worst = extremes(table(values, [f"g{i}" for i in range(100)]), 10)
    assert strongest.tolist() == [99, 98, 97, 96, 95] and worst.tolist() == [0, 1, 2, 3, 4]


def test_words():
    assert described(labelled_table([600, 600]), 400, "trajectories") == (
        "the 200 strongest and 200 worst of 1,200 trajectories (by margin)"
    )
    assert "(by highest value)" in described(table(np.eye(9), ["a"] * 9), 4, "rows")
    assert "(by highest value)" in described(table(np.eye(2), ["a"] * 2, ["a"] * 2), 1, "rows")
