"""Plots for papers: which of them a run has, as files."""

from typing import Any

from matplotlib import rc_context

from trajeval.curves import Curves
from trajeval.paper import as_file, style
from trajeval.plot_curves import draw_curves
from trajeval.plot_groups import draw_areas, draw_distributions, draw_groups
from trajeval.plot_matrices import draw_confusion, draw_heatmap
from trajeval.strips import Strips
from trajeval.swap import PLOTS
from trajeval.table import Table, has_groups


def draw_plots(
    table: Table,
    verdict: dict | None,
    curves: Curves | None,
    strips: Strips | None,
    ending: str,
    **scale: float | None,
) -> dict[str, bytes]:
    """The plots that a run has the data for, by their names in swap.FILES.

    verdict: the content of metrics.json, None without labels. strips: reads the frames below
    curves. ending: png, pdf or svg. scale: vmin and vmax of the heatmap's colours.
    """
    figures: dict[str, Any] = {}
    entries = table.rows + table.columns
    with rc_context(style([name for one in entries for name in (one.name, *one.groups)])):
        figures["heatmap"] = draw_heatmap(table, **scale)
        if has_groups(table.rows):
            figures["groups"] = draw_groups(table)
        if curves is not None:
            figures["curves"] = draw_curves(table, curves, strips)
        if verdict is not None:
            figures["distributions"] = draw_distributions(table)
            figures["auc"] = draw_areas(verdict, table)
            figures["confusion"] = draw_confusion(verdict, table)
        return {
            f"{PLOTS}/{name}.{ending}": as_file(figure, ending)
            for name, figure in figures.items()
            if figure is not None
        }
