"""What random scores get: in which place the right answers are if every order is equally likely."""

import numpy as np

N_DRAWS = 200_000  # of the ranks that a mean is over, altogether


def known(n_groups: int, all_have_one: bool) -> dict[str, float]:
    """Of accuracy, and of retrieval if each trajectory has one label: every rank of it is equally
    likely."""
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


def of_any_labels(right: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """What `metrics.of_any_labels` gives of random scores, on average. right: bool [N, G]"""
    counts = right.sum(0)
    counts = counts[counts > 0]
    return {
        "mean_average_precision": float(average_precision(counts, len(right)).mean()),
        **retrieval("trajectory_to_prompt", first_ranks(right.sum(1), right.shape[1], rng)),
        **retrieval("prompt_to_trajectory", first_ranks(counts, len(right), rng)),
    }


def average_precision(n_right: np.ndarray, n: int) -> np.ndarray:
    """The average precision to expect of n_right [G] right ones among n: Bestgen (2015), "Exact
    expected average precision of the random baseline for system evaluation". float64 [G]"""
    harmonic = (1 / np.arange(1, n + 1)).sum()
    return (harmonic + (n_right - 1) / max(n - 1, 1) * (n - harmonic)) / n


def first_ranks(n_right: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of the rank of the first of n_right [K] right ones, 1 or more, among n. int64 [R, K]

    If scores are uniform, a wrong one is above the highest of r right ones with the chance p, where
    (1 - p)^r is uniform too, and so is each of the others."""
    drawn = rng.exponential(size=(-(-N_DRAWS // len(n_right)), len(n_right)))
    return 1 + rng.binomial(n - n_right, -np.expm1(-drawn / n_right))


def retrieval(way: str, ranks: np.ndarray) -> dict[str, float]:
    """The means of the metrics of one way of retrieval over draws of ranks, int [R, K]."""
    return {
        **{f"{way}_recall_at_{k}": float((ranks <= k).mean()) for k in (1, 5, 10)},
        f"{way}_median_rank": float(np.median(ranks, axis=1).mean()),
        f"{way}_mean_reciprocal_rank": float((1 / ranks).mean()),
    }
