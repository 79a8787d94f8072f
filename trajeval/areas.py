"""The area under the ROC curve of prompts: how well their scores rank what is right above what is
not."""

from typing import NamedTuple

import numpy as np

from trajeval.table import BLOCK


class Areas(NamedTuple):
    """The AUCs of the groups that have right and wrong trajectories.

    groups: int [G], their numbers. values: float64 [G]. n_right, n_wrong: int [G]. variances:
    float64 [G], of `errors`. mean_errors: float64 [N], what each trajectory adds to the error of
    the mean AUC.
    """

    groups: np.ndarray
    values: np.ndarray
    n_right: np.ndarray
    n_wrong: np.ndarray
    variances: np.ndarray
    mean_errors: np.ndarray


def areas_of(scores: np.ndarray, right: np.ndarray) -> Areas:
    """The AUC of each group: the probability that a right trajectory is scored above a wrong one,
    ties as half. scores: [N, G], finite; right: bool [N, G]."""
    n_right = right.sum(0)
    groups = np.flatnonzero((n_right > 0) & (n_right < len(right)))
    values, variances, sums = [np.zeros(0)], [np.zeros(0)], np.zeros(len(right))
    n_blocks = max(1, min(len(groups), len(right) * len(groups) // BLOCK))
    for block in np.array_split(groups, n_blocks):
        of_block, errors = errors_of(scores, right, block)
        values.append(of_block)
        variances.append((errors**2).sum(0))
        sums += errors.sum(1)
    return Areas(
        groups,
        np.concatenate(values),
        n_right[groups],
        len(right) - n_right[groups],
        np.concatenate(variances),
        sums / max(len(groups), 1),
    )


def errors_of(scores: np.ndarray, right: np.ndarray, groups: np.ndarray):
    """The AUCs of some groups that have one, float64 [K], and what each trajectory adds to the
    error of each, float64 [N, K]: the sum of their squares is the variance, that of their products
    the covariance of two AUCs: DeLong, DeLong and Clarke-Pearson (1988), "Comparing the areas under
    two or more correlated receiver operating characteristic curves: a nonparametric approach"."""
    values, errors = np.zeros(len(groups)), np.zeros((len(right), len(groups)))
    for i, group in enumerate(groups):
        has_it = right[:, group]
        high, low = scores[has_it, group], scores[~has_it, group]
        above, below = share_below(high, low), 1 - share_below(low, high)
        values[i] = above.mean()
        for which, shares in ((has_it, above), (~has_it, below)):
            n = len(shares)
            errors[which, i] = (shares - values[i]) / np.sqrt(n * max(n - 1, 1))
    return values, errors


def auc(scores: np.ndarray, columns: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The AUC of each column. scores: [N, P]; columns: int [P], their groups; right: bool [N, G].

    Returns float64 [P], NaN where all trajectories are right or none is.
    """
    found = np.full(len(columns), np.nan)
    for column, group in enumerate(columns):
        has_it = right[:, group]
        if has_it.any() and not has_it.all():
            found[column] = share_below(scores[has_it, column], scores[~has_it, column]).mean()
    return found


def share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of others below each value, equal ones as half. float64, the shape of values"""
    order, ordered = np.argsort(values), np.sort(others)
    ascending = values[order]  # found several times as fast as in any order
    below, up_to = (np.searchsorted(ordered, ascending, side) for side in ("left", "right"))
    shares = np.empty(len(values))
    shares[order] = (below + up_to) / 2 / len(others)
    return shares
