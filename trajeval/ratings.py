"""Do similarities rank trajectories as their ratings do? Pure functions of a table.

A similarity that is to be a reward has to be higher for what is rated higher. Pairs of trajectories
share trajectories, so they are not independent: among n of which the most frequent rating has m,
there are only k = min(n // 2, n - m) pairs of different rating without a trajectory in common. The
mean over all pairs varies no more than that of k independent ones, whatever the distribution
(Hoeffding, 1963): intervals are Wilson's for k pairs, and narrower as far as discordant pairs let
the jackknife estimate the variance. benchmarks/coverage.py measures how often they hold.
"""

from typing import Any, NamedTuple

import numpy as np

from trajeval.csv_lists import RATINGS
from trajeval.intervals import as_interval, share_limits
from trajeval.pairs import net_agreement, ranks_of
from trajeval.robometer import figures
from trajeval.table import Table, group_scores, groups_of, has_groups, is_right
from trajeval.terminal import first_few, printable

FIGURES = ("kendall", "spearman", "ranking_accuracy")
WIDTH = 40  # of a name on the terminal


class Rated(NamedTuple):
    """The rated trajectories of a table. kind: "numbers" or "order". names: of the groups; scores,
    ratings: of each group's trajectories, float64 [n], failure, suboptimal and success as 0, 1
    and 2; scores are for the group's own prompts. by_label: whether the groups are behaviours; if
    no trajectory has a label, they are the groups of prompts, each with all trajectories.
    left_out: how many have a rating but no label, or no rating."""

    kind: str
    names: list[str]
    scores: list[np.ndarray]
    ratings: list[np.ndarray]
    by_label: bool
    left_out: dict[str, int]


def rated(table: Table) -> Rated | None:
    """None if no trajectory is rated. A trajectory of several labels counts for each. Raises
    ValueError if some ratings are numbers and some words."""
    given = [row.rating for row in table.rows]
    has_rating = np.array([rating is not None for rating in given])
    if not has_rating.any():
        return None
    words = {isinstance(rating, str) for rating in given if rating is not None}
    if len(words) > 1:
        raise ValueError("some ratings are numbers, others words")
    kind = "order" if words == {True} else "numbers"
    values = np.array([value_of(rating) for rating in given])
    groups, _ = groups_of(table.columns)
    scores, by_label = group_scores(table), False  # [N, G]
    counted = np.ones(len(given), bool)
    if has_groups(table.rows):
        labels = is_right(table.rows, groups)
        by_label = bool(labels.any())
    if by_label:
        counted = labels.sum(1) > 0
        members = [np.flatnonzero(labels[:, i] & has_rating) for i in range(len(groups))]
        found = {i: (scores[rows, i], values[rows]) for i, rows in enumerate(members) if len(rows)}
    else:  # all share one array of ratings
        if not has_rating.all():
            scores, values = scores[has_rating], values[has_rating]
        found = {i: (of_group, values) for i, of_group in enumerate(scores.T)}
    return Rated(
        kind,
        [groups[i].name for i in found],
        [of_group for of_group, _ in found.values()],
        [of_group for _, of_group in found.values()],
        by_label,
        {
            "unrated": int((counted & ~has_rating).sum()),
            "unlabelled": int((has_rating & ~counted).sum()),
        },
    )


def value_of(rating: float | str | None) -> float:
    if isinstance(rating, str):
        return float(RATINGS.index(rating))
    return np.nan if rating is None else float(rating)


class Estimate(NamedTuple):
    """A share of pairs, 0 to 1, its variance as the jackknife gives it, and how many pairs it is of
    that have no trajectory in common. A correlation r is the share (r + 1) / 2."""

    share: float
    variance: float
    disjoint: float


def rank(found: Rated) -> dict:
    """The block `ratings` of metrics.json. `mean` is over the behaviours where a measure is
    defined; it and `robometer` are empty without labels."""
    estimated = [estimates(*of) for of in zip(found.scores, found.ratings)]
    groups = [
        {"name": name, "count": len(scores), **with_intervals(alone(of)), "why": why}
        for name, scores, (of, why) in zip(found.names, found.scores, estimated)
    ]
    all_of, others = {}, {}
    if found.by_label:
        defined = {
            figure: [of[figure] for of, _ in estimated if figure in of] for figure in FIGURES
        }
        all_of = {figure: values for figure, values in defined.items() if values}
        others = figures(found.kind, found.scores, found.ratings)
    return {
        "kind": found.kind,
        "by_label": found.by_label,
        **found.left_out,
        "groups": groups,
        "mean": with_intervals(all_of),
        "robometer": others,
    }


def agreement(scores: np.ndarray, ratings: np.ndarray) -> dict[str, Any]:
    """How well scores rank trajectories by their ratings, both float64 [n], n of at least 1.

    `kendall`: Kendall's tau-b, `spearman`: Spearman's correlation, both in [-1, 1];
    `ranking_accuracy`: the share of the pairs of different rating in which the higher rating has
    the higher score, equal scores counting half, in [0, 1]. Each with its `value` and its 95 %
    interval, `low` to `high`, or None where it is undefined; `why` says why, or is None.
    """
    found, why = estimates(scores, ratings)
    return with_intervals(alone(found)) | {"why": why}


def alone(found: dict[str, Estimate]) -> dict[str, list[Estimate]]:
    return {figure: [estimate] for figure, estimate in found.items()}


def estimates(scores, ratings) -> tuple[dict[str, Estimate], str | None]:
    """The measures that are defined, and why others are not."""
    if len(scores) < 2:
        return {}, "one trajectory"
    if (ratings == ratings[0]).all():
        return {}, "all ratings are equal"
    pairs = Pairs(scores, ratings)
    found = {"ranking_accuracy": pairs.ranking_accuracy()}
    if (scores == scores[0]).all():
        return found, "all scores are equal"
    return found | {"kendall": pairs.kendall(), "spearman": pairs.spearman()}, None


def with_intervals(found: dict[str, list[Estimate]]) -> dict[str, dict | None]:
    """The mean of each of FIGURES as metrics.json has it, None of none."""
    block: dict[str, dict | None] = dict.fromkeys(FIGURES)
    for figure, estimated in found.items():
        of = interval(estimated)
        if figure != "ranking_accuracy":
            of = {name: 2 * share - 1 for name, share in of.items()}
        block[figure] = of
    return block


def interval(found: list[Estimate]) -> dict[str, float]:
    """The mean of shares of different trajectories, with its 95 % interval."""
    shares, variances, disjoint = (np.array(values) for values in zip(*found))
    share, n_disjoint = shares.mean(), len(found) ** 2 / (1 / disjoint).sum()
    largest = share * (1 - share) / disjoint  # the variance of as many independent pairs
    if share in (0, 1):
        return as_interval(share, share_limits(share, n_disjoint))
    if n_disjoint <= 1:  # half right: it could be anything
        return as_interval(share, (0, 1))
    shown = 2 * disjoint * np.minimum(shares, 1 - shares)  # the pairs that show the variance
    variance = (variances * shown + largest) / (shown + 1)
    count = share * (1 - share) / (variance.sum() / len(found) ** 2)
    return as_interval(share, share_limits(share, max(n_disjoint, count)))


class Pairs:
    """All pairs of n trajectories: for each trajectory the sums over all others, which the measures
    need, and the same measures without one trajectory."""

    def __init__(self, scores: np.ndarray, ratings: np.ndarray):
        n = self.n = len(scores)
        self.scores, self.ratings = Ranks(scores), Ranks(ratings)
        self.scored, self.different = n - self.scores.n_equal, n - self.ratings.n_equal
        self.agree = net_agreement(scores, ratings).astype(np.float64)
        self.n_different = self.different.sum() / 2
        self.disjoint = int(min(n // 2, n - self.ratings.n_equal.max()))

    def ranking_accuracy(self) -> Estimate:
        right = (self.agree + self.different) / 2  # of each trajectory's pairs
        accuracy = right.sum() / 2 / self.n_different
        influence = (right - accuracy * self.different) / self.n_different
        variance = (influence**2).sum() * self.n / (self.n - 1)
        return Estimate(float(accuracy), float(variance), self.disjoint)

    def kendall(self) -> Estimate:
        sums = self.agree, self.scored, self.different  # twice the pairs' own
        return self.correlation(
            *(total.sum() / 2 for total in sums), *(total.sum() / 2 - total for total in sums)
        )

    def spearman(self) -> Estimate:
        """Pearson's correlation of the ranks. Removing a trajectory changes the centred rank of
        every other by half a sign."""
        s, r = self.scores, self.ratings
        a, b = s.centred, r.centred
        return self.correlation(
            *(a @ b, a @ a, b @ b),
            a @ b - a * b + (s.signed_sums(b) + r.signed_sums(a)) / 2 + self.agree / 4,
            a @ a - a**2 + s.signed_sums(a) + self.scored / 4,
            b @ b - b**2 + r.signed_sums(b) + self.different / 4,
        )

    def correlation(self, product, square, other, products, squares, others) -> Estimate:
        """product / root(square * other), of the same numbers without each trajectory, [n]."""
        value = product / np.sqrt(square * other)
        known = (squares > 0.1) & (others > 0.1)  # multiples of 1/4 but for rounding
        without = products[known] / np.sqrt(squares[known] * others[known])
        spread = ((without - without.mean()) ** 2).sum() if len(without) else 0.0
        variance = float(spread) * (self.n - 1) / self.n / 4
        return Estimate(float(np.clip(value + 1, 0, 2)) / 2, variance, self.disjoint)


class Ranks:
    """The order of n values. n_equal: how many equal each, itself among them; centred: the mean
    ranks, less their mean. Both [n]."""

    def __init__(self, values: np.ndarray):
        self.order = np.argsort(values, kind="stable")
        self.below, self.up_to = ranks_of(values)
        self.n_equal = self.up_to - self.below
        self.centred = (self.below + self.up_to - len(values)) / 2

    def signed_sums(self, others: np.ndarray) -> np.ndarray:
        """For each value the sum of others [n] where values are lower, less where higher."""
        sums = np.concatenate([[0], np.cumsum(others[self.order])])
        return sums[self.below] + sums[self.up_to] - sums[-1]


def as_lines(found: dict) -> list[str]:
    """The block `ratings` for the terminal: a line for each group, below a header."""
    groups = found["groups"]
    names = [printable(group["name"], WIDTH) for group in groups]
    width = max(len("ratings"), *map(len, names))
    titles = ("Kendall's tau-b", "Spearman", "ranking accuracy")
    lines = [f"{'ratings':{width}}  count" + "".join(f"  {title:21}" for title in titles)]
    lines = [lines[0].rstrip()]
    rows = []
    for name, group in zip(names, groups):
        why = f"  {group['why']}" if group["why"] else ""
        rows.append(f"{name:{width}}  {group['count']:5}{cells(group)}{why}".rstrip())
    if found["by_label"]:
        lines += rows
    else:
        lines += first_few(rows, "groups of prompts; metrics.json has all")
    if found["by_label"] and len(groups) > 1:
        lines.append(f"{'mean':{width}}  {'':5}{cells(found['mean'])}".rstrip())
    for count, what in ((found["unrated"], "rating"), (found["unlabelled"], "label")):
        if count:
            which = "trajectory has" if count == 1 else "trajectories have"
            lines.append(f"{count} {which} no {what}: left out of the ratings")
    return lines


def cells(of: dict) -> str:
    return "".join(f"  {between(of[figure]):21}" for figure in FIGURES)


def between(of: dict | None) -> str:
    return f"{of['value']:z5.2f} ({of['low']:z.2f} to {of['high']:z.2f})" if of else "    -"
