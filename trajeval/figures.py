"""Pictures of tables of similarities."""

import io
from typing import Any

import numpy as np
from matplotlib import rc_context, rcParamsDefault
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
    new_grid,
    outline,
    write_names,
    write_values,
)
from trajeval.names import fold_title
from trajeval.table import Table, is_right

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
