"""How often do the intervals of ratings, success detection, controls and the probe hold?

The true value of an AUC, a rate or a correlation is that of endless takes; of a mean over
behaviours, of average precision and of the probe it is the mean over the runs, since they depend on
how many takes there are.
"""

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import NormalDist

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from trajeval.areas import areas_of
from trajeval.controls import against_plain
from trajeval.metrics import mean_auc, ranks_of_right
from trajeval.probe import centroid_answers, comparison
from trajeval.ratings import FIGURES, Rated, agreement, rank
from trajeval.spool import Rows
from trajeval.success import detection

TAKES, RUNS = (3, 5, 10, 30), 400
N_LARGE, N_BEHAVIOURS, LIMIT = 3000, 8, 0.05
TITLES = {
    "kendall": "Kendall's tau-b",
    "spearman": "Spearman",
    "ranking_accuracy": "ranking accuracy",
}
ERRORS = (
    *(("noise", 1), ("noise", 0.8), ("noise", 0.3)),
    *(("some at random", 0.3), ("some at random", 0.1)),
)
Held = Iterator[tuple[str, float]]  # a title, and the share of the runs whose interval holds


def noisy(rng, n: int, kind: str, error) -> tuple[np.ndarray, np.ndarray]:
    """Scores and ratings; kind: how many ratings there are; error: how much of the ranking is
    wrong, and how."""
    how, much = error
    ratings, noise = rng.normal(size=(2, n))
    scores = ratings
    if how == "noise":
        scores = np.sqrt(1 - much**2) * ratings + much * noise
    elif how == "some at random":
        scores = np.where(rng.random(n) < much, noise, ratings)
    levels = {"numbers": ratings, "two": ratings > 0, "three": np.digitize(ratings, (-0.43, 0.43))}
    return scores, levels[kind].astype(float)


def of_ratings(n: int, n_runs: int, rng) -> Held:
    for kind in ("numbers", "two", "three"):
        for error in ERRORS:
            true = agreement(*noisy(rng, N_LARGE, kind, error))
            runs = [agreement(*noisy(rng, n, kind, error)) for _ in range(n_runs)]
            means = [mean_of(n, kind, error, rng) for _ in range(n_runs)]
            for name in FIGURES:
                yield (
                    TITLES[name],
                    share_that_holds([run[name] for run in runs], true[name]["value"]),
                )
                yield (
                    f"mean over {N_BEHAVIOURS} behaviours: {TITLES[name]}",
                    share_that_holds([run[name] for run in means]),
                )


def mean_of(n: int, kind: str, error, rng) -> dict:
    groups = [noisy(rng, n, kind, error) for _ in range(N_BEHAVIOURS)]
    names = [str(i) for i in range(len(groups))]
    return rank(Rated(kind, names, *map(list, zip(*groups)), True, {}))["mean"]


def of_success(n: int, n_runs: int, rng) -> Held:
    """n successes, and n or 2 n failures. The rates are those of the threshold that was chosen."""
    normal = NormalDist()
    for apart, times in product((0, 1, 2, 3), (1, 2)):
        runs, rates = [], {"found_rate": [], "false_rate": []}
        for _ in range(n_runs):
            scores = rng.normal(size=n + times * n)
            is_success = np.arange(len(scores)) < n
            runs.append(found := detection(scores + apart * is_success, is_success, LIMIT))
            rates["found_rate"].append(1 - normal.cdf(found["threshold"] - apart))
            rates["false_rate"].append(1 - normal.cdf(found["threshold"]))
        for title, name, true in (
            ("share of successes found", "found_rate", rates["found_rate"]),
            ("share of failures let through", "false_rate", rates["false_rate"]),
            ("AUC of successes", "auc", normal.cdf(apart / np.sqrt(2))),
            ("AUPRC of successes", "auprc", None),
        ):
            yield title, share_that_holds([run[name] for run in runs], true)


def of_controls(n: int, n_runs: int, rng) -> Held:
    """kept: what is left of the distance of right and wrong scores; related: the correlation of
    the scores with and without the control."""
    normal = NormalDist()
    for n_behaviours in (3, 12):
        right = np.repeat(np.arange(n_behaviours), n)[:, None] == np.arange(n_behaviours)
        for area, kept, related in (
            (0.8, 1, 0.95),
            (0.8, 0.5, 0.8),
            (0.999, 0.5, 0.9),
            (0.7, 1, 0.5),
        ):
            apart = normal.inv_cdf(area) * np.sqrt(2)
            true, runs = normal.cdf(kept * apart / np.sqrt(2)) - area, []
            for _ in range(n_runs):
                first, other = rng.normal(size=(2, *right.shape))
                second = related * first + np.sqrt(1 - related**2) * other
                scores = apart * right + first, kept * apart * right + second
                areas = (mean_auc(areas_of(of, right))["mean_auc"] for of in scores)
                runs.append(against_plain(*areas)["auc_difference"])
            yield "control: difference of mean AUC", share_that_holds(runs, true)


def of_probe(n: int, n_runs: int, rng) -> Held:
    """Nearest centroids. seen, said: how far apart the embeddings of the behaviours, and the scores
    of their prompts are."""
    for n_behaviours in (3, 8):
        right = np.repeat(np.arange(n_behaviours), n)[:, None] == np.arange(n_behaviours)
        middles = rng.normal(size=(n_behaviours, 8))
        for seen, said in ((0, 0.5), (0.6, 0.5), (0.9, 0.8), (1.2, 2), (3, 1)):
            runs = []
            for _ in range(n_runs):
                noise = rng.normal(size=(len(right), 8))
                embeddings, each = Rows((8,)), np.arange(len(right))
                for embedding in seen * middles[right.argmax(1)] + noise:
                    embeddings.append(embedding)
                by_probe = centroid_answers(embeddings, each, right.argmax(1), each)
                by_prompts = said * right + 0.5 * noise[:, :n_behaviours]
                by_prompts += 0.7 * rng.normal(size=right.shape)
                runs.append(comparison(by_probe, ranks_of_right(by_prompts, right) == 1))
            yield "accuracy of the probe", share_that_holds([run["accuracy"] for run in runs])
            yield "probe less prompts", share_that_holds([run["difference"] for run in runs])


def share_that_holds(found: list[dict | None], true=None) -> float:
    """true: one value or that of each run; without it, the mean over the runs. A run in which the
    number is undefined does not count."""
    known = np.array([one is not None for one in found])
    value, low, high = (
        np.array([one[end] for one in found if one]) for end in ("value", "low", "high")
    )
    wanted = value.mean() if true is None else np.broadcast_to(true, known.shape)[known]
    return float(((low <= wanted + 1e-9) & (wanted - 1e-9 <= high)).mean())


def table(share: float = 1) -> dict[str, dict[int, list[float]]]:
    """As coverage.SECTIONS has it."""
    rng = np.random.default_rng(0)
    found: dict[str, dict[int, list[float]]] = {}
    for measure in (of_ratings, of_success, of_controls, of_probe):
        for n in TAKES:
            for title, held in measure(n, int(RUNS * share), rng):
                found.setdefault(title, {}).setdefault(n, []).append(held)
    return found
