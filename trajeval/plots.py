"""Plots for papers: which of them a run has, as files."""

import warnings
from argparse import Namespace
from typing import Any

from matplotlib import rc_context

from trajeval.curves import Curves
from trajeval.grid import ignore_missing_glyphs
from trajeval.paper import as_file, style
from trajeval.plot_curves import draw_curves
from trajeval.plot_groups import draw_areas, draw_distributions, draw_groups
from trajeval.plot_matrices import draw_confusion, draw_heatmap
from trajeval.sources import Source
from trajeval.swap import PLOTS
from trajeval.table import Table, has_groups


def draw_plots(
    table: Table,
    verdict: dict | None,
    curves: Curves | None,
    sources: list[Source],
    args: Namespace,
) -> dict[str, bytes]:
    """The plots that a run has the data for, by their names in swap.FILES.

    verdict: the content of metrics.json, or None. sources: of the table's rows, for the
    frames below curves. args.plots: png, pdf or svg; vmin, vmax: the ends of the heatmap's colours.
    """
    figures: dict[str, Any] = {}
    letters = set()
    for one in (*table.rows, *table.columns):
        letters.update(one.name, *one.groups)
    settings = style(letters)
    with rc_context(settings), ignore_missing_glyphs(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Clustering large matrix")
        figures["heatmap"] = draw_heatmap(table, args.vmin, args.vmax)
        if has_groups(table.rows):
            figures["groups"] = draw_groups(table)
        if curves is not None:
            figures["curves"] = draw_curves(table, curves, sources)
        if verdict is not None and "behaviours" in verdict:
            figures["distributions"] = draw_distributions(table)
            figures["auc"] = draw_areas(verdict, table)
            figures["confusion"] = draw_confusion(verdict, table)
        return {
            f"{PLOTS}/{name}.{args.plots}": as_file(figure, args.plots)
            for name, figure in figures.items()
            if figure is not None
        }
