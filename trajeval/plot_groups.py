"""Plots with a line for each group: similarities with their intervals, distributions, AUC."""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajeval.excerpt import described, excerpt
from trajeval.names import fold
from trajeval.paper import (
    COLUMN,
    OTHER,
    PALETTE,
    RIGHT,
    TALLEST,
    WRONG,
    add_key,
    dot,
    name_rows,
    new_page,
    shown,
)
from trajeval.plot_data import Means, distributions_of, means_of
from trajeval.table import Table, grouped, groups_of, has_groups, memberships

BINS = 30
ROW = 0.18  # inches
MARKS = "oDs^vP*X"  # one for each colour of the palette
POINT: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 0, "legend": False}
INTERVAL: dict[str, Any] = {
    "estimator": "median",
    "errorbar": ("pi", 100),
    "err_kws": {"linewidth": 1},
}
MAX_GROUPS = 200  # more cannot be told apart
MAX_DOTS = 200  # of the right trajectories of a prompt; more hide each other
MAX_VECTOR = 20_000  # dots; more are drawn as an image, also in a pdf or svg


def draw_groups(table: Table) -> Figure:
    """For each group of trajectories the mean similarity with its own prompts and with the wrong
    prompts that come closest, each with its 95 % interval, and with every other group of prompts.
    Without labels, with each of the first 8 prompts or groups of prompts. Of many groups the
    strongest and the worst."""
    names, part = shown_groups(table)
    columns = [column.name for column in groups_of(table.columns)[0]]
    found = means_of(table, names)
    has_own = found.own.any()
    n = 2 if has_own else min(len(columns), len(PALETTE))  # of marks in a row
    above = 0.95 if has_own else 0.6 + ROW * n
    figure, ax, height = rows_page(names, above, max(1, n * 0.4))
    if has_own:
        wrong = np.where(found.own, np.nan, found.means)
        has_wrong = np.flatnonzero((~np.isnan(wrong)).any(1))
        closest = np.zeros_like(found.own)
        closest[has_wrong, np.nanargmax(wrong[has_wrong], 1)] = True
        draw_points(ax, found, [found.own, closest], [RIGHT, WRONG], "oD")
        rest = np.argwhere(~found.own & ~closest & ~np.isnan(found.means))
        dots = pd.DataFrame({"group": rest[:, 0], "score": found.means[tuple(rest.T)]})
        many: dict[str, Any] = {"rasterized": True} if len(dots) > MAX_VECTOR else {}
        sns.scatterplot(dots, x="score", y="group", s=7, color=OTHER, linewidth=0, ax=ax, **many)
        key = [("own prompts", dot(RIGHT))]
        key += [("closest wrong", dot(WRONG, "D", 3.5))] * bool(closest.any())
        key += [("others", dot(OTHER, size=2.7))] * (len(rest) > 0)
        n_across = 3
    else:
        kinds = [np.arange(len(columns)) == j for j in range(n)]
        draw_points(ax, found, [np.broadcast_to(k, found.own.shape) for k in kinds], PALETTE, MARKS)
        key = [(shown(column, 40), dot(*of)) for column, of in zip(columns, zip(PALETTE, MARKS))]
        if len(columns) > n:
            key += [(f"the first {n} of {len(columns)}; groups.csv has all", {"linestyle": "none"})]
        n_across = 1
    add_key(figure, key, n_across)
    finish(ax, names, height, table.label, part)
    return figure


def shown_groups(table: Table) -> tuple[list[str], str]:
    """The groups of trajectories, of many the strongest and the worst; then what they are."""
    names = [group.name for group in memberships(table.rows)[0]]
    if len(names) <= MAX_GROUPS or not has_groups(table.rows):
        return names, ""
    means = grouped(table).table
    chosen = excerpt(means, MAX_GROUPS)
    return [names[i] for i in chosen], described(means, MAX_GROUPS, "groups")


def draw_points(ax: Axes, found: Means, kinds: list[np.ndarray], colours, marks: str) -> None:
    """The means of each group, with intervals: a mark of each kind, bool [R, C]."""
    n = len(kinds)
    # seaborn draws the median and the extremes of these three: the mean and its interval
    points = [
        (group, kind, score)
        for kind, chosen in enumerate(kinds)
        for group, column in np.argwhere(chosen & ~np.isnan(found.means))
        for score in found.interval(group, column)
    ]
    long = pd.DataFrame(points, columns=["group", "kind", "score"])
    sns.pointplot(
        long,
        x="score",
        y="group",
        hue="kind",
        hue_order=range(n),
        order=range(len(found.means)),
        orient="h",
        palette=list(colours[:n]),
        markers=list(marks[:n]),
        markersize=3.5,
        dodge=0.6 * (n - 1) / n if n > 1 else False,
        ax=ax,
        **INTERVAL,
        **POINT,
    )


def rows_page(names: list[str], more: float, high: float = 1) -> tuple[Figure, Axes, float]:
    """A figure with a row for each name, so many times as high as a name, and so many inches more;
    the height of the rows."""
    height = min(ROW * high * len(names), TALLEST - more)
    figure = new_page(COLUMN, height + more)
    return figure, figure.add_subplot(), height


def finish(ax: Axes, names: list[str], height: float, label: str, part: str) -> None:
    """The names of the rows, which are so high together, lines to follow them, what the values are,
    and which part of all rows these are."""
    name_rows(ax, names, height)
    ax.set_axisbelow(True)
    ax.grid(axis="y", color="0.93", linewidth=0.6)
    ax.locator_params(axis="x", nbins=5, min_n_ticks=3)
    ax.set(xlabel=fold(label, 30, 4), ylabel=fold(part, 60, 2))


def draw_distributions(table: Table) -> Figure:
    """Similarities of trajectories with their own prompts against those with others: of all, and
    for each group of prompts, whose AUC says how far the two are apart."""
    columns = groups_of(table.columns)[0]
    order, part = order_of(table)
    found = distributions_of(table, BINS, MAX_DOTS)
    height = min(ROW * len(order), TALLEST - 2.1)
    figure = new_page(COLUMN, height + 2.1)
    above, ax = figure.subplots(2, 1, sharex=True, height_ratios=(1, max(height, 0.4)))
    for counts, colour in ((found.wrong_counts, OTHER), (found.right_counts, RIGHT)):
        if counts.any():
            middles = (found.edges[1:] + found.edges[:-1]) / 2
            sns.histplot(
                pd.DataFrame({"score": middles, "count": counts}),
                x="score",
                weights="count",
                bins=found.edges.tolist(),
                stat="percent",
                color=colour,
                alpha=0.6,
                linewidth=0,
                ax=above,
            )
    above.set(ylabel="share (%)")
    draw_boxes(ax, [(found.wrong[j], found.right[j]) for j in order])
    add_key(
        figure,
        [("right prompts", dot(RIGHT)), ("wrong prompts", dot(OTHER, "s", 6))],
        2,
    )
    finish(ax, [columns[j].name for j in order], height, table.label, part)
    return figure


def order_of(table: Table) -> tuple[list[int], str]:
    """The groups of prompts that have trajectories, in the order of these, of many the strongest
    and the worst; then what they are."""
    numbers = {column.name: j for j, column in enumerate(groups_of(table.columns)[0])}
    names, part = shown_groups(table)
    return [numbers[name] for name in names if name in numbers], part


def draw_boxes(ax: Axes, of_rows: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """For each row a box of its wrong values, by their quartiles and extremes, and a dot for each
    right one."""
    wrong, right = (
        pd.DataFrame(
            {"row": np.repeat(range(len(of_rows)), [len(x) for x in each]), "x": np.hstack(each)}
        )
        for each in zip(*of_rows)
    )
    line = {"color": "0.4", "linewidth": 0.7}
    kinds: dict[str, Any] = {"order": range(len(of_rows)), "orient": "h", "ax": ax}
    sns.boxplot(
        wrong,
        x="x",
        y="row",
        whis=(0, 100),
        width=0.6,
        color="0.85",
        boxprops={"edgecolor": "0.4", "linewidth": 0.7},
        **{f"{part}props": line for part in ("whisker", "cap", "median")},
        **kinds,
    )
    sns.stripplot(
        right, x="x", y="row", jitter=False, size=3.2, color=RIGHT, alpha=0.75, zorder=3, **kinds
    )


def draw_areas(verdict: dict, table: Table) -> Figure | None:
    """The AUC of each behaviour and their mean, with 95 % intervals, and chance; None if every
    trajectory has every label."""
    found = {behaviour["name"]: behaviour["auc"] for behaviour in verdict["behaviours"]}
    order, part = order_of(table)
    columns = groups_of(table.columns)[0]
    areas = [(columns[j].name, found[columns[j].name]) for j in order]
    if not any(area for _, area in areas):
        return None
    areas.append(("mean", verdict["metrics"]["mean_auc"]))
    names = [name for name, _ in areas]
    figure, ax, height = rows_page(names, 0.55)
    # seaborn draws the median and the extremes of these three: the value and its interval
    long = pd.DataFrame(
        [
            (row, area[key])
            for row, (_, area) in enumerate(areas)
            if area
            for key in ("low", "value", "high")
        ],
        columns=["row", "auc"],
    )
    sns.pointplot(
        long,
        x="auc",
        y="row",
        order=range(len(names)),
        orient="h",
        color=RIGHT,
        markersize=4,
        ax=ax,
        **INTERVAL,
        **POINT,
    )
    ax.axvline(0.5, color="0.4", linewidth=0.8, linestyle=(0, (4, 2)), zorder=0)
    ax.axhline(len(names) - 1.5, color="0.4", linewidth=0.6)
    finish(ax, names, height, "AUC (dashed: chance)", part)
    ax.set_xlim(min(0.4, long.auc.min() - 0.03), 1.02)
    return figure
