"""What a model knows of each behaviour, and which phrasing of it works best."""

import numpy as np

from trajeval.areas import areas_of
from trajeval.intervals import (
    as_interval,
    auc_limits,
    auc_variance,
    excess,
    share_limits,
    takes_to_settle,
)
from trajeval.metrics import Metric, confusion, has_one

APART = 0.9  # a behaviour whose AUC is above this counts as told apart


def behaviours(scores: np.ndarray, right: np.ndarray, names: list[str]) -> list:
    """For each group that has trajectories: its name; the count of those with this label only, the
    accuracy on them with its interval (None if there are none), and their wrong predictions, most
    frequent first; the AUC over all with its interval (None if all trajectories have this label),
    and how many `takes` of each behaviour would settle whether it is above APART, if it stays.
    If any trajectory has several labels, `with_others` is the count of those with this label and
    others."""
    single, counts, areas = has_one(right), confusion(scores, right), behaviour_aucs(scores, right)
    takes, found = takes_wanted(scores, right), []
    for group in np.flatnonzero(right.any(0)):
        row, n, area = counts[group], int(counts[group].sum()), areas.get(int(group))
        others = [j for j in np.argsort(-row, kind="stable") if j != group and row[j]]
        share = row[group] / n if n else 0
        behaviour = {
            "name": names[group],
            "count": n,
            "accuracy": as_interval(share, share_limits(share, n)) if n else None,
            "auc": as_interval(area.value, area.limits()) if area else None,
            "takes": takes.get(int(group)),
            "taken_for": [{"name": names[j], "count": int(row[j])} for j in others],
        }
        if not single.all():
            behaviour["with_others"] = int(right[:, group].sum()) - n
        found.append(behaviour)
    return found


def sensitivity(areas: np.ndarray, columns: np.ndarray, prompts: list[str], names: list[str]):
    """For each group: its best, median (of an even number, the better one) and worst phrasing, by
    AUC.

    areas: [P], of `auc` for single prompts; columns: int [P], their groups.
    """
    found = {}
    for group in np.unique(columns):
        members = [j for j in np.flatnonzero(columns == group) if not np.isnan(areas[j])]
        if members:
            members.sort(key=lambda j: -areas[j])
            chosen = {"best": 0, "median": (len(members) - 1) // 2, "worst": -1}
            found[names[group]] = {
                which: {"prompt": prompts[members[i]], "auc": float(areas[members[i]])}
                for which, i in chosen.items()
            }
    return found


def behaviour_aucs(scores: np.ndarray, right: np.ndarray) -> dict[int, Metric]:
    """The AUC of each group that has one, by its number."""
    found = areas_of(scores, right)
    limits = auc_limits(found.values, found.n_right, found.n_wrong, found.variances)
    return {
        int(group): Metric(float(value), found.errors[:, i], lambda low=low, high=high: (low, high))
        for i, (group, value, low, high) in enumerate(zip(found.groups, found.values, *limits))
    }


def takes_wanted(scores: np.ndarray, right: np.ndarray) -> dict[int, int | None]:
    """How many trajectories of each behaviour would settle whether it is told apart, by the numbers
    of the groups that have an AUC; see `takes_to_settle`."""
    found = areas_of(scores, right)
    expected = auc_variance(found.values, found.n_right, found.n_wrong)
    n_groups = max(int(right.any(0).sum()), 2)
    takes = takes_to_settle(found.values, APART, n_groups, excess(found.variances, expected))
    return dict(zip(found.groups.tolist(), takes))
