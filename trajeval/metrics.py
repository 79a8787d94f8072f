"""Can the model tell the behaviours apart? Metrics of labelled scores, with confidence intervals.

Scores are [N, G]: N trajectories by G prompt groups; right is bool [N, G], which groups are the
labels of each trajectory. What needs one label is computed over the trajectories that have one.
Ties count against the model: the right answer ranks behind all with the same score. (AUC counts a
tie as half, and average precision takes equal scores as one step, as scikit-learn does.)
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from trajeval import chance
from trajeval.areas import Areas, areas_of
from trajeval.intervals import (
    as_interval,
    mean_auc_limits,
    median_limits,
    share_limits,
)
from trajeval.table import by_rows

# How many independent values a mean counts for, of those it has (by simulation): F1 varies more
# than accuracy, and a trajectory that scores high with every prompt is first for several
MACRO, RANKED = 0.8, 2 / 3
DRAWN = 500_000  # scores: of more of them what random ones get is not found by drawing them


class Metric(NamedTuple):
    """A metric of some scores. parts: what it is made of, [U]; the same trajectories have the same
    parts under another model, so that two models can be compared in pairs. limits: computes its
    95 % interval."""

    value: float
    parts: np.ndarray
    limits: Callable[[], tuple]


def measure(
    scores: np.ndarray, right: np.ndarray, seed: int = 0, areas: Areas | None = None
) -> dict[str, dict[str, float]]:
    """Metrics by name, each with its `value`, its 95 % interval (`low`, `high`), and the values of
    two baselines: random scores (`chance`) and always answering the most frequent label
    (`majority`).

    top1, top3: accuracy. macro_f1: as scikit-learn defines it. These are left out if no trajectory
    has exactly one label. mean_auc: the mean over behaviours, left out if none has an AUC.
    mean_average_precision: of the trajectories that each prompt retrieves, over prompts.
    trajectory_to_prompt and prompt_to_trajectory: retrieval, as recall_at_1, _5, _10, median_rank
    and mean_reciprocal_rank of the first right result. What is among the first k is left out where
    there are not more than k groups. areas: as `areas_of` gives them, where they are known.
    """
    metrics, by_chance = ranked(scores, right), chance_of(right, np.random.default_rng(seed))
    majority = ranked(most_frequent_first(right), right)
    single = has_one(right)
    if single.any() and not single.all():  # their own most frequent label may be another
        own = right[single]
        first = most_frequent_first(own)
        majority |= of_one_label(first, own, ranks_of_right(first, own), has_one(own))
    found = {
        name: as_interval(metric.value, metric.limits())
        | {"chance": float(by_chance[name]), "majority": float(majority[name].value)}
        for name, metric in metrics.items()
    }
    for name, metric in mean_auc(areas or areas_of(scores, right)).items():
        baselines = {"chance": 0.5, "majority": 0.5}
        found = {name: as_interval(metric.value, metric.limits()) | baselines} | found
    return found


def chance_of(right: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """What random scores get: of a small table by drawing some, of a large one from how ranks and
    answers are distributed. Exact where it is known without either."""
    n_groups, single = right.shape[1], has_one(right)
    if right.size <= DRAWN:
        n_draws = int(np.clip(100_000 // right.size, 5, 200))
        draws = [ranked(rng.random(right.shape), right) for _ in range(n_draws)]
        found = {name: float(np.mean([drawn[name].value for drawn in draws])) for name in draws[0]}
    else:
        found, labels = chance.of_any_labels(right, rng), right.argmax(1)[single]
        if len(labels):
            n_draws = -(-chance.N_DRAWS // len(labels))
            answered = rng.integers(n_groups, size=(n_draws, len(labels)))
            found["macro_f1"] = np.mean([macro_f1(labels, of, n_groups) for of in answered])
    return found | chance.known(n_groups, bool(single.all()))


def most_frequent_first(right: np.ndarray) -> np.ndarray:
    """Scores that rank the most frequent label first for every trajectory, without ties. [N, G]"""
    order = np.argsort(-right.sum(0), kind="stable").argsort()
    return np.broadcast_to(-order, right.shape)


def all_metrics(scores: np.ndarray, right: np.ndarray) -> dict[str, Metric]:
    """The metrics of `measure`, for comparisons."""
    return mean_auc(areas_of(scores, right)) | ranked(scores, right)


def ranked(scores: np.ndarray, right: np.ndarray) -> dict[str, Metric]:
    """All metrics but AUC."""
    ranks, single = ranks_of_right(scores, right), has_one(right)
    found = of_one_label(scores, right, ranks, single) if single.any() else {}
    return found | of_any_labels(scores, right, ranks)


def of_one_label(scores, right, ranks, single):
    """Of trajectories with one label each, `single`, bool [N]."""
    ranks, n_groups = ranks[single], scores.shape[1]
    found = {f"top{k}": mean_of(ranks <= k) for k in (1, 3) if k < n_groups}
    labels, answered = right.argmax(1)[single], answers(scores, right)[single]
    value = macro_f1(labels, answered, n_groups)
    n = MACRO * size_of_macro(np.bincount(labels))
    return found | {"macro_f1": Metric(value, ranks == 1, lambda: share_limits(value, n))}


def of_any_labels(scores, right, ranks):
    n_groups = right.shape[1]
    precisions, first = ranked_trajectories(scores, right)
    means = [np.mean(values) for values in precisions]
    average, n = float(np.mean(means)), MACRO * size_of_macro(right.sum(0))
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


def mean_auc(areas: Areas) -> dict[str, Metric]:
    """The mean AUC over behaviours; nothing if none has one."""
    if not len(areas.values):
        return {}
    counts = areas.n_right, areas.n_wrong, (areas.mean_errors**2).sum()
    mean = float(areas.values.mean())
    return {
        "mean_auc": Metric(mean, areas.mean_errors, lambda: mean_auc_limits(areas.values, *counts))
    }


def size_of_macro(counts: np.ndarray) -> float:
    """How many trajectories the mean of a share over behaviours counts for, of so many each, [G]:
    all, if the behaviours have as many each; fewer, if some have few."""
    counts = counts[counts > 0]
    return len(counts) ** 2 / (1 / counts).sum()


def has_one(right: np.ndarray) -> np.ndarray:
    """Which trajectories have exactly one label. bool [N]"""
    return right.sum(1) == 1


@by_rows
def ranks_of_right(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The rank of the first of each trajectory's labels among all prompt groups, 1 is best; without
    a label, the number of groups plus 1. int64 [N]"""
    best = only(right, scores).max(1)
    return 1 + ((scores >= best[:, None]) & ~right).sum(1)


def only(chosen: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The scores, with -inf for all that are not chosen, bool [N, G]. float64 [N, G]"""
    return np.where(chosen, np.asarray(scores, np.float64), -np.inf)


@by_rows
def answers(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The prompt group with the highest score, a wrong one if tied with a right one. int64 [N]"""
    is_right = ranks_of_right(scores, right) == 1
    return np.where(is_right, only(right, scores).argmax(1), only(~right, scores).argmax(1))


def macro_f1(labels: np.ndarray, answered: np.ndarray, n_groups: int) -> float:
    """The mean F1 over all groups that are the label or the answer of any trajectory, int [N]."""
    hits, truth, given = (
        np.bincount(groups, minlength=n_groups)
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
    labels, answered = right.argmax(1)[single], answers(scores, right)[single]
    counts = np.zeros((scores.shape[1],) * 2, np.int64)
    np.add.at(counts, (labels, answered), 1)
    return counts


@by_rows
def margins(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The right group's score minus the best wrong one's, for each trajectory. float64 [N]; NaN
    without exactly one label, inf if there is only one group."""
    apart = np.full(len(scores), np.nan)
    single = has_one(right)
    right, scores = right[single], scores[single]
    apart[single] = only(right, scores).max(1) - only(~right, scores).max(1)
    return apart


@by_rows
def best_wrong(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The wrong prompt group with the highest score. int64 [N]"""
    return only(~right, scores).argmax(1)


class Answers(NamedTuple):
    """Of each trajectory. groups: int64 [N], the answer of `answers`. hits: whether that is right,
    None without a label. margins: None without exactly one label, or with only one group."""

    groups: np.ndarray
    hits: list[bool | None]
    margins: list[float | None]


def answers_and_margins(scores: np.ndarray, right: np.ndarray) -> Answers:
    hits, labelled = ranks_of_right(scores, right) == 1, right.sum(1) > 0
    apart = margins(scores, right)
    return Answers(
        answers(scores, right),
        [hit if known else None for hit, known in zip(hits.tolist(), labelled.tolist())],
        [margin if math.isfinite(margin) else None for margin in apart.tolist()],
    )
