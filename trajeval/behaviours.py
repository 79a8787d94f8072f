"""What a model knows of each behaviour, and which phrasing of it works best."""

import numpy as np

from trajeval.areas import Areas, areas_of, errors_of
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


def behaviours(
    scores: np.ndarray, right: np.ndarray, names: list[str], areas: Areas | None = None
) -> list[dict]:
    """For each group that has trajectories: its name; the count of those with this label only, the
    accuracy on them with its interval (None if there are none), and their wrong predictions, most
    frequent first; the AUC over all with its interval (None if all trajectories have this label),
    and how many `takes` of each behaviour would settle whether it is above APART, if it stays.
    If any trajectory has several labels, `with_others` is the count of those with this label and
    others. areas: as `areas_of` gives them, where they are known."""
    areas = areas or areas_of(scores, right)
    single, counts, n_right = has_one(right), confusion(scores, right), right.sum(0)
    limits = dict(zip(areas.groups.tolist(), zip(areas.values, zip(*limits_of(areas)))))
    takes, found = takes_wanted(areas, n_groups=int((n_right > 0).sum())), []
    for group in np.flatnonzero(n_right):
        row, n, area = counts[group], int(counts[group].sum()), limits.get(int(group))
        others = [j for j in np.argsort(-row, kind="stable") if j != group and row[j]]
        share = row[group] / n if n else 0
        behaviour = {
            "name": names[group],
            "count": n,
            "accuracy": as_interval(share, share_limits(share, n)) if n else None,
            "auc": as_interval(*area) if area else None,
            "takes": takes.get(int(group)),
            "taken_for": [{"name": names[j], "count": int(row[j])} for j in others],
        }
        if not single.all():
            behaviour["with_others"] = int(n_right[group]) - n
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


def limits_of(areas: Areas) -> tuple[np.ndarray, np.ndarray]:
    """The lower and the upper limits of AUCs, each float64 [G]."""
    return auc_limits(areas.values, areas.n_right, areas.n_wrong, areas.variances)


def behaviour_aucs(scores: np.ndarray, right: np.ndarray) -> dict[int, Metric]:
    """The AUC of each group that has one, by its number."""
    found = areas_of(scores, right)
    _, errors = errors_of(scores, right, found.groups)
    return {
        int(group): Metric(float(value), errors[:, i], lambda low=low, high=high: (low, high))
        for i, (group, value, low, high) in enumerate(
            zip(found.groups, found.values, *limits_of(found))
        )
    }


def takes_wanted(areas: Areas, n_groups: int) -> dict[int, int | None]:
    """How many trajectories of each of n_groups behaviours would settle whether it is told apart,
    by the numbers of the groups that have an AUC; see `takes_to_settle`."""
    expected = auc_variance(areas.values, areas.n_right, areas.n_wrong)
    wider = excess(areas.variances, expected)
    takes = takes_to_settle(areas.values, APART, max(n_groups, 2), wider)
    return dict(zip(areas.groups.tolist(), takes))
