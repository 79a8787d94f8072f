"""The numbers behind plots with a line for each group: of any number of trajectories, few."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from trajeval.paper import mean_limits
from trajeval.table import Table, group_scores, groups_of, memberships


class Means(NamedTuple):
    """Of each of R groups of trajectories with each of C groups of prompts: whether these are its
    own, bool [R, C]; the mean score of the trajectories for which they are its own or wrong, and
    the ends of its 95 % interval, float64 [R, C], NaN where there is none."""

    own: np.ndarray
    means: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def interval(self, row: int, column: int) -> list[float]:
        """A mean between the ends of its interval, or alone."""
        mean, low, high = (of[row, column] for of in (self.means, self.low, self.high))
        return [mean] if np.isnan(low) else [low, mean, high]


def means_of(table: Table, names: list[str]) -> Means:
    """Means of the groups of trajectories of these names."""
    groups, members, of_groups = memberships(table.rows)
    numbers = {name: i for i, name in enumerate(names)}
    of_groups = np.array([numbers.get(group.name, -1) for group in groups])[of_groups]
    members, of_groups = members[of_groups >= 0], of_groups[of_groups >= 0]
    n, own, means, squares, counts = len(names), [], [], [], []
    for scores, right, name in score_columns(table):
        is_own = np.array([group == name for group in names])
        counted = is_own[of_groups] | ~right[members]
        rows, values = of_groups[counted], scores[members[counted]]
        count = np.bincount(rows, minlength=n)
        with np.errstate(invalid="ignore"):  # 0 / 0 where all have it as another label
            mean = np.bincount(rows, values, n) / count
        own.append(is_own)
        counts.append(count)
        means.append(mean)
        squares.append(np.bincount(rows, (values - mean[rows]) ** 2, n))
    found = np.array(means).T
    return Means(
        np.array(own).T, found, *mean_limits(found, np.array(squares).T, np.array(counts).T)
    )


class Distributions(NamedTuple):
    """The scores of labelled trajectories. edges: of bins [B + 1]; right_counts, wrong_counts: the
    scores in them, with right and with wrong prompts, int64 [B]. For each group of prompts the
    quartiles and extremes of its wrong scores, [5] or none, and its right ones, or as many
    quantiles of them as were allowed."""

    edges: np.ndarray
    right_counts: np.ndarray
    wrong_counts: np.ndarray
    wrong: list[np.ndarray]
    right: list[np.ndarray]


def distributions_of(table: Table, n_bins: int, most: int) -> Distributions:
    wrong, right, ends = [], [], []
    for yes, no in labelled_scores(table):
        ends += [end for of in (yes, no) if len(of) for end in (of.min(), of.max())]
        wrong.append(np.percentile(no, (0, 25, 50, 75, 100)) if len(no) else no)
        right.append(np.quantile(yes, np.linspace(0, 1, most)) if len(yes) > most else yes)
    low, high = min(ends), max(ends)
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = np.zeros((2, n_bins), np.int64)
    for pair in labelled_scores(table):
        counts += [np.histogram(values, n_bins, (low, high))[0] for values in pair]
    return Distributions(np.linspace(low, high, n_bins + 1), *counts, wrong, right)


def labelled_scores(table: Table) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each group of prompts the scores of the trajectories that it is right for, and of those
    that have other labels."""
    names = {column.name for column in groups_of(table.columns)[0]}
    labelled = np.array([not names.isdisjoint(row.groups) for row in table.rows])
    for scores, right, _ in score_columns(table):
        yield scores[right], scores[labelled & ~right]


def score_columns(table: Table) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    """For each group of prompts, or prompt, the scores of all trajectories, float64 [N], for which
    it is right, bool [N], and its name: one after the other, as all may be too much."""
    columns, of_columns = groups_of(table.columns)
    groups, members, of_groups = memberships(table.rows)
    numbers = {group.name: i for i, group in enumerate(groups) if group.groups}
    for j, column in enumerate(columns):
        chosen = np.flatnonzero(of_columns == j)
        own = [table.columns[i] for i in chosen]
        part = table._replace(values=table.values[:, chosen], columns=own)
        right = np.zeros(len(table.rows), bool)
        if column.groups and column.name in numbers:
            right[members[of_groups == numbers[column.name]]] = True
        yield group_scores(part)[:, 0], right, column.name
