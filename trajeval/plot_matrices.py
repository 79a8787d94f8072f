"""Plots of cells: the heatmap and the confusion matrix."""

from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage

from trajeval.excerpt import described, excerpt
from trajeval.figures import colour_scale
from trajeval.grid import NEUTRAL
from trajeval.names import fold, with_short_names
from trajeval.paper import COLUMN, PAGE, PITCH, TALLEST, length_of, points_for, shown
from trajeval.table import Entry, Table, column_order, has_groups, number_groups

TREE, BAR, GAP, MARGIN = 0.35, 0.08, 0.06, 0.04  # inches
NUMBERED = 0.18  # inches: the height of a row with a name, whose cells may hold numbers
UNNAMED, MAX_UNNAMED = 0.06, 4  # of a row of a group with a name; of all
REST = 0.9  # inches below the names of columns
LONGEST = 36  # letters of these
MAX_VECTOR = 4000  # cells; more are drawn as an image, also in a pdf or svg
MAX_TREE = 300  # leaves; seaborn's way to draw one ends at Python's limit of recursion
MAX_CLUSTERED = 3000  # rows or columns; the time grows with their square
MAX_ROWS = 3000
MAX_LINES = 300  # between groups; more hide the cells


class Side(NamedTuple):
    """What is along one side of the cells: the names, each of some neighbouring cells; where these
    end, int [names]; what they are together. tree: whether the cells are clustered."""

    names: list[str]
    ends: np.ndarray
    label: str
    tree: bool = False

    @property
    def middles(self) -> np.ndarray:
        return (self.ends + np.r_[0, self.ends[:-1]]) / 2


def draw_heatmap(table: Table, vmin: float | None, vmax: float | None) -> Figure:
    """Each trajectory by each prompt. Lists with groups have these named, and lines between them;
    lists without groups are clustered (average linkage of Euclidean distances). Of more than 3,000
    trajectories the strongest and the worst."""
    label = f"trajectories ({len(table.rows)})"
    if len(table.rows) > MAX_ROWS:
        label = fold(described(table, MAX_ROWS, "trajectories"), 45, 3)
        table = table.take(rows=excerpt(table, MAX_ROWS))
    table = with_short_names(table)
    table = table.take(order_of(table.rows, table.values), order_of(table.columns, table.values.T))
    table = table.take(columns=column_order(table))
    across = side_of(table.columns, f"prompts ({len(table.columns)})")
    sides = side_of(table.rows, label), across
    colours, low, high = colour_scale(table, vmin, vmax)
    kinds = {"cmap": colours, "vmin": low, "vmax": high}
    return draw_cells(table.values, sides, table.label, ".2f", **kinds)


def order_of(entries: list[Entry], values: np.ndarray) -> np.ndarray:
    """Groups as a whole, in the order of their first entries; entries without groups as they are,
    or by clusters if there are too many to draw a tree of them."""
    if has_groups(entries):
        return np.argsort(number_groups([entry.group for entry in entries])[1], kind="stable")
    if MAX_TREE < len(entries) <= MAX_CLUSTERED:
        return leaves_list(linkage(values, "average"))
    return np.arange(len(entries))


def side_of(entries: list[Entry], label: str) -> Side:
    """The names of entries, or of their groups, which have to be in their order."""
    n = len(entries)
    if not has_groups(entries):
        names = [entry.name for entry in entries]
        return Side(names, np.arange(n) + 1, label, 1 < n <= MAX_TREE)
    names, numbers = number_groups([entry.group for entry in entries])
    return Side(names, np.bincount(numbers).cumsum(), label)


def draw_confusion(verdict: dict, table: Table) -> Figure | None:
    """How many trajectories of each behaviour (down) were predicted as which (across), of those
    with one label; None if there are none. Behaviours are in the order of the trajectories' groups,
    then come the other groups of prompts. Colours are shares of a row."""
    counts, names = np.array(verdict["confusion"]), verdict["prompt_groups"]
    groups = dict.fromkeys(name for row in table.rows for name in row.groups)
    rows = [names.index(name) for name in groups if name in names]
    rows = [i for i in rows if counts[i].any()]
    if not rows:
        return None
    columns = rows + [j for j in range(len(names)) if j not in rows]
    counts = counts[np.ix_(rows, columns)]
    sides = [Side([names[i] for i in own], np.arange(len(own)) + 1, "") for own in (rows, columns)]
    sides = sides[0]._replace(label="true"), sides[1]._replace(label="predicted")
    kinds: dict[str, Any] = {"cmap": "Blues", "vmin": 0, "vmax": 1}
    kinds |= {"linewidths": 0.5, "linecolor": "0.9"}
    label = "share of the row"
    return draw_cells(counts / counts.sum(1, keepdims=True), sides, label, "d", counts, **kinds)


def draw_cells(
    values: np.ndarray,
    sides: tuple[Side, Side],
    label: str,
    form: str,
    numbers: np.ndarray | None = None,
    **kinds: Any,
) -> Figure:
    """Values as colours, and where they fit, numbers, by default the values, in their form.

    kinds: of seaborn's heatmap.
    """
    (n_rows, n_columns), (down, across) = values.shape, sides
    numbers = values if numbers is None else numbers
    letters = max(len(format(number, form)) for number in (numbers.min(), numbers.max()))
    wanted = 0.06 * letters + 0.06  # inches: the width of a cell with its number
    beside = length_of(map(shown, down.names)) + 0.3 + TREE * down.tree
    width = COLUMN if (COLUMN - beside) / len(across.names) >= PITCH else PAGE
    height = max(NUMBERED * len(down.names), min(UNNAMED * n_rows, MAX_UNNAMED))
    below = length_of([shown(name, LONGEST) for name in across.names])
    height = min(height, TALLEST - REST - below - TREE * across.tree)
    if (width - beside) / n_columns >= wanted and height / n_rows >= NUMBERED * 0.99:
        kinds |= {"annot": numbers, "fmt": form, "annot_kws": {"va": "center_baseline"}}
    else:
        kinds |= {"rasterized": values.size > MAX_VECTOR, "linewidths": 0}
    kinds |= {"xticklabels": False, "yticklabels": False}
    kinds["cbar_kws"] = {"orientation": "horizontal"}
    figure, parts, order = heatmap(values, sides, kinds)
    ax = parts[0]
    for axis, side, entries, room in (
        (ax.yaxis, down, order[0], height),
        (ax.xaxis, across, order[1], width - beside),
    ):
        points = points_for(room / len(side.names))
        names = [side.names[i] for i in entries] if side.tree else side.names
        if points:
            names = [shown(name, *([LONGEST] if side is across else [])) for name in names]
            flat = side is down or length_of(names, points) + 0.1 < room / len(names)
            axis.set_ticks(side.middles, names, fontsize=points, rotation=0 if flat else 90)
    finish(ax, sides)
    for text in ax.texts:
        if text.get_text() == "0":  # of a confusion matrix
            text.set_color("0.75")
    place(figure, parts, sides, (width, height), fold(label, int((width - beside) / 0.065), 4))
    return figure


def heatmap(values, sides, kinds) -> tuple[Figure, tuple[Axes, ...], tuple]:
    """The figure; the axes of the cells, of the colour bar, and of the trees beside and above; and
    the order of the rows and columns."""
    down, across = sides
    if not (down.tree or across.tree):
        figure = Figure((COLUMN, COLUMN))
        ax, bar = figure.subplots(2)
        sns.heatmap(values, ax=ax, cbar_ax=bar, **kinds)
        return figure, (ax, bar), (None, None)
    grid = sns.clustermap(
        values, row_cluster=down.tree, col_cluster=across.tree, cbar_pos=(0, 0, 0.1, 0.1), **kinds
    )
    plt.close(grid.figure)  # of pyplot's list; the figure stays
    trees = grid.dendrogram_row, grid.dendrogram_col
    axes = grid.ax_heatmap, grid.ax_cbar, grid.ax_row_dendrogram, grid.ax_col_dendrogram
    return grid.figure, axes, tuple(tree and tree.reordered_ind for tree in trees)


def finish(ax: Axes, sides: tuple[Side, Side]) -> None:
    """Lines between groups, and where the names are."""
    down, across = sides
    for side, line in ((down, ax.axhline), (across, ax.axvline)):
        if len(side.names) < min(side.ends[-1], MAX_LINES):
            for end in side.ends[:-1]:
                line(end, color="white", linewidth=0.8 if len(side.names) <= 40 else 0.4)
    where = "right" if down.tree else "left"
    ax.yaxis.set_ticks_position(where)
    ax.yaxis.set_label_position(where)
    ax.tick_params(length=0)
    ax.set(xlabel=across.label, ylabel=down.label)


def place(figure, parts, sides, size, label: str) -> None:
    """Puts each part where it belongs, given the width of all and the height of the cells, in
    inches; the rest of the height is what the names need."""
    (ax, bar, *trees), (width, height), (down, across) = parts, size, sides
    bar.set_xlabel(label)
    bar.tick_params(length=2)
    bar.locator_params(nbins=5)
    if (mesh := ax.collections[0]).get_cmap() is NEUTRAL:  # all values are equal
        bar.set_xticks([float(np.min(mesh.get_array()))])
    figure.set_size_inches(width, height)
    ax.set_position((0, 0, 1, 1))
    left, below, right, above = beyond(ax, figure)
    left, above = left + TREE * down.tree, above + TREE * across.tree
    bar.set_position((0, 0, (width - left - right) / width, BAR / height))
    around = beyond(bar, figure)
    left, right, under = max(left, around[0]), max(right, around[2]), around[1]
    cells = width - left - right - 2 * MARGIN
    bottom = MARGIN + under + BAR + GAP + below
    total = bottom + height + above + MARGIN
    figure.set_size_inches(width, total)
    scale = np.array((width, total, width, total))
    left += MARGIN
    ax.set_position(np.array((left, bottom, cells, height)) / scale)
    bar.set_position(np.array((left, MARGIN + under, cells, BAR)) / scale)
    if trees:
        trees[0].set_position(np.array((left - TREE, bottom, TREE - 0.02, height)) / scale)
        trees[1].set_position(np.array((left, bottom + height + 0.02, cells, TREE - 0.02)) / scale)


def beyond(ax: Axes, figure: Figure) -> np.ndarray:
    """How far texts reach beyond axes: left, below, right, above, in inches."""
    box = ax.get_tightbbox()
    assert box is not None  # of visible axes
    outer, inner = np.array(box.extents), np.array(ax.bbox.extents)
    return np.maximum((inner - outer) * (1, 1, -1, -1), 0) / figure.dpi
