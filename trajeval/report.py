"""From a table of similarities to the pictures, tables and metrics that a run leaves."""

from typing import Any, NamedTuple

from matplotlib.figure import Figure

from trajeval import controls as of_controls
from trajeval import probe, ratings, rising, success, table_files
from trajeval.cache import NO_CACHE, Cache
from trajeval.curves import Control, Curves
from trajeval.figures import as_png, heatmap
from trajeval.options import MAX_FALSE_POSITIVES
from trajeval.results import as_json
from trajeval.spool import Rows
from trajeval.streams import Content, npy
from trajeval.table import (
    Grouped,
    Table,
    grouped,
    has_groups,
    has_means,
    in_order_of_rows,
)
from trajeval.terminal import first_few, printable
from trajeval.verdict import judge, summary


class Report(NamedTuple):
    """picture: the main picture, a PNG file. files: the other files of the run by name. verdict:
    the content of metrics.json, None without labels and ratings. lines: what to show on the
    terminal: warnings of the values, the verdict or why there is none; may be empty."""

    picture: bytes
    files: dict[str, Content]
    verdict: dict | None
    lines: list[str]


def report(
    table: Table,
    title: str,
    model_name: str,
    *,
    curves: Curves | None = None,
    controls: dict[str, Control] | None = None,
    embeddings: Rows | None = None,
    cache: Cache = NO_CACHE,
    success_above: float | None = None,
    max_false_positives: float = MAX_FALSE_POSITIVES,
    vmin: float | None = None,
    vmax: float | None = None,
) -> Report:
    """Everything that is drawn and computed of a table of similarities.

    model_name: for the verdict's sentence. curves, controls: of the same rows and columns.
    embeddings: of the rows, [D] each, None of a model that has none. cache: keeps what is slow to
    compute. success_above, max_false_positives: as success.detect takes them. vmin, vmax: the ends
    of the heatmaps' colour scale, by default the lowest and the highest value of each.
    """
    scale: dict[str, Any] = {"vmin": vmin, "vmax": vmax}
    files = table_files.similarities(table) | {"similarities.npy": npy(table.values)}
    if has_groups(table.columns):
        files |= table_files.scores(table, curves)
    verdict = judge(table, model_name)
    lines = list(first_few([f"warning: {warning}" for warning in table.warnings], "warnings"))
    lines += summary(table, verdict)
    blocks = further(table, curves, controls)
    blocks |= of_ratings(table, success_above, max_false_positives)
    blocks["probe"] = judged(probe, probe.probe(table, embeddings, cache))
    for block in blocks.values():
        files |= block.files
        lines += ["", *block.lines] if block.lines else []
    if verdict:
        lines += ["", printable(verdict["sentence"], 400)]
    metrics = (verdict or {}) | {name: one.found for name, one in blocks.items() if one.found}
    if metrics:
        files["metrics.json"] = as_json(metrics)
    if has_means(table):
        groups = grouped(table)
        files |= table_files.group_means(groups)
        figure = group_heatmap(in_order_of_rows(groups), title, **scale)
    else:
        figure = heatmap(table, title, **scale)
    return Report(as_png(figure), files, metrics or None, lines)


class Judged(NamedTuple):
    """found: a block of metrics.json, or None; its lines, or why there is none; its files."""

    found: dict | None
    lines: list[str]
    files: dict[str, Content]


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
        files: dict[str, Content] = {
            "curves.csv": rising.curves_csv(table, curves),
            "curves.npz": rising.curves_npz(curves),
        }
        blocks["curves"] = Judged(found, lines, files)
    if controls:
        found = of_controls.judge(table, curves, controls)
        lines = of_controls.as_lines(found) if found else [of_controls.NOT_JUDGED]
        files: dict[str, Content] = {"controls.npz": of_controls.controls_npz(controls)}
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
