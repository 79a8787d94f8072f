"""From a table of similarities to the pictures, tables and metrics that a run leaves."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from trajeval import controls as of_controls
from trajeval import probe, ratings, rising, success
from trajeval.cache import NO_CACHE, Cache
from trajeval.curves import Control, Curves
from trajeval.figures import as_png, heatmap
from trajeval.metrics import answers_and_margins
from trajeval.options import MAX_FALSE_POSITIVES
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
from trajeval.terminal import first_few, printable
from trajeval.verdict import judge, summary


class Report(NamedTuple):
    """picture: the main picture, a PNG file. files: the other files of the run by name. verdict:
    the content of metrics.json, None without labels and ratings. lines: what to show on the
    terminal: warnings of the values, the verdict or why there is none; may be empty."""

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
    embeddings: np.ndarray | None = None,
    cache: Cache = NO_CACHE,
    success_above: float | None = None,
    max_false_positives: float = MAX_FALSE_POSITIVES,
    vmin: float | None = None,
    vmax: float | None = None,
) -> Report:
    """Everything that is drawn and computed of a table of similarities.

    model_name: for the verdict's sentence. curves, controls: of the same rows and columns.
    embeddings: of the rows, [N, D], None of a model that has none. cache: keeps what is slow to
    compute. success_above, max_false_positives: as success.detect takes them. vmin, vmax: the ends
    of the heatmaps' colour scale, by default the lowest and the highest value of each.
    """
    scale: dict[str, Any] = {"vmin": vmin, "vmax": vmax}
    files = {"similarities.csv": similarities_csv(table), "similarities.npy": as_npy(table.values)}
    if has_groups(table.columns):
        files["scores.csv"] = scores_csv(table, curves)
    verdict = judge(table, model_name)
    lines = list(first_few([f"warning: {warning}" for warning in table.warnings], "warnings"))
    lines += summary(table, verdict)
    blocks = further(table, curves, controls)
    blocks |= of_ratings(table, success_above, max_false_positives)
    if embeddings is not None:
        blocks["probe"] = judged(probe, probe.probe(table, embeddings, cache))
    for block in blocks.values():
        files |= block.files
        lines += ["", *block.lines] if block.lines else []
    if verdict:
        lines += ["", printable(verdict["sentence"], 400)]
    metrics = (verdict or {}) | {name: one.found for name, one in blocks.items() if one.found}
    if metrics:
        files["metrics.json"] = as_json(metrics)
    if has_groups(table.rows) or has_groups(table.columns):
        groups = grouped(table)
        files["groups.csv"] = groups_csv(groups)
        figure = group_heatmap(in_order_of_rows(groups), title, **scale)
    else:
        figure = heatmap(table, title, **scale)
    return Report(as_png(figure), files, metrics or None, lines)


class Judged(NamedTuple):
    """found: a block of metrics.json, or None; its lines, or why there is none; its files."""

    found: dict | None
    lines: list[str]
    files: dict[str, bytes]


def judged(module, found: dict | None) -> Judged:
    """A block of metrics.json, or None, with the lines that its module writes of it."""
    return Judged(found, module.as_lines(found) if found else [], {})


def of_ratings(table: Table, above: float | None, limit: float) -> dict[str, Judged]:
    """What is judged of ratings, by the name of its block in metrics.json."""
    rated = ratings.rated(table)
    if not rated:
        return {}
    return {
        "ratings": judged(ratings, ratings.rank(rated)),
        "success": judged(success, success.detect(rated, above, limit)),
    }


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
    """A row for each trajectory, with its groups and its rating, a column for each prompt, by their
    full names."""
    header, cells = of_rows(table.rows)
    return as_csv(
        [*header, *(column.name for column in table.columns)],
        ([*row, *values] for row, values in zip(cells, table.values)),
    )


def scores_csv(table: Table, curves: Curves | None = None) -> bytes:
    """A row for each trajectory: its groups and rating, its score for each prompt group, the group
    that scores highest; with a label, whether it is right (1 or 0), with one label, its margin;
    with curves, when the one of its first label is highest."""
    groups, _ = groups_of(table.columns)
    scores, right = group_scores(table), is_right(table.rows, groups)  # [N, G]
    found = answers_and_margins(scores, right)
    names, (header, cells) = [group.name for group in groups], of_rows(table.rows)
    times = [[]] * len(table.rows)
    if curves:
        times = [[time] for time in rising.best_times_of_labels(table, curves)]
    of_labels = ["answer", "right", "margin", *["best time"] * bool(curves)]
    return as_csv(
        [*header, *(f"score {name}" for name in names), *of_labels],
        (
            [
                *(*row, *scores[i].tolist(), names[found.groups[i]]),
                "" if hit is None else int(hit),
                "" if margin is None else round(margin, 12),
                *times[i],
            ]
            for i, (row, hit, margin) in enumerate(zip(cells, found.hits, found.margins))
        ),
    )


def of_rows(rows: list[Entry]) -> tuple[list[str], list[list]]:
    """The first columns of the tables of trajectories: their names, and the cells of each row. With
    a rating where any row has one."""
    header, cells = ["trajectory", "group"], [[row.name, "; ".join(row.groups)] for row in rows]
    if any(row.rating is not None for row in rows):
        header.append("rating")
        cells = [[*row, entry.rating] for row, entry in zip(cells, rows)]
    return header, cells


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
