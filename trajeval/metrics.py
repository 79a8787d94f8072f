"""Can the model tell the behaviours apart? Metrics of labelled scores, with confidence intervals.

Scores are [N, G]: N trajectories by G prompt groups; right is bool [N, G], which groups are the
labels of each trajectory. What needs one label is computed over the trajectories that have one.
Ties count against the model: the right answer ranks behind all with the same score. (AUC counts a
tie as half, and average precision takes equal scores as one step, as scikit-learn does.)
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from trajeval.areas import areas_of
from trajeval.intervals import (
    as_interval,
    mean_auc_limits,
    median_limits,
    share_limits,
)

# How many independent values a mean counts for, of those it has (by simulation): F1 varies more
# than accuracy, and a trajectory that scores high with every prompt is first for several
MACRO, RANKED = 0.8, 2 / 3


class Metric(NamedTuple):
    """A metric of some scores. parts: what it is made of, [U]; the same trajectories have the same
    parts under another model, so that two models can be compared in pairs. limits: computes its
    95 % interval."""

    value: float
    parts: np.ndarray
    limits: Callable[[], tuple]


def measure(scores: np.ndarray, right: np.ndarray, seed: int = 0) -> dict[str, dict[str, float]]:
    """Metrics by name, each with its `value`, its 95 % interval (`low`, `high`), and the values of
    two baselines: random scores (`chance`) and always answering the most frequent label
    (`majority`).

    top1, top3: accuracy. macro_f1: as scikit-learn defines it. These are left out if no trajectory
    has exactly one label. mean_auc: the mean over behaviours, left out if none has an AUC.
    mean_average_precision: of the trajectories that each prompt retrieves, over prompts.
    trajectory_to_prompt and prompt_to_trajectory: retrieval, as recall_at_1, _5, _10, median_rank
    and mean_reciprocal_rank of the first right result. What is among the first k is left out where
    there are not more than k groups.
    """
    rng = np.random.default_rng(seed)
    n_draws = int(np.clip(100_000 // scores.size, 5, 200))
    by_chance = [ranked(rng.random(scores.shape), right) for _ in range(n_draws)]
    metrics = ranked(scores, right)
    chance = {name: np.mean([drawn[name].value for drawn in by_chance]) for name in metrics}
    single = has_one(right)
    chance |= known_chance(scores.shape[1], bool(single.all()))
    majority = ranked(most_frequent_first(right), right)
    if single.any():  # their own most frequent label may be another
        majority |= of_one_label(most_frequent_first(right[single]), right[single])
    found = {
        name: as_interval(metric.value, metric.limits())
        | {"chance": float(chance[name]), "majority": float(majority[name].value)}
        for name, metric in metrics.items()
    }
    for name, metric in mean_auc(scores, right).items():
        baselines = {"chance": 0.5, "majority": 0.5}
        found = {name: as_interval(metric.value, metric.limits()) | baselines} | found
    return found


def known_chance(n_groups: int, all_have_one: bool) -> dict[str, float]:
    """What random scores get where it is known without drawing: every rank of a trajectory's only
    label is equally likely."""
    ranks = np.arange(1, n_groups + 1)
    chance = {name: float(np.mean(ranks <= k)) for name, k in (("top1", 1), ("top3", 3))}
    if all_have_one:
        way = "trajectory_to_prompt"
        chance |= {f"{way}_recall_at_{k}": float(np.mean(ranks <= k)) for k in (1, 5, 10)}
        chance |= {
            f"{way}_median_rank": float(ranks.mean()),
            f"{way}_mean_reciprocal_rank": float((1 / ranks).mean()),
        }
    return chance


def most_frequent_first(right: np.ndarray) -> np.ndarray:
    """Scores that rank the most frequent label first for every trajectory, without ties. [N, G]"""
    order = np.argsort(-right.sum(0), kind="stable").argsort()
    return np.tile(-order, (len(right), 1))


def all_metrics(scores: np.ndarray, right: np.ndarray) -> dict[str, Metric]:
    """The metrics of `measure`, for comparisons."""
    return mean_auc(scores, right) | ranked(scores, right)


def ranked(scores: np.ndarray, right: np.ndarray) -> dict[str, Metric]:
    """All metrics but AUC."""
    single = has_one(right)
    found = of_one_label(scores[single], right[single]) if single.any() else {}
    return found | of_any_labels(scores, right)


def of_one_label(scores, right):
    """Of trajectories with one label each."""
    ranks, n_groups = ranks_of_right(scores, right), scores.shape[1]
    found = {f"top{k}": mean_of(ranks <= k) for k in (1, 3) if k < n_groups}
    value = macro_f1(scores, right)
    n = MACRO * size_of_macro(right)
    return found | {"macro_f1": Metric(value, ranks == 1, lambda: share_limits(value, n))}


def of_any_labels(scores, right):
    ranks, n_groups = ranks_of_right(scores, right), scores.shape[1]
    precisions, first = ranked_trajectories(scores, right)
    means = [np.mean(values) for values in precisions]
    average, n = float(np.mean(means)), MACRO * size_of_macro(right)
    found = {
        "mean_average_precision": Metric(
            average, np.concatenate(precisions), lambda: share_limits(average, n)
        )
    }
    for way, of, highest, independent in (
        ("trajectory_to_prompt", ranks, n_groups, 1.0),
        ("prompt_to_trajectory", first, len(scores), RANKED),
    ):
        for k in (1, 5, 10):
            if k < n_groups:
                found[f"{way}_recall_at_{k}"] = mean_of(of <= k, independent)
        found[f"{way}_median_rank"] = median_of(of, highest)
        found[f"{way}_mean_reciprocal_rank"] = mean_of(1 / of, independent)
    return found


def mean_of(parts: np.ndarray, independent: float = 1.0) -> Metric:
    """Of values between 0 and 1, of which so many count as independent."""
    value, n = float(np.mean(parts)), independent * len(parts)
    return Metric(value, parts, lambda: share_limits(value, n))


def median_of(ranks: np.ndarray, highest: int) -> Metric:
    return Metric(float(np.median(ranks)), ranks, lambda: median_limits(ranks, 1, highest))


def mean_auc(scores: np.ndarray, right: np.ndarray) -> dict[str, Metric]:
    """The mean AUC over behaviours; nothing if none has one."""
    found = areas_of(scores, right)
    if not len(found.values):
        return {}
    parts = found.errors.mean(1)  # [N]
    counts = found.n_right, found.n_wrong, (parts**2).sum()
    mean = float(found.values.mean())
    return {"mean_auc": Metric(mean, parts, lambda: mean_auc_limits(found.values, *counts))}


def size_of_macro(right: np.ndarray) -> float:
    """How many trajectories the mean of a share over behaviours counts for: all, if the behaviours
    have as many each; fewer, if some have few."""
    counts = right.sum(0)
    counts = counts[counts > 0]
    return len(counts) ** 2 / (1 / counts).sum()


def has_one(right: np.ndarray) -> np.ndarray:
    """Which trajectories have exactly one label. bool [N]"""
    return right.sum(1) == 1


def ranks_of_right(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The rank of the first of each trajectory's labels among all prompt groups, 1 is best; without
    a label, the number of groups plus 1. int64 [N]"""
    best = only(right, scores).max(1)
    return 1 + ((scores >= best[:, None]) & ~right).sum(1)


def only(chosen: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The scores, with -inf for all that are not chosen, bool [N, G]. float64 [N, G]"""
    return np.where(chosen, np.asarray(scores, np.float64), -np.inf)


def answers(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The prompt group with the highest score, a wrong one if tied with a right one. int64 [N]"""
    is_right = ranks_of_right(scores, right) == 1
    return np.where(is_right, only(right, scores).argmax(1), only(~right, scores).argmax(1))


def macro_f1(scores: np.ndarray, right: np.ndarray) -> float:
    """The mean F1 over all groups that are the label or the answer of any trajectory."""
    labels, answered = right.argmax(1), answers(scores, right)
    hits, truth, given = (
        np.bincount(groups, minlength=scores.shape[1])
        for groups in (labels[answered == labels], labels, answered)
    )
    present = truth + given > 0
    return float((2 * hits[present] / (truth + given)[present]).mean())


def ranked_trajectories(scores: np.ndarray, right: np.ndarray) -> tuple[list, np.ndarray]:
    """For each prompt group that has right trajectories, as it ranks the trajectories: the share of
    right ones at and above each right one, float64 [K] each, whose mean is the average precision;
    and the rank of the first right one, int64 [groups]."""
    precisions, first = [], []
    for group in np.flatnonzero(right.any(0)):
        has_it = right[:, group]
        ordered = np.sort(scores[:, group])
        high = np.sort(scores[has_it, group])
        n_above = len(scores) - np.searchsorted(ordered, scores[has_it, group])  # ties included
        n_right = len(high) - np.searchsorted(high, scores[has_it, group])
        precisions.append(n_right / n_above)
        first.append(1 + (n_above - n_right).min())
    return precisions, np.array(first)


def confusion(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """How many trajectories with this one label (rows) were predicted as each group (columns).
    int64 [G, G]"""
    single = has_one(right)
    labels = right[single].argmax(1)
    counts = np.zeros((scores.shape[1],) * 2, np.int64)
    np.add.at(counts, (labels, answers(scores[single], right[single])), 1)
    return counts


def margins(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The right group's score minus the best wrong one's, for each trajectory. float64 [N]; NaN
    without exactly one label, inf if there is only one group."""
    apart = np.full(len(scores), np.nan)
    single = has_one(right)
    right, scores = right[single], scores[single]
    apart[single] = only(right, scores).max(1) - only(~right, scores).max(1)
    return apart


class Answers(NamedTuple):
    """Of each trajectory. groups: int64 [N], the answer of `answers`. hits: whether that is right,
    None without a label. margins: None without exactly one label, or with only one group."""

    groups: np.ndarray
    hits: list[bool | None]
    margins: list[float | None]


def answers_and_margins(scores: np.ndarray, right: np.ndarray) -> Answers:
    first, apart = ranks_of_right(scores, right) == 1, margins(scores, right)
    return Answers(
        answers(scores, right),
        [bool(hit) if own.any() else None for hit, own in zip(first, right)],
        [float(margin) if np.isfinite(margin) else None for margin in apart],
    )
