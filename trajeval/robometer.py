"""Figures as Robometer computes them, under its names, to compare with what is published.

Of its evaluation (robometer/evals/compile_results.py, github.com/robometer/robometer): the ranking
of policies by quality label and by partial success, the correlations, and the accuracy of
preferences. They have no intervals, and ties count differently in each: `ratings.py` has the
figures to go by. Scores and ratings are float64 [n], one pair of arrays for each task.
"""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np

from trajeval.pairs import below_both, dense, net_agreement, ranks_of

QUALITIES = ("failure", "suboptimal", "successful")  # rated 0, 1, 2


def figures(kind: str, scores: Sequence[np.ndarray], ratings: Sequence[np.ndarray]) -> dict:
    """Name -> value, None where undefined. kind: "order" or "numbers", whose partial success is
    from 0 to 1."""
    tasks = list(zip(scores, ratings))
    found: dict[str, float | None] = {"preference_accuracy": preference_accuracy(tasks)}
    if kind == "order":
        return by_quality(tasks) | found
    if all(rating.min() >= 0 and rating.max() <= 1 for rating in ratings):
        found = by_partial_success(tasks) | found
    for name, correlation in CORRELATIONS.items():
        values = [correlation(rating, score) for score, rating in tasks]
        found[f"compute_{name}"] = mean([value for value in values if value is not None])
    return found


# --- correlations; None where undefined (Robometer: NaN, or ZeroDivisionError)


def kendall(x: np.ndarray, y: np.ndarray) -> float | None:
    """Tau-a: concordant less discordant pairs over all pairs, ties among them."""
    n = len(x)
    if n < 2:
        return None
    return float(net_agreement(x, y).sum() / (n * (n - 1)))


def pearson(x: np.ndarray, y: np.ndarray) -> float | None:
    if len(x) < 2 or (x == x[0]).all() or (y == y[0]).all():
        return None
    x, y = x - x.mean(), y - y.mean()
    return float((x @ y) / np.sqrt((x @ x) * (y @ y)))


def spearman(x: np.ndarray, y: np.ndarray) -> float | None:
    return pearson(mean_ranks(x), mean_ranks(y))


def mean_ranks(values: np.ndarray) -> np.ndarray:
    ordered = np.sort(values)
    below, up_to = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return (below + up_to + 1) / 2


CORRELATIONS = {"kendall": kendall, "pearson": pearson, "spearman": spearman}


def mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


# --- ranking of policies


def by_quality(tasks: list) -> dict[str, float | None]:
    """_compute_policy_ranking_metrics_quality_label; {} if every task has one quality only.

    `kendall` and `spearman`: the mean correlation over every choice of one trajectory of each
    quality; `_rewind`: that of the means of the qualities; `_diff`: differences of these means.
    """
    several = [task for task in tasks if len(np.unique(task[1])) > 1]
    if not several:
        return {}
    found: dict[str, float | None] = {}
    tuples = [correlations_over_tuples(*task) for task in several]
    for name, correlation in (("kendall", kendall), ("spearman", spearman)):
        found[name] = mean([of_task[name] for of_task in tuples])
        rewound = [correlation(*means_by(rating, score)) for score, rating in several]
        found[f"{name}_rewind"] = mean([value for value in rewound if value is not None])
    for name, low, high in (*(("succ_subopt", 1, 2), ("subopt_fail", 0, 1), ("succ_fail", 0, 2)),):
        apart = [
            score[rating == high].mean() - score[rating == low].mean()
            for score, rating in several
            if low in rating and high in rating
        ]
        for which, of in (("avg", np.mean), ("min", np.min), ("max", np.max)):
            found[f"{which}_{name}_diff"] = float(of(apart)) if apart else None
    found["ranking_acc"] = ranking_acc(several)
    for low, high in combinations(range(3), 2):
        chosen = [np.isin(rating, (low, high)) for _, rating in several]
        of_two = [(score[k], rating[k]) for (score, rating), k in zip(several, chosen)]
        if (accuracy := ranking_acc(of_two)) is not None:
            found[f"ranking_acc_{QUALITIES[low]}_vs_{QUALITIES[high]}"] = accuracy
    return found


def by_partial_success(tasks: list) -> dict[str, float | None]:
    """_compute_policy_ranking_metrics_partial_success, of ratings from 0 to 1; `_rewind_rba`: over
    the means of those below 1/3, below 2/3 and above. {} without a pair of different rating."""
    accuracy = ranking_acc(tasks)
    if accuracy is None:
        return {}
    found: dict[str, float | None] = {"ranking_acc_rba": accuracy}
    edges = np.linspace(0, 1, 4)[1:]
    for name, correlation in (("kendall", kendall), ("spearman", spearman)):
        rewound = []
        for score, rating in tasks:
            thirds = np.minimum(np.digitize(rating, edges), 2)
            rewound.append(correlation(*means_by(thirds, score)))
        known = [value for value in rewound if value is not None]
        found[f"{name}_rewind_rba"] = mean(known)
    return found


def ranking_acc(tasks: list) -> float | None:
    """The share of the pairs of different rating, of all tasks, for which `rating i > rating j` is
    as true as `score i > score j`, i before j: of equal scores it depends on the order."""
    n_right = n_pairs = 0
    for score, rating in tasks:
        n_right += below_both(score, rating).sum() + in_order_among_equal(score, rating)
        n_pairs += ranks_of(rating)[0].sum()
    return float(n_right / n_pairs) if n_pairs else None


def in_order_among_equal(scores: np.ndarray, ratings: np.ndarray) -> int:
    """How many pairs of equal scores have ratings that rise from the first to the second."""
    below, up_to = ranks_of(scores)
    tied = np.flatnonzero(up_to - below > 1)
    numbers, scores = np.arange(len(tied)), below[tied]
    both = scores * len(below) + dense(ratings[tied])  # in the order of scores, then of ratings
    return below_both(numbers, both).sum() - below_both(numbers, scores).sum()


def preference_accuracy(tasks: list) -> float | None:
    """The share of the pairs of different rating, of all tasks, in which the better one has the
    higher score; equal scores are wrong."""
    n_right = sum(below_both(score, rating).sum() for score, rating in tasks)
    n_pairs = sum(ranks_of(rating)[0].sum() for _, rating in tasks)
    return float(n_right / n_pairs) if n_pairs else None


def means_by(levels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The levels that occur, ascending, and the mean score of each."""
    found = np.unique(levels)
    return found.astype(float), np.array([scores[levels == level].mean() for level in found])


def correlations_over_tuples(scores: np.ndarray, ratings: np.ndarray) -> dict[str, float]:
    """The mean of tau-a, and of Spearman's correlation where it is defined (0 if nowhere), over
    every choice of one trajectory of each rating; two ratings or three.

    Counted by the signs of the score differences a (2nd - 1st), b (3rd - 1st) and c (3rd - 2nd).
    """
    levels = [np.sort(scores[ratings == level]) for level in np.unique(ratings)]
    signs = [signs_of(high, low) for low, high in combinations(levels, 2)]
    counts = [{sign: int(of.sum()) for sign, of in one.items()} for one in signs]
    taus = [(of[1] - of[-1]) / sum(of.values()) for of in counts]
    if len(levels) == 2:
        [of] = counts
        n_defined = of[1] + of[-1]
        return {"kendall": taus[0], "spearman": (of[1] - of[-1]) / n_defined if n_defined else 0.0}
    total = n_defined = 0.0
    for (a, b, c), n in tuples_by_signs(*levels).items():
        ranks = np.array([-(a + b), a - c, b + c]) / 2  # less their mean
        if ranks.any():
            total += n * (ranks[2] - ranks[0]) / np.sqrt(2 * ranks @ ranks)
            n_defined += n
    return {"kendall": float(np.mean(taus)), "spearman": total / n_defined if n_defined else 0.0}


def tuples_by_signs(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> dict:
    """How many choices of one of each have the signs a, b, c of `correlations_over_tuples`, as
    floats. Each array ascending."""
    a_of, c_of, found = signs_of(second, first), signs_of(second, third), {}
    for a, c in product((-1, 0, 1), repeat=2):
        if a * c >= 0:
            found[a, a or c, c] = float(a_of[a] @ c_of[-c])
            continue
        # First and third on one side of the second, below it or, turned over, above it.
        x, y, z = (sorted_ if a > 0 else -sorted_[::-1] for sorted_ in (first, second, third))
        n_x, n_z = (np.searchsorted(ordered, y) for ordered in (x, z))
        of_z, of_x = signs_of(z, x), signs_of(x, z)
        by_sign = {-1: (of_x[1], n_x), 0: (of_z[0], n_z), 1: (of_z[1], n_z)}
        for b in (-1, 0, 1):
            of, n = by_sign[a * b]
            found[a, b, c] = float(np.concatenate([[0], np.cumsum(of)])[n].sum())
    return found


def signs_of(values: np.ndarray, others: np.ndarray) -> dict[int, np.ndarray]:
    """The sign of a value less another -> with how many of the others, ascending, each value has
    that. int64, the shape of values"""
    below, up_to = (np.searchsorted(others, values, side) for side in ("left", "right"))
    return {-1: len(others) - up_to, 0: up_to - below, 1: below}
