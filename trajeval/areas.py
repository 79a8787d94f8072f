"""The area under the ROC curve of prompts: how well their scores rank what is right above what is
not."""

from typing import NamedTuple

import numpy as np


class Areas(NamedTuple):
    """The AUCs of the groups that have right and wrong trajectories.

    groups: int [G], their numbers. values: float64 [G]. n_right, n_wrong: int [G]. errors: float64
    [N, G], what each trajectory adds to the error of each AUC: the sum of their squares is the
    variance, that of their products the covariance of two AUCs: DeLong, DeLong and Clarke-Pearson
    (1988), "Comparing the areas under two or more correlated receiver operating characteristic
    curves: a nonparametric approach".
    """

    groups: np.ndarray
    values: np.ndarray
    n_right: np.ndarray
    n_wrong: np.ndarray
    errors: np.ndarray

    @property
    def variances(self) -> np.ndarray:
        return (self.errors**2).sum(0)


def areas_of(scores: np.ndarray, right: np.ndarray) -> Areas:
    """The AUC of each group: the probability that a right trajectory is scored above a wrong one,
    ties as half. scores: [N, G], finite; right: bool [N, G]."""
    n_right = right.sum(0)
    groups = np.flatnonzero((n_right > 0) & (n_right < len(right)))
    values, errors = np.zeros(len(groups)), np.zeros((len(right), len(groups)))
    for i, group in enumerate(groups):
        has_it = right[:, group]
        high, low = scores[has_it, group], scores[~has_it, group]
        above, below = share_below(high, low), 1 - share_below(low, high)
        values[i] = above.mean()
        for which, shares in ((has_it, above), (~has_it, below)):
            n = len(shares)
            errors[which, i] = (shares - values[i]) / np.sqrt(n * max(n - 1, 1))
    return Areas(groups, values, n_right[groups], len(right) - n_right[groups], errors)


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
    ordered = np.sort(others)
    below, up_to = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return (below + up_to) / 2 / len(others)
