"""What a model made of videos, in columns, is what was added."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajeval.answers import Answers
from trajeval.shelf import Embedded
from trajeval.videos import VideoError
from trajeval.views import WHOLE, View

CURVE = View(None, "prefix", 3)
texts = st.none() | st.text()


def embedded(number, warning=None, fps=25.0, content="ab" * 64, prompts=(), width=4, kept=False):
    rng = np.random.default_rng(number)
    size = len(prompts) or width
    return Embedded(
        {WHOLE: rng.random((1, size), np.float32), CURVE: rng.random((3, size), np.float32)},
        list(range(number, number + 5)),
        *(number + 9, [64, 48], fps, warning),
        *([1, 5, 9], [0.04, 0.2, float("nan")], prompts),
        *(content, kept, False),
    )


@settings(deadline=None, max_examples=30)
@given(st.lists(st.none() | st.tuples(texts, st.none() | st.floats(1, 100), st.booleans())))
def test_what_was_added_comes_back(made):
    answers, added = Answers(), []
    for number, one in enumerate(made):
        error = VideoError(f"{number} is empty")
        added.append(embedded(number, *one[:2], kept=one[2]) if one else error)
        answers.add(added[-1])
    assert len(answers) == len(added)
    usable = [found for found in added if isinstance(found, Embedded)]
    for found, back in zip(added, answers, strict=True):
        if isinstance(found, Exception):
            assert back is found
        else:
            assert all(getattr(found, name) == value for name, value in back._asdict().items())
    assert answers.failed.tolist() == [i for i, one in enumerate(made) if one is None]
    assert len(answers.usable) == len(usable)
    assert answers.n_kept == sum(one.kept for one in usable)
    if usable:
        for view in (WHOLE, CURVE):
            rows = answers.values(view).take(0, len(usable))
            expected = [one.views[view] if view.how else one.views[view][0] for one in usable]
            assert np.array_equal(rows, expected)
        ends, times = answers.points()
        assert ends.shape == times.shape == (len(usable), 3) and ends[0].tolist() == [1, 5, 9]


@given(st.lists(st.integers(0, 4), min_size=1))
def test_some_of_them_in_another_order(numbers):
    answers, added = Answers(), [embedded(0), VideoError("x"), *map(embedded, (2, 3, 4))]
    for found in added:
        answers.add(found)
    some = answers.of(numbers)
    assert len(some) == len(numbers) and len(answers) == 5
    assert some.failed.tolist() == [i for i, number in enumerate(numbers) if number == 1]
    usable = [added[number] for number in numbers if number != 1]
    if usable:
        expected = [one.views[WHOLE][0] for one in usable]
        assert np.array_equal(some.values(WHOLE).take(0, 99), expected)
        assert [found.length for found in some if not isinstance(found, Exception)] == [
            one.length for one in usable
        ]


def test_scores_for_prompts_that_differ():
    answers = Answers()
    first, second = embedded(1, prompts=("a", "b")), embedded(2, prompts=("c", "b", "a"))
    for found in (first, second):
        answers.add(found)
    values = answers.values(CURVE, ["b", "a"]).take(0, 2)
    expected = [first.views[CURVE][:, [1, 0]], second.views[CURVE][:, [1, 2]]]
    assert np.array_equal(values, expected)
    with pytest.raises(ValueError, match="not in"):
        answers.values(WHOLE, ["c"])
    assert np.array_equal(answers.of([1]).values(WHOLE, ["c"]).take(0, 1), [[second.embedding[0]]])
