"""What does the model look at? The verdict on trajectories that were changed: a still picture,
frames shuffled or reversed, and the prompts of other groups.

Differences are those of a control less the plain run: below 0, something was lost.
"""

from collections.abc import Iterator

import numpy as np

from trajeval import means
from trajeval.areas import areas_of
from trajeval.curves import Control, Curves
from trajeval.intervals import as_interval, correlation_of, difference_limits
from trajeval.means import Interval
from trajeval.metrics import Metric, mean_auc
from trajeval.rising import Order, in_columns, order_of, shown
from trajeval.streams import Content, npz
from trajeval.table import Table, group_scores, groups_of, has_groups, is_right
from trajeval.terminal import plural, printable

TITLES = {
    "still": "still, the middle frame",
    "shuffled": "shuffled",
    "reversed": "reversed",
    "swapped": "prompts of other groups",
}
NOT_JUDGED = (
    "controls not judged: they need trajectories of two groups that prompts have too; with "
    "--curves one is enough"
)
NOTHING = dict.fromkeys(("auc", "auc_difference", "voc", "voc_difference"))
SMALL_AUC, SMALL_VOC = 0.1, 0.2  # a fall that surely stays below is hardly one


def judge(table: Table, curves: Curves | None, controls: dict[str, Control]) -> dict | None:
    """The block `controls` of metrics.json, or None where no behaviour has an AUC or, with curves,
    no trajectory a label.

    For each control its mean AUC over behaviours (`auc`, None where none has one), with curves the
    mean value-order correlation for the right prompts (`voc`; a still picture has none), and how
    much higher each is than without the control, with paired intervals (`auc_difference`,
    `voc_difference`); a control of which nothing is known is left out. swapped, with curves: the
    plain curves for the prompts of wrong groups, the mean over these groups, against those for the
    right ones. meaning: in words.
    """
    if not (has_groups(table.rows) and has_groups(table.columns)):
        return None
    right = is_right(table.rows, groups_of(table.columns)[0])  # [N, G]
    rows = np.flatnonzero(right.any(1))
    plain = mean_auc(areas_of(group_scores(table)[rows], right[rows])).get("mean_auc")
    order = order_of(table, curves) if curves and len(rows) else None
    if not (plain or order):
        return None
    found: dict = {}
    for name, control in controls.items():
        if plain:
            changed = mean_auc(areas_of(group_scores(control.table)[rows], right[rows]))["mean_auc"]
            found[name] = against_plain(plain, changed)
        if order and control.curves:
            vocs = order_of(control.table, control.curves).counted
            found[name] = found.get(name, NOTHING) | against_right(order, vocs)
    if order and not right[rows].all():
        found["swapped"] = against_right(order, under_other_prompts(order))
    rises = against_right(order, order.counted)["voc"] if order else None
    area = as_interval(plain.value, plain.limits()) if plain else None
    return found | {"meaning": meaning(found, area, rises, len(rows))}


def against_plain(plain: Metric, changed: Metric) -> dict:
    """The mean AUC of a control, and how much higher it is than without the control."""
    first, second = (as_interval(one.value, one.limits()) for one in (plain, changed))
    limits = difference_limits(first, second, correlation_of(plain.parts, changed.parts))
    difference = as_interval(changed.value - plain.value, limits)
    return NOTHING | {"auc": second, "auc_difference": difference}


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


def meaning(found: dict, plain: Interval | None, rises: Interval | None, n: int) -> str:
    """What the controls say, in words, and what their intervals leave open. found: the block so
    far; plain: the mean AUC without a control, None if no behaviour has one; rises: the mean
    value-order correlation, None without curves; n: how many takes were judged."""
    said, unknown = [], f"cannot be told from {plural(n, 'take')}"
    if plain is None:
        said.append("no AUC, which needs two groups to be told apart")
    elif plain["low"] > 0.5:
        said += of_scene(found, f"AUC {plain['value']:.2f}", unknown)
        said += of_order(found, unknown)
    else:
        said.append(
            f"AUC {plain['value']:.2f} is not surely above chance, so there is nothing to lose"
        )
    if rises and rises["low"] > 0:
        said += of_rise(found, f"{rises['value']:.2f}", unknown)
    elif rises:
        said.append(f"whether its curves rise {unknown} (VOC {rises['value']:.2f})")
    return "; ".join(said)


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
    """A model can need the frames in sequence without knowing their direction: legs swing in the
    same way forwards and backwards."""
    if names := [name for name in ("shuffled", "reversed") if name in found]:
        values = ", ".join(f"{name} {found[name]['auc']['value']:.2f}" for name in names)
        match [fall(found[name]["auc_difference"], SMALL_AUC) for name in names]:
            case [*_, "surely"]:
                yield f"knows order ({values})"
            case ["hardly"] | ["hardly", "hardly"]:
                yield f"knows no order ({values})"
            case ["surely", "hardly"]:
                yield f"needs the frames in sequence, in either direction ({values})"
            case ["surely", _]:
                yield (
                    "needs the frames in sequence; whether their direction matters "
                    f"{unknown} ({values})"
                )
            case _:
                yield f"whether it knows order {unknown} ({values})"


def of_rise(found: dict, plain: str, unknown: str) -> Iterator[str]:
    """What is said of curves that rise."""
    if swapped := found.get("swapped"):
        values = f"(VOC {plain}, {swapped['voc']['value']:.2f} with other prompts)"
        match fall(swapped["voc_difference"], SMALL_VOC):
            case "hardly":
                yield f"its curves rise whatever the prompt says {values}"
            case "surely":
                yield f"its curves rise more with the right prompts {values}"
            case _:
                yield f"whether its curves rise more with the right prompts {unknown} {values}"
    backwards = found.get("reversed", {})
    if backwards.get("voc") and fall(backwards["voc_difference"], SMALL_VOC) == "hardly":
        value = f"(VOC {backwards['voc']['value']:.2f})"
        yield f"its curves also rise when videos are played backwards {value}"


def fall(difference: Interval, small: float) -> str:
    """hardly: it surely falls by less than `small`, if at all; else surely: it surely falls; or
    open."""
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


def controls_npz(controls: dict[str, Control]) -> Content:
    """The values of each control's table, by its name, float32 [N, P], and of its curves, by its
    name and `_curves`, float32 [N, K, P]."""
    arrays = {name: control.table.values for name, control in controls.items()}
    for name, control in controls.items():
        if control.curves:
            arrays[f"{name}_curves"] = control.curves.values
    return npz(**arrays)
