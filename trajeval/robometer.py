"""Figures as Robometer computes them, under its names, to compare with what is published.

Of its evaluation (robometer/evals/compile_results.py, github.com/robometer/robometer): the ranking
of policies by quality label and by partial success, the correlations, and the accuracy of
preferences. They have no intervals, and ties count differently in each: `ratings.py` has the
figures to go by. Scores and ratings are float64 [n], one pair of arrays for each task.
"""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np

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
    rows = (np.sign(x - of_x) @ np.sign(y - of_y) for of_x, of_y in zip(x, y))
    return float(sum(rows) / (n * (n - 1)))


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
        different = np.triu(rating[:, None] != rating)
        same = (rating[:, None] > rating) == (score[:, None] > score)
        n_right, n_pairs = n_right + (same & different).sum(), n_pairs + different.sum()
    return float(n_right / n_pairs) if n_pairs else None


def preference_accuracy(tasks: list) -> float | None:
    """The share of the pairs of different rating, of all tasks, in which the better one has the
    higher score; equal scores are wrong."""
    n_right = n_pairs = 0
    for score, rating in tasks:
        better = rating[:, None] > rating
        n_right += (better & (score[:, None] > score)).sum()
        n_pairs += better.sum()
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
    levels = [scores[ratings == level] for level in np.unique(ratings)]
    signs = [np.sign(high - low[:, None]) for low, high in combinations(levels, 2)]  # a, b, c
    taus = [sign.mean() for sign in signs]
    if len(levels) == 2:
        [sign] = signs
        n_defined = np.abs(sign).sum()
        return {"kendall": taus[0], "spearman": sign.sum() / n_defined if n_defined else 0.0}
    total = n_defined = 0.0
    for a, c in product((-1, 0, 1), repeat=2):
        first, third = signs[0] == a, signs[2] == c  # [first, second], [second, third]
        if a * c < 0:  # b is any
            counts = first.astype(float) @ third
            by_b = {b: counts[signs[1] == b].sum() for b in (-1, 0, 1)}
        else:
            by_b = {a or c: float(first.sum(0) @ third.sum(1))}
        for b, n in by_b.items():
            ranks = np.array([-(a + b), a - c, b + c]) / 2  # less their mean
            if ranks.any():
                total += n * (ranks[2] - ranks[0]) / np.sqrt(2 * ranks @ ranks)
                n_defined += n
    return {"kendall": np.mean(taus), "spearman": total / n_defined if n_defined else 0.0}
