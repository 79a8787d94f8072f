"""Pure functions of arrays to figures."""

import io
import textwrap
import unicodedata
import warnings

import noto_cjk_sans_jp_regular
import numpy as np
import seaborn
from matplotlib import font_manager, patheffects, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

MAX_ROWS = 400  # more do not make a picture
MAX_NUMBERED = (60, 30)  # rows, columns: above these the cells hold no numbers
MAX_PIXELS = 20_000  # of either side of the picture
MAX_PANELS, MAX_BARS = 48, 60  # trajectory groups, prompt groups in each
COLOURS = "viridis"  # sequential, safe for colour-blind readers
RIGHT, OTHER = "#d55e00", "#9aa5b1"  # bars: the group's own name, any other


@style.context("default")  # whatever the user's matplotlibrc says
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
    title = "\n".join(fold(line, 100, max_lines=2) for line in title.splitlines())
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
    fig = Figure(size, dpi=min(150, MAX_PIXELS / size.max()))
    FigureCanvasAgg(fig)
    ax = fig.add_axes((0, 0, width / size[0], 1))
    bar_height = min(1, 6 / height)
    bar = fig.add_axes((1 - 0.95 / size[0], 1 - bar_height, 0.18 / size[0], bar_height))
    low, high = float(similarities.min()), float(similarities.max())
    seaborn.heatmap(
        similarities,
        ax=ax,
        cbar_ax=bar,
        cbar_kws={"label": label},
        cmap=COLOURS,
        vmin=low,
        vmax=high if high > low else low + 1e-3,
        annot=numbered,
        fmt=number_format,
        annot_kws={"size": font_size},
        linewidths=0.5 if numbered else 0,
        xticklabels=False,
        yticklabels=False,
    )
    if deviations is not None and numbered:
        write_beneath(ax, deviations, font_size - 2)
        note += "; beneath: the standard deviation"
    draw_borders(ax, row_groups, column_groups)
    outline_best(ax, similarities)

    text = {"fontsize": font_size, "fontfamily": font_families([title, *trajectories, *prompts])}
    text["parse_math"] = False  # a $ is a $
    lines = 2 if numbered else 1
    rows = [fold(shorten(name, 40 * lines), 40, lines) for name in trajectories]
    ax.set_yticks(np.arange(n_rows) + 0.5, rows, rotation=0, **text)
    ax.xaxis.tick_top()
    if numbered:
        columns = [fold(prompt, 14, max_lines=14) for prompt in prompts]
        ax.set_xticks(np.arange(n_columns) + 0.5, columns, **text)
    else:
        columns = [fold(prompt, 60, max_lines=1) for prompt in prompts]
        ax.set_xticks(np.arange(n_columns) + 0.5, columns, rotation=90, **text)
    ax.tick_params(length=0)
    ax.set_title(title, pad=12, **(text | {"fontsize": 10}))
    ax.set_xlabel(note, fontsize=font_size)
    bar.yaxis.label.set_parse_math(False)
    bar.tick_params(labelsize=font_size)
    return fig


@style.context("default")
def as_png(figure: Figure) -> bytes:
    """The picture of a figure, with all that stands around its axes, as a PNG file."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a sign that no font has is a box
        figure.savefig(file, format="png", bbox_inches="tight", pad_inches=0.2)
    return file.getvalue()


@style.context("default")
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
    title = "\n".join(fold(line, 100, max_lines=2) for line in title.splitlines())
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
    fig = Figure(size, dpi=min(150, MAX_PIXELS / size.max()))
    FigureCanvasAgg(fig)
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


def write_beneath(ax: Axes, deviations: np.ndarray, font_size: float) -> None:
    """Standard deviations under the numbers that seaborn wrote, in their colour."""
    for number, deviation in zip(list(ax.texts), deviations.flat):
        x, y = number.get_position()
        number.set_position((x, y - 0.14))
        style = {"color": number.get_color(), "fontsize": font_size, "ha": "center", "va": "center"}
        ax.text(x, y + 0.22, f"±{deviation:.3f}", **style)


def draw_borders(ax: Axes, row_groups: list | None, column_groups: list | None) -> None:
    """Lines between groups that stand beside each other."""
    for groups, line in ((row_groups, ax.axhline), (column_groups, ax.axvline)):
        for i in range(1, len(groups or ())):
            if groups[i] != groups[i - 1]:
                line(i, color="black", linewidth=2.5)


def outline_best(ax: Axes, similarities: np.ndarray) -> None:
    """Outline each row's highest cells, black with a white core to show on every colour."""
    core = [patheffects.Stroke(linewidth=3, foreground="black"), patheffects.Normal()]
    best = similarities == similarities.max(1, keepdims=True)
    for row, column in np.argwhere(best):
        cell = Rectangle((column, row), 1, 1, fill=False, edgecolor="white", linewidth=1.2)
        cell.set_path_effects(core)
        cell.set_clip_on(False)
        ax.add_patch(cell)


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
        path = str(noto_cjk_sans_jp_regular.FONT_PATH)
        font_manager.fontManager.addfont(path)
        families.append(font_manager.FontProperties(fname=path).get_name())
    return families
