"""The plot of similarities along the time of trajectories."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from trajeval.curves import Curves, group_curves
from trajeval.names import fold, short_names
from trajeval.paper import (
    COLUMN,
    OTHER,
    PAGE,
    PALETTE,
    RIGHT,
    add_key,
    dot,
    mean_interval,
    shown,
)
from trajeval.sources import Source
from trajeval.strips import N_FRAMES, read_strips
from trajeval.table import Table, groups_of, has_groups, is_right, memberships

MAX_PANELS, N_ACROSS = 24, 4
MAX_TAKES = 500  # of a panel
HEIGHT, TITLE, GAP = 0.75, 0.2, 0.1  # inches: of the curves, of a title, between panels
LEFT, BELOW, KEY, MARGIN = 0.58, 0.34, 0.16, 0.06  # inches: what is around the panels


class Panel(NamedTuple):
    """A group of trajectories, or a single one. values: float64 [n, K, C], on a common grid of
    times, of its n trajectories for C prompts or groups of prompts; right: bool [n, C], those that
    are labels; own: the one with the panel's name, or None. first: the first row."""

    name: str
    first: int
    values: np.ndarray
    right: np.ndarray
    own: int | None


def draw_curves(table: Table, curves: Curves, sources: list[Source]) -> Figure:
    """A panel for each group of trajectories: each trajectory's similarity with its own prompts as
    a thin line, their mean with its 95 % interval, the mean for each wrong group of prompts in
    grey, and frames of the first trajectory beneath. Without labels the means for the first 8
    prompts; without groups of trajectories a panel for each."""
    grid, panels, columns = panels_of(table, curves)
    sizes = np.bincount(memberships(table.rows)[2])
    n_all = len(sizes)
    strips = read_strips([sources[panel.first] for panel in panels])
    has_own = any(panel.own is not None for panel in panels)
    entries = key_of(columns, has_own)
    if n_all > len(panels):
        entries += [(f"the first {len(panels)} of {n_all} panels", {"linestyle": "none"})]
    if sizes[: len(panels)].max() > MAX_TAKES:
        entries += [(f"at most the first {MAX_TAKES} of each", {"linestyle": "none"})]
    figure, axes = new_panels(len(panels), entries)
    label = table.label.partition(", ")[0]  # of what is not rescaled, as curves are
    figure.text(0.01, 0.5, fold(label, 26, 2), rotation=90, ha="left", va="center")
    for (ax, strip), panel, frames in zip(axes, panels, strips):
        draw_panel(ax, grid, panel, has_own)
        ax.set_title(shown(panel.name, 22 if len(panels) > 1 else 50))
        draw_strip(strip, frames)
    share_values([ax for ax, _ in axes], panels, has_own)
    return figure


def panels_of(table: Table, curves: Curves) -> tuple[np.ndarray, list[Panel], list[str]]:
    """The times that all curves are put on, as shares of the trajectory, [K]; the first panels, of
    the first trajectories of each; the names of the columns."""
    # The frames of a part are numbered from the file's beginning, its times from its own.
    places = np.where(np.isnan(curves.times), curves.frames, curves.times)
    shares = places / np.where(places[:, -1:] > 0, places[:, -1:], 1)  # [N, K]
    grid = np.linspace(shares[:, 0].max(), 1, shares.shape[1])
    groups, members, of_groups = memberships(table.rows)
    groups = groups[:MAX_PANELS]
    names = [group.name for group in groups]
    if not has_groups(table.rows):
        names = short_names(names)
    columns = groups_of(table.columns)[0]
    numbers = {column.name: j for j, column in enumerate(columns) if column.groups}
    panels = []
    for i, (group, name) in enumerate(zip(groups, names)):
        rows = members[of_groups == i][:MAX_TAKES]
        values = group_curves(table, curves.values[rows])[1]
        on_grid = [
            np.stack([np.interp(grid, share, line) for line in lines.T], axis=1)
            for share, lines in zip(shares[rows], values)
        ]
        right = is_right([table.rows[row] for row in rows], columns)
        own = numbers.get(group.name) if group.groups else None
        panels.append(Panel(name, rows[0], np.stack(on_grid), right, own))
    return grid, panels, [column.name for column in columns]


def draw_panel(ax: Axes, grid: np.ndarray, panel: Panel, has_own: bool) -> None:
    if not has_own:
        for j, colour in zip(range(panel.values.shape[2]), PALETTE):
            draw_mean(ax, grid, panel.values[:, :, j], colour, 0.12)
        return
    wrong = wrong_means(panel)
    ax.add_collection(
        LineCollection([np.c_[grid, line] for line in wrong], colors=OTHER, linewidths=0.5)
    )
    if panel.own is not None:
        takes = panel.values[:, :, panel.own]
        lines = [np.c_[grid, line] for line in takes]
        faint = min(0.6, 8 / len(lines))
        ax.add_collection(LineCollection(lines, colors=RIGHT, linewidths=0.5, alpha=faint))
        draw_mean(ax, grid, takes, RIGHT, 0.2)


def wrong_means(panel: Panel) -> np.ndarray:
    """The mean curves for what is no label, over the trajectories for which it is none. [W, K]"""
    weights = (~panel.right).astype(float)  # [n, C]
    weights /= np.maximum(weights.sum(0), 1)
    means = np.einsum("nkc,nc->ck", panel.values, weights)
    return means[~panel.right.all(0)]


def draw_mean(ax: Axes, grid: np.ndarray, takes: np.ndarray, colour: str, alpha: float) -> None:
    """The mean of takes, [n, K], with its interval as a band."""
    long = pd.DataFrame({"time": np.tile(grid, len(takes)), "value": takes.ravel()})
    sns.lineplot(
        long,
        x="time",
        y="value",
        errorbar=mean_interval,
        color=colour,
        linewidth=1.4,
        err_kws={"alpha": alpha, "linewidth": 0},
        ax=ax,
        legend=False,
    )


def draw_strip(ax: Axes, frames: np.ndarray | None) -> None:
    ax.set(xlim=(0, 1), ylim=(0, 1), yticks=[])
    ax.spines[:].set_visible(False)
    if frames is None:
        ax.text(0.5, 0.5, "no frames: unreadable", ha="center", va="center", color="0.4")
    else:
        ax.imshow(frames, extent=(0, 1, 0, 1), aspect="auto")


def new_panels(n: int, key: list[tuple[str, dict]]) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """A figure with n panels: for each the axes of the curves and those of the frames beneath."""
    n_down = -(-n // N_ACROSS)
    n_across = -(-n // n_down)
    page = COLUMN if n <= 2 else PAGE
    width = (page - LEFT - MARGIN - GAP * (n_across - 1)) / n_across
    strip = width / N_FRAMES
    down = TITLE + HEIGHT + strip + GAP / 2
    keys_across = 3 if page == PAGE else 1
    above = MARGIN + KEY * -(-len(key) // keys_across)
    total = above + n_down * down + BELOW
    figure = Figure((page, total))
    add_key(figure, key, keys_across, (0.5, 1 - MARGIN / 2 / total))
    figure.text(0.5, 0.03 / total, "share of the trajectory (%)", ha="center", va="bottom")
    scale = np.array((page, total, page, total))
    axes = []
    for i in range(n):
        left = LEFT + i % n_across * (width + GAP)
        bottom = total - above - i // n_across * down - TITLE - HEIGHT
        boxes = (left, bottom, width, HEIGHT), (left, bottom - strip - 0.02, width, strip)
        ax, below = (figure.add_axes(np.array(box) / scale) for box in boxes)
        ax.set(xlim=(0, 1), xticks=[])
        below.set_xticks([0, 0.5, 1], ["0", "50", "100"])
        below.tick_params(axis="x", length=0, labelbottom=i + n_across >= n)
        for label, place in zip(below.get_xticklabels(), ("left", "center", "right")):
            label.set_horizontalalignment(place)
        ax.tick_params(axis="y", labelleft=i % n_across == 0)
        axes.append((ax, below))
    return figure, axes


def share_values(axes: list[Axes], panels: list[Panel], has_own: bool) -> None:
    """The same limits for all panels: those of the trajectories, which very wide intervals of few
    of them exceed."""
    shown_values = [panel.values[:, :, : None if has_own else len(PALETTE)] for panel in panels]
    low = min(float(np.nanmin(values)) for values in shown_values)
    high = max(float(np.nanmax(values)) for values in shown_values)
    margin = (high - low) * 0.05 or 0.5
    for ax in axes:
        ax.set(xlabel="", ylabel="", ylim=(low - margin, high + margin))
        ax.locator_params(axis="y", nbins=4)


def key_of(columns: list[str], has_own: bool) -> list[tuple[str, dict]]:
    if has_own:
        line = {"linestyle": "-", "linewidth": 1.4}
        return [
            ("own prompts: each, mean, 95 % interval", line | {"color": RIGHT}),
            ("other prompts", {"color": OTHER, "linewidth": 0.6}),
        ]
    found = [(shown(name, 30), dot(of, "s", 5)) for name, of in zip(columns, PALETTE)]
    if len(columns) > len(PALETTE):
        found += [(f"the first {len(PALETTE)} of {len(columns)} prompts", {"linestyle": "none"})]
    return found
