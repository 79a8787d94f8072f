"""Which rows of a large table are shown: the worst and the strongest."""

import numpy as np

from trajeval.metrics import margins
from trajeval.table import Table, group_scores, groups_of, is_right, number_groups

BLOCK = 1 << 14  # rows that are looked at at once


def excerpt(table: Table, most: int) -> np.ndarray:
    """The numbers of the rows that stand for a table: all, or if there are more than `most`, those
    of `extremes`. int64 [m], ascending."""
    if len(table.rows) <= most:
        return np.arange(len(table.rows))
    return np.sort(np.concatenate(extremes(table, most)))


def extremes(table: Table, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The strongest and the worst rows of a table with more than `most`, half of these each, the
    ones at the ends first. Two int64 arrays, without a row in common.

    What counts is a row's margin, see metrics.margins, or its maximum where it has none. Groups of
    rows share the places evenly. Among the worst come mistakes first, if they fill the places.
    Equal rows are in the order of the list.
    """
    strength, judged = strengths(table)
    kinds = number_groups([row.group for row in table.rows])[1] * 2 + judged
    worst = first_of_each(strength, kinds, most - most // 2, ~(judged & (strength <= 0)))
    rest = np.delete(np.arange(len(strength)), worst)
    strongest = rest[first_of_each(-strength[rest], kinds[rest], most // 2)]
    return strongest, worst


def described(table: Table, most: int, what: str) -> str:
    """What `extremes` shows of a table, whose rows are `what`, in words."""
    by = "margin" if has_margins(table) else "highest value"
    counts = f"the {most // 2:,} strongest and {most - most // 2:,} worst"
    return f"{counts} of {len(table.rows):,} {what} (by {by})"


def has_margins(table: Table) -> bool:
    """Whether any row has one."""
    names = {column.group for column in table.columns} - {None}
    return len(names) > 1 and any(len(names.intersection(row.groups)) == 1 for row in table.rows)


def strengths(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """The margin of each row, or its maximum where it has none, float64 [N]; and where it has one,
    bool [N]."""
    strength = table.values.max(1).astype(np.float64)
    judged = np.zeros(len(strength), bool)
    if has_margins(table):
        groups = groups_of(table.columns)[0]
        for start in range(0, len(strength), BLOCK):
            rows = slice(start, start + BLOCK)
            part = table._replace(values=table.values[rows], rows=table.rows[rows])
            apart = margins(group_scores(part), is_right(part.rows, groups))
            judged[rows] = np.isfinite(apart)
            strength[rows] = np.where(judged[rows], apart, strength[rows])
    return strength, judged


def first_of_each(
    values: np.ndarray, kinds: np.ndarray, count: int, later: np.ndarray | None = None
) -> np.ndarray:
    """The places of the `count` lowest values, as evenly from all kinds as these allow: the lowest
    of each kind, then the second of each. kinds: int [N]. later: bool [N], those that come after
    all others. int64 [count]"""
    order = np.lexsort((values, kinds))
    starts = np.flatnonzero(np.diff(kinds[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    turns = np.empty(len(order), np.int64)
    turns[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    if later is not None:
        turns += later * len(order)
    last = np.partition(turns, count - 1)[count - 1]
    candidates = np.flatnonzero(turns <= last)
    return candidates[np.lexsort((values[candidates], turns[candidates]))[:count]]
