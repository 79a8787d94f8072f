"""Similarities against the golden figures, and what must hold for any embeddings."""

import numpy as np
import pytest
import recipe
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trajeval.similarity import (
    cosine_similarity,
    goal_baseline_similarity,
    group_statistics,
    is_flat,
    mean_direction,
    projection_similarity,
    rescale_as_vista,
    softmax,
    standardize_prompts,
    unit,
)

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


def members(borders):
    return np.repeat(np.arange(len(borders) - 1), np.diff(borders))


@pytest.mark.parametrize("alpha", ["0.0", "0.25", "0.5", "1.0"])
def test_baselines_agree_with_the_golden_figures(alpha):
    baseline = mean_direction(GOLDEN["baseline"])
    for name, function in (
        ("projection", projection_similarity),
        ("goal_baseline", goal_baseline_similarity),
    ):
        ours = function(GOLDEN["video"], GOLDEN["text"], baseline, float(alpha))
        assert ours.dtype == np.float32
        assert ours == pytest.approx(GOLDEN[f"{name}_{alpha}"], abs=1e-5)


@pytest.mark.parametrize("normalize", [0, 1])
def test_groups_agree_with_the_golden_figures(normalize):
    similarities = cosine_similarity(GOLDEN["video"], GOLDEN["text"])
    if normalize:
        similarities = standardize_prompts(similarities)
    groups = members(GOLDEN["video_borders"]), members(GOLDEN["prompt_borders"])
    means, deviations, counts = group_statistics(similarities, *groups)
    assert means == pytest.approx(GOLDEN[f"group_mean_norm{normalize}"], abs=1e-5)
    assert deviations == pytest.approx(GOLDEN[f"group_std_norm{normalize}"], abs=1e-5)
    assert counts.tolist() == np.outer([3, 4, 5], [4, 5]).tolist()


def test_goal_baseline_by_the_letter():
    video, text, baseline = (unit(np.random.default_rng(i).normal(size=(1, 8))) for i in range(3))
    direction = unit(text - baseline)[0]

    def mix(x, alpha=0.3):
        return (1 - alpha) * x[0] + alpha * (x[0] @ direction) * direction

    expected = 1 - np.sum((mix(video) - mix(text)) ** 2) / 2
    assert goal_baseline_similarity(video, text, baseline[0], 0.3) == pytest.approx(expected)


def test_a_prompt_that_is_the_baseline_has_no_direction():
    texts = np.array([[3.0, 4.0], [1.0, 0.0]])
    baseline = mean_direction(texts[:1] * 7)
    similarities = projection_similarity([[1.0, 0.0]], texts, baseline, 1)
    assert similarities[0, 0] == 0 and similarities[0, 1] > 0


def test_mean_direction_does_not_mind_lengths():
    mean = mean_direction(np.array([[5.0, 0.0], [0.0, 0.1]]))
    assert mean == pytest.approx([0.5**0.5, 0.5**0.5])


def test_a_prompt_without_spread_gives_zeros():
    similarities = np.array([[0.1, 0.3], [0.1, 0.2], [0.1, 0.1]], np.float32)
    assert is_flat(similarities).tolist() == [True, False]
    ours = standardize_prompts(similarities)
    assert ours[:, 0].tolist() == [0, 0, 0]
    assert ours[:, 1] == pytest.approx([1.5**0.5, 0, -(1.5**0.5)], abs=1e-6)
    assert standardize_prompts(similarities[:1]).tolist() == [[0, 0]]


def test_softmax_by_hand():
    ours = softmax(np.array([[0.0, 0.01 * np.log(3)], [5, 5]]), 0.01)
    assert ours == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]))
    for temperature in (1e-9, 1e-310):
        assert softmax(np.array([[1.0, -1.0]]), temperature).tolist() == [[1, 0]]


def test_vista_rescaling_is_both_in_turn():
    similarities = np.array([[0.1, 0.3], [0.2, 0.2], [0.5, 0.1]])
    powers = np.exp(similarities)
    shares = powers / powers.sum(1, keepdims=True)
    expected = (shares - shares.mean(0)) / shares.std(0)
    assert rescale_as_vista(similarities) == pytest.approx(expected, abs=1e-5)


@given(
    hnp.arrays(np.float32, (5, 3), elements=st.floats(-1, 1, width=32)), st.permutations(range(5))
)
def test_order_plays_no_part(similarities, order):
    for function in (standardize_prompts, rescale_as_vista, lambda s: softmax(s, 0.01)):
        moved = function(similarities[order])
        assert moved == pytest.approx(function(similarities)[order], abs=1e-4)
