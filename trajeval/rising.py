"""Do the curves rise as the task gets done? Value-order correlations in metrics.json, in lines for
the terminal, and the files of the curves."""

from collections.abc import Iterator
from heapq import nsmallest
from itertools import chain
from typing import NamedTuple

import numpy as np

from trajeval import means
from trajeval.curves import (
    Curves,
    best_times,
    correlations,
    group_curves,
    normalised,
    points_of,
)
from trajeval.results import write_csv
from trajeval.streams import Content, npz
from trajeval.table import LOWEST, Table, groups_of, has_groups, is_right, row_blocks
from trajeval.terminal import plural, printable

WIDTH = 40  # of a name in the terminal's table


class Order(NamedTuple):
    """names: of the G prompt groups. vocs: float64 [N, G], the value-order correlation of each
    trajectory's curve for each of them, NaN where undefined; times: float64 [N, G], when the curve
    is highest, NaN where unknown. right: bool [N, G], which are the trajectory's labels."""

    names: list[str]
    vocs: np.ndarray
    times: np.ndarray
    right: np.ndarray

    @property
    def counted(self) -> np.ndarray:
        """The correlations, an undefined one as 0."""
        return np.nan_to_num(self.vocs)


def order_of(table: Table, curves: Curves) -> Order:
    groups, _ = groups_of(table.columns)
    vocs, times = np.empty((2, len(table.rows), len(groups)))
    for rows in row_blocks(len(table.rows), curves.values[0].size):
        _, values = group_curves(table, curves.values[rows])
        vocs[rows] = correlations(curves.frames[rows], values)
        times[rows] = best_times(curves.times[rows], values)
    return Order([g.name for g in groups], vocs, times, is_right(table.rows, groups))


def judge(table: Table, curves: Curves) -> dict | None:
    """The block `curves` of metrics.json, or None if no trajectory has the name of a prompt group.

    groups: for each behaviour the mean value-order correlation of its trajectories for its own
    prompts (`right`), for those of the wrong group with the highest mean (`best_wrong`, of the
    group `best_wrong_group`; None if there is no wrong one), and the first less the second, over
    the same trajectories; `undefined` of `count` curves are constant, or of one frame, and count as
    0. mean: of the groups that have the value. trajectories: one for each label of each trajectory,
    where an undefined correlation is None; of a large table the LOWEST, lowest first, and
    `n_trajectories` of all.
    """
    order = order_of(table, curves)
    if not order.right.any() or not has_groups(table.columns):
        return None
    groups, behind, entries = [], [], []
    for group in np.flatnonzero(order.right.any(0)):
        found, values, best = of_behaviour(order, group)
        groups.append(found)
        behind.append(values)
        entries.append(of_trajectories(table, order, group, best))
    found = {
        "how": curves.how,
        "points": curves.frames.shape[1],
        "groups": groups,
        "mean": over_behaviours(groups, behind),
    }
    trajectories = chain.from_iterable(entries)
    if not table.is_large:
        return found | {"trajectories": list(trajectories)}
    lowest = nsmallest(LOWEST, trajectories, key=lambda entry: entry["right"] or 0)
    return found | {"trajectories": lowest, "n_trajectories": int(order.right.sum())}


def of_behaviour(order: Order, group: int) -> tuple[dict, dict[str, np.ndarray], int | None]:
    """An entry of `groups`, the values behind each of its means, and its best wrong group."""
    rows = np.flatnonzero(order.right[:, group])
    own, best = order.counted[rows, group], best_wrong(order, rows)
    found = {
        "name": order.names[group],
        "count": len(rows),
        "undefined": int(np.isnan(order.vocs[rows, group]).sum()),
        "right": means.mean(own, -1, 1),
        "best_wrong": None,
        "best_wrong_group": None,
        "difference": None,
    }
    values = {"right": own}
    if best is not None:
        wrong = ~order.right[rows, best]
        own, other = own[wrong], order.counted[rows[wrong], best]
        found |= {
            "best_wrong": means.mean(other, -1, 1),
            "best_wrong_group": order.names[best],
            "difference": means.paired_difference(own, other, -1, 1),
        }
        values |= {"best_wrong": other, "difference": own - other}
    return found, values, best


def best_wrong(order: Order, rows: np.ndarray) -> int | None:
    """The prompt group with the highest mean correlation over those of the rows for which it is
    wrong; None if there is no such."""
    wrong = ~order.right[rows]  # [n, G]
    counts = wrong.sum(0)
    if not counts.any():
        return None
    sums = (order.counted[rows] * wrong).sum(0)
    return int(np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf).argmax())


def of_trajectories(table: Table, order: Order, group: int, best: int | None) -> Iterator[dict]:
    """The entries of `trajectories` for one behaviour."""
    for i in np.flatnonzero(order.right[:, group]):
        is_wrong = best is not None and not order.right[i, best]
        yield {
            "trajectory": table.rows[i].name,
            "behaviour": order.names[group],
            "right": or_none(order.vocs[i, group]),
            "best_wrong": or_none(order.vocs[i, best]) if is_wrong else None,
            "best_time": or_none(order.times[i, group]),
        }


def over_behaviours(groups: list[dict], behind: list[dict[str, np.ndarray]]) -> dict:
    """The mean of each of the three over the behaviours that have it, None if none has."""
    found: dict[str, means.Interval | None] = {}
    for name, bound in (("right", 1), ("best_wrong", 1), ("difference", 2)):
        having = [(of[name], values[name]) for of, values in zip(groups, behind) if of[name]]
        found[name] = means.average(*map(list, zip(*having)), bound) if having else None
    return found


def or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


# --- in words


def as_lines(found: dict) -> list[str]:
    """The block `curves` of metrics.json for the terminal."""
    rows = [
        [
            printable(of["name"], WIDTH),
            str(of["count"]),
            *shown(of["right"]),
            *shown(of["best_wrong"])[:1],
            *shown(of["difference"]),
            printable(of["best_wrong_group"] or "", WIDTH),
        ]
        for of in found["groups"]
    ]
    mean = found["mean"]
    if len(rows) > 1:
        cells = [*shown(mean["right"]), *shown(mean["best_wrong"])[:1], *shown(mean["difference"])]
        rows.append(["mean over behaviours", "", *cells, ""])
    title = f"value-order correlation ({found['how']})"
    header = [title, "takes", "own", "95 % interval", "wrong", "own - wrong", "95 % interval", ""]
    if not mean["difference"]:
        header, rows = header[:4], [row[:4] for row in rows]
    else:
        header[-1] = "best wrong prompts"
    return [*in_columns([header, *rows]), *notes(found)]


def notes(found: dict) -> list[str]:
    """What else there is to say of the correlations."""
    groups, lines = found["groups"], []
    judged = [of for of in groups if of["difference"]]
    n_rising = sum(of["right"]["low"] > 0 for of in groups)
    text = (
        f"curves surely rise (interval above 0) in {n_rising} of {plural(len(groups), 'behaviour')}"
    )
    if judged:
        n_more = sum(of["difference"]["low"] > 0 for of in judged)
        text += f", surely more than for the best wrong prompts in {n_more} of {len(judged)}"
    lines.append(text)
    if n_undefined := sum(of["undefined"] for of in groups):
        n = sum(of["count"] for of in groups)
        lines.append(
            f"{n_undefined} of {plural(n, 'curve')} constant, or of one frame: no value-order "
            "correlation, so they count as 0"
        )
    return lines


def why_not(table: Table) -> str:
    """Why `judge` has nothing to say."""
    if not has_groups(table.columns):
        return "curves not judged: the prompts have no groups, so which ones are right is unknown"
    if not has_groups(table.rows):
        return "curves not judged: the trajectories have no groups, so they have no right prompts"
    return "curves not judged: no trajectory has a group of prompts of its own"


def shown(of: means.Interval | None) -> tuple[str, str]:
    """A value and its interval."""
    if of is None:
        return "-", ""
    return f"{of['value']:z5.2f}", f"{of['low']:z5.2f} to {of['high']:z5.2f}"  # z: no -0.00


def in_columns(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


# --- files


def curves_csv(table: Table, curves: Curves) -> Content:
    """A row for each trajectory, point and prompt; `time` in seconds, empty where unknown, and
    `normalised` as curves.normalised has it. Points that a short video repeats are left out."""
    columns = [(column.name, column.group or "") for column in table.columns]

    def rows():
        for row, frames, times, values in zip(table.rows, *curves[1:]):
            points = points_of(frames)
            scaled = normalised(values[points].T).T  # [k, P]
            for time, at, of_scaled in zip(times[points], values[points], scaled):
                when = "" if np.isnan(time) else round(float(time), 6)
                start = [row.name, "; ".join(row.groups), when]
                for column, value, one in zip(columns, at, of_scaled):
                    yield [*start, *column, value, one]

    header = ["trajectory", "group", "time", "prompt", "prompt_group", "similarity", "normalised"]
    return lambda file: write_csv(file, header, rows())


def curves_npz(curves: Curves) -> Content:
    return npz(frames=curves.frames, times=curves.times, values=curves.values)


def best_times_of_labels(table: Table, curves: Curves) -> list[float | None]:
    """For each trajectory when the curve of its first label is highest; None without a label, or
    where the time is unknown."""
    order = order_of(table, curves)
    found: list[float | None] = []
    for row, times in zip(table.rows, order.times):
        labels = [order.names.index(name) for name in row.groups if name in order.names]
        known = labels and not np.isnan(times[labels[0]])
        found.append(round(float(times[labels[0]]), 6) if known else None)
    return found
