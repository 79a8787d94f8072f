"""What the page shows, as JSON values: arrays as base64 of little-endian float32, row by row."""

import base64
import os
import zlib
from typing import Any, NamedTuple

import numpy as np

from trajeval.curves import Curves
from trajeval.entries import groups_in
from trajeval.excerpt import described, excerpt
from trajeval.inputs import BASELINE
from trajeval.metrics import answers_and_margins, has_one
from trajeval.names import short_names
from trajeval.similarity import cosine_similarity, mean_direction
from trajeval.sources import fragment
from trajeval.table import (
    Table,
    column_order,
    group_scores,
    grouped,
    groups_of,
    has_groups,
    in_order_of_rows,
    is_right,
)

COSINE = "cosine similarity"  # the label of similarities that nothing was done to
LEVELS = 255  # of a curve, from its trajectory's lowest to its highest value
MAX_ROWS = 2000  # on a page; with 100 prompts it then has 3 MB
MAX_PAIRS = 50  # of behaviours that are taken for each other


class Run(NamedTuple):
    """A run to be shown. record: the content of its run.json, with the trajectories that are the
    shown rows; it may lack others. rows: int64 [m], the rows of the table that are shown, see
    `page_rows`. verdict: the content of metrics.json, None without one. curves: of all rows.
    baseline: float32 [m], the similarity of each shown trajectory with the baseline prompts, where
    the table's values can be compared with it."""

    record: dict
    table: Table
    rows: np.ndarray
    verdict: dict | None = None
    curves: Curves | None = None
    baseline: np.ndarray | None = None

    @property
    def shown(self) -> Table:
        """The rows that are shown, [m, P]."""
        return self.table.take(rows=self.rows)


def page_rows(table: Table) -> np.ndarray:
    """The rows of a table that its page shows: all, or the strongest and the worst. int64 [m]"""
    return excerpt(table, MAX_ROWS)


def data_of(title: str, runs: list[Run], media: list[dict]) -> dict:
    """Everything that the page's scripts need. media: of each shown row, as media.media_of gives
    it; the runs have the same rows."""
    table = runs[0].shown
    records = used(runs[0].record, table)
    names = short_names([row.name for row in table.rows])
    rows = [
        {
            "name": name_on_page(record),
            "short": name,
            "groups": list(row.groups),
            "rating": row.rating,
            "media": clip,
            **{key: record.get(key) for key in ("fps", "length", "frames", "warning")},
        }
        for row, name, clip, record in zip(table.rows, names, media, records)
    ]
    return {"title": title, "rows": rows, "runs": [run_data(run) for run in runs]}


def name_on_page(entry: dict) -> str:
    """The path of an entry of run.json's trajectories; of an absolute one, which tells of
    somebody's machine, that from the folder of the results."""
    if not os.path.isabs(entry["path"]):
        return entry["path"]
    return entry.get("file", entry["path"]) + fragment(entry.get("start"), entry.get("end"))


def baseline_of(
    label: str,
    groups: list[str | None],
    videos: np.ndarray | None,
    texts: np.ndarray | None,
) -> np.ndarray | None:
    """The cosine of some trajectories with the prompts of the group BASELINE, float32 [m]; None
    without any, or if the table holds other values, by its label.

    groups: of the prompts whose embeddings are texts, float32 [P, D]. videos: float32 [m, D]. Both
    are None of a model that has no embeddings.
    """
    if not has_baseline(label, groups) or videos is None or texts is None:
        return None
    chosen = np.array([group == BASELINE for group in groups], bool)
    return cosine_similarity(videos, mean_direction(texts[chosen])[None])[:, 0]


def has_baseline(label: str, groups: list[str | None]) -> bool:
    """Whether a table of that label can be compared with prompts of the group BASELINE."""
    return label == COSINE and BASELINE in groups


def used(record: dict, table: Table) -> list[dict]:
    """The entries of run.json's trajectories that are the rows of a table, in its order."""
    entries = {
        (entry["path"], groups_in(entry)): entry
        for entry in record["trajectories"]
        if "error" not in entry
    }
    return [entries[row.name, row.groups] for row in table.rows]


def run_data(run: Run) -> dict:
    table = run.shown
    found: dict[str, Any] = {
        "name": str(run.record["experiment"]),
        "model": str(run.record["description"]),
        "label": table.label,
        "centred": table.is_centred,
        "columns": [{"name": column.name, "group": column.group} for column in table.columns],
        "order": column_order(run.table).tolist(),
        "values": packed(table.values),
        "baseline": None if run.baseline is None else packed(run.baseline),
        "means": means_data(run),
        "curves": run.curves and curves_data(run.curves.take(run.rows.tolist())),
        "answered": None,
        "pairs": [],
    }
    if run.verdict and "confusion" in run.verdict:
        found |= answers_data(table, np.array(run.verdict["confusion"]))
        found["confusion"] = run.verdict["confusion"]
    return found


def means_data(run: Run) -> dict | None:
    """The means over groups, None if neither list has any: over all trajectories, of all groups, or
    of the strongest and the worst. Trajectories without groups are those that are shown."""
    if not (has_groups(run.table.rows) or has_groups(run.table.columns)):
        return None
    groups = in_order_of_rows(grouped(run.table if has_groups(run.table.rows) else run.shown))
    rows = page_rows(groups.table)
    table = groups.table.take(rows=rows)
    found: dict[str, Any] = {
        "rows": [row.name for row in table.rows],
        "columns": [column.name for column in table.columns],
        "values": packed(table.values),
        "deviations": packed(groups.deviations[rows]),
    }
    if len(rows) < len(groups.table.rows):
        found["part"] = described(groups.table, len(rows), "groups")
    return found


def answers_data(table: Table, counts: np.ndarray) -> dict:
    """The prompt groups, each trajectory's scores for them, its answer, whether that is right and
    its margin (None without a label, or with several), and the pairs that are taken for each
    other. counts: the confusion of all trajectories, see metrics.confusion."""
    entries, _ = groups_of(table.columns)
    scores, right = group_scores(table), is_right(table.rows, entries)
    found = answers_and_margins(scores, right)
    pairs, more = confused_pairs(scores, right, counts)
    return {
        "groups": [entry.name for entry in entries],
        "scores": packed(scores),
        "answered": found.groups.tolist(),
        "hits": found.hits,
        "margins": [None if margin is None else round(margin, 6) for margin in found.margins],
        "pairs": pairs,
    } | ({"more_pairs": more} if more else {})


def confused_pairs(
    scores: np.ndarray, right: np.ndarray, counts: np.ndarray
) -> tuple[list[dict], int]:
    """Pairs of behaviours of which one is taken for the other, most mistakes first, each with two
    clips: `left` of `a`, the one furthest into `b`, and `right` of `b`, the one furthest into `a`.
    `there`, `back`: how many of `a` are taken for `b`, and of `b` for `a`, by `counts`, int [G, G].
    Without a mistake the two that come closest. Of behaviours with clips among the scores; the
    first MAX_PAIRS, and how many more there are."""
    single, labels, n_groups = has_one(right), right.argmax(1), right.shape[1]
    towards = scores - np.take_along_axis(scores, labels[:, None], 1)  # [N, G]: above 0 is wrong
    furthest = np.full((n_groups, n_groups), -1)  # of each group into each
    closeness = np.full((n_groups, n_groups), -np.inf)
    for group in range(n_groups):
        members = np.flatnonzero(single & (labels == group))
        if len(members):
            furthest[group] = members[towards[members].argmax(0)]
            closeness[group] = towards[members].max(0)
    pairs = np.argwhere(np.triu(np.ones_like(counts, bool), 1))  # [pairs, 2]
    a, b = pairs[furthest[pairs, 0].min(1) >= 0].T
    mistakes = counts[a, b] + counts[b, a]
    order = np.lexsort((-np.maximum(closeness[a, b], closeness[b, a]), -mistakes))
    n_pairs = max(int(np.count_nonzero(mistakes)), 1)
    order = order[: min(n_pairs, MAX_PAIRS)]
    pairs = [
        {
            **{"a": a, "there": int(counts[a, b]), "left": int(furthest[a, b])},
            **{"b": b, "back": int(counts[b, a]), "right": int(furthest[b, a])},
        }
        for a, b in zip(a[order].tolist(), b[order].tolist())
    ]
    return pairs, max(n_pairs - MAX_PAIRS, 0)


def curves_data(curves: Curves) -> dict:
    """values: zlib of uint8 [N, P, K], each step less the one before; low, high: what 0 and LEVELS
    are for each trajectory. frames [N, K]; times [N][K], None for a row whose frame
    rate is unknown."""
    values = np.asarray(curves.values, np.float64).transpose(0, 2, 1)  # [N, P, K]
    low, high = values.min((1, 2)), values.max((1, 2))
    span = np.where(high > low, high - low, 1)[:, None, None]
    levels = np.rint((values - low[:, None, None]) / span * LEVELS).astype(np.uint8)
    steps = np.diff(levels, axis=2, prepend=np.uint8(0))  # modulo 256
    return {
        "how": curves.how,
        "points": values.shape[2],
        "frames": curves.frames.tolist(),
        "times": [
            None if np.isnan(row).any() else np.round(row, 3).tolist() for row in curves.times
        ],
        "low": low.tolist(),
        "high": (low + span[:, 0, 0]).tolist(),
        "values": base64.b64encode(zlib.compress(steps.tobytes(), 6)).decode(),
    }


def packed(array: np.ndarray) -> str:
    return base64.b64encode(np.asarray(array, "<f4").tobytes()).decode()
