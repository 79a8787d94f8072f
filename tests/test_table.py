"""Tables of similarities and their groups."""

import numpy as np
import pytest
import recipe

from trajeval.similarity import cosine_similarity, standardize_prompts
from trajeval.table import (
    Entry,
    Table,
    column_order,
    entry_of,
    group_scores,
    group_statistics,
    grouped,
    groups_of,
    in_order_of_rows,
    is_right,
    memberships,
)

GOLDEN = np.load(recipe.GOLDEN / "scoring.npz")
SOFTMAX = "cosine similarity, softmax at temperature 0.01"


def members(borders):
    return np.repeat(np.arange(len(borders) - 1), np.diff(borders))


@pytest.mark.parametrize("normalize", [0, 1])
def test_groups_agree_with_the_golden_values(normalize):
    similarities = cosine_similarity(GOLDEN["video"], GOLDEN["text"])
    if normalize:
        similarities = standardize_prompts(similarities)
    groups = members(GOLDEN["video_borders"]), members(GOLDEN["prompt_borders"])
    means, deviations, counts = group_statistics(similarities, *groups)
    assert means == pytest.approx(GOLDEN[f"group_mean_norm{normalize}"], abs=1e-5)
    assert deviations == pytest.approx(GOLDEN[f"group_std_norm{normalize}"], abs=1e-5)
    assert counts.tolist() == np.outer([3, 4, 5], [4, 5]).tolist()


def entries(names, groups):
    return list(map(entry_of, names, groups))


def test_groups_of_a_list():
    groups, members = groups_of(entries("abc", ["x", "y", "x"]))
    assert groups == [Entry("x", ("x",)), Entry("y", ("y",))] and members.tolist() == [0, 1, 0]
    groups, members = groups_of(entries("aab", [None] * 3))
    assert [group.name for group in groups] == ["a", "a", "b"] and members.tolist() == [0, 1, 2]


def test_some_of_a_table():
    table = Table(np.arange(6).reshape(2, 3), entries("ab", "xy"), entries("pqr", "xyz"), "cosine")
    part = table.take(columns=[2, 0])
    assert part.values.tolist() == [[2, 0], [5, 3]] and part.rows == table.rows
    assert part.columns == [Entry("r", ("z",)), Entry("p", ("x",))] and part.label == "cosine"
    assert table.take([1], slice(2)).values.tolist() == [[3, 4]]


def probabilities(groups):
    """A softmax over four prompts, three of which are one group."""
    values = np.array([[0.3, 0.2, 0.1, 0.4], [0.25, 0.25, 0.25, 0.25], [0, 0, 0.1, 0.9]])
    return Table(values, entries("abc", groups), entries("pqrs", "xxxy"), SOFTMAX)


def test_groups_of_a_softmax_add_up_to_1():
    found = grouped(probabilities("uuv"))
    assert found.table.values == pytest.approx(np.array([[0.675, 0.325], [0.1, 0.9]]))
    assert found.table.values.sum(1) == pytest.approx([1, 1])
    assert found.table.label == f"{SOFTMAX}, summed over the prompts of a group"
    assert found.deviations == pytest.approx(np.array([[0.075, 0.075], [0, 0]]))
    assert found.counts.tolist() == [[2, 2], [1, 1]]


def test_scores_of_a_softmax_are_the_probabilities_of_groups():
    scores = group_scores(probabilities("uuv"))
    assert scores == pytest.approx(np.array([[0.6, 0.4], [0.75, 0.25], [0.1, 0.9]]))
    cosine = probabilities("uuv")._replace(label="cosine similarity")
    assert group_scores(cosine)[0] == pytest.approx([0.2, 0.4])


def test_columns_in_the_order_of_the_rows():
    table = Table(np.arange(8).reshape(2, 4), entries("ab", "xy"), entries("pqrs", "yxyx"), "")
    assert column_order(table).tolist() == [1, 3, 0, 2]
    other = table._replace(columns=entries("pqrs", "yxyz"))
    assert column_order(other).tolist() == [0, 1, 2, 3]
    assert column_order(table._replace(columns=entries("pqrs", [None] * 4))).tolist() == [
        0,
        1,
        2,
        3,
    ]
    groups = grouped(table)
    shown = in_order_of_rows(groups)
    assert [column.name for column in shown.table.columns] == ["x", "y"]
    assert shown.table.values.tolist() == groups.table.values[:, ::-1].tolist()
    assert shown.deviations.tolist() == groups.deviations[:, ::-1].tolist()


def test_rows_of_several_groups_count_in_each():
    rows = [Entry("a", ("x", "y")), Entry("b", ("y",)), Entry("c", ("z", "x"))]
    table = Table(np.array([[1.0, 2], [3, 4], [5, 6]]), rows, entries("pq", "yx"), "cosine")
    groups, members, of_groups = memberships(rows)
    assert [group.name for group in groups] == ["x", "y", "z"]
    assert members.tolist() == [0, 0, 1, 2, 2] and of_groups.tolist() == [0, 1, 1, 2, 0]
    found = grouped(table)
    assert found.table.values.tolist() == [[3, 4], [2, 3], [5, 6]]
    assert found.deviations.tolist() == [[2, 2], [1, 1], [0, 0]]
    assert found.counts.tolist() == [[2, 2], [2, 2], [1, 1]]
    assert is_right(rows, table.columns).tolist() == [[True, True], [True, False], [False, True]]
    assert column_order(table).tolist() == [0, 1]
    assert column_order(table._replace(rows=rows[:2])).tolist() == [1, 0]


def test_what_has_no_group_is_right_for_nothing():
    assert not is_right(entries("ab", [None] * 2), entries("pq", [None] * 2)).any()
