"""The table of similarities, and what becomes of it when its rows and columns have groups."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import wraps
from math import isqrt
from typing import NamedTuple

import numpy as np

from trajeval.inputs import is_large

STANDARDIZED, VISTA = "standardised for each prompt", "rescaled as in ViSTa"
SOFTMAX = "softmax at temperature"
LOWEST = 1000  # rows that metrics.json lists of a large table: those with the lowest values
BLOCK = 1 << 22  # values that are in memory as float64 at a time


class Entry(NamedTuple):
    """A row or a column: its full name (a path, a prompt) and the names of its groups, none in a
    list without groups. Columns have one at most; a row may have several, and a rating, as in
    inputs.Trajectory."""

    name: str
    groups: tuple[str, ...] = ()
    rating: float | str | None = None

    @property
    def group(self) -> str | None:
        """The first of its groups, None without."""
        return self.groups[0] if self.groups else None


def entry_of(name: str, group: str | None) -> Entry:
    """An entry of one group, or of none."""
    return Entry(name, () if group is None else (group,))


class Table(NamedTuple):
    """Similarities of trajectories (rows) and prompts (columns).

    values: float32 [N, P], finite. label: what they are, for people; `run.json` keeps it, and what
    it says of rescaling decides how the values are grouped and drawn. warnings: what a user should
    know of the values.
    """

    values: np.ndarray
    rows: list[Entry]
    columns: list[Entry]
    label: str
    warnings: tuple[str, ...] = ()

    @property
    def is_large(self) -> bool:
        """Whether it has too many rows for text: tables are written as Parquet, not CSV, and
        metrics.json lists only the lowest margins."""
        return is_large(self.rows)

    @property
    def is_softmax(self) -> bool:
        """Whether the values of a row are probabilities, which add up to 1."""
        return SOFTMAX in self.label

    @property
    def is_centred(self) -> bool:
        """Whether 0 is the mean of each prompt, and values lie on both sides of it."""
        return not self.is_softmax and (STANDARDIZED in self.label or VISTA in self.label)

    def take(self, rows=slice(None), columns=slice(None)) -> "Table":
        """The same with some of its rows and columns: int arrays, in the order wanted."""
        numbers = np.arange(len(self.rows))[rows], np.arange(len(self.columns))[columns]
        return self._replace(
            values=self.values[np.ix_(*numbers)],
            rows=[self.rows[i] for i in numbers[0]],
            columns=[self.columns[i] for i in numbers[1]],
        )


class Grouped(NamedTuple):
    """Groups of rows by groups of columns, each float64 or int64 [R, C].

    table: the means; of a softmax, the mean over trajectories of the sum over a group's prompts.
    deviations: the standard deviation of what the mean is over, counts: how many values that is.
    """

    table: Table
    deviations: np.ndarray
    counts: np.ndarray


def has_groups(entries: list[Entry]) -> bool:
    return bool(entries[0].groups)


def row_blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """The rows of a table in blocks of at most BLOCK values; one empty block of no rows."""
    step = max(BLOCK // max(n_columns, 1), 1)
    for start in range(0, max(n_rows, 1), step):
        yield slice(start, min(start + step, n_rows))


def by_rows(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Lets a function of arrays [N, G] that treats each row by itself work in blocks of rows."""

    @wraps(function)
    def in_blocks(*arrays: np.ndarray) -> np.ndarray:
        blocks = row_blocks(*arrays[0].shape)
        return np.concatenate([function(*(array[rows] for array in arrays)) for rows in blocks])

    return in_blocks


def has_means(table: Table) -> bool:
    """Whether means over groups say something, and are not as many as a large table has rows."""
    return has_groups(table.rows) or (has_groups(table.columns) and not table.is_large)


def grouped(table: Table) -> Grouped:
    """A table by its groups; where a list has none, each of its entries stays on its own. A row of
    several groups counts in each."""
    rows, members, row_groups = memberships(table.rows)
    columns, column_groups = groups_of(table.columns)
    values, label = table.values, table.label
    if table.is_softmax and has_groups(table.columns):
        values = sums_of_columns(values, membership(column_groups))
        column_groups = np.arange(len(columns))
        label += ", summed over the prompts of a group"
    means, deviations, counts = group_statistics(values, row_groups, column_groups, members)
    return Grouped(Table(means, rows, columns, label), deviations, counts)


def in_order_of_rows(groups: Grouped) -> Grouped:
    """The same with its columns in `column_order`, to be shown."""
    order = column_order(groups.table)
    return Grouped(
        groups.table.take(columns=order), groups.deviations[:, order], groups.counts[:, order]
    )


def groups_of(entries: list[Entry]) -> tuple[list[Entry], np.ndarray]:
    """The groups of a list of entries with one group at most, each as an entry in its own group,
    and the group of each entry, int64 [N]; without groups, the entries themselves."""
    groups, _, of_entries = memberships(entries)
    return groups, of_entries


def memberships(entries: list[Entry]) -> tuple[list[Entry], np.ndarray, np.ndarray]:
    """The same for entries with several groups: the groups, and the numbers of the entry and of the
    group of each membership, two int64 [M], by entries."""
    if not has_groups(entries):
        return list(entries), np.arange(len(entries)), np.arange(len(entries))
    names, of_groups = number_groups([name for entry in entries for name in entry.groups])
    members = np.repeat(np.arange(len(entries)), [len(entry.groups) for entry in entries])
    return [Entry(name, (name,)) for name in names], members, of_groups


def is_right(rows: list[Entry], columns: list[Entry]) -> np.ndarray:
    """Which rows have the group of which columns. bool [N, P]"""
    names = dict.fromkeys(column.group for column in columns if column.groups)
    numbers = {name: i for i, name in enumerate(names)}
    has_group = np.zeros((len(rows), len(names) + 1), bool)  # the last one is that of no column
    for i, row in enumerate(rows):
        for name in row.groups:
            if name in numbers:
                has_group[i, numbers[name]] = True
    return has_group[:, [numbers.get(column.group, -1) for column in columns]]


def group_scores(table: Table) -> np.ndarray:
    """How well each trajectory matches each group of prompts: the mean over the group's prompts; of
    a softmax the sum, the group's probability. float64 [N, G]

    Rounded, so that scores that differ only by the order of a sum are equal.
    """
    weights = membership(groups_of(table.columns)[1])  # [P, G]
    if not table.is_softmax:
        weights /= weights.sum(0)
    return sums_of_columns(table.values, weights, decimals=12)


def sums_of_columns(values: np.ndarray, weights: np.ndarray, decimals: int | None = None):
    """values [N, P] @ weights [P, G], rounded if asked. float64 [N, G]"""
    sums = np.empty((len(values), weights.shape[1]))
    for rows in row_blocks(*values.shape):
        np.matmul(np.asarray(values[rows], np.float64), weights, out=sums[rows])
        if decimals is not None:
            np.round(sums[rows], decimals, out=sums[rows])
    return sums


def column_order(table: Table) -> np.ndarray:
    """The columns in the order of the rows' groups if both have the same groups, else as they are.
    int64 [P]"""
    if has_groups(table.rows) and has_groups(table.columns):
        rows = dict.fromkeys(name for row in table.rows for name in row.groups)
        columns = [column.group for column in table.columns]
        if set(rows) == set(columns):
            places: dict[str | None, int] = {name: i for i, name in enumerate(rows)}
            return np.argsort([places[group] for group in columns], kind="stable")
    return np.arange(len(table.columns))


def group_statistics(
    values: np.ndarray,
    row_groups: np.ndarray,
    column_groups: np.ndarray,
    members: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation and count over the pairs of each row group with each column group.

    values: [N, P]; row_groups: int [M] and column_groups: int [P], the group of each, from 0 up.
    members: int [M], the row that each of row_groups is for, by default each row once.
    Returns three arrays [R, C]: float64, float64, int64.
    """
    columns, n_rows = membership(column_groups), np.bincount(row_groups)  # [P, C], [R]
    members = np.arange(len(values)) if members is None else members
    counts = np.outer(n_rows, columns.sum(0))
    sums, squares = np.zeros((2, *counts.shape))
    # A block's own groups are at most as many as its rows.
    blocks = list(row_blocks(len(members), max(values.shape[1], min(len(n_rows), isqrt(BLOCK)))))
    for rows in blocks:
        add_to(sums, row_groups[rows], np.asarray(values[members[rows]], np.float64), columns)
    means = sums / counts
    for rows in blocks:
        apart = values[members[rows]] - means[row_groups[rows]][:, column_groups]
        add_to(squares, row_groups[rows], apart**2, columns)
    return means, np.sqrt(squares / counts), counts.astype(np.int64)


def add_to(sums: np.ndarray, groups: np.ndarray, values: np.ndarray, columns: np.ndarray) -> None:
    """Adds the values [B, P] of rows of these groups, int [B], over the columns' groups [P, C], to
    the sums [R, C]."""
    present, places = np.unique(groups, return_inverse=True)
    if len(present) < len(groups):
        sums[present] += membership(places).T @ values @ columns
    else:  # each row has its own group
        sums[groups] += values @ columns


def number_groups(groups: Sequence[Hashable]) -> tuple[list, np.ndarray]:
    """The names of groups in the order of their first entries, and the number of each entry's
    group, int64 [N]."""
    numbers = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    return list(numbers), np.array([numbers[name] for name in groups], np.int64)


def membership(groups: np.ndarray) -> np.ndarray:
    """int [N], each from 0 up -> float64 [N, G], 1 where an entry belongs to a group."""
    groups = np.asarray(groups)
    return (groups[:, None] == np.arange(groups.max() + 1)).astype(np.float64)
