"""Names as they are shown: unique, folded, cut in the middle."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajeval.names import fold, short_names, with_short_names
from trajeval.table import Entry, Table
from trajeval.terminal import printable


@pytest.mark.parametrize(
    ("given_paths", "names"),
    [
        (["v/run.mp4", "v/walk.mp4"], ["run", "walk"]),
        (["a/run.mp4", "b/run.mp4", "b/walk.mp4"], ["a/run", "b/run", "walk"]),
        (["run.mp4", "run.avi"], ["run.mp4", "run.avi"]),
        (["v/run.mp4", "v/run.mp4"], ["run", "run"]),
        (["x/a/run.mp4", "y/a/run.mp4"], ["x/a/run", "y/a/run"]),
        (["v/speed_0.25.mp4", "v/speed_0.50.mp4"], ["speed_0.25", "speed_0.50"]),
        (["v/speed_0.25", "v/speed_0.50.npy"], ["speed_0.25", "speed_0.50.npy"]),
        (["v/a.b.mp4", "v/a.c.mp4"], ["a.b", "a.c"]),
        ([], []),
    ],
)
def test_short_names(given_paths, names):
    assert short_names(given_paths) == names


part = st.sampled_from(["a", "b", "c.d"])
some_paths = st.lists(st.lists(part, min_size=1, max_size=4).map("/".join), max_size=8)


@given(some_paths)
def test_short_names_tell_all_files_apart(given_paths):
    names = short_names(given_paths)
    assert len(set(names)) == len(set(given_paths))


def test_short_names_of_a_table():
    rows = [Entry("/x/run/1.mp4", ("run",)), Entry("/x/jump/1.mp4", ("jump",))]
    columns = [Entry("a/b.mp4")]
    shown = with_short_names(Table([[1], [2]], rows, columns, "cosine"))
    assert (
        shown.rows == [Entry("run/1", ("run",)), Entry("jump/1", ("jump",))]
        and shown.columns == columns
    )


def test_fold_fills_the_line_that_it_cuts():
    assert fold("x" * 50, 40, 1) == "x" * 39 + "…"
    assert fold("開" * 50, 40, 1) == "開" * 19 + "…"
    assert fold("one two three", 8, 1) == "one two…"


@given(st.text(max_size=300), st.integers(2, 60), st.integers(1, 14))
@settings(max_examples=300)
def test_fold_keeps_to_its_lines(text, width, max_lines):
    lines = fold(text, width, max_lines).splitlines()
    assert len(lines) <= max_lines
    assert all(len(line) <= width and line.isprintable() for line in lines)


@given(st.text(max_size=200), st.integers(20, 80))
def test_what_is_cut_keeps_both_ends(name, width):
    short = printable(name, width)
    assert len(short) == min(len(name), width)
    if name.isprintable():
        assert short[:6] == name[:6] and short[-6:] == name[-6:]
