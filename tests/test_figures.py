"""The heatmap: what stands in it, at every size and with every name."""

import warnings

import imageio.v3 as iio
import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import to_hex

from trajeval import figures
from trajeval.figures import (
    MAX_ROWS,
    RIGHT,
    as_png,
    fold,
    group_bars,
    heatmap,
    shorten,
    side_by_side,
)

ODD_NAMES = ["$x_1$ \\frac{a}{b", '<b>&amp;</b> "it\'s"', "開けるロボット", "机器人", "문을"]


def draw(n, p, trajectories=None, prompts=None, values=None):
    values = np.random.default_rng(0).random((n, p)) if values is None else values
    trajectories = trajectories or [f"trajectory {i}" for i in range(n)]
    prompts = prompts or [f"prompt {i}" for i in range(p)]
    return values, heatmap(np.asarray(values, np.float32), trajectories, prompts, "exp\nmodel")


def picture(figure):
    with warnings.catch_warnings(action="error"):
        return iio.imread(as_png(figure))


def labels(texts):
    return [text.get_text() for text in texts]


def rows(axes):
    """What stands left of the cells, from top to bottom."""
    texts = [text for text in axes.texts if text.get_position()[0] < 0]
    return labels(sorted(texts, key=lambda text: -text.get_window_extent().y0))


def columns(axes):
    """What stands above the cells, from left to right."""
    texts = [text for text in axes.texts if text.get_position()[1] < 0]
    return labels(sorted(texts, key=lambda text: text.get_position()[0]))


def numbers(axes):
    """The texts in the cells, as they were written."""
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    places = [text.get_position() for text in axes.texts]
    return [t for t, (x, y) in zip(axes.texts, places) if 0 < x < right and 0 < y < bottom]


def outlined(axes):
    """The (row, column) of each outlined cell, in order."""
    black, white = [cells for cells in axes.collections if type(cells) is PolyCollection]
    corners = [path.vertices.min(0).astype(int).tolist() for path in white.get_paths()]
    assert [path.vertices.min(0).tolist() for path in black.get_paths()] == corners
    return sorted((row, column) for column, row in corners)


@pytest.mark.parametrize(("n", "p"), [(1, 1), (3, 3), (30, 12), (60, 30)])
def test_every_cell_shows_its_value(n, p):
    values, figure = draw(n, p)
    axes, bar = figure.axes
    shown = [f"{value:.3f}" for value in values.astype(np.float32).ravel()]
    assert labels(numbers(axes)) == shown
    middles = [text.get_position() for text in numbers(axes)]
    assert middles == [(j + 0.5, i + 0.5) for i in range(n) for j in range(p)]
    assert rows(axes) == [f"trajectory {i}" for i in range(n)]
    assert columns(axes) == [f"prompt {i}" for i in range(p)]
    assert bar.get_ylabel() == "cosine similarity"
    assert outlined(axes) == [(i, j) for i, j in enumerate(values.argmax(1))]
    assert picture(figure).std() > 10


@pytest.mark.parametrize(("n", "p"), [(61, 3), (3, 31)])
def test_large_ones_have_no_numbers(n, p):
    _, figure = draw(n, p)
    assert not numbers(figure.axes[0])
    assert len(outlined(figure.axes[0])) == n


def test_above_400_rows_the_strongest_are_drawn():
    values = np.linspace(0, 1, 450 * 2).reshape(450, 2)
    _, figure = draw(450, 2, values=values)
    axes = figure.axes[0]
    assert rows(axes) == [f"trajectory {i}" for i in range(50, 450)]
    assert f"the {MAX_ROWS} of 450 rows" in axes.get_title()
    assert "the tables beside the picture have all" in axes.get_title()


def test_cells_have_their_colours_and_numbers_that_can_be_read():
    values, figure = draw(3, 4, values=np.arange(12).reshape(3, 4))
    axes, bar = figure.axes
    image = picture(figure)
    (mesh,) = (cells for cells in axes.collections if isinstance(cells, QuadMesh))
    assert mesh.get_clim() == (0, 11) and bar.get_ylim() == (0, 11)
    assert mesh.get_cmap().name == "viridis"
    middles = []
    for colour in mesh.to_rgba(values, bytes=True).reshape(-1, 4).astype(int):
        y, x = np.nonzero((np.abs(image[:, :700] - colour) <= 2).all(-1))  # without the bar
        assert len(y) > 3000
        middles.append((np.median(y), np.median(x)))
    y, x = np.reshape(middles, (3, 4, 2)).transpose(2, 0, 1)
    assert (np.diff(y, axis=0) > 50).all() and (np.diff(x, axis=1) > 100).all()
    dark = [text.get_color() == "0.15" for text in numbers(axes)]
    assert dark == [value >= 8 for value in range(12)]


def test_the_title_stands_above_the_highest_prompt():
    for p, name in ((3, "the robot opens the left door " * 4), (40, "the robot opens it")):
        _, figure = draw(2, p, prompts=[name] + ["x"] * (p - 1))
        figure.draw_without_rendering()
        axes = figure.axes[0]
        tops = [text.get_window_extent().y1 for text in axes.texts]
        assert 0 < axes.title.get_window_extent().y0 - max(tops) < 40


def test_equal_best_prompts_are_all_outlined():
    _, figure = draw(2, 3, values=[[1, 0, 1], [0, 0, 0]])
    assert outlined(figure.axes[0]) == [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_odd_names_are_shown_as_they_are():
    _, figure = draw(5, 5, ODD_NAMES, ODD_NAMES)
    with warnings.catch_warnings(action="error"):  # a sign that no font has
        figure.draw_without_rendering()
    assert picture(figure).std() > 10
    shown = [label.replace("\n", " ") for label in rows(figure.axes[0])]
    assert shown == ODD_NAMES


def test_long_prompts_are_wrapped_whole():
    prompts = [f"{i} the robot opens the left door of the kitchen cabinet " * 2 for i in range(3)]
    prompts = [prompt[:120].strip() for prompt in prompts]
    _, figure = draw(3, 3, prompts=prompts)
    shown = columns(figure.axes[0])
    assert [label.replace("\n", " ") for label in shown] == prompts
    assert all(len(line) <= 14 for label in shown for line in label.splitlines())


def test_huge_ones_stay_a_picture():
    _, figure = draw(2, 2000)
    assert max(figure.get_size_inches() * figure.dpi) <= 20_000


def test_title_stands_in_its_lines():
    assert draw(2, 2)[1].axes[0].get_title() == "exp\nmodel"


def test_users_own_matplotlib_settings_change_nothing():
    with matplotlib.rc_context({"text.usetex": True, "savefig.dpi": 10}):
        theirs = picture(draw(3, 3)[1])
    assert (theirs == picture(draw(3, 3)[1])).all()


def test_signs_that_no_font_has_do_no_harm():
    assert picture(draw(1, 1, ["\U0001f9ff \u0e01"], ["\ue000"])[1]).std() > 10


def test_long_names_can_be_told_apart():
    names = [f"half_cheetah_of_{'x' * 60}_seed_{i}_camera_left" for i in range(61)]
    for n in (3, 61):
        shown = rows(draw(n, 2, names[:n])[1].axes[0])
        assert len(set(shown)) == n and all("half_cheetah_" in label for label in shown)


def test_fold_fills_the_line_that_it_cuts():
    assert fold("x" * 50, 40, 1) == "x" * 39 + "…"
    assert fold("開" * 50, 40, 1) == "開" * 19 + "…"
    assert fold("one two three", 8, 1) == "one two…"


@given(st.text(max_size=200), st.integers(20, 80))
def test_shorten_keeps_both_ends(name, width):
    short = shorten(name, width)
    assert len(short) == min(len(name), width)
    assert short[:6] == name[:6] and short[-6:] == name[-6:]


@given(st.text(max_size=300), st.integers(2, 60), st.integers(1, 14))
@settings(max_examples=300)
def test_fold_keeps_to_its_lines(text, width, max_lines):
    lines = fold(text, width, max_lines).splitlines()
    assert len(lines) <= max_lines
    assert all(len(line) <= width and line.isprintable() for line in lines)


def test_deviations_stand_beneath_the_numbers():
    deviations = np.array([[0.1, 0.25], [0, 0.5]])
    figure = heatmap(np.eye(2), ["a", "b"], ["p", "q"], "t", deviations=deviations)
    texts = numbers(figure.axes[0])
    deviated = ["±0.100", "±0.250", "±0.000", "±0.500"]
    assert labels(texts) == ["1.000", "0.000", "0.000", "1.000", *deviated]
    assert texts[4].get_fontsize() < texts[0].get_fontsize()
    assert texts[4].get_position()[1] > texts[0].get_position()[1]
    assert picture(figure).std() > 10


def test_lines_between_groups():
    groups = {"row_groups": [0, 0, 1], "column_groups": [0, 1, 1, 2]}
    figure = heatmap(np.zeros((3, 4)), list("abc"), list("pqrs"), "t", **groups)
    lines = sorted(
        (tuple(line.get_xdata()), tuple(line.get_ydata())) for line in figure.axes[0].lines
    )
    assert lines == [((0, 1), (2, 2)), ((1, 1), (0, 1)), ((3, 3), (0, 1))]


@pytest.mark.parametrize("n", [1, 3, 12])
def test_bars_of_groups(n, monkeypatch):
    monkeypatch.setattr(figures, "MAX_PANELS", 10)
    monkeypatch.setattr(figures, "MAX_BARS", 11)
    names = [f"group {i}" for i in range(n)]
    means = np.random.default_rng(0).normal(size=(n, n))
    figure = group_bars(means, np.abs(means) / 3, names, names, "exp")
    panels = [ax for ax in figure.axes if ax.axison]
    assert len(panels) == min(n, 10)
    for i, ax in enumerate(panels):
        assert ax.get_title() == f"group {i}"
        assert [bar.get_width() for bar in ax.patches] == pytest.approx(means[i, :11].tolist())
        coloured = [to_hex(bar.get_facecolor()) == RIGHT for bar in ax.patches]
        assert coloured == [j == i for j in range(min(n, 11))]
    assert ("the first 10 of 12 groups;" in figure.get_suptitle()) == (n == 12)
    assert ("the first 11 of 12 groups of prompts;" in figure.get_suptitle()) == (n == 12)
    assert picture(figure).std() > 5


def test_odd_names_of_groups():
    means = np.eye(len(ODD_NAMES))
    assert picture(group_bars(means, means, ODD_NAMES, ODD_NAMES, "$t$ <b>")).std() > 5


def test_side_by_side():
    pictures = [as_png(draw(n, 2)[1]) for n in (2, 5)]
    both = iio.imread(side_by_side(pictures))
    shapes = [iio.imread(png).shape for png in pictures]
    assert both.shape[0] == max(shape[0] for shape in shapes)
    assert both.shape[1] == sum(shape[1] for shape in shapes)
