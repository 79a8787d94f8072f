"""Pure functions of arrays: from embeddings to similarities."""

import numpy as np


def cosine_similarity(videos: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Cosine of the angle between each video and each text embedding.

    videos: [N, D], texts: [P, D]; any float type, any length. Returns float32 [N, P] in [-1, 1];
    an embedding of all zeros has the similarity 0 to everything.
    """
    similarities = unit(videos) @ unit(texts).T
    return np.clip(similarities, -1, 1).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [N, D] scaled to length 1, float64; zeros stay zeros."""
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
