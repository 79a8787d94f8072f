"""Can the model tell the behaviours apart? Metrics of labelled scores, with confidence intervals.

Scores are [N, G]: N trajectories by G prompt groups; right is bool [N, G], which groups are the
labels of each trajectory. What needs one label is computed over the trajectories that have one.
All resamples are computed at once: a resample is a row of weights, how often each trajectory was
drawn. Ties count against the model: the right answer ranks behind all with the same score. (AUC
counts a tie as half, and average precision takes equal scores as one step, as scikit-learn does.)
"""

import numpy as np

N_RESAMPLES = 2000
MIN_COUNT = 5  # trajectories of a behaviour; with fewer, its interval is unreliable
APART = 0.9  # a behaviour whose AUC is above this counts as told apart


def measure(scores: np.ndarray, right: np.ndarray, seed: int = 0) -> dict[str, dict[str, float]]:
    """Metrics by name, each with its `value`, its 95 % bootstrap interval over trajectories (`low`,
    `high`), and the values of two baselines: random scores (`chance`) and always answering the most
    frequent label (`majority`).

    top1, top3: accuracy. macro_f1: as scikit-learn defines it. These are left out if no trajectory
    has exactly one label. mean_average_precision: of the trajectories that each prompt retrieves,
    over prompts. trajectory_to_prompt and prompt_to_trajectory: retrieval, as recall_at_1, _5, _10,
    median_rank and mean_reciprocal_rank of the first right result.
    """
    rng = np.random.default_rng(seed)
    n, n_groups = scores.shape
    once = np.ones((1, n))
    metrics = bootstrap(scores, right, resamples(n, rng))
    n_draws = int(np.clip(100_000 // scores.size, 5, 200))
    by_chance = [resampled_metrics(rng.random(scores.shape), right, once) for _ in range(n_draws)]
    chance = {name: np.mean([drawn[name] for drawn in by_chance]) for name in metrics}
    single = has_one(right)
    chance |= known_chance(n_groups, bool(single.all()))
    majority = resampled_metrics(most_frequent_first(right), right, once)
    if single.any():  # their own most frequent label may be another
        of_single = most_frequent_first(right[single])
        majority |= metrics_of_one_label(of_single, right[single], once[:, single])
    return {
        name: interval(value, drawn)
        | {"chance": float(chance[name]), "majority": float(majority[name][0])}
        for name, (value, drawn) in metrics.items()
    }


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


def differences(metrics: dict, others: dict) -> dict[str, dict[str, float]]:
    """How much higher each metric is in others than in metrics, with its 95 % interval. Both are
    results of `bootstrap` for the same trajectories and weights (paired bootstrap)."""
    return {
        name: interval(others[name][0] - value, others[name][1] - drawn)
        for name, (value, drawn) in metrics.items()
    }


def bootstrap(scores: np.ndarray, right: np.ndarray, weights: np.ndarray) -> dict:
    """Name -> (value, values) of each metric of `measure`: its value, and its value in every
    resample, float64 [R]. weights: [R, N] of `resamples`."""
    values = resampled_metrics(scores, right, np.ones((1, len(right))))
    drawn = resampled_metrics(scores, right, weights)
    return {name: (value[0], drawn[name]) for name, value in values.items()}


def resamples(n: int, rng: np.random.Generator) -> np.ndarray:
    """Weights [N_RESAMPLES, n]: how often each of n is drawn, n times with replacement."""
    drawn = rng.integers(n, size=(N_RESAMPLES, n)) + n * np.arange(N_RESAMPLES)[:, None]
    return np.bincount(drawn.ravel(), minlength=N_RESAMPLES * n).reshape(-1, n).astype(float)


def interval(value, drawn) -> dict[str, float]:
    """A value and the middle 95 % of its resampled values, without those that are undefined."""
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return {"value": float(value), "low": float(low), "high": float(high)}


def has_one(right: np.ndarray) -> np.ndarray:
    """Which trajectories have exactly one label. bool [N]"""
    return right.sum(1) == 1


def resampled_metrics(scores, right, weights):
    """The metrics of `measure` for each row of weights [R, N]: name -> float64 [R]."""
    single, metrics = has_one(right), {}
    if single.any():
        metrics = metrics_of_one_label(scores[single], right[single], weights[:, single])
    return metrics | metrics_of_any_labels(scores, right, weights)


def metrics_of_one_label(scores, right, weights):
    """Of trajectories with one label each; NaN where none of them was drawn."""
    ranks = ranks_of_right(scores, right)
    with np.errstate(invalid="ignore"):
        metrics = {f"top{k}": weights @ (ranks <= k) / weights.sum(1) for k in (1, 3)}
        return metrics | {"macro_f1": macro_f1(scores, right, weights)}


def metrics_of_any_labels(scores, right, weights):
    total = weights.sum(1)
    ranks = ranks_of_right(scores, right)
    precisions, first = ranked_trajectories(scores, right, weights)  # [R, G] each
    metrics = {"mean_average_precision": np.nanmean(precisions, 1)}
    for way, how_many, reciprocal, middle in (
        (
            "trajectory_to_prompt",
            lambda k: weights @ (ranks <= k) / total,
            weights @ (1 / ranks) / total,
            weighted_median(ranks, weights),
        ),
        (
            "prompt_to_trajectory",
            lambda k: np.nanmean(np.where(np.isnan(first), np.nan, first <= k), 1),
            np.nanmean(1 / first, 1),
            np.nanmedian(first, 1),
        ),
    ):
        metrics |= {f"{way}_recall_at_{k}": how_many(k) for k in (1, 5, 10)}
        metrics |= {f"{way}_median_rank": middle, f"{way}_mean_reciprocal_rank": reciprocal}
    return metrics


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


def macro_f1(scores, right, weights):
    """The mean F1 over all groups that are the label or the answer of any trajectory. [R]"""
    n_groups = scores.shape[1]
    labels, answered = right.argmax(1), answers(scores, right)
    hits, truth, given = (
        weights @ (values[:, None] == np.arange(n_groups))
        for values in (np.where(answered == labels, labels, -1), labels, answered)
    )
    present = truth + given > 0
    f1 = 2 * hits / np.where(present, truth + given, 1)
    return (f1 * present).sum(1) / present.sum(1)


def ranked_trajectories(scores, right, weights):
    """For each prompt group: the average precision of the trajectories it retrieves, and the rank
    of the first right one. Two [R, G], NaN where no right trajectory was drawn."""
    shape = (len(weights), scores.shape[1])
    precisions, first = np.full(shape, np.nan), np.full(shape, np.nan)
    for group in np.flatnonzero(right.any(0)):
        has_it = right[:, group]
        above = scores[:, group, None] >= scores[has_it, group]  # [N, K], ties included
        n_right, n_above = weights @ (above & has_it[:, None]), weights @ above  # [R, K]
        drawn = weights[:, has_it]  # [R, K]
        n_drawn = drawn.sum(1)
        any_drawn = n_drawn > 0
        precision = (drawn * n_right / np.where(n_above > 0, n_above, 1)).sum(1)
        precisions[any_drawn, group] = precision[any_drawn] / n_drawn[any_drawn]
        ranks = np.where(drawn > 0, 1 + n_above - n_right, np.inf).min(1)
        first[any_drawn, group] = ranks[any_drawn]
    return precisions, first


def weighted_median(values, weights):
    """The median of values [N], each repeated by its weight, for each row of weights. [R]"""
    order = np.argsort(values, kind="stable")
    up_to = weights[:, order].cumsum(1)  # [R, N]
    middle = weights.sum(1, keepdims=True) / 2
    below, above = (up_to >= middle).argmax(1), (up_to > middle).argmax(1)
    return (values[order][below] + values[order][above]) / 2


def auc(scores: np.ndarray, columns: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The probability that a right trajectory is scored above a wrong one, ties as half.

    scores: [N, P]; columns: int [P], the group of each column; right: bool [N, G].
    Returns float64 [P], NaN where all trajectories are right or none is.
    """
    areas = np.full(len(columns), np.nan)
    for column, group in enumerate(columns):
        has_it = right[:, group]
        high, low = scores[has_it, column], np.sort(scores[~has_it, column])
        if len(high) and len(low):
            below, up_to = (np.searchsorted(low, high, side) for side in ("left", "right"))
            areas[column] = (below + up_to).mean() / 2 / len(low)
    return areas


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


def behaviours(scores: np.ndarray, right: np.ndarray, names: list[str], seed: int = 0) -> list:
    """For each group that has trajectories: its name; the count of those with this label only, the
    accuracy on them with its interval (None if there are none), and their wrong predictions, most
    frequent first; the AUC over all. If any trajectory has several labels, `with_others` is the
    count of those with this label and others."""
    weights = resamples(len(right), np.random.default_rng(seed))
    single = has_one(right)
    of_group = right * single[:, None].astype(np.float64)
    correct = ranks_of_right(scores, right) == 1
    with np.errstate(invalid="ignore"):  # a group that was not drawn
        drawn = weights @ (of_group * correct[:, None]) / (weights @ of_group)  # [R, G]
    counts = confusion(scores, right)
    areas = auc(scores, np.arange(scores.shape[1]), right)
    found = []
    for group in np.flatnonzero(right.any(0)):
        row, n = counts[group], int(counts[group].sum())
        others = [j for j in np.argsort(-row, kind="stable") if j != group and row[j]]
        behaviour = {
            "name": names[group],
            "count": n,
            "accuracy": interval(row[group] / n, drawn[:, group]) if n else None,
            "auc": None if np.isnan(areas[group]) else float(areas[group]),
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
