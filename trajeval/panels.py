"""The heatmaps of several runs side by side, and what differs from the first."""

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from trajeval.figures import CENTRED, MAX_ROWS, PLAIN, as_png, side_by_side
from trajeval.grid import (
    NEUTRAL,
    draw_cells,
    draw_colour_bar,
    ink,
    mark,
    new_grid,
    write_names,
    write_values,
)
from trajeval.names import fold_title, with_short_names
from trajeval.report import group_heatmap
from trajeval.results import Results
from trajeval.table import Table, grouped, has_groups, in_order_of_rows, is_right


def draw(runs: list[Results], names: list[str]) -> bytes:
    """A PNG file: the heatmap of each run, of groups where there are any; then, for each but the
    first, its similarities less the first's, where they have rows and columns in common."""
    pictures, tables = [], []
    for run, name in zip(runs, names):
        groups = in_order_of_rows(grouped(run.table))
        figure = group_heatmap(groups, f"{name}\n{run.model}", with_deviations=False)
        pictures.append(as_png(figure))
        tables.append(groups.table)
    for table, name in zip(tables[1:], names[1:]):
        if change := difference(tables[0], table):
            pictures.append(as_png(difference_panel(change, f"{name} - {names[0]}")))
    return side_by_side(pictures)


def difference(first: Table, second: Table) -> Table | None:
    """Second less first, of the columns of the same name; None if there are none, or if only one
    of them has groups of trajectories. Rows without groups are the same in all runs."""
    rows, own_rows = in_common(first.rows, second.rows)
    if has_groups(first.rows) != has_groups(second.rows):
        return None
    if not has_groups(first.rows):
        rows = own_rows = np.arange(len(first.rows))
    columns, own_columns = in_common(first.columns, second.columns)
    if not len(rows) or not len(columns):
        return None
    before, after = first.take(rows, columns), second.take(own_rows, own_columns)
    change = np.asarray(after.values, np.float64) - before.values
    return before._replace(values=change, label="difference of similarities")


def in_common(entries, others) -> tuple[np.ndarray, np.ndarray]:
    """Where the names that both have are in each, in the order of the first. Two int64 [K]"""
    places = {other.name: i for i, other in enumerate(others)}
    pairs = [(i, places[entry.name]) for i, entry in enumerate(entries) if entry.name in places]
    here, there = np.array(pairs, np.int64).reshape(-1, 2).T
    return here, there


@rc_context(PLAIN)
def difference_panel(change: Table, title: str) -> Figure:
    """A heatmap of differences, in diverging colours around 0. Of more than 400 rows those that
    differ most are drawn, and the title says so."""
    title = fold_title(title)
    if (n_all := len(change.rows)) > MAX_ROWS:
        most = np.argsort(-abs(change.values).max(1), kind="stable")[:MAX_ROWS]
        change = change.take(rows=np.sort(most))
        title += f"\nthe {MAX_ROWS} of {n_all} rows that differ most"
    if not has_groups(change.rows):
        change = with_short_names(change)
    grid = new_grid(change.values.shape, 0.42)
    far = float(abs(change.values).max())
    mesh = draw_cells(grid, change.values, *((CENTRED, -far, far) if far else (NEUTRAL, -0.5, 0.5)))
    colours = ink(mesh.to_rgba(change.values))
    if grid.numbered:
        write_values(grid, change.values, None, colours)
    right = np.argwhere(is_right(change.rows, change.columns))
    mark(grid, right, colours[tuple(right.T)])
    note = "dot: the right prompt" if len(right) else ""
    names = [row.name for row in change.rows], [column.name for column in change.columns]
    write_names(grid, *names, title, ("trajectories", "prompts"), note)
    draw_colour_bar(grid, mesh, change.label)
    return grid.fig
