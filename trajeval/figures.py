"""Pictures of tables of similarities."""

import io
from typing import Any

import numpy as np
from matplotlib import rc_context, rcParamsDefault
from matplotlib.figure import Figure
from PIL import Image

from trajeval.excerpt import described, extremes
from trajeval.grid import (
    MAX_PIXELS,
    NEUTRAL,
    draw_borders,
    draw_cells,
    draw_colour_bar,
    ignore_missing_glyphs,
    ink,
    mark,
    new_grid,
    outline,
    write_names,
    write_values,
)
from trajeval.names import fold_title, with_short_names
from trajeval.table import Table, has_groups, is_right

MAX_ROWS = 400  # more do not make a picture
COLOURS, CENTRED = "viridis", "RdBu_r"  # sequential and diverging, safe for colour-blind readers
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
    Above 60 rows or 30 columns the cells hold no numbers. Of more than 400 rows the 200 strongest
    and the 200 worst are drawn, from the strongest to the worst with a line between the two, and
    the title says so. Paths of rows without groups are shortened.
    """
    title = fold_title(title)
    is_part = len(table.rows) > MAX_ROWS
    if is_part:
        table, what = part_of(table)
        title += f"\n{what}; the tables beside the picture have all"
    if not has_groups(table.rows):
        table = with_short_names(table)
    values = np.asarray(table.values)
    grid = new_grid(values.shape, 0.42 if deviations is None else 0.56)
    mesh = draw_cells(grid, values, *colour_scale(table, vmin, vmax))
    if grid.numbered:
        write_values(grid, values, deviations, ink(mesh.to_rgba(values)))
    draw_borders(grid.ax, table.rows, table.columns)
    if is_part:
        grid.ax.axhline(MAX_ROWS // 2, color="black", linewidth=2.5)
    outline(grid, np.argwhere(values == values.max(1, keepdims=True)))
    right = np.argwhere(is_right(table.rows, table.columns))
    mark(grid, right, ink(mesh.to_rgba(values))[tuple(right.T)])
    notes = [note, "outlined: the best of each row", "dot: the right prompt" * bool(len(right))]
    notes += ["±: standard deviation" * (grid.numbered and deviations is not None)]
    names = [row.name for row in table.rows], [column.name for column in table.columns]
    write_names(grid, *names, title, ("trajectories", "prompts"), "; ".join(filter(None, notes)))
    draw_colour_bar(grid, mesh, table.label)
    return grid.fig


def part_of(table: Table) -> tuple[Table, str]:
    """The part of a table with many rows that makes a picture, and what it is, in words: half of
    the rows are the strongest, then come the worst; columns that are right for rows are in the
    order of these. Of many columns those that are right or highest for one of the rows."""
    what = "groups of trajectories" if has_groups(table.rows) else "trajectories"
    words = described(table, MAX_ROWS, what)
    strongest, worst = extremes(table, MAX_ROWS)
    table = table.take(rows=np.r_[strongest, worst[::-1]])
    places = {name: i for i, row in enumerate(table.rows) for name in row.groups}
    order = [places.get(column.group or "", MAX_ROWS) for column in table.columns]
    table = table.take(columns=np.argsort(order, kind="stable"))
    if (n_columns := len(table.columns)) > MAX_ROWS:
        right = np.nonzero(is_right(table.rows, table.columns))[1]
        needed = np.union1d(right, table.values.argmax(1))
        table = table.take(columns=needed)
        words += f"\nand the {len(needed):,} of {n_columns:,} prompts that are right or highest"
    return table, words


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
