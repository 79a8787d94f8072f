"""Can the model tell the behaviours apart? Metrics of labelled scores, with confidence intervals.

Scores are [N, G]: N trajectories by G prompt groups; labels are int [N], the right group of each.
All resamples are computed at once: a resample is a row of weights, how often each trajectory was
drawn. Ties count against the model: the right answer ranks behind all with the same score. (AUC
counts a tie as half, and average precision takes equal scores as one step, as scikit-learn does.)
"""

import numpy as np

from trajeval.table import membership

N_RESAMPLES = 2000
MIN_COUNT = 5  # trajectories of a behaviour; with fewer, its interval is unreliable
APART = 0.9  # a behaviour whose AUC is above this counts as told apart


def measure(scores: np.ndarray, labels: np.ndarray, seed: int = 0) -> dict[str, dict[str, float]]:
    """Metrics by name, each with its `value`, its 95 % bootstrap interval over trajectories (`low`,
    `high`), and the values of two baselines: random scores (`chance`) and always answering the most
    frequent label (`majority`).

    top1, top3: accuracy. macro_f1: as scikit-learn defines it. mean_average_precision: of the
    trajectories that each prompt retrieves, over prompts. trajectory_to_prompt and
    prompt_to_trajectory: retrieval, as recall_at_1, _5, _10, median_rank and mean_reciprocal_rank
    of the first right result.
    """
    rng = np.random.default_rng(seed)
    n, n_groups = scores.shape
    once = np.ones((1, n))
    metrics = bootstrap(scores, labels, resamples(n, rng))
    n_draws = int(np.clip(100_000 // scores.size, 5, 200))
    by_chance = [resampled_metrics(rng.random(scores.shape), labels, once) for _ in range(n_draws)]
    counts = np.bincount(labels, minlength=n_groups)
    order = np.argsort(-counts, kind="stable").argsort()  # the most frequent first, without ties
    majority = resampled_metrics(np.tile(-order, (n, 1)), labels, once)
    chance = {name: np.mean([drawn[name] for drawn in by_chance]) for name in metrics}
    # Every rank is equally likely, so these are known without drawing.
    ranks = np.arange(1, n_groups + 1)
    chance |= {name: np.mean(ranks <= k) for name, k in (("top1", 1), ("top3", 3))}
    way = "trajectory_to_prompt"
    chance |= {f"{way}_recall_at_{k}": np.mean(ranks <= k) for k in (1, 5, 10)}
    chance |= {
        f"{way}_median_rank": ranks.mean(),
        f"{way}_mean_reciprocal_rank": (1 / ranks).mean(),
    }
    return {
        name: interval(value, drawn)
        | {"chance": float(chance[name]), "majority": float(majority[name][0])}
        for name, (value, drawn) in metrics.items()
    }


def differences(metrics: dict, others: dict) -> dict[str, dict[str, float]]:
    """How much higher each metric is in others than in metrics, with its 95 % interval. Both are
    results of `bootstrap` for the same trajectories and weights (paired bootstrap)."""
    return {
        name: interval(others[name][0] - value, others[name][1] - drawn)
        for name, (value, drawn) in metrics.items()
    }


def bootstrap(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> dict:
    """Name -> (value, values) of each metric of `measure`: its value, and its value in every
    resample, float64 [R]. weights: [R, N] of `resamples`."""
    values = resampled_metrics(scores, labels, np.ones((1, len(labels))))
    drawn = resampled_metrics(scores, labels, weights)
    return {name: (value[0], drawn[name]) for name, value in values.items()}


def resamples(n: int, rng: np.random.Generator) -> np.ndarray:
    """Weights [N_RESAMPLES, n]: how often each of n is drawn, n times with replacement."""
    drawn = rng.integers(n, size=(N_RESAMPLES, n)) + n * np.arange(N_RESAMPLES)[:, None]
    return np.bincount(drawn.ravel(), minlength=N_RESAMPLES * n).reshape(-1, n).astype(float)


def interval(value, drawn) -> dict[str, float]:
    """A value and the middle 95 % of its resampled values, without those that are undefined."""
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return {"value": float(value), "low": float(low), "high": float(high)}


def resampled_metrics(scores, labels, weights):
    """The metrics of `measure` for each row of weights [R, N]: name -> float64 [R]."""
    total = weights.sum(1)
    ranks = ranks_of_right(scores, labels)
    metrics = {"top1": weights @ (ranks <= 1) / total, "top3": weights @ (ranks <= 3) / total}
    metrics["macro_f1"] = macro_f1(scores, labels, weights)
    precisions, first = ranked_trajectories(scores, labels, weights)  # [R, G] each
    metrics["mean_average_precision"] = np.nanmean(precisions, 1)
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


def ranks_of_right(scores, labels):
    """The rank of each trajectory's right prompt group among all, 1 is best. int64 [N]"""
    right = scores[np.arange(len(labels)), labels]
    return (scores >= right[:, None]).sum(1)


def wrong_scores(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The scores, with -inf for each trajectory's right prompt group. float64 [N, G]"""
    wrong = np.array(scores, np.float64)
    wrong[np.arange(len(labels)), labels] = -np.inf
    return wrong


def answers(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The prompt group with the highest score, a wrong one if tied with the right one. int64 [N]"""
    wrong = wrong_scores(scores, labels).argmax(1)
    return np.where(ranks_of_right(scores, labels) == 1, labels, wrong)


def macro_f1(scores, labels, weights):
    """The mean F1 over all groups that are the label or the answer of any trajectory. [R]"""
    n_groups = scores.shape[1]
    answered = answers(scores, labels)
    hits, truth, given = (
        weights @ (values[:, None] == np.arange(n_groups))
        for values in (np.where(answered == labels, labels, -1), labels, answered)
    )
    present = truth + given > 0
    f1 = 2 * hits / np.where(present, truth + given, 1)
    return (f1 * present).sum(1) / present.sum(1)


def ranked_trajectories(scores, labels, weights):
    """For each prompt group: the average precision of the trajectories it retrieves, and the rank
    of the first right one. Two [R, G], NaN where no right trajectory was drawn."""
    shape = (len(weights), scores.shape[1])
    precisions, first = np.full(shape, np.nan), np.full(shape, np.nan)
    for group in np.unique(labels):
        right = labels == group
        above = scores[:, group, None] >= scores[right, group]  # [N, K], ties included
        n_right, n_above = weights @ (above & right[:, None]), weights @ above  # [R, K]
        drawn = weights[:, right]  # [R, K]
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


def auc(scores: np.ndarray, columns: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The probability that a right trajectory is scored above a wrong one, ties as half.

    scores: [N, P]; columns: int [P], the group of each column; labels: int [N].
    Returns float64 [P], NaN where all trajectories are right or none is.
    """
    areas = np.full(len(columns), np.nan)
    for column, group in enumerate(columns):
        right, wrong = scores[labels == group, column], scores[labels != group, column]
        if len(right) and len(wrong):
            wrong = np.sort(wrong)
            below, up_to = (np.searchsorted(wrong, right, side) for side in ("left", "right"))
            areas[column] = (below + up_to).mean() / 2 / len(wrong)
    return areas


def confusion(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many trajectories of each group (rows) were predicted as each (columns). int64 [G, G]"""
    counts = np.zeros((scores.shape[1],) * 2, np.int64)
    np.add.at(counts, (labels, answers(scores, labels)), 1)
    return counts


def margins(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The right group's score minus the best wrong one's, for each trajectory. float64 [N]; inf if
    there is only one group."""
    return scores[np.arange(len(labels)), labels] - wrong_scores(scores, labels).max(1)


def behaviours(scores: np.ndarray, labels: np.ndarray, names: list[str], seed: int = 0) -> list:
    """For each group that has trajectories: its name, count, accuracy with its interval, AUC, and
    the wrong predictions, most frequent first."""
    weights = resamples(len(labels), np.random.default_rng(seed))
    of_group = membership(labels)
    correct = ranks_of_right(scores, labels) == 1
    with np.errstate(invalid="ignore"):  # a group that was not drawn
        drawn = weights @ (of_group * correct[:, None]) / (weights @ of_group)  # [R, G]
    counts = confusion(scores, labels)
    areas = auc(scores, np.arange(scores.shape[1]), labels)
    found = []
    for group in np.unique(labels):
        row = counts[group]
        others = [j for j in np.argsort(-row, kind="stable") if j != group and row[j]]
        found.append(
            {
                "name": names[group],
                "count": int(row.sum()),
                "accuracy": interval(row[group] / row.sum(), drawn[:, group]),
                "auc": None if np.isnan(areas[group]) else float(areas[group]),
                "taken_for": [{"name": names[j], "count": int(row[j])} for j in others],
            }
        )
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
