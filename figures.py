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

MAX_ROWS = 400  # more do not make a picture
MAX_NUMBERED = (60, 30)  # rows, columns: above these the cells hold no numbers
MAX_PIXELS = 20_000  # of either side of the picture
COLOURS = "viridis"  # sequential, safe for colour-blind readers


@style.context("default")  # whatever the user's matplotlibrc says
def heatmap(
    similarities: np.ndarray, trajectories: list[str], prompts: list[str], title: str
) -> Figure:
    """A heatmap of cosine similarities, trajectories down, prompts across.

    similarities: [N, P], finite. The best prompt of each row is outlined, equals all of them.
    Above 60 rows or 30 columns the cells hold no numbers; above 400 rows only the 400 rows with
    the highest maximum are drawn, in their order, and the title says so.
    """
    n_all = len(similarities)
    title = "\n".join(fold(line, 100, max_lines=2) for line in title.splitlines())
    if n_all > MAX_ROWS:
        strongest = np.sort(np.argsort(-similarities.max(1), kind="stable")[:MAX_ROWS])
        similarities = similarities[strongest]
        trajectories = [trajectories[i] for i in strongest]
        title += (
            f"\nthe {MAX_ROWS} of {n_all} trajectories with the strongest similarities; "
            "similarities.csv has all"
        )
    n_rows, n_columns = similarities.shape
    numbered = n_rows <= MAX_NUMBERED[0] and n_columns <= MAX_NUMBERED[1]
    cell_width, cell_height = (0.95, 0.42) if numbered else (0.22, 0.16)  # inches
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
        cbar_kws={"label": "cosine similarity"},
        cmap=COLOURS,
        vmin=low,
        vmax=high if high > low else low + 1e-3,
        annot=numbered,
        fmt=".3f",
        annot_kws={"size": font_size},
        linewidths=0.5 if numbered else 0,
        xticklabels=False,
        yticklabels=False,
    )
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
    ax.set_xlabel("outlined: the best prompt of each trajectory", fontsize=font_size)
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
