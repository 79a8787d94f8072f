"""The table of similarities, and what becomes of it when its rows and columns have groups."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

STANDARDIZED, VISTA = "standardised for each prompt", "rescaled as in ViSTa"
SOFTMAX = "softmax at temperature"
LARGE_ROWS = 100_000


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
        """Whether it has too many rows for text: they are written as Parquet, and metrics.json has
        only the most important of them."""
        return len(self.rows) > LARGE_ROWS

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


def grouped(table: Table) -> Grouped:
    """A table by its groups; where a list has none, each of its entries stays on its own. A row of
    several groups counts in each."""
    rows, members, row_groups = memberships(table.rows)
    columns, column_groups = groups_of(table.columns)
    values, label = table.values[members], table.label
    if table.is_softmax and has_groups(table.columns):
        values = np.asarray(values, np.float64) @ membership(column_groups)
        column_groups = np.arange(len(columns))
        label += ", summed over the prompts of a group"
    means, deviations, counts = group_statistics(values, row_groups, column_groups)
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
    of_columns = np.array([numbers.get(column.group, -1) for column in columns])
    right = np.zeros((len(rows), len(columns)), bool)
    for i, row in enumerate(rows):
        for name in row.groups:
            if name in numbers:
                right[i] |= of_columns == numbers[name]
    return right


def group_scores(table: Table) -> np.ndarray:
    """How well each trajectory matches each group of prompts: the mean over the group's prompts; of
    a softmax the sum, the group's probability. float64 [N, G]

    Rounded, so that scores that differ only by the order of a sum are equal.
    """
    weights = membership(groups_of(table.columns)[1])  # [P, G]
    if not table.is_softmax:
        weights /= weights.sum(0)
    return np.round(np.asarray(table.values, np.float64) @ weights, 12)


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
    values: np.ndarray, row_groups: np.ndarray, column_groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation and count over the pairs of each row group with each column group.

    values: [N, P]; row_groups: int [N] and column_groups: int [P], the group of each, from 0 up.
    Returns three arrays [R, C]: float64, float64, int64.
    """
    rows, columns = membership(row_groups), membership(column_groups)  # [N, R], [P, C]
    values = np.asarray(values, np.float64)
    counts = np.outer(rows.sum(0), columns.sum(0))
    means = rows.T @ values @ columns / counts
    apart = values - means[row_groups][:, column_groups]
    return means, np.sqrt(rows.T @ apart**2 @ columns / counts), counts.astype(np.int64)


def number_groups(groups: Sequence[Hashable]) -> tuple[list, np.ndarray]:
    """The names of groups in the order of their first entries, and the number of each entry's
    group, int64 [N]."""
    numbers = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    return list(numbers), np.array([numbers[name] for name in groups], np.int64)


def membership(groups: np.ndarray) -> np.ndarray:
    """int [N], each from 0 up -> float64 [N, G], 1 where an entry belongs to a group."""
    groups = np.asarray(groups)
    return (groups[:, None] == np.arange(groups.max() + 1)).astype(np.float64)
