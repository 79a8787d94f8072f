"""Plots with a line for each group: similarities with their intervals, distributions, AUC."""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
    mean_interval,
    name_rows,
    new_page,
    shown,
)
from trajeval.table import Table, group_scores, groups_of, is_right, memberships

BINS = 30
ROW = 0.18  # inches
MARKS = "oDs^vP*X"  # one for each colour of the palette
POINT: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 0, "legend": False}


def draw_groups(table: Table) -> Figure:
    """For each group of trajectories the mean similarity with its own prompts and with the wrong
    prompts that come closest, each with its 95 % interval, and with every other group of prompts.
    Without labels, with each of the first 8 prompts or groups of prompts."""
    names, long = long_scores(table)
    columns = [column.name for column in groups_of(table.columns)[0]]
    has_own = long.own.any()
    n = 2 if has_own else min(len(columns), len(PALETTE))  # of marks in a row
    figure, ax, height = rows_page(names, 0.95 if has_own else 0.6 + ROW * n, max(1, n * 0.4))
    if has_own:
        chosen, rest = own_and_closest(long)
        draw_points(ax, chosen, "own", [True, False], [RIGHT, WRONG], "oD")
        sns.scatterplot(rest, x="score", y="group", s=7, color=OTHER, linewidth=0, ax=ax)
        key = [("own prompts", dot(RIGHT))]
        key += [("closest wrong", dot(WRONG, "D", 3.5))] * (not long.own.all())
        key += [("others", dot(OTHER, size=2.7))] * (len(rest) > 0)
        n_across = 3
    else:
        draw_points(ax, long[long.column < n], "column", range(len(columns))[:n], PALETTE, MARKS)
        key = [(shown(column, 40), dot(*of)) for column, of in zip(columns, zip(PALETTE, MARKS))]
        if len(columns) > n:
            key += [(f"the first {n} of {len(columns)}; groups.csv has all", {"linestyle": "none"})]
        n_across = 1
    add_key(figure, key, n_across)
    finish(ax, names, height, table.label)
    return figure


def long_scores(table: Table) -> tuple[list[str], pd.DataFrame]:
    """The groups of trajectories, and a line for each trajectory of a group with each group of
    prompts: their numbers, the score, whether the prompts are the group's own. Scores with another
    label of the trajectory are left out."""
    groups, members, of_groups = memberships(table.rows)
    columns = groups_of(table.columns)[0]
    right = is_right(table.rows, columns)[members].ravel()  # [M * C]
    own = is_right(groups, columns)[of_groups].ravel()
    long = pd.DataFrame(
        {
            "group": np.repeat(of_groups, len(columns)),
            "column": np.tile(np.arange(len(columns)), len(members)),
            "score": group_scores(table)[members].ravel(),
            "own": own,
        }
    )
    return [group.name for group in groups], long[own | ~right]


def own_and_closest(long: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The scores with each group's own prompts and with the wrong ones of the highest mean; and the
    means of the rest."""
    means = long[~long.own].groupby(["group", "column"]).score.mean()
    closest = means.groupby("group").idxmax()
    pairs = pd.MultiIndex.from_frame(long[["group", "column"]])
    rest = means.drop(closest).reset_index()
    return long[long.own | pairs.isin(closest)], rest


def draw_points(ax: Axes, long: pd.DataFrame, hue: str, kinds, colours, marks: str) -> None:
    """The means of each group, with intervals: a mark of each kind."""
    n = len(kinds)
    sns.pointplot(
        long,
        x="score",
        y="group",
        hue=hue,
        hue_order=list(kinds),
        order=range(long.group.max() + 1),
        orient="h",
        errorbar=mean_interval,
        err_kws={"linewidth": 1},
        palette=list(colours[:n]),
        markers=list(marks[:n]),
        markersize=3.5,
        dodge=0.6 * (n - 1) / n if n > 1 else False,
        ax=ax,
        **POINT,
    )


def rows_page(names: list[str], more: float, high: float = 1) -> tuple[Figure, Axes, float]:
    """A figure with a row for each name, so many times as high as a name, and so many inches more;
    the height of the rows."""
    height = min(ROW * high * len(names), TALLEST - more)
    figure = new_page(COLUMN, height + more)
    return figure, figure.add_subplot(), height


def finish(ax: Axes, names: list[str], height: float, label: str) -> None:
    """The names of the rows, which are so high together, lines to follow them, and what the values
    are."""
    name_rows(ax, names, height)
    ax.set_axisbelow(True)
    ax.grid(axis="y", color="0.93", linewidth=0.6)
    ax.locator_params(axis="x", nbins=5, min_n_ticks=3)
    ax.set(xlabel=fold(label, 30, 4), ylabel="")


def draw_distributions(table: Table) -> Figure:
    """Similarities of trajectories with their own prompts against those with others: of all, and
    for each group of prompts, whose AUC says how far the two are apart."""
    columns = groups_of(table.columns)[0]
    right = is_right(table.rows, columns)
    labelled = right.any(1)
    right, scores = right[labelled], group_scores(table)[labelled]
    order = [group for group, _ in order_of(table)]
    height = min(ROW * len(order), TALLEST - 2.1)
    figure = new_page(COLUMN, height + 2.1)
    above, ax = figure.subplots(2, 1, sharex=True, height_ratios=(1, max(height, 0.4)))
    edges = np.linspace(scores.min(), scores.max(), BINS + 1)
    if edges[0] == edges[-1]:
        edges = edges[0] + np.linspace(-0.5, 0.5, BINS + 1)
    for values, colour in ((scores[~right], OTHER), (scores[right], RIGHT)):
        sns.histplot(
            values,
            bins=edges,
            stat="percent",
            color=colour,
            alpha=0.6,
            linewidth=0,
            ax=above,
        )
    above.set(ylabel="share (%)")
    of_rows = [(scores[~right[:, j], j], scores[right[:, j], j]) for j in order]
    draw_boxes(ax, of_rows)
    add_key(
        figure,
        [("right prompts", dot(RIGHT)), ("wrong prompts", dot(OTHER, "s", 6))],
        2,
    )
    finish(ax, [columns[j].name for j in order], height, table.label)
    return figure


def order_of(table: Table) -> list[tuple[int, str]]:
    """The groups of prompts that have trajectories, in the order of these: number and name."""
    numbers = {column.name: j for j, column in enumerate(groups_of(table.columns)[0])}
    groups = memberships(table.rows)[0]
    return [(numbers[group.name], group.name) for group in groups if group.name in numbers]


def draw_boxes(ax: Axes, of_rows: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """For each row a box of its wrong values, to the lowest and the highest, and a dot for each
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
    areas = [(name, found[name]) for _, name in order_of(table)]
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
        estimator="median",
        errorbar=("pi", 100),
        err_kws={"linewidth": 1},
        color=RIGHT,
        markersize=4,
        ax=ax,
        **POINT,
    )
    ax.axvline(0.5, color="0.4", linewidth=0.8, linestyle=(0, (4, 2)), zorder=0)
    ax.axhline(len(names) - 1.5, color="0.4", linewidth=0.6)
    finish(ax, names, height, "AUC (dashed: chance)")
    ax.set_xlim(min(0.4, long.auc.min() - 0.03), 1.02)
    return figure
