"""The metrics of many problem sets in one table, and their means over folders."""

import math
from collections.abc import Iterable
from pathlib import PurePosixPath
from statistics import mean, stdev
from typing import Any, NamedTuple

from trajeval.results import as_csv
from trajeval.table import Table, groups_of
from trajeval.terminal import printable

METRICS = {  # column -> where metrics.json has it
    "macro_f1": ("metrics", "macro_f1", "value"),
    "accuracy": ("metrics", "top1", "value"),
    "mean_auc": ("metrics", "mean_auc", "value"),
    "mean_average_precision": ("metrics", "mean_average_precision", "value"),
    "majority_macro_f1": ("metrics", "macro_f1", "majority"),
    "majority_accuracy": ("metrics", "top1", "majority"),
    "random_macro_f1": ("metrics", "macro_f1", "chance"),
    "random_accuracy": ("metrics", "top1", "chance"),
}
SHOWN = {  # on the terminal
    "macro_f1": "macro F1",
    "majority_macro_f1": "majority F1",
    "random_macro_f1": "random F1",
    "accuracy": "accuracy",
    "mean_auc": "mean AUC",
    "mean_average_precision": "mAP",
}
ENDS = ("low", "high")  # of the 95 % interval of each value, in the rows of sets
WIDTH = 40  # of a folder's name on the terminal
TOP = "."


class SetRow(NamedTuple):
    """A problem set. values: by the names of METRICS, those with an interval with its ends too, as
    `macro_f1_low`; None where there is none."""

    name: str
    n_trajectories: int
    n_prompt_groups: int
    values: dict[str, float | None]


class FolderRow(NamedTuple):
    """The sets in and below a folder. means: over the sets that have a value; errors: 1.96 standard
    errors of them (sample standard deviation), None for fewer than two sets."""

    name: str
    n_sets: int
    n_trajectories: int
    means: dict[str, float | None]
    errors: dict[str, float | None]


def row_of(name: str, table: Table, verdict: dict | None) -> SetRow:
    """The row of a set; verdict: the content of metrics.json, None without labels."""
    values = {column: value_at(verdict, path) for column, path in METRICS.items()}
    limits = {
        f"{column}_{end}": value_at(verdict, (*path[:-1], end))
        for column, path in METRICS.items()
        if path[-1] == "value"
        for end in ENDS
    }
    n_groups = len(groups_of(table.columns)[0])
    return SetRow(name, len(table.rows), n_groups, values | limits)


def value_at(content: Any, path: Iterable[str]) -> float | None:
    """The number that a path of keys leads to in nested dictionaries; None if there is none."""
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return None if content is None or math.isnan(content) else content


def mean_of(values: list[float]) -> float | None:
    return mean(values) if values else None


def folders_of(rows: list[SetRow]) -> list[FolderRow]:
    """The folders of the sets, the top one first, then sorted."""
    members: dict[str, list[SetRow]] = {TOP: []}
    for row in rows:
        for folder in PurePosixPath(row.name).parents:
            members.setdefault(str(folder), []).append(row)
    return [folder_row(name, members[name]) for name in sorted(members, key=sort_key)]


def sort_key(folder: str) -> tuple[str, ...]:
    """Folders come before those in them, and TOP before all."""
    return PurePosixPath(folder).parts


def folder_row(name: str, rows: list[SetRow]) -> FolderRow:
    means, errors = {}, {}
    for column in METRICS:
        values = [row.values[column] for row in rows]
        found = [float(value) for value in values if value is not None]
        means[column] = mean_of(found)
        errors[column] = 1.96 * stdev(found) / math.sqrt(len(found)) if len(found) > 1 else None
    return FolderRow(name, len(rows), sum(row.n_trajectories for row in rows), means, errors)


def as_table(rows: list[SetRow], folders: list[FolderRow]) -> bytes:
    """summary.csv: a row for each set, then one for each folder."""
    header = ["kind", "name", "sets", "trajectories", "prompt_groups"]
    intervals = [column for column, path in METRICS.items() if path[-1] == "value"]
    ends = [f"{column}_{end}" for column in intervals for end in ENDS]
    header += [name for column in METRICS for name in (column, f"{column}_error")] + ends
    lines: list[list] = []
    for row in rows:
        values = [cell for column in METRICS for cell in (row.values[column], None)]
        values += [row.values[end] for end in ends]
        lines.append(["set", row.name, 1, row.n_trajectories, row.n_prompt_groups, *values])
    for folder in folders:
        values = [
            cell for column in METRICS for cell in (folder.means[column], folder.errors[column])
        ]
        values += [None] * len(ends)
        lines.append(["folder", folder.name, folder.n_sets, folder.n_trajectories, None, *values])
    return as_csv(header, lines)


def as_lines(folders: list[FolderRow]) -> list[str]:
    """The folders, for the terminal."""
    names = [printable(folder.name, WIDTH) for folder in folders]
    width = max(len("folder"), *map(len, names))
    lines = [f"{'folder':{width}}  sets" + "".join(f"  {title:>11}" for title in SHOWN.values())]
    for name, folder in zip(names, folders):
        cells = (cell(folder.means[column], folder.errors[column]) for column in SHOWN)
        line = f"{name:{width}}  {folder.n_sets:4}" + "".join(f"  {text:>11}" for text in cells)
        lines.append(line)
    return [*lines, "mean over sets ± 1.96 standard errors"]


def cell(value: float | None, error: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if error is None else f"{value:.2f} ± {error:.2f}"
