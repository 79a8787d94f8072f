"""Words or eyes? What a linear probe gets out of the embeddings of videos, and what prompts get.

A probe learns the behaviours from the embeddings of labelled takes and names those of others. If it
is right more often than the prompts are, the model sees what the prompts fail to say.
"""

import hashlib
import math
import warnings
from collections import Counter

import numpy as np

from trajeval.cache import NO_CACHE, Cache
from trajeval.intervals import (
    as_interval,
    correlation_of,
    difference_limits,
    share_limits,
    shrunk,
)
from trajeval.metrics import has_one, ranks_of_right
from trajeval.progress import root_of
from trajeval.sources import split_part
from trajeval.table import (
    Entry,
    Table,
    group_scores,
    groups_of,
    has_groups,
    is_right,
)

FOLDS = 5  # and the recordings that a behaviour needs for logistic regression
STRENGTH = 100.0  # C, the inverse of the regularization, of embeddings of root mean square length 1
LARGEST = 250_000_000  # trajectories x dimensions x behaviours: seconds of logistic regression
FINE = 0.9  # an accuracy with which there is little to gain
# How many independent takes a cross-validated accuracy counts for, of those it has (by simulation):
# takes learn from each other, so that their mistakes go together
INDEPENDENT = 0.6
MEETING = 1e-3  # seconds that parts which meet may overlap, by rounding


def probe(table: Table, embeddings: np.ndarray, cache: Cache = NO_CACHE) -> dict | None:
    """The block `probe` of metrics.json, or None without two labels.

    embeddings: [N, D], of the table's rows. cache: keeps what logistic regression found. Only
    trajectories of one label count, of behaviours with two recordings or more (see
    `recordings_of`); the prompts have to choose among the same behaviours. `accuracy` of the
    probe and of the `prompts`, and their `difference`, with intervals; where too little is left
    these and `kind` are None, and `meaning` says so.
    """
    if not (has_groups(table.rows) and has_groups(table.columns)):
        return None
    groups, _ = groups_of(table.columns)
    right = is_right(table.rows, groups)  # [N, G]
    single = has_one(right)
    if right[single].any(0).sum() < 2:
        return None
    recordings = recordings_of(table.rows)
    n_recordings = np.array([len(np.unique(recordings[single & of_group])) for of_group in right.T])
    kept = n_recordings > 1
    rows = np.flatnonzero(single & (right & kept).any(1))
    block = {"trajectories": len(rows), "behaviours": int(kept.sum())}
    if kept.sum() < 2:
        why = "no probe: it takes two behaviours of two recordings or more each"
        if recordings.max() + 1 < len(recordings):
            why += ", and parts of one file are one recording"
        nothing = dict.fromkeys(("kind", "accuracy", "prompts", "difference"))
        return block | nothing | {"meaning": why}
    right, unit = right[np.ix_(rows, kept)], unit_length(embeddings[rows])
    recordings = np.unique(recordings[rows], return_inverse=True)[1]
    kind = "nearest centroid"
    if n_recordings[kept].min() >= FOLDS and unit.size * kept.sum() <= LARGEST:
        kind = "logistic regression"
        found = kept_answers(unit, right.argmax(1), recordings, cache)
    else:
        found = ranks_of_right(centroid_scores(unit, right, recordings), right) == 1
    by_prompts = ranks_of_right(group_scores(table)[np.ix_(rows, kept)], right) == 1
    return block | {"kind": kind} | comparison(found, by_prompts)


def recordings_of(rows: list[Entry]) -> np.ndarray:
    """The number of the recording that each trajectory is from. int64 [N]

    A file is one recording, and so are its parts: takes that follow each other look alike. Only a
    LeRobot data set keeps episodes that were recorded one by one in one file: there, parts that do
    not overlap are recordings of their own.
    """
    parts = [part_of(row.name) for row in rows]
    numbers, number, file, reached = np.zeros(len(rows), np.int64), -1, None, 0.0
    for i in sorted(range(len(rows)), key=parts.__getitem__):
        last, (file, start, end) = file, parts[i]
        if file != last or (start > reached - MEETING and root_of(file)):
            number, reached = number + 1, end
        numbers[i], reached = number, max(reached, end)
    return numbers


def part_of(name: str) -> tuple[str, float, float]:
    """The file, and where the part begins and ends in it."""
    try:
        file, start, end = split_part(name)
    except ValueError:  # a file that has such a name
        file, start, end = name, None, None
    return file, start or 0.0, math.inf if end is None else end


def unit_length(embeddings: np.ndarray) -> np.ndarray:
    """float64 [N, D]; zeros stay."""
    wide = np.asarray(embeddings, np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(lengths > 0, lengths, 1)


def centroid_scores(unit, right, recordings) -> np.ndarray:
    """Minus the squared distance of each trajectory to the mean of each behaviour without the
    trajectory's own recording (leave one out). float64 [N, G]"""
    sums, counts = right.T @ unit, right.sum(0)  # [G, D], [G]
    scores = np.empty(right.shape)
    order = np.argsort(recordings, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(recordings[order])) + 1):
        own = right[rows]
        centroids = (sums - own.T @ unit[rows]) / (counts - own.sum(0))[:, None]
        products = unit[rows] @ centroids.T
        scores[rows] = 2 * products - (centroids**2).sum(1)  # less its own length, the same for all
    return np.round(scores, 12)


def folds_of(labels: np.ndarray, recordings: np.ndarray) -> np.ndarray:
    """A fold for each trajectory: the recordings of each behaviour take turns, in the order of a
    list shuffled with a fixed seed. int64 [N]"""
    first = np.unique(recordings, return_index=True)[1]
    folds, turns = np.empty(len(first), np.int64), Counter()
    for recording in np.random.default_rng(0).permutation(len(first)):
        label = labels[first[recording]]
        folds[recording] = turns[label] % FOLDS
        turns[label] += 1
    return folds[recordings]


def kept_answers(unit, labels, recordings, cache: Cache) -> np.ndarray:
    """`regression_answers`, kept in the cache: importing scikit-learn takes longer than a run that
    has everything else."""
    from importlib.metadata import version

    folds = folds_of(labels, recordings)
    digest = hashlib.sha256(unit.tobytes())
    for numbers in (np.asarray(unit.shape), labels, folds):
        digest.update(np.asarray(numbers, np.int64).tobytes())
    key = {
        "data": digest.hexdigest(),
        "strength": STRENGTH,
        "scikit-learn": version("scikit-learn"),
    }
    known = cache.get("probes", key, {"right": np.ndarray})
    if known and known["right"].shape == labels.shape:
        return known["right"] == 1
    found = regression_answers(unit, labels, folds)
    cache.put("probes", key, {"right": found.astype(np.float32)})
    return found


def regression_answers(unit, labels, folds) -> np.ndarray:
    """Which trajectories are right by logistic regression of all that are in other folds. bool [N]

    Embeddings are centred and scaled by one number, so that the strength means the same for every
    model: those of some models are all close together."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    found = np.zeros(len(labels), bool)
    with threadpool_limits(1):  # threads wait for each other: the products are small
        for fold in range(FOLDS):
            test = folds == fold
            middle = unit[~test].mean(0)
            apart = unit - middle
            scale = np.sqrt((apart[~test] ** 2).sum(1).mean())
            if scale < 1e-9 or not test.any() or len(np.unique(labels[~test])) < 2:
                continue  # nothing to learn from: wrong
            model = LogisticRegression(C=STRENGTH)
            with warnings.catch_warnings(action="ignore"):  # not converged: near enough
                model.fit(apart[~test] / scale, labels[~test])
            found[test] = model.predict(apart[test] / scale) == labels[test]
    return found


def comparison(by_probe: np.ndarray, by_prompts: np.ndarray) -> dict:
    """Two bool [N]: which trajectories are right."""
    n = len(by_probe)
    accuracy, prompts = (
        as_interval(right.mean(), share_limits(right.mean(), independent * n))
        for right, independent in ((by_probe, INDEPENDENT), (by_prompts, 1))
    )
    correlation = shrunk(correlation_of(by_prompts, by_probe), n)
    limits = difference_limits(prompts, accuracy, correlation)
    difference = as_interval(accuracy["value"] - prompts["value"], limits)
    return {
        "accuracy": accuracy,
        "prompts": prompts,
        "difference": difference,
        "meaning": meaning(accuracy, prompts, difference, n),
    }


def meaning(accuracy: dict, prompts: dict, difference: dict, n: int) -> str:
    """In words, as far as the intervals allow. The words lose the difference, the eyes what the
    probe lacks of 1."""
    text = f"the prompts get {prompts['value']:.2f}, the embeddings "
    could = f"{text}could give {accuracy['value']:.2f}"
    if difference["high"] < 0:
        return f"{could}: the words tell more than a probe learns from {n} trajectories"
    if difference["low"] > 1 - accuracy["low"]:
        return f"{could}: the words are wrong, not the eyes"
    if prompts["low"] > FINE:
        return f"{could}: the words say what the eyes see"
    if difference["high"] < 1 - accuracy["high"]:
        return f"{text}give no more than {accuracy['value']:.2f}: the eyes are wrong, not the words"
    if difference["low"] > 0:
        return f"{could}: better words would help"
    return f"{could}: which of the two falls short cannot be told from {n} trajectories"


def as_lines(found: dict) -> list[str]:
    """The block `probe` for the terminal."""
    text = f"words or eyes: {found['meaning']}"
    if found["kind"] is None:
        return [text]
    accuracy, prompts = (
        f"{of['value']:.2f} ({of['low']:.2f} to {of['high']:.2f})"
        for of in (found["accuracy"], found["prompts"])
    )
    return [f"{text} ({found['kind']} {accuracy}, prompts {prompts})"]
