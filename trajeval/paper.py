"""What plots for papers have in common: their sizes, letters and colours, and their files."""

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.lines import Line2D

from trajeval.figures import PLAIN
from trajeval.names import fold, font_families
from trajeval.terminal import printable

COLUMN, PAGE, TALLEST = 3.3, 7.0, 9.0  # inches: the width of a column, of both; the height
POINTS, SMALLEST = 8, 5  # of letters; of those of names where there are many
PITCH = 0.15  # inches from one name to the next
LETTER = 0.062  # inches: the width of a letter of 8 points, on average
RIGHT, WRONG, OTHER = "#d55e00", "#0072b2", "#8a929a"
# Okabe and Ito, "Color Universal Design" (2008): colours that everybody tells apart.
PALETTE = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"),
    "#8a929a",
)
STYLE: dict[Any, Any] = PLAIN | {
    "font.size": POINTS,
    "axes.titlesize": POINTS,
    "axes.labelsize": POINTS,
    "xtick.labelsize": POINTS,
    "ytick.labelsize": POINTS,
    "legend.fontsize": POINTS,
    "figure.labelsize": POINTS,
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "legend.columnspacing": 1.2,
    "legend.borderpad": 0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlepad": 3,
    "axes.labelpad": 3,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "lines.linewidth": 1,
    "text.parse_math": False,  # a $ is a $
    "savefig.dpi": 300,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.constrained_layout.h_pad": 0.03,
    "svg.fonttype": "none",  # letters stay letters
    "svg.hashsalt": "plots",  # the same file every time
}
DATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}


def style(texts: Iterable[str]) -> dict[Any, Any]:
    """The settings of matplotlib for plots with these names."""
    names = list(texts)
    families = font_families(names)
    letters = get_font(findfont(families[0])).get_charmap()
    # matplotlib puts OpenType fonts, which have the others, wrongly into a pdf but as Type 3
    has_all = all(ord(letter) in letters for name in names for letter in name)
    return STYLE | {"font.family": families, "pdf.fonttype": 42 if has_all else 3}


def new_page(width: float, height: float) -> Figure:
    """A figure of inches, whose parts are moved until nothing overlaps when it is drawn."""
    figure = Figure((width, min(height, TALLEST)), layout="constrained")
    FigureCanvasAgg(figure)  # becomes its canvas
    return figure


def as_file(figure: Figure, ending: str) -> bytes:
    """A figure as a png, pdf or svg file, of exactly its size; the same bytes every time."""
    file = io.BytesIO()
    figure.savefig(file, format=ending, metadata=DATED.get(ending))
    return file.getvalue()


def shown(name: str, width: int = 24) -> str:
    """A name on one line, cut in its middle where it is long."""
    return printable(fold(printable(name, 200), 10**9, 1), width)


def length_of(names: Iterable[str], points: float = POINTS) -> float:
    """About how long the longest of some names is, in inches."""
    return max(map(len, names), default=0) * LETTER * points / POINTS


def points_for(pitch: float) -> float | None:
    """How large letters may be on lines that are so many inches apart; None if too small to be
    read."""
    points = min(POINTS, pitch * 72 * POINTS / (PITCH * 72 - 1.2))
    return points if points >= SMALLEST else None


def name_rows(ax: Axes, names: list[str], height: float) -> None:
    """The names of rows, the first at the top, where they fit into a height in inches."""
    points = points_for(height / len(names))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    if points is None:
        ax.set_yticks([])
    else:
        ax.set_yticks(range(len(names)), [shown(name) for name in names], fontsize=points)


def add_key(
    figure: Figure,
    entries: list[tuple[str, dict]],
    n_across: int,
    at: tuple[float, float] | None = None,
) -> None:
    """What the marks mean, above the axes or at a place in the figure: pairs of a text and the
    properties of a Line2D."""
    handles = [Line2D([], [], **kinds) for _, kinds in entries]
    place: dict[str, Any] = {"loc": "outside upper center"}
    if at is not None:
        place = {"loc": "upper center", "bbox_to_anchor": at, "borderaxespad": 0}
    key = figure.legend(handles, "x" * len(handles), ncols=n_across, **place)
    for text, (label, _) in zip(key.get_texts(), entries):
        text.set_text(label)  # matplotlib leaves out labels that begin with _


def dot(colour: str, marker: str = "o", size: float = 4, line: str = "none") -> dict[str, Any]:
    """Properties of a mark."""
    return {
        "color": colour,
        "marker": marker,
        "markersize": size,
        "linestyle": line,
        "markeredgewidth": 0,
    }


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a mean of independent values (Student's t), NaN of a single one."""
    mean = np.mean(values)
    low, high = mean_limits(mean, np.sum((values - mean) ** 2), np.array(len(values)))
    return float(low), float(high)


def mean_limits(means: np.ndarray, squares: np.ndarray, counts: np.ndarray):
    """The ends of the same intervals, from the means, the sums of squares around these, and how
    many values each is of."""
    from scipy.stats import t

    several = np.where(counts > 1, counts, np.nan)
    far = t.ppf(0.975, several - 1) * np.sqrt(squares / (several - 1) / several)
    return means - far, means + far
