"""From similarities to the pictures, tables and figures that a run leaves."""

from typing import NamedTuple

import numpy as np

from trajeval.figures import as_png, group_bars, heatmap
from trajeval.results import as_csv, as_json, as_npy
from trajeval.similarity import group_statistics, number_groups
from trajeval.verdict import judge

MEANS = "mean over the pairs of a row and a column; outlined: the best of each row"


class Entry(NamedTuple):
    """A row or a column: its full name, the name to show, and its group's name, if it has one."""

    name: str
    shown: str
    group: str | None


def report(
    similarities: np.ndarray,
    rows: list[Entry],
    columns: list[Entry],
    title: str,
    label: str,
    model_name: str,
) -> tuple[bytes, dict[str, bytes], dict | None]:
    """Everything that is drawn and computed of similarities.

    similarities: float32 [N, P]; label says what they are. Returns the picture of the run (a PNG
    file), its other files by name, and what verdict.judge says, None if nothing is labelled.
    """
    files = {
        "similarities.csv": as_csv(
            ["trajectory", *(column.name for column in columns)],
            ([row.name, *values] for row, values in zip(rows, similarities)),
        ),
        "similarities.npy": as_npy(similarities),
    }
    names = [row.shown for row in rows], [column.shown for column in columns]
    row_groups, column_groups = groups_of(rows), groups_of(columns)
    if not (rows[0].group or columns[0].group):
        return as_png(heatmap(similarities, *names, title, label)), files, None

    files["heatmap.png"] = as_png(
        heatmap(
            similarities,
            *names,
            title,
            label,
            row_groups=row_groups.members.tolist(),
            column_groups=column_groups.members.tolist(),
        )
    )
    means, deviations, counts = group_statistics(
        similarities, row_groups.members, column_groups.members
    )
    group_names = row_groups.names, column_groups.names
    files["groups.csv"] = as_csv(
        ["trajectory_group", "prompt_group", "mean", "std", "count"],
        (
            [row, column, means[i, j], deviations[i, j], counts[i, j]]
            for i, row in enumerate(row_groups.names)
            for j, column in enumerate(column_groups.names)
        ),
    )
    files["groups.png"] = as_png(group_bars(means, deviations, *group_names, title, label))
    picture = heatmap(means, *group_names, title, label, note=MEANS, deviations=deviations)

    found = None
    if rows[0].group and columns[0].group:
        found = judge(
            similarities,
            [row.name for row in rows],
            [row.group for row in rows],
            [column.name for column in columns],
            [column.group for column in columns],
            model_name,
        )
    if found:
        files["metrics.json"] = as_json(found)
        counted = np.array(found["confusion"])
        present = np.flatnonzero(counted.sum(1))
        files["confusion.png"] = as_png(
            heatmap(
                counted[present],
                [found["prompt_groups"][i] for i in present],
                found["prompt_groups"],
                title,
                "trajectories",
                note="how many trajectories of each row were taken for what; outlined: the most",
                number_format=".0f",
            )
        )
    return as_png(picture), files, found


class Groups(NamedTuple):
    names: list[str]
    members: np.ndarray  # int, the group of each entry


def groups_of(entries: list[Entry]) -> Groups:
    """The groups of a list; without any, every entry is one of its own."""
    if entries[0].group is None:
        return Groups([entry.shown for entry in entries], np.arange(len(entries)))
    return Groups(*number_groups([entry.group for entry in entries]))
