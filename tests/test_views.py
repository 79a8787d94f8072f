"""views.py: which frames make which clips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajeval.views import ORDERS, WHOLE, View, lay_out, sample_indices, shuffle, views_of

lengths, counts, points = st.integers(1, 700), st.integers(1, 40), st.integers(2, 30)
curves = st.sampled_from([None, "shuffled", "reversed"])


@given(lengths, counts)
def test_the_whole_is_sampled_as_ever(length, n):
    layout = lay_out(WHOLE, length, n)
    assert layout.frames.tolist() == layout.slots.tolist() == [sample_indices(length, n).tolist()]
    assert layout.ends.tolist() == [length - 1]


@given(lengths, counts, points)
def test_a_prefix_is_the_video_cut_there(length, n, k):
    layout = lay_out(View(None, "prefix", k), length, n)
    for end, frames in zip(layout.ends, layout.frames):
        assert frames.tolist() == sample_indices(end + 1, n).tolist()
    assert layout.frames[-1].tolist() == sample_indices(length, n).tolist()
    steps = np.diff(layout.ends, prepend=-1)
    assert layout.ends[-1] == length - 1 and steps.min() >= 0
    assert steps.max() - steps.min() <= 1, "evenly spread"
    assert len(set(layout.ends.tolist())) == min(length, k), "a short video repeats points"


@given(st.lists(st.integers(0, 50), min_size=1, max_size=90), counts, points, st.integers(1, 400))
def test_a_window_has_the_frames_of_the_last_seconds(steps, n, k, width):
    ticks = np.cumsum(steps)
    layout = lay_out(View(None, "window", k, 1.0), len(ticks), n, ticks, width)
    for end, frames in zip(layout.ends, layout.frames):
        inside = [i for i in range(end + 1) if ticks[end] - ticks[i] < width]
        assert frames.tolist() == [inside[i] for i in sample_indices(len(inside), n)]


@given(lengths, counts)
def test_the_controls_have_the_same_frames_in_another_order(length, n):
    whole = sample_indices(length, n).tolist()
    found = {order: lay_out(View(order), length, n).frames[0].tolist() for order in ORDERS}
    assert found["reversed"] == whole[::-1]
    assert found["shuffled"] == [whole[i] for i in shuffle(n)]
    assert found["still"] == [whole[n // 2]] * n
    for order in ORDERS:
        assert lay_out(View(order), length, n).slots.tolist() == [whole], "shown at the same times"


@pytest.mark.parametrize("n", [1, 2, 3, 8, 32, 1024])
def test_the_shuffled_order_is_always_the_same(n):
    order = shuffle(n).tolist()
    assert sorted(order) == list(range(n)) and order == shuffle(n).tolist()
    assert n == 1 or order != list(range(n))
    assert shuffle(8).tolist() == [6, 2, 1, 7, 3, 0, 5, 4]  # what caches were filled with


@given(lengths, counts, points)
def test_the_curve_of_a_reversed_video(length, n, k):
    """What ends it comes first."""
    layout = lay_out(View("reversed", "prefix", k), length, n)
    for end, frames in zip(layout.ends, layout.frames):
        n_seen = end + 1
        assert frames.tolist() == (length - n_seen + sample_indices(n_seen, n))[::-1].tolist()
    assert layout.frames[-1].tolist() == lay_out(View("reversed"), length, n).frames[0].tolist()


@given(lengths, counts, points)
def test_the_curve_of_a_shuffled_video(length, n, k):
    layout = lay_out(View("shuffled", "prefix", k), length, n)
    whole = lay_out(View("shuffled"), length, n).frames[0].tolist()
    assert layout.frames[-1].tolist() == whole
    for end, frames in zip(layout.ends, layout.frames):
        n_seen = -(-(end + 1) * n // length)
        assert frames.tolist() == [whole[i] for i in sample_indices(n_seen, n)]


def test_a_window_of_a_reversed_video_with_uneven_times():
    ticks = np.array([0, 1, 2, 10, 11])  # reversed: 0, 1, 9, 10, 11
    layout = lay_out(View("reversed", "window", 5, 1.0), 5, 3, ticks, 3)
    assert layout.frames.tolist() == [[4, 4, 4], [4, 3, 3], [2, 2, 2], [2, 1, 1], [2, 1, 0]]


@given(lengths, st.integers(1, 16), points, curves, st.sampled_from(["prefix", "window"]))
def test_a_curve_of_few_frames(length, n, k, order, how):
    """For models that embed frame by frame: at most twice as many as a clip has, the clip's among
    them; a short video has all of its frames."""
    ticks, width = np.arange(length), max(1, length // 7)
    window = 1.0 if how == "window" else None
    few = lay_out(View(order, how, k, window, 2 * n), length, n, ticks, width)
    every = lay_out(View(order, how, k, window), length, n, ticks, width)
    frames = set(few.frames.ravel().tolist()) | set(sample_indices(length, n).tolist())
    assert len(frames) <= min(length, 2 * n)
    assert few.ends.tolist() == every.ends.tolist()
    if length <= 2 * n:
        assert few.frames.tolist() == every.frames.tolist()
    if order is None:
        assert (few.frames <= few.ends[:, None]).all(), "nothing is seen before its time"
    if how == "prefix":
        whole = lay_out(View(order), length, n).frames[0]
        assert set(few.frames[-1].tolist()) == set(whole.tolist())


@given(lengths, counts, points, curves)
def test_frames_are_in_the_video_and_times_ascend(length, n, k, order):
    for view in (View(order, "prefix", k), View(order, "window", k, 1.0), View("still")):
        layout = lay_out(view, length, n, np.arange(length), 5)
        assert layout.frames.shape == layout.slots.shape == (view.points, n)
        assert layout.frames.min() >= 0 and layout.frames.max() < length
        assert (np.diff(layout.slots, axis=1) >= 0).all()
        assert layout.frames.dtype == np.int64


def test_what_options_ask_for():
    assert views_of(None, 15, None, False, None) == [WHOLE]
    assert views_of(None, 15, None, True, None) == [WHOLE, *map(View, ORDERS)]
    assert views_of("prefix", 9, None, False, 64) == [WHOLE, View(None, "prefix", 9, None, 64)]
    everything = views_of("window", 9, 2.5, True, None)
    assert everything[4:] == [View(o, "window", 9, 2.5) for o in (None, "shuffled", "reversed")]
    keys = [str(view.key) for view in everything]
    assert len(set(keys)) == len(keys)


def test_the_whole_has_the_key_of_earlier_versions():
    assert WHOLE.key == {}
    assert View(None, "window", 9, 2.5).key == {
        "view": {"how": "window", "points": 9, "window": 2.5}
    }
