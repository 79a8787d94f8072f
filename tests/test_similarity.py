"""Similarities against the golden figures, and what must hold for any embeddings."""

import numpy as np
import pytest
import recipe
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from similarity import cosine_similarity

GOLDEN = np.load(recipe.GOLDEN / "scoring.npz")


def embeddings(n):
    return hnp.arrays(np.float32, (n, 4), elements=st.floats(-10, 10, width=32))


def test_cosine_agrees_with_the_golden_figures():
    ours = cosine_similarity(GOLDEN["video"], GOLDEN["text"])
    assert ours.dtype == np.float32
    assert ours == pytest.approx(GOLDEN["cosine"], abs=1e-5)


def test_length_plays_no_part():
    ours = cosine_similarity(GOLDEN["video"] * 1e30, GOLDEN["text"] * 1e-30)
    assert ours == pytest.approx(GOLDEN["cosine"], abs=1e-5)


def test_zeros_are_like_nothing():
    assert (cosine_similarity(np.zeros((2, 4)), np.ones((3, 4))) == 0).all()


@given(embeddings(5), embeddings(3), st.permutations(range(5)), st.permutations(range(3)))
def test_order_only_permutes(videos, texts, rows, columns):
    similarities = cosine_similarity(videos, texts)
    assert similarities.shape == (5, 3)
    assert (np.abs(similarities) <= 1).all()
    permuted = cosine_similarity(videos[rows], texts[columns])
    assert permuted == pytest.approx(similarities[rows][:, columns], abs=1e-6)
