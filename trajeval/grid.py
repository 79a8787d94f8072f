"""A grid of cells, which heatmaps are drawn in."""

import warnings
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from trajeval.names import fold, font_families
from trajeval.table import Entry
from trajeval.terminal import printable

MAX_NUMBERED = (60, 30)  # rows, columns: above these the cells hold no numbers
MAX_PIXELS = 20_000  # of either side of the picture
NEUTRAL = ListedColormap(["#cfd5db"])  # where all values are equal
GAP, TITLE_GAP = 3.5, 8  # points from the cells to the names, from these to the titles


class Grid(NamedTuple):
    """A figure with cells to fill: `ax` is one unit wide and high for each, from the upper left.

    bar: the axes of the colour bar. unit: a point in cells, across and down.
    """

    fig: Figure
    ax: Axes
    bar: Axes
    shape: tuple[int, int]
    numbered: bool
    font_size: int
    unit: np.ndarray


def new_grid(shape: tuple[int, int], cell_height: float) -> Grid:
    """An empty grid of (rows, columns) cells, these `cell_height` inches high if numbers fit."""
    n_rows, n_columns = shape
    numbered = n_rows <= MAX_NUMBERED[0] and n_columns <= MAX_NUMBERED[1]
    cell = (0.95, cell_height) if numbered else (0.22, 0.16)  # inches
    width, height = max(cell[0] * n_columns, 3), max(cell[1] * n_rows, 1.5)
    size = np.array((width + 1.2, height))
    fig = new_figure(size)
    ax = fig.add_axes((0, 0, width / size[0], 1))
    ax.set_axis_off()  # ticks are slow to draw: the names beside the cells are texts
    bar_height = min(1, 6 / height)
    bar = fig.add_axes((1 - 0.95 / size[0], 1 - bar_height, 0.18 / size[0], bar_height))
    unit = np.array((n_columns / width, n_rows / height)) / 72
    return Grid(fig, ax, bar, shape, numbered, 8 if numbered else 7, unit)


def draw_cells(grid: Grid, values: np.ndarray, colours, low: float, high: float) -> QuadMesh:
    borders: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.5 if grid.numbered else 0}
    mesh = grid.ax.pcolormesh(values, cmap=colours, vmin=low, vmax=high, **borders)
    grid.ax.set(xlim=(0, grid.shape[1]), ylim=(grid.shape[0], 0))
    return mesh


def draw_colour_bar(grid: Grid, mesh: QuadMesh, label: str) -> None:
    (low, high), values = mesh.get_clim(), np.asarray(mesh.get_array())
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}
    beyond = int(values.min() < low), int(values.max() > high)
    ticks = [values.min()] if mesh.get_cmap() is NEUTRAL else None
    bar = grid.fig.colorbar(mesh, cax=grid.bar, extend=extend[beyond], ticks=ticks)
    bar.outline.set_visible(False)
    grid.bar.set_ylabel(fold(label, fitting(grid.bar.bbox.height, grid), 8), parse_math=False)
    grid.bar.tick_params(labelsize=grid.font_size)


def write_values(
    grid: Grid, values: np.ndarray, deviations: np.ndarray | None, colours: np.ndarray
) -> None:
    """The values in the cells, two decimals above a deviation, else three."""
    if deviations is None:
        return write_numbers(grid, [f"{x:z.3f}" for x in values.flat], colours, 0.5, grid.font_size)
    write_numbers(grid, [f"{x:z.2f}" for x in values.flat], colours, 0.38, grid.font_size)
    beneath = [f"±{x:.2f}" for x in deviations.flat]
    write_numbers(grid, beneath, colours, 0.73, grid.font_size - 2)


def write_numbers(
    grid: Grid, numbers: list[str], colours: np.ndarray, height: float, font_size: float
) -> None:
    """A number in each cell, row by row, in its colour, [N, P], at a height between 0 and 1."""
    style: dict[str, Any] = {
        "fontsize": font_size,
        "ha": "center",
        "va": "center",
        "in_layout": False,
    }
    for (row, column), number in zip(np.ndindex(colours.shape), numbers):
        grid.ax.text(column + 0.5, row + height, number, color=colours[row, column], **style)


def ink(colours: np.ndarray) -> np.ndarray:
    """Dark grey or white for a text on colours, [..., 4], by their relative luminance (WCAG)."""
    rgb = colours[..., :3]
    linear = np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.where(linear @ (0.2126, 0.7152, 0.0722) > 0.408, "0.15", "white")


def draw_borders(ax: Axes, rows: list[Entry], columns: list[Entry]) -> None:
    """Lines between neighbouring groups, if any group has several entries."""
    for entries, line in ((rows, ax.axhline), (columns, ax.axvline)):
        groups = [entry.group for entry in entries]
        if len(set(groups)) == len(groups):
            continue
        for i in range(1, len(groups)):
            if groups[i] != groups[i - 1]:
                line(i, color="black", linewidth=1.5)


def outline(grid: Grid, cells: np.ndarray) -> None:
    """Outline cells, int [K, 2] (row, column), inside of their edges, above the lines between
    groups; black with a white core to show on every colour."""
    inset = 2.2 * grid.unit  # half of the outline and half of a line between groups
    corners = np.array(((0, 0), (1, 0), (1, 1), (0, 1)))
    polygons = cells[:, None, ::-1] + np.where(corners, 1 - inset, inset)
    for colour, line_width in (("black", 2.6), ("white", 1.1)):
        style: dict[str, Any] = {
            "edgecolors": colour,
            "linewidths": line_width,
            "joinstyle": "miter",
        }
        lines = PolyCollection(polygons, facecolors="none", zorder=3, **style)
        grid.ax.add_collection(lines, autolim=False)


def mark(grid: Grid, cells: np.ndarray, colours: np.ndarray) -> None:
    """A dot in cells, int [K, 2] (row, column), in colours [K]: in the upper right corner where
    there is a number, else in the middle."""
    place = np.array((0.5, 0.5))
    if grid.numbered:
        place = np.array((1, 0)) + (-8, 8) * grid.unit
    x, y = (cells[:, ::-1] + place).T
    style: dict[str, Any] = {"markersize": 3 if grid.numbered else 2.2, "markeredgewidth": 0}
    for colour in np.unique(colours):
        chosen = colours == colour
        grid.ax.plot(x[chosen], y[chosen], "o", color=colour, zorder=4, **style)


def write_names(
    grid: Grid,
    rows: list[str],
    columns: list[str],
    title: str,
    axes: tuple[str, str],
    note: str,
) -> None:
    """The names of rows and columns, what each axis is, the title above and a note below."""
    ax, (n_rows, n_columns) = grid.ax, grid.shape
    text: dict[str, Any] = {"fontsize": grid.font_size, "parse_math": False}  # a $ is a $
    text["fontfamily"] = font_families([title, *rows, *columns])
    lines = 2 if grid.numbered else 1
    gap = GAP * grid.unit
    style: dict[str, Any] = dict(text, ha="right", va="center_baseline")
    names = [fold(printable(name, 40 * lines), 40, lines) for name in rows]
    down = [ax.text(-gap[0], i + 0.5, name, **style) for i, name in enumerate(names)]
    style = dict(text, ha="center", va="bottom", rotation=0 if grid.numbered else 90)
    folds = (14, 14) if grid.numbered else (60, 1)
    names = [fold(name, *folds) for name in columns]
    across = [ax.text(i + 0.5, -gap[1], name, **style) for i, name in enumerate(names)]

    with ignore_missing_glyphs():
        left = min(name.get_window_extent().x0 for name in down)  # pixels
        top = max(name.get_window_extent().y1 for name in across)
    width, height = grid.ax.bbox.width, grid.ax.bbox.height
    grey: dict[str, Any] = {"fontsize": grid.font_size + 1, "color": "0.35", "gid": "axis title"}
    x, y = left / width * n_columns - TITLE_GAP * grid.unit[0], n_rows / 2
    ax.text(x, y, axes[0], rotation=90, ha="right", va="center", **grey)
    y = (height - top) / height * n_rows - TITLE_GAP * grid.unit[1]
    ax.text(n_columns / 2, y, axes[1], ha="center", va="bottom", **grey)
    note = fold(note, fitting(width, grid), 8)
    ax.text(n_columns / 2, n_rows + gap[1], note, ha="center", va="top", fontsize=grid.font_size)
    above = (top - height) * 72 / grid.fig.dpi + 2 * TITLE_GAP + grid.font_size + 3
    large: dict[str, Any] = dict(text, fontsize=10)
    ax.set_title(title, y=1, pad=above, **large)


def fitting(pixels: float, grid: Grid) -> int:
    """How many characters of some 10 points fit into a length."""
    return int(pixels / grid.fig.dpi * 72 / 5.5)


def new_figure(size: np.ndarray) -> Figure:
    """An empty figure of (width, height) inches, of no more than MAX_PIXELS on either side."""
    fig = Figure(tuple(size), dpi=min(150, MAX_PIXELS / size.max()))
    FigureCanvasAgg(fig)  # becomes its canvas
    return fig


@contextmanager
def ignore_missing_glyphs():
    """Silences matplotlib's warnings of characters that no font has; they are drawn as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield
