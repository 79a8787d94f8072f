"""How often do the intervals of metrics of labelled scores hold?

Takes of several behaviours get made-up scores. The true value of an AUC is that of endless takes;
of everything else the mean over the runs, since average precision, for one, depends on how many
takes there are.
"""

import sys
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from trajeval.areas import areas_of
from trajeval.behaviours import behaviour_aucs, behaviours
from trajeval.comparison import Number, change
from trajeval.intervals import as_interval
from trajeval.metrics import all_metrics

TAKES, BEHAVIOURS, RUNS = (3, 5, 10, 30), (3, 12), 300
N_LARGE = 40_000  # trajectories for the true AUCs
SHARED = 0.7  # the correlation of two models' scores of one trajectory
NAMES = {
    "accuracy of a behaviour": "accuracy",
    "AUC of a behaviour": "auc",
    "mean AUC": "mean_auc",
    "top-1 accuracy": "top1",
    "top-3 accuracy": "top3",
    "macro F1": "macro_f1",
    "mean average precision": "mean_average_precision",
    "reciprocal rank of the prompt": "trajectory_to_prompt_mean_reciprocal_rank",
    "trajectory first for its prompt": "prompt_to_trajectory_recall_at_1",
}
PAIRED = ("auc", "mean_auc", "top1", "macro_f1", "mean_average_precision")


class Kind(NamedTuple):
    """How scores are made. area: the AUC of two normal distributions of equal spread. fails: the
    share of takes that show nothing. shared: the share of the variance that all prompts have in
    common. unbalanced: every other behaviour has four times as many takes."""

    area: float
    fails: float = 0.0
    shared: float = 0.0
    unbalanced: bool = False


KINDS = (
    *(Kind(0.6), Kind(0.8), Kind(0.95), Kind(0.999)),
    *(Kind(0.95, fails=0.2), Kind(0.9, shared=0.6), Kind(0.95, unbalanced=True)),
)


def labels_of(kind: Kind, takes: int, n_behaviours: int, times: int = 1) -> np.ndarray:
    counts = np.full(n_behaviours, takes * times)
    counts[1::2] *= 4 if kind.unbalanced else 1
    return np.repeat(np.arange(n_behaviours), counts)


def two_models(kind: Kind, labels: np.ndarray, n_behaviours: int, rng) -> list[np.ndarray]:
    """The scores of two models for the same trajectories, the second somewhat better. [N, G]"""
    far = NormalDist().inv_cdf(kind.area) * np.sqrt(2)
    right = labels[:, None] == np.arange(n_behaviours)
    shows = rng.random((len(labels), 1)) >= kind.fails
    noise = rng.normal(size=(3, len(labels), n_behaviours))
    offset = np.sqrt(kind.shared) * rng.normal(size=(len(labels), 1))
    own = [np.sqrt(SHARED) * noise[0] + np.sqrt(1 - SHARED) * one for one in noise[1:]]
    return [
        better * far * right * shows + offset + np.sqrt(1 - kind.shared) * one
        for better, one in zip((1, 1.2), own)
    ]


def numbers(scores: np.ndarray, right: np.ndarray) -> dict[str, list[Number]]:
    """The numbers of a run, those of behaviours one for each."""
    found = {
        name: [Number(as_interval(metric.value, metric.limits()), metric.parts)]
        for name, metric in all_metrics(scores, right).items()
        if name in NAMES.values()
    }
    found["auc"] = [
        Number(as_interval(area.value, area.limits()), area.parts)
        for area in behaviour_aucs(scores, right).values()
    ]
    of_each = behaviours(scores, right, [str(i) for i in range(right.shape[1])])
    return found | {"accuracy": [Number(one["accuracy"]) for one in of_each]}


def coverage(kind: Kind, takes: int, n_behaviours: int, n_runs: int, rng) -> dict[str, float]:
    """Name -> the share of runs whose interval holds; of differences as `- NAME`."""
    labels = labels_of(kind, takes, n_behaviours)
    right = labels[:, None] == np.arange(n_behaviours)
    runs: dict[str, list] = {}
    for _ in range(n_runs):
        found = [numbers(scores, right) for scores in two_models(kind, labels, n_behaviours, rng)]
        for name, of_run in found[0].items():
            runs.setdefault(name, []).append([one.interval for one in of_run])
        for name in PAIRED:
            pairs = zip(found[0][name], found[1][name])
            runs.setdefault(f"- {name}", []).append([change(*pair) for pair in pairs])
    true = true_areas(kind, labels, n_behaviours, rng)
    return {name: share_that_holds(of, true.get(name)) for name, of in runs.items()}


def true_areas(kind: Kind, labels: np.ndarray, n_behaviours: int, rng) -> dict[str, np.ndarray]:
    many = np.repeat(labels, max(1, N_LARGE // len(labels)))
    right = many[:, None] == np.arange(n_behaviours)
    first, second = (
        areas_of(scores, right).values for scores in two_models(kind, many, n_behaviours, rng)
    )
    areas = {"auc": first, "- auc": second - first}
    return areas | {
        f"{name.replace('auc', 'mean_auc')}": of.mean(keepdims=True) for name, of in areas.items()
    }


def share_that_holds(runs: list[list[dict]], true: np.ndarray | None) -> float:
    """runs: of each, the intervals of one number (or of that of each behaviour)."""
    value, low, high = (
        np.array([[i[end] for i in run] for run in runs]) for end in ("value", "low", "high")
    )
    wanted = value.mean(0) if true is None else true
    return float(((low <= wanted + 1e-9) & (wanted - 1e-9 <= high)).mean())


def table(share: float = 1) -> dict[str, dict[int, list[float]]]:
    """As coverage.SECTIONS has it, of each kind of scores with each number of behaviours."""
    rng = np.random.default_rng(0)
    titles = {name: title for title, name in NAMES.items()}
    titles |= {f"- {name}": f"difference of two models: {titles[name]}" for name in PAIRED}
    found: dict[str, dict[int, list[float]]] = {title: {} for title in titles.values()}
    for takes in TAKES:
        for n_behaviours in BEHAVIOURS:
            for kind in KINDS:
                held = coverage(kind, takes, n_behaviours, int(RUNS * share), rng)
                for name, of_runs in held.items():
                    found[titles[name]].setdefault(takes, []).append(of_runs)
    return found
