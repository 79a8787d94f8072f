"""Success detection: how well a threshold on the similarity tells successes from failures.

A trajectory is detected if its score is above the threshold. The threshold is the k-th highest
score of a failure. A new failure is equally likely to fall anywhere among n failures, so it is
detected with a chance of k / (n + 1) on average: k is the largest number for which this is at most
the limit, and at least 1 (split conformal prediction: Vovk, Gammerman and Shafer, 2005). Successes
have no part in it, so all of them are held out; each failure is held out in turn, with the k-th
highest of the others (leave one out).
"""

import math

import numpy as np

from trajeval.areas import areas_of
from trajeval.behaviours import limits_of
from trajeval.intervals import as_interval, share_limits
from trajeval.ratings import WIDTH, Rated, between
from trajeval.terminal import first_few, plural, printable


def detect(found: Rated, above: float | None, limit: float) -> dict | None:
    """The block `success` of metrics.json, or None if nothing says what a success is.

    above: ratings above it are successes; without it, of words `success` is, and of numbers that
    have two values the higher one. limit: the false-positive rate, at least 0 and below 1.
    """
    if found.kind == "order":
        least, shown = 1.0, "suboptimal"
    elif above is not None:
        least = shown = above
    else:
        values = np.unique(np.concatenate(found.ratings))
        if len(values) != 2:
            return None
        least = shown = float(values[0])
    groups = [
        {"name": name, **detection(scores, ratings > least, limit)}
        for name, scores, ratings in zip(found.names, found.scores, found.ratings)
    ]
    block = {"above": shown, "max_false_positives": limit, "groups": groups}
    return block | {"sentence": sentence(groups)}


def detection(scores: np.ndarray, is_success: np.ndarray, limit: float) -> dict:
    """Of one group. `auprc`: average precision, `auc`: both with intervals; `chance`: the share of
    successes, which random scores get as auprc. `threshold`; `found` and `false`: how many
    successes and failures are above it, and of how many, held out; `found_rate`, `false_rate`: the
    same as shares, with Wilson's intervals. What is undefined is None, and `why` says why.
    """
    right, wrong = scores[is_success], np.sort(scores[~is_success])[::-1]
    block = {
        "successes": len(right),
        "failures": len(wrong),
        **dict.fromkeys(("auprc", "chance", "auc", "threshold")),
        **dict.fromkeys(("found", "found_rate", "false", "false_rate", "why")),
    }
    if not len(right) or not len(wrong):
        return block | {"why": "no failures" if len(right) else "no successes"}
    rank, areas = rank_of(len(wrong), limit), areas_of(scores[:, None], is_success[:, None])
    threshold = wrong[rank - 1]
    n_found = int((right > threshold).sum())
    block |= {
        # As many independent trials as there are pairs without a trajectory in common.
        "auprc": of_trials(average_precision(scores, is_success), min(len(right), len(wrong))),
        "chance": len(right) / len(scores),
        "auc": as_interval(areas.values[0], [limit[0] for limit in limits_of(areas)]),
        "threshold": float(threshold),
        "found": [n_found, len(right)],
        "found_rate": of_trials(n_found / len(right), len(right)),
    }
    whys = ["one success"] if len(right) == 1 else []
    if len(wrong) == 1:
        return block | {"why": "; ".join([*whys, "one failure, so none can be held out"])}
    n_false, needed = false_positives(wrong, rank), failures_needed(limit)
    if len(wrong) < needed:
        whys.append(f"a rate of {limit:g} needs {plural(needed, 'failure')} or more")
    return block | {
        "false": [n_false, len(wrong)],
        "false_rate": of_trials(n_false / len(wrong), len(wrong)),
        "why": "; ".join(whys) or None,
    }


def of_trials(share: float, n: int) -> dict[str, float]:
    return as_interval(share, share_limits(share, n))


def rank_of(n: int, limit: float) -> int:
    """Which of the scores of n failures, from the highest, is the threshold. 1 to n"""
    return max(math.floor(limit * (n + 1) + 1e-9), 1)


def false_positives(wrong: np.ndarray, rank: int) -> int:
    """How many failures are above the threshold of the others. wrong: highest first, two or more"""
    rank = min(rank, len(wrong) - 1)
    # Without one of the first `rank`, the threshold is the next one; the others are not above it.
    return int((wrong[:rank] > wrong[rank]).sum())


def failures_needed(limit: float) -> int:
    """With fewer failures than this, even the highest one as the threshold does not keep the rate
    on average: a new failure is above it with a chance of 1 / (n + 1)."""
    return math.ceil(1 / limit - 1e-9) - 1 if limit else 0


def average_precision(scores: np.ndarray, right: np.ndarray) -> float:
    """The mean, over the right ones, of the share of right ones among those that score as high or
    higher: equal scores are one step, as in scikit-learn. scores: [n]; right: bool [n]."""
    own = scores[right]
    n_above, n_right = (
        len(values) - np.searchsorted(np.sort(values), own, "left") for values in (scores, own)
    )
    return float((n_right / n_above).mean())


def sentence(groups: list[dict]) -> str:
    judged = [group for group in groups if group["threshold"] is not None]
    if not judged:
        whys = {group["why"] for group in groups}
        why = whys.pop() if len(whys) == 1 else "no group has both successes and failures"
        return f"success: nothing to tell apart: {why}"
    n_found, n_right = (sum(group["found"][i] for group in judged) for i in (0, 1))
    held_out = [group["false"] or (0, 0) for group in judged]
    n_false, n_wrong = (sum(of[i] for of in held_out) for i in (0, 1))
    if len(judged) == 1:
        text = f"threshold {judged[0]['threshold']:.4g}: finds"
    else:
        text = f"{len(judged)} thresholds: find"
    text += f" {n_found} of {n_right} success{'' if n_right == 1 else 'es'}"
    if n_wrong:
        text += f", {n_false} of {plural(n_wrong, 'failure')} (held out)"
    return text


def as_lines(found: dict) -> list[str]:
    """The block `success` for the terminal: a line for each group, below a header."""
    groups = found["groups"]
    names = [printable(group["name"], WIDTH) for group in groups]
    width = max(len("success"), *map(len, names))
    header = f"{'success':{width}}  AUPRC                  chance  AUC                    "
    lines = [f"{header}threshold  found     false"]
    for name, group in zip(names, groups):
        lines.append(f"{name:{width}}{group_cells(group)}".rstrip())
    return [*first_few(lines, "groups; metrics.json has all"), printable(found["sentence"], 400)]


def group_cells(group: dict) -> str:
    why = f"  {group['why']}" if group["why"] else ""
    if group["threshold"] is None:
        return f"  -{why}"
    counts = (f"{of[0]} of {of[1]}" if of else "-" for of in (group["found"], group["false"]))
    cells = (
        *(
            f"{between(group['auprc']):21}",
            f"{group['chance']:6.2f}",
            f"{between(group['auc']):21}",
        ),
        *(f"{group['threshold']:9.4g}", *(f"{text:8}" for text in counts)),
    )
    return "".join(f"  {cell}" for cell in cells) + why
