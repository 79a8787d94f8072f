"""Pure functions of arrays: from embeddings to similarities, and from similarities to groups."""

import numpy as np


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


def is_flat(similarities: np.ndarray) -> np.ndarray:
    """Which prompts have no spread over the trajectories, as float32 tells it. bool [P]"""
    similarities = np.asarray(similarities, np.float64)
    return similarities.std(0) <= np.finfo(np.float32).eps * np.abs(similarities).max(0)


def standardize_prompts(similarities: np.ndarray) -> np.ndarray:
    """Each prompt (column) brought to mean 0 and standard deviation 1 over all trajectories: what a
    prompt gives to everything is taken out. [N, P] -> float32 [N, P]; a prompt with no spread gives
    zeros."""
    similarities, flat = np.asarray(similarities, np.float64), is_flat(similarities)
    centred, spread = similarities - similarities.mean(0), similarities.std(0)
    return np.where(flat, 0, centred / np.where(flat, 1, spread)).astype(np.float32)


def softmax(similarities: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax over the prompts of each trajectory. [N, P] -> float32 [N, P], rows add up to 1."""
    similarities = np.asarray(similarities, np.float64)
    with np.errstate(over="ignore"):  # a tiny temperature: all goes to the highest
        powers = np.exp((similarities - similarities.max(1, keepdims=True)) / temperature)
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def rescale_as_vista(similarities: np.ndarray) -> np.ndarray:
    """What ViSTa (Wybitul et al., 2024) does before it predicts: softmax over the prompts of each
    video at temperature 1, then each prompt to mean 0 and standard deviation 1. -> [N, P]"""
    return standardize_prompts(softmax(similarities, 1))


def group_statistics(
    similarities: np.ndarray, row_groups: np.ndarray, column_groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation and count over the pairs of each row group with each column group.

    similarities: [N, P]; row_groups: int [N] and column_groups: int [P], which group each belongs
    to, from 0 up. Returns three arrays [R, C]: float64, float64, int64.
    """
    rows, columns = membership(row_groups), membership(column_groups)  # [N, R], [P, C]
    similarities = np.asarray(similarities, np.float64)
    counts = np.outer(rows.sum(0), columns.sum(0))
    means = rows.T @ similarities @ columns / counts
    apart = similarities - means[row_groups][:, column_groups]
    return means, np.sqrt(rows.T @ apart**2 @ columns / counts), counts.astype(np.int64)


def number_groups(groups: list[str | None]) -> tuple[list[str | None], np.ndarray]:
    """The names of groups in the order of their first entries, and of each entry the number of its
    group, int64 [N]."""
    numbers = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    return list(numbers), np.array([numbers[name] for name in groups], np.int64)


def membership(groups: np.ndarray) -> np.ndarray:
    """int [N], each from 0 up -> float64 [N, G], 1 where an entry belongs to a group."""
    groups = np.asarray(groups)
    return (groups[:, None] == np.arange(groups.max() + 1)).astype(np.float64)
