"""Words or eyes? What a linear probe gets out of the embeddings of videos, and what prompts get.

A probe learns the behaviours from the embeddings of labelled takes and names those of others. If it
is right more often than the prompts are, the model sees what the prompts fail to say.
"""

import hashlib
import math
import warnings
from collections import Counter
from functools import cache as cache_of

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
from trajeval.spool import Rows
from trajeval.table import (
    Entry,
    Table,
    group_scores,
    groups_of,
    has_groups,
    is_right,
    row_blocks,
)

FOLDS = 5  # and the recordings that a behaviour needs for logistic regression
STRENGTH = 100.0  # C, the inverse of the regularization, of embeddings of root mean square length 1
LARGEST = 250_000_000  # trajectories x dimensions x behaviours: seconds of logistic regression
FINE = 0.9  # an accuracy with which there is little to gain
# How many independent takes a cross-validated accuracy counts for, of those it has (by simulation):
# takes learn from each other, so that their mistakes go together
INDEPENDENT = 0.6
MEETING = 1e-3  # seconds that parts which meet may overlap, by rounding


def probe(table: Table, embeddings: Rows | None, cache: Cache = NO_CACHE) -> dict | None:
    """The block `probe` of metrics.json, or None without two labels or without embeddings.

    embeddings: of the table's rows, [D] each. cache: keeps what logistic regression found. Only
    trajectories of one label count, of behaviours with two recordings or more (see
    `recordings_of`); the prompts have to choose among the same behaviours. `accuracy` of the
    probe and of the `prompts`, and their `difference`, with intervals; where too little is left
    these and `kind` are None, and `meaning` says so.
    """
    if embeddings is None or not (has_groups(table.rows) and has_groups(table.columns)):
        return None
    groups, _ = groups_of(table.columns)
    right = is_right(table.rows, groups)  # [N, G]
    single, labels = has_one(right), right.argmax(1)
    if len(np.unique(labels[single])) < 2:
        return None
    recordings = recordings_of(table.rows)
    pairs = np.unique(recordings[single] * len(groups) + labels[single])
    n_recordings = np.bincount(pairs % len(groups), minlength=len(groups))
    kept = n_recordings > 1
    rows = np.flatnonzero(single & kept[labels])
    block = {"trajectories": len(rows), "behaviours": int(kept.sum())}
    if kept.sum() < 2:
        why = "no probe: it takes two behaviours of two recordings or more each"
        if recordings.max() + 1 < len(recordings):
            why += ", and parts of one file are one recording"
        nothing = dict.fromkeys(("kind", "accuracy", "prompts", "difference"))
        return block | nothing | {"meaning": why}
    kind, size = "nearest centroid", len(rows) * embeddings.shape[0] * kept.sum()
    known = (np.cumsum(kept) - 1)[labels[rows]], np.unique(recordings[rows], return_inverse=True)[1]
    if n_recordings[kept].min() >= FOLDS and size <= LARGEST and not table.is_large:
        kind = "logistic regression"
        unit = unit_length(embeddings.take(0, len(embeddings))[rows])
        found = kept_answers(unit, *known, cache)
    else:
        found = centroid_answers(embeddings, rows, *known)
    scores = group_scores(table)
    scores[:, ~kept] = -np.inf
    by_prompts = ranks_of_right(scores, right)[rows] == 1
    return block | {"kind": kind} | comparison(found, by_prompts)


def recordings_of(rows: list[Entry]) -> np.ndarray:
    """The number of the recording that each trajectory is from. int64 [N]

    A file is one recording, and so are its parts: takes that follow each other look alike. Only a
    LeRobot data set keeps episodes that were recorded one by one in one file: there, parts that do
    not overlap are recordings of their own.
    """
    parts, data_set_of = [part_of(row.name) for row in rows], cache_of(root_of)
    numbers, number, file, reached = np.zeros(len(rows), np.int64), -1, None, 0.0
    for i in sorted(range(len(rows)), key=parts.__getitem__):
        last, (file, start, end) = file, parts[i]
        if file != last or (start > reached - MEETING and data_set_of(file)):
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


def centroid_answers(
    embeddings: Rows, rows: np.ndarray, labels: np.ndarray, recordings: np.ndarray
) -> np.ndarray:
    """Which of some rows, int [n], are nearer to the mean of their behaviour than to that of any
    other, each mean without the row's own recording (leave one out). labels, recordings: int64 [n],
    each from 0 up; no behaviour has one recording only. bool [n]"""
    n_groups = labels.max() + 1
    shares = recordings * n_groups + labels  # what is of one recording and one behaviour
    # In this order a recording is in one block, or at the ends of several.
    order = np.argsort(shares, kind="stable")
    size = max(*embeddings.shape, n_groups)
    blocks = [order[some] for some in row_blocks(len(order), size)]
    counts, sums = np.bincount(labels), np.zeros((n_groups, *embeddings.shape))
    at_ends: dict[int, np.ndarray] = {}  # sums of shares; the last value counts what they are of
    for block in blocks:
        unit = unit_length(embeddings.of(rows[block]))
        sums += (labels[block] == np.arange(n_groups)[:, None]).astype(np.float64) @ unit
        numbers, of_shares = sums_of_runs(shares[block], unit)
        for i in np.flatnonzero(np.isin(numbers // n_groups, recordings[block[[0, -1]]])):
            at_ends[int(numbers[i])] = at_ends.get(int(numbers[i]), 0) + of_shares[i]
    found = np.empty(len(rows), bool)
    for block in blocks:
        unit = unit_length(embeddings.of(rows[block]))
        numbers, of_shares = sums_of_runs(shares[block], unit)
        ends = recordings[block[[0, -1]]]
        inside = ~np.isin(numbers // n_groups, ends)
        whole = [number for number in at_ends if number // n_groups in ends]
        numbers = np.concatenate([numbers[inside], np.array(whole, np.int64)])
        of_shares = np.concatenate([of_shares[inside], [at_ends[number] for number in whole]])
        scores = scores_without(unit, recordings[block], sums, counts, numbers, of_shares)
        right = labels[block][:, None] == np.arange(n_groups)
        found[block] = ranks_of_right(scores, right) == 1
    return found


def sums_of_runs(numbers: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers, int [B], ascending, that occur, and the sum of the vectors [B, D] of each, with
    their count as one more value. int64 [K], float64 [K, D + 1]"""
    found, starts, n_each = np.unique(numbers, return_index=True, return_counts=True)
    sums = np.add.reduceat(unit, starts) if len(found) < len(unit) else unit  # it takes long
    return found, np.column_stack([sums, n_each])


def scores_without(unit, recordings, sums, counts, numbers, of_shares) -> np.ndarray:
    """Minus the squared distance of each vector [B, D] to the mean of each behaviour, of which
    `sums` [G, D] and `counts` [G] are known, without its own recording's `of_shares` [K, D + 1],
    whose numbers are recording * G + behaviour. float64 [B, G]"""
    n_groups, means = len(counts), sums / counts[:, None]
    scores = 2 * unit @ means.T - (means**2).sum(1)  # less its own length, the same for all
    order = np.argsort(numbers)
    for group in range(n_groups):
        wanted = recordings * n_groups + group
        places = order[np.searchsorted(numbers, wanted, sorter=order).clip(max=len(order) - 1)]
        has_share = numbers[places] == wanted
        left_out = of_shares[places[has_share]]
        mean = (sums[group] - left_out[:, :-1]) / (counts[group] - left_out[:, -1:])
        scores[has_share, group] = ((2 * unit[has_share] - mean) * mean).sum(1)
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
