"""Similarities against the golden values, and what must hold for any embeddings."""

import csv

import numpy as np
import pytest
import recipe
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trajeval.similarity import (
    cosine_similarity,
    goal_baseline_similarity,
    mean_direction,
    moments,
    projection_similarity,
    rescale_as_vista,
    rescaled,
    similarity_table,
    softmax_of_rows,
    standardize_prompts,
    table_of,
    unit,
)
from trajeval.table import Entry, Table, entry_of

GOLDEN = np.load(recipe.GOLDEN / "scoring.npz")


def embeddings(n):
    return hnp.arrays(np.float32, (n, 4), elements=st.floats(-10, 10, width=32))


def test_cosine_agrees_with_the_golden_values():
    ours = cosine_similarity(GOLDEN["video"], GOLDEN["text"])
    assert ours.dtype == np.float32
    assert ours == pytest.approx(GOLDEN["cosine"], abs=1e-5)


def test_length_does_not_matter():
    ours = cosine_similarity(GOLDEN["video"] * 1e30, GOLDEN["text"] * 1e-30)
    assert ours == pytest.approx(GOLDEN["cosine"], abs=1e-5)


def test_zeros_are_similar_to_nothing():
    assert (cosine_similarity(np.zeros((2, 4)), np.ones((3, 4))) == 0).all()


@given(embeddings(5), embeddings(3), st.permutations(range(5)), st.permutations(range(3)))
def test_order_only_permutes(videos, texts, rows, columns):
    similarities = cosine_similarity(videos, texts)
    assert similarities.shape == (5, 3)
    assert (np.abs(similarities) <= 1).all()
    permuted = cosine_similarity(videos[rows], texts[columns])
    assert permuted == pytest.approx(similarities[rows][:, columns], abs=1e-6)


@pytest.mark.parametrize("alpha", ["0.0", "0.25", "0.5", "1.0"])
def test_baselines_agree_with_the_golden_values(alpha):
    baseline = mean_direction(GOLDEN["baseline"])
    for name, function in (
        ("projection", projection_similarity),
        ("goal_baseline", goal_baseline_similarity),
    ):
        ours = function(GOLDEN["video"], GOLDEN["text"], baseline, float(alpha))
        assert ours.dtype == np.float32
        assert ours == pytest.approx(GOLDEN[f"{name}_{alpha}"], abs=1e-5)


def test_goal_baseline_by_its_definition():
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


def test_mean_direction_ignores_lengths():
    mean = mean_direction(np.array([[5.0, 0.0], [0.0, 0.1]]))
    assert mean == pytest.approx([0.5**0.5, 0.5**0.5])


def test_a_prompt_without_spread_gives_zeros():
    similarities = np.array([[0.1, 0.3], [0.1, 0.2], [0.1, 0.1]], np.float32)
    assert moments(similarities).is_flat.tolist() == [True, False]
    ours = standardize_prompts(similarities)
    assert ours[:, 0].tolist() == [0, 0, 0]
    assert ours[:, 1] == pytest.approx([1.5**0.5, 0, -(1.5**0.5)], abs=1e-6)
    assert standardize_prompts(similarities[:1]).tolist() == [[0, 0]]


def test_softmax_by_hand():
    ours = softmax_of_rows(np.array([[0.0, 0.01 * np.log(3)], [5, 5]]), 0.01)
    assert ours == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]))
    for temperature in (1e-9, 1e-310):
        assert softmax_of_rows(np.array([[1.0, -1.0]]), temperature).tolist() == [[1, 0]]


@given(
    hnp.arrays(np.float32, (5, 3), elements=st.floats(-1, 1, width=32)), st.permutations(range(5))
)
def test_order_does_not_matter(similarities, order):
    for function in (standardize_prompts, rescale_as_vista, lambda s: softmax_of_rows(s, 0.01)):
        moved = function(similarities[order])
        assert moved == pytest.approx(function(similarities)[order], abs=1e-4)


def vista_problems():
    """ViSTa's scores [N, P] and what its code rescales them to, for each task and model."""
    problems = {}
    with open(recipe.GOLDEN / "vista_rescaled.csv", newline="") as file:
        for row in csv.DictReader(file):
            problem = problems.setdefault((row["task"], row["model"]), {})
            video = problem.setdefault(row["video"], ([], []))
            for values, column in zip(video, ("score", "score_video_label")):
                values.append(float(row[column] or "nan"))
    return [np.array(list(problem.values())).swapaxes(0, 1) for problem in problems.values()]


def test_rescaling_agrees_with_vista():
    problems = vista_problems()
    assert len(problems) > 5
    for scores, expected in problems:
        if len(scores) == 1:  # ViSTa leaves a single video out
            assert np.isnan(expected).all() and (rescale_as_vista(scores) == 0).all()
        else:
            assert rescale_as_vista(scores) == pytest.approx(expected, abs=1e-9)


def test_rescaling_of_a_prompt_without_spread_is_close_to_zero():
    assert np.abs(rescale_as_vista(np.tile([[0.1, 0.7, 0.3]], (7, 1)))).max() < 1e-8


def entries(*groups):
    return [entry_of(f"name {i}", group) for i, group in enumerate(groups)]


def made(normalize=None, softmax=None, **options):
    video, text = GOLDEN["video"], np.concatenate([GOLDEN["baseline"], GOLDEN["text"]])
    rows = entries(*[None] * len(video))
    of_baseline = ["baseline"] * len(GOLDEN["baseline"])
    columns = entries(*of_baseline, *["a", "b"] * 20)[: len(text)]
    return table_of(video, text, rows, columns, normalize=normalize, softmax=softmax, **options)


def test_a_table_of_cosines():
    table = made()
    assert table.label == "cosine similarity"
    assert {column.group for column in table.columns} == {"a", "b"}
    assert np.array_equal(table.values, cosine_similarity(GOLDEN["video"], GOLDEN["text"]))
    assert len(table.rows) == len(table.values) and table.values.dtype == np.float32


def test_a_table_of_projections():
    table = made(similarity="projection", alpha=0.25)
    assert table.values == pytest.approx(GOLDEN["projection_0.25"], abs=1e-5)
    assert table.label == "projection similarity, alpha 0.25"
    table = made(similarity="goal-baseline", alpha=1.0)
    assert table.values == pytest.approx(GOLDEN["goal_baseline_1.0"], abs=1e-5)


def test_a_table_of_mean_embeddings():
    table = made(ensemble="mean-embedding")
    assert table.columns == [Entry("a", ("a",)), Entry("b", ("b",))]
    means = [mean_direction(GOLDEN["text"][i::2]) for i in range(2)]
    assert table.values == pytest.approx(cosine_similarity(GOLDEN["video"], np.stack(means)))


def test_a_table_is_rescaled_in_double_precision():
    plain, table = made(), made(normalize="prompt", softmax=0.5)
    expected = softmax_of_rows(standardize_prompts(plain.values), 0.5)
    assert np.array_equal(table.values, expected.astype(np.float32))
    assert table.label == (
        "cosine similarity, standardised for each prompt, softmax at temperature 0.5"
    )
    vista = made(normalize="vista")
    assert np.array_equal(vista.values, rescale_as_vista(plain.values).astype(np.float32))
    assert vista.label == "cosine similarity, rescaled as in ViSTa"


def test_prompts_without_spread_have_a_warning():
    video = np.array([[1.0, 0.0], [1.0, 0.0]])
    plain = similarity_table(video, np.eye(2), entries(None, None), entries("a", "b"))
    flat = rescaled(plain, normalize="prompt", softmax=1)
    assert (flat.values == 0.5).all() and plain.warnings == ()
    assert flat.warnings == (
        '"name 0" has the same value for all trajectories',
        '"name 1" has the same value for all trajectories',
    )
    assert rescaled(plain, normalize="vista").warnings == flat.warnings
    assert rescaled(plain, softmax=1).warnings == ()
    for how in ("prompt", "vista"):
        alone = rescaled(plain.take([0]), normalize=how)
        assert alone.warnings == ("there is only one trajectory, so all normalized values are 0",)
        assert (alone.values == 0).all()


def test_what_a_table_holds():
    table = Table(np.eye(2), entries("x", "y"), entries("x", "y"), "cosine")
    assert rescaled(table)._replace(values=0) == table._replace(values=0)
    assert not table.is_softmax and not table.is_centred
    softened = rescaled(table, normalize="prompt", softmax=1)
    assert softened.is_softmax and not softened.is_centred
    assert rescaled(table, normalize="vista").is_centred
