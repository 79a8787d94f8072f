"""What does the model look at? The verdict on trajectories that were changed: a still picture,
frames shuffled or reversed, and the prompts of other groups.

Differences are those of a control less the plain run: below 0, something was lost.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from trajeval import means
from trajeval.curves import Control, Curves
from trajeval.means import Interval
from trajeval.results import as_npz
from trajeval.rising import Order, in_columns, order_of, shown
from trajeval.table import Table, group_scores, groups_of, has_groups, is_right
from trajeval.terminal import plural, printable

TITLES = {
    "still": "still, the middle frame",
    "shuffled": "shuffled",
    "reversed": "reversed",
    "swapped": "prompts of other groups",
}
NOT_JUDGED = "controls not judged: they need trajectories of two groups that prompts have too"
SMALL_AUC, SMALL_VOC = 0.1, 0.2  # a fall that surely stays below is hardly one


class MeanAuc(NamedTuple):
    """interval: of the mean AUC over behaviours. influence: float64 [N], how much each trajectory
    moves it."""

    interval: Interval
    influence: np.ndarray


def judge(table: Table, curves: Curves | None, controls: dict[str, Control]) -> dict | None:
    """The block `controls` of metrics.json, or None where no behaviour has an AUC.

    For each control its mean AUC over behaviours (`auc`), with curves the mean value-order
    correlation for the right prompts (`voc`, None for still), and how much higher each is than
    without the control, with paired intervals (`auc_difference`, `voc_difference`). swapped, with
    curves: the plain curves for the prompts of wrong groups, the mean over these groups, against
    those for the right ones. meaning: in words.
    """
    if not (has_groups(table.rows) and has_groups(table.columns)):
        return None
    right = is_right(table.rows, groups_of(table.columns)[0])  # [N, G]
    rows = np.flatnonzero(right.any(1))
    plain = mean_auc(group_scores(table)[rows], right[rows])
    if plain is None:
        return None
    order = order_of(table, curves) if curves else None
    found: dict = {}
    for name, control in controls.items():
        found[name] = against_plain(plain, group_scores(control.table)[rows], right[rows])
        if order and control.curves:
            found[name] |= against_right(order, order_of(control.table, control.curves).counted)
    if order and not order.right.all(1).all():
        found["swapped"] = against_right(order, under_other_prompts(order))
    rises = against_right(order, order.counted)["voc"] if order else None
    return found | {"meaning": meaning(found, plain.interval, rises, len(rows))}


def mean_auc(scores: np.ndarray, right: np.ndarray) -> MeanAuc | None:
    """None if no behaviour has both right and wrong trajectories. scores: [N, G]; right: bool
    [N, G].

    A trajectory's share in a behaviour's AUC is how many of the others it is on the right side of
    (DeLong et al., 1988). Of these come the interval, by `means.mean` of the right trajectories and
    of the wrong ones, and the influence.
    """
    influence, found = np.zeros(len(scores)), []
    for group in np.flatnonzero(right.any(0) & ~right.all(0)):
        has_it, of = right[:, group], scores[:, group]
        shares = np.empty(len(scores))
        shares[has_it] = share_below(of[has_it], of[~has_it])
        shares[~has_it] = share_below(-of[~has_it], -of[has_it])
        area = shares[has_it].mean()
        sides = [means.mean(shares[side], 0, 1) for side in (has_it, ~has_it)]
        low = math.hypot(*(side["value"] - side["low"] for side in sides))
        high = math.hypot(*(side["high"] - side["value"] for side in sides))
        found.append((area, low, high))
        influence += (shares - area) / np.where(has_it, has_it.sum(), (~has_it).sum())
    if not found:
        return None
    areas, lows, highs = np.array(found).T
    value, low, high = areas.mean(), *(np.linalg.norm(ends) / len(found) for ends in (lows, highs))
    ends = {"low": max(float(value - low), 0.0), "high": min(float(value + high), 1.0)}
    return MeanAuc({"value": float(value)} | ends, influence)


def share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each value the share of the others that are below it, a tie as half. [n]"""
    others = np.sort(others)
    below, up_to = (np.searchsorted(others, values, side) for side in ("left", "right"))
    return (below + up_to) / 2 / len(others)


def against_plain(plain: MeanAuc, scores: np.ndarray, right: np.ndarray) -> dict:
    """The mean AUC of a control's scores, and how much higher it is than without the control."""
    changed = mean_auc(scores, right)
    assert changed, "the plain scores have one of the same labels"
    size = np.linalg.norm(changed.influence) * np.linalg.norm(plain.influence)
    together = float(changed.influence @ plain.influence / size) if size else 0.0
    return {
        "auc": changed.interval,
        "auc_difference": means.join(changed.interval, plain.interval, together),
        "voc": None,
        "voc_difference": None,
    }


def under_other_prompts(order: Order) -> np.ndarray:
    """For each trajectory the mean correlation for the groups that are wrong for it, NaN if there
    are none, in the places of its right ones. float64 [N, G]"""
    wrong = ~order.right
    sums, counts = np.where(wrong, order.counted, 0).sum(1), wrong.sum(1)
    of_rows = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return np.broadcast_to(of_rows[:, None], wrong.shape)


def against_right(order: Order, values: np.ndarray) -> dict:
    """The mean over behaviours of values [N, G] in the places of their right groups, and how much
    higher it is than the value-order correlation there."""
    behind = list(of_behaviours(order, values))
    found = [means.mean(own, -1, 1) for own, _ in behind]
    differences = [means.paired_difference(own, plain, -1, 1) for own, plain in behind]
    return {
        "voc": means.average(found, [own for own, _ in behind], 1),
        "voc_difference": means.average(differences, [own - plain for own, plain in behind], 2),
    }


def of_behaviours(order: Order, values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each behaviour the values of its trajectories, without those that are NaN, and their
    value-order correlations. Two [n] each."""
    for group in np.flatnonzero(order.right.any(0)):
        rows = order.right[:, group] & ~np.isnan(values[:, group])
        if rows.any():
            yield values[rows, group], order.counted[rows, group]


# --- in words


def meaning(found: dict, plain: Interval, rises: Interval | None, n: int) -> str:
    """What the controls say, in words; what their intervals leave open is said to be open. found:
    the block so far; plain: the mean AUC without a control; rises: the mean value-order
    correlation, None without curves; n: how many takes were judged."""
    said, unknown = [], f"cannot be told from {plural(n, 'take')}"
    if plain["low"] > 0.5:
        said += of_scene(found, f"AUC {plain['value']:.2f}", unknown)
        said += of_order(found, unknown)
    else:
        said.append(f"AUC {plain['value']:.2f} is not surely above chance, so it can lose nothing")
    if rises and rises["low"] > 0:
        said += of_rise(found, f"{rises['value']:.2f}", unknown)
    elif rises:
        said.append(f"whether its curves rise {unknown} (VOC {rises['value']:.2f})")
    return ", ".join(said)


def of_scene(found: dict, plain: str, unknown: str) -> Iterator[str]:
    if still := found.get("still"):
        values = f"({still['auc']['value']:.2f} of {plain} without motion)"
        match fall(still["auc_difference"], SMALL_AUC):
            case "hardly":
                yield f"sees the scene {values}"
            case "surely":
                yield f"sees motion {values}"
            case _:
                yield f"whether it sees motion {unknown} {values}"


def of_order(found: dict, unknown: str) -> Iterator[str]:
    if names := [name for name in ("shuffled", "reversed") if name in found]:
        values = ", ".join(f"{name} {found[name]['auc']['value']:.2f}" for name in names)
        falls = {fall(found[name]["auc_difference"], SMALL_AUC) for name in names}
        if "surely" in falls:
            yield f"knows order ({values})"
        elif falls == {"hardly"}:
            yield f"no order ({values})"
        else:
            yield f"whether it knows order {unknown} ({values})"


def of_rise(found: dict, plain: str, unknown: str) -> Iterator[str]:
    """What is said of curves that rise."""
    if swapped := found.get("swapped"):
        values = f"(VOC {plain}, {swapped['voc']['value']:.2f} with other prompts)"
        match fall(swapped["voc_difference"], SMALL_VOC):
            case "hardly":
                yield f"rises whatever the prompt says {values}"
            case "surely":
                yield f"rises more with the right prompts {values}"
            case _:
                yield f"whether it rises more with the right prompts {unknown} {values}"
    backwards = found.get("reversed", {})
    if backwards.get("voc") and fall(backwards["voc_difference"], SMALL_VOC) == "hardly":
        yield f"rises when played backwards too (VOC {backwards['voc']['value']:.2f})"


def fall(difference: Interval, small: float) -> str:
    """hardly: surely by less than `small`; surely: it falls, maybe by less; or open."""
    if difference["low"] > -small:
        return "hardly"
    return "surely" if difference["high"] < 0 else "open"


def as_lines(found: dict) -> list[str]:
    """The block `controls` of metrics.json for the terminal."""
    header = ["control", "AUC", "difference", "95 % interval", "VOC", "difference", "95 % interval"]
    rows = [
        [title, *cells(found[name], "auc"), *cells(found[name], "voc")]
        for name, title in TITLES.items()
        if name in found
    ]
    if not any(found[name].get("voc") for name in TITLES if name in found):
        header, rows = header[:4], [row[:4] for row in rows]
    return [*in_columns([header, *rows]), printable(found["meaning"], 400)]


def cells(of: dict, what: str) -> list[str]:
    if not of.get(what):
        return ["-", "", ""]
    return [shown(of[what])[0], *shown(of[f"{what}_difference"])]


# --- files


def controls_npz(controls: dict[str, Control]) -> bytes:
    """The values of each control's table, by its name, float32 [N, P], and of its curves, by its
    name and `_curves`, float32 [N, K, P]."""
    arrays = {name: control.table.values for name, control in controls.items()}
    for name, control in controls.items():
        if control.curves:
            arrays[f"{name}_curves"] = control.curves.values
    return as_npz(**arrays)
