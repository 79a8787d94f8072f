"""From a table of similarities to the pictures, tables and metrics that a run leaves."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from trajeval import controls as of_controls
from trajeval import rising
from trajeval.curves import Control, Curves
from trajeval.figures import as_png, heatmap
from trajeval.metrics import answers, margins, ranks_of_right
from trajeval.names import with_short_names
from trajeval.results import as_csv, as_json, as_npy
from trajeval.table import (
    Entry,
    Grouped,
    Table,
    group_scores,
    grouped,
    groups_of,
    has_groups,
    in_order_of_rows,
    is_right,
)
from trajeval.terminal import first_few
from trajeval.verdict import judge, summary


class Report(NamedTuple):
    """picture: the main picture, a PNG file. files: the other files of the run by name. verdict:
    the content of metrics.json, None without labels. lines: what to show on the terminal: warnings
    of the values, the verdict or why there is none; may be empty."""

    picture: bytes
    files: dict[str, bytes]
    verdict: dict | None
    lines: list[str]


def report(
    table: Table,
    title: str,
    model_name: str,
    *,
    curves: Curves | None = None,
    controls: dict[str, Control] | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
) -> Report:
    """Everything that is drawn and computed of a table of similarities.

    model_name: for the verdict's sentence. curves, controls: of the same rows and columns. vmin,
    vmax: the ends of the heatmaps' colour scale, by default the lowest and the highest value of
    each.
    """
    scale: dict[str, Any] = {"vmin": vmin, "vmax": vmax}
    files = {"similarities.csv": similarities_csv(table), "similarities.npy": as_npy(table.values)}
    if has_groups(table.columns):
        files["scores.csv"] = scores_csv(table, curves)
    verdict = judge(table, model_name)
    lines = list(first_few([f"warning: {warning}" for warning in table.warnings], "warnings"))
    lines += summary(table, verdict)
    for name, judged in further(table, curves, controls).items():
        files |= judged.files
        lines += ["", *judged.lines]
        if verdict and judged.found:
            verdict[name] = judged.found
    if verdict:
        files["metrics.json"] = as_json(verdict)
    shown = with_short_names(table)
    if not (has_groups(table.rows) or has_groups(table.columns)):
        return Report(as_png(heatmap(shown, title, **scale)), files, verdict, lines)
    files["groups.csv"] = groups_csv(grouped(table))
    picture = as_png(group_heatmap(in_order_of_rows(grouped(shown)), title, **scale))
    return Report(picture, files, verdict, lines)


class Judged(NamedTuple):
    """found: a block of metrics.json, or None; its lines, or why there is none; its files."""

    found: dict | None
    lines: list[str]
    files: dict[str, bytes]


def further(
    table: Table, curves: Curves | None, controls: dict[str, Control] | None
) -> dict[str, Judged]:
    """What is judged of curves and controls, by the name of its block in metrics.json."""
    blocks = {}
    if curves:
        found = rising.judge(table, curves)
        lines = rising.as_lines(found) if found else [rising.why_not(table)]
        files = {
            "curves.csv": rising.curves_csv(table, curves),
            "curves.npz": rising.curves_npz(curves),
        }
        blocks["curves"] = Judged(found, lines, files)
    if controls:
        found = of_controls.judge(table, curves, controls)
        lines = of_controls.as_lines(found) if found else [of_controls.NOT_JUDGED]
        files = {"controls.npz": of_controls.controls_npz(controls)}
        blocks["controls"] = Judged(found, lines, files)
    return blocks


def group_heatmap(groups: Grouped, title: str, *, with_deviations: bool = True, **scale) -> Figure:
    return heatmap(
        groups.table,
        title,
        note="mean over trajectories" if groups.table.is_softmax else "mean over pairs",
        deviations=groups.deviations if with_deviations else None,
        **scale,
    )


def similarities_csv(table: Table) -> bytes:
    """A row for each trajectory, with its groups, a column for each prompt, by their full names."""
    return as_csv(
        ["trajectory", "group", *(column.name for column in table.columns)],
        ([row.name, groups_cell(row), *values] for row, values in zip(table.rows, table.values)),
    )


def scores_csv(table: Table, curves: Curves | None = None) -> bytes:
    """A row for each trajectory: its groups, its score for each prompt group, the group that scores
    highest; with a label, whether that is right (1 or 0), with one label, its margin; with curves,
    when the one of its first label is highest."""
    groups, _ = groups_of(table.columns)
    scores, right = group_scores(table), is_right(table.rows, groups)  # [N, G]
    answered, is_first = answers(scores, right), ranks_of_right(scores, right) == 1
    apart = margins(scores, right)
    names = [group.name for group in groups]
    header = [
        "trajectory",
        "group",
        *(f"score {name}" for name in names),
        "answer",
        "right",
        "margin",
    ]
    times = [[]] * len(table.rows)
    if curves:
        header.append("best time")
        times = [[time] for time in rising.best_times_of_labels(table, curves)]
    return as_csv(
        header,
        (
            [
                *(row.name, groups_cell(row), *scores[i].tolist(), names[answered[i]]),
                int(is_first[i]) if right[i].any() else "",
                round(float(apart[i]), 12) if np.isfinite(apart[i]) else "",
                *times[i],
            ]
            for i, row in enumerate(table.rows)
        ),
    )


def groups_cell(row: Entry) -> str:
    return "; ".join(row.groups)


def groups_csv(groups: Grouped) -> bytes:
    """A row for each group of trajectories with each group of prompts."""
    table, deviations, counts = groups
    return as_csv(
        ["trajectory_group", "prompt_group", "mean", "std", "count"],
        (
            [row.name, column.name, table.values[i, j], deviations[i, j], counts[i, j]]
            for i, row in enumerate(table.rows)
            for j, column in enumerate(table.columns)
        ),
    )
