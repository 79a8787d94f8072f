"""Pictures of tables of similarities."""

import io
from typing import Any

import numpy as np
from matplotlib import rc_context, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from trajeval.grid import (
    MAX_PIXELS,
    NEUTRAL,
    draw_borders,
    draw_cells,
    draw_colour_bar,
    ignore_missing_glyphs,
    ink,
    mark,
    new_figure,
    new_grid,
    outline,
    write_names,
    write_numbers,
    write_values,
)
from trajeval.names import fold, fold_title, font_families
from trajeval.table import Entry, Table, is_right
from trajeval.terminal import printable

MAX_ROWS = 400  # more do not make a picture
MAX_PANELS, MAX_BARS = 48, 60  # trajectory groups, prompt groups in each
COLOURS, CENTRED = "viridis", "RdBu_r"  # sequential and diverging, safe for colour-blind readers
SHARES = "Blues"
RIGHT, OTHER = "#d55e00", "#9aa5b1"  # bars: the group's own prompts, any other
# matplotlib's own settings, whatever the user's matplotlibrc says; nothing is shown in a window.
# Without hinting a picture takes a sixth less time, and at 150 dots per inch nobody sees it.
PLAIN: dict[Any, Any] = {
    name: value for name, value in rcParamsDefault.items() if name != "backend"
}
PLAIN |= {"text.hinting": "none"}


@rc_context(PLAIN)
def heatmap(
    table: Table,
    title: str,
    *,
    note: str = "",
    deviations: np.ndarray | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
) -> Figure:
    """A heatmap of similarities, trajectories (or groups of them) down, prompts across.

    The names of the table's entries are shown, cut where they are long. The best prompts of each
    row are outlined; a dot marks the cells whose row has the group of their column; lines separate
    groups of several entries. note: what else to say below. deviations: [N, P], written beneath the
    numbers. vmin, vmax: the ends of the colour scale, by default of the values; values that are
    centred get a diverging scale around 0, whose ends mirror each other if one at most is given.
    Above 60 rows or 30 columns the cells hold no numbers; above 400 rows only the 400 rows with the
    highest maximum are drawn, in their order, and the title says so.
    """
    title = fold_title(title)
    if (n_all := len(table.rows)) > MAX_ROWS:
        highest = np.argsort(-table.values.max(1), kind="stable")[:MAX_ROWS]
        table = table.take(rows=np.sort(highest))
        title += (
            f"\nthe {MAX_ROWS} of {n_all} rows with the highest similarities; "
            "the tables beside the picture have all"
        )
    values = np.asarray(table.values)
    grid = new_grid(values.shape, 0.42 if deviations is None else 0.56)
    mesh = draw_cells(grid, values, *colour_scale(table, vmin, vmax))
    if grid.numbered:
        write_values(grid, values, deviations, ink(mesh.to_rgba(values)))
    draw_borders(grid.ax, table.rows, table.columns)
    outline(grid, np.argwhere(values == values.max(1, keepdims=True)))
    right = np.argwhere(is_right(table.rows, table.columns))
    mark(grid, right, ink(mesh.to_rgba(values))[tuple(right.T)])
    notes = [note, "outlined: the best of each row", "dot: the right prompt" * bool(len(right))]
    notes += ["±: standard deviation" * (grid.numbered and deviations is not None)]
    names = [row.name for row in table.rows], [column.name for column in table.columns]
    write_names(grid, *names, title, ("trajectories", "prompts"), "; ".join(filter(None, notes)))
    draw_colour_bar(grid, mesh, table.label)
    return grid.fig


def colour_scale(table: Table, vmin: float | None, vmax: float | None):
    """The colour map of a table, and the values at its ends."""
    low, high = float(np.min(table.values)), float(np.max(table.values))
    if table.is_centred:
        far = max(-low, high)
        low, high = -(vmax if vmax is not None else far), -(vmin if vmin is not None else -far)
    low, high = low if vmin is None else vmin, high if vmax is None else vmax
    if not low < high:
        return NEUTRAL, low - 0.5, low + 0.5
    return CENTRED if table.is_centred else COLOURS, low, high


@rc_context(PLAIN)
def confusion_matrix(counts: np.ndarray, names: list[str], title: str) -> Figure:
    """How many trajectories of each behaviour (down) were predicted as which (across).

    counts: int [R, C], the rows are those of the first R of names [C]. Colours are shares of a
    row. Of more than 400 rows the first 400 are drawn, and the title says so.
    """
    title = fold_title(title)
    if len(counts) > MAX_ROWS:
        title += f"\nthe first {MAX_ROWS} of {len(counts)} rows; metrics.json has all"
        counts = counts[:MAX_ROWS]
    grid = new_grid(counts.shape, 0.42)
    shares = counts / counts.sum(1, keepdims=True)
    mesh = draw_cells(grid, shares, SHARES, 0, 1, "0.9")
    if grid.numbered:
        colours = np.where(counts, ink(mesh.to_rgba(shares)), "0.75")
        write_numbers(grid, [str(count) for count in counts.flat], colours, 0.5, grid.font_size)
    outline(grid, np.arange(len(counts))[:, None].repeat(2, 1))
    note = "number of trajectories; outlined: correct"
    write_names(grid, names[: len(counts)], names, title, ("true", "predicted"), note)
    draw_colour_bar(grid, mesh, "share of the row")
    return grid.fig


@rc_context(PLAIN)
def group_bars(table: Table, deviations: np.ndarray, title: str) -> Figure:
    """One panel for each trajectory group: the mean similarity with each prompt group as a bar, and
    its standard deviation as an error bar. The bar of the group's own prompts is coloured.

    table: of groups, [R, C]; deviations: [R, C]. Of more than 48 trajectory groups the first 48 are
    drawn, of more than 60 prompt groups the first 60, and the title says so.
    """
    n_all, n_bars = table.values.shape
    title = fold_title(title)
    if n_all > MAX_PANELS:
        title += f"\nthe first {MAX_PANELS} of {n_all} groups; groups.csv has all"
    if n_bars > MAX_BARS:
        title += f"\nthe first {MAX_BARS} of {n_bars} groups of prompts; groups.csv has all"
    drawn = table.take(slice(MAX_PANELS), slice(MAX_BARS))
    names = [column.name for column in drawn.columns]
    n_across = min(len(drawn.rows), 4)
    n_down = -(-len(drawn.rows) // n_across)
    height = 0.7 + 0.19 * len(names)  # inches of one panel
    size = np.array((1.6 + 2.6 * n_across, height * n_down))
    fig = new_figure(size)
    panels = fig.subplots(n_down, n_across, sharex=True, sharey=True, squeeze=False)
    fig.subplots_adjust(top=1 - 0.3 / size[1], hspace=0.5 / height, wspace=0.08)
    text = {"fontsize": 8, "parse_math": False}
    text["fontfamily"] = font_families([title, *names, *(row.name for row in drawn.rows)])
    for ax, row, mean, deviation in zip(panels.flat, drawn.rows, drawn.values, deviations):
        draw_bars(ax, row, drawn.columns, mean, deviation[:MAX_BARS])
        ax.set_title(fold(printable(row.name, 40), 40, 1), **text)
    for ax in panels.flat[len(drawn.rows) :]:
        ax.set_axis_off()
    panels[0, 0].invert_yaxis()  # of all, as they share it
    for ax in panels[:, 0]:
        shown = [fold(printable(name, 32), 32, 1) for name in names]
        ax.set_yticks(np.arange(len(names)), shown, **text)
    for ax in panels.flat[max(len(drawn.rows) - n_across, 0) : len(drawn.rows)]:
        ax.tick_params(axis="x", labelsize=7, labelbottom=True)
        ax.set_xlabel(fold(drawn.label, 40, 4), fontsize=8, parse_math=False)
    note = "lines: standard deviation"
    if is_right(drawn.rows, drawn.columns).any():
        note += "; coloured: the group's own prompts"
    fig.text(0.5, 1, note, ha="center", va="bottom", fontsize=8, color="0.35")
    fig.suptitle(title, y=1 + 0.2 / size[1], va="bottom", **(text | {"fontsize": 10}))
    return fig


def draw_bars(
    ax: Axes, row: Entry, columns: list[Entry], mean: np.ndarray, deviation: np.ndarray
) -> None:
    """The bars of one panel, from top to bottom."""
    colours = [RIGHT if is_own else OTHER for is_own in is_right([row], columns)[0]]
    ax.barh(range(len(mean)), mean, xerr=deviation, color=colours, error_kw={"linewidth": 0.8})
    ax.axvline(0, color="black", linewidth=0.8)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


def side_by_side(pictures: list[bytes]) -> bytes:
    """PNG files in one, from left to right, aligned at the bottom; scaled down where either side
    would have more than 20,000 pixels."""
    Image.MAX_IMAGE_PIXELS = None  # a guard against strangers' files; these are our own
    sizes = np.array([Image.open(io.BytesIO(picture)).size for picture in pictures])
    scale = min(1, MAX_PIXELS / sizes[:, 0].sum(), MAX_PIXELS / sizes[:, 1].max())
    sizes = np.maximum(sizes * scale, 1).astype(int)
    canvas, left = Image.new("RGB", (int(sizes[:, 0].sum()), int(sizes[:, 1].max())), "white"), 0
    for picture, (width, height) in zip(pictures, sizes.tolist()):
        image = Image.open(io.BytesIO(picture)).convert("RGB").resize((width, height))
        canvas.paste(image, (left, canvas.height - height))
        left += width
    file = io.BytesIO()
    canvas.save(file, "PNG")
    return file.getvalue()


@rc_context(PLAIN)
def as_png(figure: Figure) -> bytes:
    """The picture of a figure, with all texts around its axes, as a PNG file."""
    file = io.BytesIO()
    with ignore_missing_glyphs():
        # bbox_inches="tight" would draw everything twice
        bounds = figure.get_tightbbox().padded(0.2)
        quick = {"compress_level": 3}  # a tenth larger than at 6, in 3/4 of the time
        figure.savefig(file, format="png", bbox_inches=bounds, pil_kwargs=quick)
    return file.getvalue()
