"""From embeddings to similarities: the formulas, on arrays, and the table that they make."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from trajeval.inputs import BASELINE
from trajeval.spool import Rows
from trajeval.table import SOFTMAX, STANDARDIZED, VISTA, Entry, Table, groups_of, row_blocks
from trajeval.terminal import printable


def table_of(
    videos: np.ndarray,
    texts: np.ndarray,
    rows: list[Entry],
    columns: list[Entry],
    *,
    similarity: str = "cosine",
    alpha: float = 0.5,
    normalize: str | None = None,
    softmax: float | None = None,
    ensemble: str = "mean-similarity",
) -> Table:
    """The table of a run: `similarity_table`, then `rescaled`."""
    table = similarity_table(
        videos, texts, rows, columns, similarity=similarity, alpha=alpha, ensemble=ensemble
    )
    return rescaled(table, normalize=normalize, softmax=softmax)


def similarity_table(
    videos: np.ndarray | Rows,
    texts: np.ndarray,
    rows: list[Entry],
    columns: list[Entry],
    *,
    similarity: str = "cosine",
    alpha: float = 0.5,
    ensemble: str = "mean-similarity",
) -> Table:
    """Similarities of videos [N, D], one for each of `rows`, and texts [P, D], one for each of
    `columns`. Rows of several clips each, [R, D], give as many rows of the table.

    Columns of the group BASELINE become no column of the table. similarity: "cosine"; "projection"
    or "goal-baseline", which need such columns and alpha in [0, 1]. ensemble: with "mean-embedding"
    the prompts of a group, which all columns then need, are averaged into one column.
    """
    is_baseline = np.array([column.group == BASELINE for column in columns])
    baseline, texts = texts[is_baseline], texts[~is_baseline]
    columns = [column for column in columns if column.group != BASELINE]
    if ensemble == "mean-embedding":
        columns, members = groups_of(columns)
        texts = np.stack([mean_direction(texts[members == i]) for i in range(len(columns))])
    if similarity == "cosine":
        values = in_blocks(videos, len(texts), lambda some: cosine_similarity(some, texts))
        return Table(values, rows, columns, "cosine similarity")
    function = {
        "projection": projection_similarity,
        "goal-baseline": goal_baseline_similarity,
    }[similarity]
    neutral = mean_direction(baseline)
    values = in_blocks(videos, len(texts), lambda some: function(some, texts, neutral, alpha))
    return Table(values, rows, columns, f"{similarity} similarity, alpha {alpha:g}")


def in_blocks(videos: np.ndarray | Rows, n_texts: int, function: Callable) -> np.ndarray:
    """What a function makes of embeddings, [B, D] -> float32 [B, P], of all: float32 [N, P]."""
    if isinstance(videos, np.ndarray):
        return function(videos)
    *clips, width = videos.shape
    each = int(np.prod(clips))
    values = np.empty((len(videos) * each, n_texts), np.float32)
    for start, some in videos.blocks():
        values[start * each : (start + len(some)) * each] = function(some.reshape(-1, width))
    return values


def rescaled(table: Table, *, normalize: str | None = None, softmax: float | None = None) -> Table:
    """The table with its values rescaled.

    normalize: "prompt" or "vista" (`standardize_prompts`, `rescale_as_vista`), with a warning of
    prompts that have the same value for all trajectories. softmax: a temperature above 0, applied
    after that. The values are float64 in between.
    """
    steps: list[Callable[[np.ndarray], np.ndarray]] = []  # of blocks of rows
    label, flat = table.label, np.array([], int)
    if normalize is not None:
        of = moments(table.values, shares if normalize == "vista" else None)
        function = standardize_prompts if normalize == "prompt" else rescale_as_vista
        steps.append(partial(function, of=of))
        label += f", {STANDARDIZED if normalize == 'prompt' else VISTA}"
        flat = np.flatnonzero(of.is_flat)
    if softmax is not None:
        steps.append(partial(softmax_of_rows, temperature=softmax))
        label += f", {SOFTMAX} {softmax:g}"
    if not steps:
        return table
    values = np.empty(table.values.shape, np.float32)
    for rows in row_blocks(*values.shape):
        block = table.values[rows]
        for step in steps:
            block = step(block)
        values[rows] = block
    return Table(values, table.rows, table.columns, label, flat_warnings(table, flat))


def flat_warnings(table: Table, flat: np.ndarray) -> tuple[str, ...]:
    """Warnings of prompts, by their numbers, that have the same value for all trajectories."""
    if len(table.rows) == 1:
        return ("there is only one trajectory, so all normalized values are 0",) * bool(len(flat))
    return tuple(
        f'"{printable(table.columns[i].name)}" has the same value for all trajectories'
        for i in flat
    )


def cosine_similarity(videos: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Cosine of the angle between each video and each text embedding.

    videos: [N, D], texts: [P, D]; any float type, any length. Returns float32 [N, P] in [-1, 1];
    an embedding of all zeros has the similarity 0 to everything.
    """
    similarities = unit(videos) @ unit(texts).T
    return np.clip(similarities, -1, 1).astype(np.float32)


def projection_similarity(
    videos: np.ndarray, texts: np.ndarray, baseline: np.ndarray, alpha: float
) -> np.ndarray:
    """(1 - alpha) times the cosine with the prompt, plus alpha times the cosine with the direction
    that leads from the baseline to the prompt: what all videos share counts for less.

    videos: [N, D], texts: [P, D], baseline: [D], as `mean_direction` gives it; alpha in [0, 1].
    Returns float32 [N, P]. A prompt that is the baseline has no direction: its cosine is 0.
    """
    videos, texts = unit(videos), unit(texts)
    directions = directions_from(baseline, texts)
    similarities = (1 - alpha) * videos @ texts.T + alpha * videos @ directions.T
    return similarities.astype(np.float32)


def goal_baseline_similarity(
    videos: np.ndarray, texts: np.ndarray, baseline: np.ndarray, alpha: float
) -> np.ndarray:
    """The reward with goal-baseline regularisation of "Vision-Language Models are Zero-Shot Reward
    Models for Reinforcement Learning" (Rocamonde et al., 2024):
    1 - |mix(video) - mix(prompt)|^2 / 2, where mix(x) is (1 - alpha) x plus alpha times x's
    projection on the direction that leads from the baseline to the prompt.

    Arguments and result as in `projection_similarity`; alpha = 0 is the cosine.
    """
    videos, texts = unit(videos), unit(texts)
    directions = directions_from(baseline, texts)
    apart = 2 - 2 * videos @ texts.T  # [N, P], squared distance
    along = videos @ directions.T - (texts * directions).sum(1)  # [N, P], of it, on the direction
    mixed = (1 - alpha) ** 2 * apart + (1 - (1 - alpha) ** 2) * along**2
    return (1 - mixed / 2).astype(np.float32)


def directions_from(baseline: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Unit vectors [P, D] that lead from the baseline [D] to texts [P, D]; zeros where a text is
    the baseline itself but for rounding."""
    apart = texts - baseline
    return unit(np.where(np.linalg.norm(apart, axis=1, keepdims=True) > 1e-6, apart, 0))


def mean_direction(embeddings: np.ndarray) -> np.ndarray:
    """Several embeddings [K, D] as one of length 1: each normalised, averaged, normalised. [D]"""
    return unit(unit(embeddings).mean(0, keepdims=True))[0]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [N, D] scaled to length 1, float64; zeros stay zeros."""
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


class Moments(NamedTuple):
    """Of each prompt over N trajectories: mean, sum of squared distances from it, and largest
    magnitude, each float64 [P]."""

    count: int
    means: np.ndarray
    squares: np.ndarray
    largest: np.ndarray

    @property
    def is_flat(self) -> np.ndarray:
        """Which prompts have the same value for all trajectories, within float32 precision."""
        return self.deviations() <= np.finfo(np.float32).eps * self.largest

    def deviations(self, ddof: int = 0) -> np.ndarray:
        return np.sqrt(self.squares / max(self.count - ddof, 0))


def moments(values: np.ndarray, function: Callable | None = None) -> Moments:
    """Of values [N, P], or of a function of blocks of their rows."""
    blocks = list(row_blocks(*values.shape))

    def block_of(rows: slice) -> np.ndarray:
        return np.array(function(values[rows]) if function else values[rows], np.float64)

    sums, squares, largest = np.zeros((3, values.shape[1]))
    for rows in blocks:
        block = block_of(rows)
        largest = np.maximum(largest, np.abs(block).max(0))
        sums = added(sums, block)
    means = sums / len(values)
    for rows in blocks:
        squares = added(squares, (block_of(rows) - means) ** 2)
    return Moments(len(values), means, squares, largest)


def added(sums: np.ndarray, block: np.ndarray) -> np.ndarray:
    """The sums [P] with those of one more block [B, P], which it changes, to the same bit as of all
    rows at once: NumPy adds one row after the other."""
    block[0] += sums
    return block.sum(0)


def standardize_prompts(similarities: np.ndarray, of: Moments | None = None) -> np.ndarray:
    """Each prompt (column) shifted and scaled to mean 0 and standard deviation 1 over all
    trajectories, which removes what a prompt gives to everything.

    of: the moments of the table that these rows are from, by default of these rows.
    [N, P] -> float64 [N, P]; a prompt that is flat gives zeros.
    """
    of = of or moments(similarities)
    centred = np.asarray(similarities, np.float64) - of.means
    return np.where(of.is_flat, 0, centred / np.where(of.is_flat, 1, of.deviations()))


def softmax_of_rows(similarities: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax over the prompts of each trajectory. [N, P] -> float64 [N, P], rows add up to 1."""
    similarities = np.asarray(similarities, np.float64)
    with np.errstate(over="ignore"):  # a tiny temperature: all goes to the highest
        powers = np.exp((similarities - similarities.max(1, keepdims=True)) / temperature)
    return powers / powers.sum(1, keepdims=True)


shares = partial(softmax_of_rows, temperature=1)


def rescale_as_vista(similarities: np.ndarray, of: Moments | None = None) -> np.ndarray:
    """What ViSTa (Wybitul et al., 2024) does before it predicts, as its `evaluation/` does it:
    softmax over the prompts of each video without a temperature, then each prompt less its mean
    over the videos, divided by its sample standard deviation (n - 1) plus 1e-6.

    of: the moments of the `shares` of the table that these rows are from, by default of these rows.
    [N, P] -> float64 [N, P]. For a single video, where ViSTa's result is null, zeros.
    """
    of = of or moments(similarities, shares)
    if of.count == 1:
        return np.zeros(np.shape(similarities))
    return (shares(similarities) - of.means) / (of.deviations(ddof=1) + 1e-6)
