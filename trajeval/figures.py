"""Pure functions of arrays to figures."""

import io
import textwrap
import unicodedata
import warnings
from contextlib import contextmanager

import numpy as np
from matplotlib import font_manager, rc_context, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from PIL import Image

MAX_ROWS = 400  # more do not make a picture
MAX_NUMBERED = (60, 30)  # rows, columns: above these the cells hold no numbers
MAX_PIXELS = 20_000  # of either side of the picture
MAX_PANELS, MAX_BARS = 48, 60  # trajectory groups, prompt groups in each
COLOURS = "viridis"  # sequential, safe for colour-blind readers
RIGHT, OTHER = "#d55e00", "#9aa5b1"  # bars: the group's own name, any other
GAP, TITLE_GAP = 3.5, 12  # points from the cells to the texts around them, from these to the title
# matplotlib's own settings, whatever the user's matplotlibrc says; nothing is shown in a window.
# Without hinting a picture takes a sixth less time, and at 150 dots per inch it is not missed.
PLAIN = {name: value for name, value in rcParamsDefault.items() if name != "backend"}
PLAIN |= {"text.hinting": "none"}


@rc_context(PLAIN)
def heatmap(
    similarities: np.ndarray,
    trajectories: list[str],
    prompts: list[str],
    title: str,
    label: str = "cosine similarity",
    *,
    note: str = "outlined: the best prompt of each trajectory",
    number_format: str = ".3f",
    deviations: np.ndarray | None = None,
    row_groups: list | None = None,
    column_groups: list | None = None,
) -> Figure:
    """A heatmap of similarities, trajectories (or groups of them) down, prompts across.

    similarities: [N, P], finite; label says what they are. The best prompt of each row is outlined,
    equals all of them, and note says so. deviations: [N, P], written beneath the numbers.
    row_groups, column_groups: the group of each row and column; a line is drawn where it changes.
    Above 60 rows or 30 columns the cells hold no numbers; above 400 rows only the 400 rows with the
    highest maximum are drawn, in their order, and the title says so.
    """
    n_all = len(similarities)
    title = fold_title(title)
    if n_all > MAX_ROWS:
        strongest = np.sort(np.argsort(-similarities.max(1), kind="stable")[:MAX_ROWS])
        similarities = similarities[strongest]
        trajectories = [trajectories[i] for i in strongest]
        row_groups = row_groups and [row_groups[i] for i in strongest]
        title += (
            f"\nthe {MAX_ROWS} of {n_all} rows with the strongest similarities; "
            "the tables beside the picture have all"
        )
    n_rows, n_columns = similarities.shape
    numbered = n_rows <= MAX_NUMBERED[0] and n_columns <= MAX_NUMBERED[1]
    cell_width, cell_height = (0.95, 0.42) if numbered else (0.22, 0.16)  # inches
    if deviations is not None and numbered:
        cell_height = 0.56
    font_size = 8 if numbered else 7
    width, height = max(cell_width * n_columns, 3), max(cell_height * n_rows, 1.5)

    size = np.array((width + 1.2, height))
    fig = new_figure(size)
    ax = fig.add_axes((0, 0, width / size[0], 1))
    bar_height = min(1, 6 / height)
    bar = fig.add_axes((1 - 0.95 / size[0], 1 - bar_height, 0.18 / size[0], bar_height))
    low, high = float(similarities.min()), float(similarities.max())
    high = high if high > low else low + 1e-3
    borders = {"edgecolors": "white", "linewidths": 0.5 if numbered else 0}
    mesh = ax.pcolormesh(similarities, cmap=COLOURS, vmin=low, vmax=high, **borders)
    ax.set(xlim=(0, n_columns), ylim=(n_rows, 0))
    ax.set_axis_off()  # ticks are slow to draw: the names beside the cells are texts
    if numbered:
        colours = ink(mesh.to_rgba(similarities))
        numbers = [f"{value:{number_format}}" for value in similarities.flat]
        middle = 0.5 if deviations is None else 0.36
        write_numbers(ax, numbers, colours, middle, font_size)
    if numbered and deviations is not None:
        beneath = [f"±{value:.3f}" for value in deviations.flat]
        write_numbers(ax, beneath, colours, 0.72, font_size - 2)
        note += "; beneath: the standard deviation"
    draw_borders(ax, row_groups, column_groups)
    outline_best(ax, similarities)

    text = {"fontsize": font_size, "fontfamily": font_families([title, *trajectories, *prompts])}
    text["parse_math"] = False  # a $ is a $
    lines = 2 if numbered else 1
    x_gap, y_gap = GAP / 72 * n_columns / width, GAP / 72 * n_rows / height  # in cells
    for i, name in enumerate(trajectories):
        name = fold(shorten(name, 40 * lines), 40, lines)
        ax.text(-x_gap, i + 0.5, name, ha="right", va="center_baseline", **text)
    across = text | {"ha": "center", "va": "bottom", "rotation": 0 if numbered else 90}
    folds = (14, 14) if numbered else (60, 1)
    names = [fold(prompt, *folds) for prompt in prompts]
    columns = [ax.text(i + 0.5, -y_gap, name, **across) for i, name in enumerate(names)]
    ax.text(n_columns / 2, n_rows + y_gap, note, ha="center", va="top", fontsize=font_size)
    with no_word_of_glyphs():
        top = max(column.get_window_extent().y1 for column in columns)  # pixels
    above = top * 72 / fig.dpi - height * 72 + TITLE_GAP
    ax.set_title(title, y=1, pad=above, **(text | {"fontsize": 10}))

    colour_bar = fig.colorbar(mesh, cax=bar)
    colour_bar.outline.set_visible(False)
    bar.set_ylabel(label, parse_math=False)
    bar.tick_params(labelsize=font_size)
    return fig


@rc_context(PLAIN)
def as_png(figure: Figure) -> bytes:
    """The picture of a figure, with all that stands around its axes, as a PNG file."""
    file = io.BytesIO()
    with no_word_of_glyphs():
        # bbox_inches="tight" would draw everything twice
        bounds = figure.get_tightbbox(figure.canvas.get_renderer()).padded(0.2)
        quick = {"compress_level": 3}  # a tenth larger than at 6, in 3/4 of the time
        figure.savefig(file, format="png", bbox_inches=bounds, pil_kwargs=quick)
    return file.getvalue()


@rc_context(PLAIN)
def group_bars(
    means: np.ndarray,
    deviations: np.ndarray,
    trajectory_groups: list[str],
    prompt_groups: list[str],
    title: str,
    label: str = "cosine similarity",
) -> Figure:
    """One panel for each trajectory group: the mean similarity with each prompt group as a bar, and
    its standard deviation as an error bar. The bar of the group's own name is coloured.

    means, deviations: [R, C]. Of more than 48 trajectory groups the first 48 are drawn, of more
    than 60 prompt groups the first 60, and the title says so.
    """
    n_all, n_bars = means.shape
    title = fold_title(title)
    if n_all > MAX_PANELS:
        means, deviations = means[:MAX_PANELS], deviations[:MAX_PANELS]
        title += f"\nthe first {MAX_PANELS} of {n_all} groups; groups.csv has all"
    if n_bars > MAX_BARS:
        means, deviations = means[:, :MAX_BARS], deviations[:, :MAX_BARS]
        prompt_groups = prompt_groups[:MAX_BARS]
        title += f"\nthe first {MAX_BARS} of {n_bars} groups of prompts; groups.csv has all"
    n_across = min(len(means), 4)
    n_down = -(-len(means) // n_across)
    height = 0.7 + 0.19 * len(prompt_groups)  # inches of one panel
    size = np.array((1.6 + 2.6 * n_across, height * n_down))
    fig = new_figure(size)
    panels = fig.subplots(n_down, n_across, sharex=True, sharey=True, squeeze=False)
    fig.subplots_adjust(top=1 - 0.3 / size[1], hspace=0.5 / height, wspace=0.08)
    text = {"fontsize": 8, "parse_math": False}
    text["fontfamily"] = font_families([title, *trajectory_groups, *prompt_groups])
    places = np.arange(len(prompt_groups))
    for ax, group, mean, deviation in zip(panels.flat, trajectory_groups, means, deviations):
        colours = [RIGHT if other == group else OTHER for other in prompt_groups]
        ax.barh(places, mean, xerr=deviation, color=colours, error_kw={"linewidth": 0.8})
        ax.set_title(fold(shorten(group, 40), 40, 1), **text)
        ax.axvline(0, color="black", linewidth=0.8)
    for ax in panels.flat[len(means) :]:
        ax.set_axis_off()
    panels[0, 0].invert_yaxis()  # of all, as they share it
    for ax in panels[:, 0]:
        ax.set_yticks(places, [fold(shorten(name, 32), 32, 1) for name in prompt_groups], **text)
    for ax in panels.flat:
        ax.tick_params(axis="y", length=0)
    for ax in panels.flat[max(len(means) - n_across, 0) : len(means)]:
        ax.tick_params(axis="x", labelsize=7, labelbottom=True)
        ax.set_xlabel(label, fontsize=8, parse_math=False)
    fig.suptitle(title, y=1, va="bottom", **(text | {"fontsize": 10}))
    return fig


def side_by_side(pictures: list[bytes]) -> bytes:
    """PNG files in one, from left to right, their lower edges on one line; scaled down where
    either side would have more than 20,000 pixels."""
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


def ink(colours: np.ndarray) -> np.ndarray:
    """Dark grey or white for a text on colours, [..., 4], by their relative luminance (WCAG)."""
    rgb = colours[..., :3]
    linear = np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.where(linear @ (0.2126, 0.7152, 0.0722) > 0.408, "0.15", "white")


def write_numbers(
    ax: Axes, numbers: list[str], colours: np.ndarray, height: float, font_size: float
) -> None:
    """A number in each cell, row by row, in its colour, [N, P], at a height between 0 and 1."""
    style = {"fontsize": font_size, "ha": "center", "va": "center", "in_layout": False}
    for (row, column), number in zip(np.ndindex(colours.shape), numbers):
        ax.text(column + 0.5, row + height, number, color=colours[row, column], **style)


def draw_borders(ax: Axes, row_groups: list | None, column_groups: list | None) -> None:
    """Lines between groups that stand beside each other."""
    for groups, line in ((row_groups, ax.axhline), (column_groups, ax.axvline)):
        for i in range(1, len(groups or ())):
            if groups[i] != groups[i - 1]:
                line(i, color="black", linewidth=2.5)


def outline_best(ax: Axes, similarities: np.ndarray) -> None:
    """Outline each row's highest cells, black with a white core to show on every colour."""
    best = np.argwhere(similarities == similarities.max(1, keepdims=True))[:, None, ::-1]
    cells = best + np.array(((0, 0), (1, 0), (1, 1), (0, 1)))
    for colour, line_width in (("black", 3), ("white", 1.2)):
        style = {"edgecolors": colour, "linewidths": line_width, "joinstyle": "miter"}
        outlines = PolyCollection(cells, facecolors="none", clip_on=False, **style)
        ax.add_collection(outlines, autolim=False)


def new_figure(size: np.ndarray) -> Figure:
    """An empty figure of (width, height) inches, of no more than MAX_PIXELS on either side."""
    fig = Figure(size, dpi=min(150, MAX_PIXELS / size.max()))
    FigureCanvasAgg(fig)
    return fig


@contextmanager
def no_word_of_glyphs():
    """Without matplotlib's warnings: a sign that no font has is a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def fold_title(title: str) -> str:
    """A title with each of its lines in two at the most."""
    return "\n".join(fold(line, 100, max_lines=2) for line in title.splitlines())


def fold(text: str, width: int, max_lines: int) -> str:
    """Text in lines of `width` narrow characters, cut with an ellipsis after `max_lines`."""
    text = "".join(char if char.isprintable() else " " for char in text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    width = max(width * len(text) // (len(text) + wide), 2) if text else width
    lines = textwrap.wrap(text, width)
    if len(lines) > max_lines:
        lines[max_lines - 1 :] = [lines[max_lines - 1][: width - 1] + "…"]
    return "\n".join(lines)


def shorten(name: str, width: int) -> str:
    """A name of at most `width` characters: what tells takes apart is often at its end."""
    return name if len(name) <= width else f"{name[: width // 3]}…{name[1 + width // 3 - width :]}"


def font_families(texts: list[str]) -> list[str]:
    """Matplotlib's own font, and one for Chinese, Japanese and Korean where a text needs it."""
    families = ["DejaVu Sans"]
    if any(unicodedata.east_asian_width(char) in "WF" for text in texts for char in text):
        import noto_cjk_sans_jp_regular

        path = str(noto_cjk_sans_jp_regular.FONT_PATH)
        font_manager.fontManager.addfont(path)
        families.append(font_manager.FontProperties(fname=path).get_name())
    return families
