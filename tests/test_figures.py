"""The pictures: what they show, at every size and with every name."""

import warnings

import imageio.v3 as iio
import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PolyCollection, QuadMesh

from trajeval.figures import (
    as_png,
    heatmap,
    side_by_side,
)
from trajeval.table import Table, entry_of

ODD_NAMES = ["$x_1$ \\frac{a}{b", '<b>&amp; "it\'s"', "開けるロボット", "机器人", "문을"]


def draw(n, p, trajectories=None, prompts=None, values=None):
    values = np.random.default_rng(0).random((n, p)) if values is None else values
    trajectories = trajectories or [f"trajectory {i}" for i in range(n)]
    prompts = prompts or [f"prompt {i}" for i in range(p)]
    return values, heatmap(table(values, trajectories, prompts), "exp\nmodel")


def table(values, rows, columns, row_groups=None, column_groups=None, label="cosine similarity"):
    entries = [
        [entry_of(*entry) for entry in zip(names, groups or [None] * len(names))]
        for names, groups in ((rows, row_groups), (columns, column_groups))
    ]
    return Table(np.asarray(values, np.float32), *entries, label)


def picture(figure):
    with warnings.catch_warnings(action="error"):
        return iio.imread(as_png(figure))


def labels(texts):
    return [text.get_text() for text in texts]


def rows(axes):
    """The names left of the cells, from top to bottom."""
    texts = [t for t in axes.texts if t.get_position()[0] < 0 and t.get_gid() is None]
    return labels(sorted(texts, key=lambda text: -text.get_window_extent().y0))


def columns(axes):
    """The names above the cells, from left to right."""
    texts = [t for t in axes.texts if t.get_position()[1] < 0 and t.get_gid() is None]
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
    inner = [path.vertices.min(0).tolist() for path in black.get_paths()]
    assert [[int(x), int(y)] for x, y in inner] == corners
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


def test_above_400_rows_the_strongest_and_the_worst_are_drawn():
    values = np.random.default_rng(0).permutation(900).reshape(450, 2)
    names = [f"clips/trajectory {i}.mp4" for i in range(450)]
    _, figure = draw(450, 2, names, values=values)
    axes = figure.axes[0]
    order = np.argsort(-values.max(1))
    wanted = [f"trajectory {i}" for i in np.r_[order[:200], order[-200:]]]
    assert rows(axes) == wanted
    (line,) = lines_of(axes)
    assert list(line.get_ydata()) == [200, 200]
    assert "the 200 strongest and 200 worst of 450 trajectories" in axes.get_title()
    assert "the tables beside the picture have all" in axes.get_title()


def test_of_many_columns_those_that_matter_are_drawn_in_the_order_of_the_rows():
    names = [f"g{i}" for i in range(500)]
    values = np.eye(500) + np.diag(np.linspace(0, 1, 500))
    values[0, 7] = 3  # a mistake
    axes = heatmap(groups(values, names), "t").axes[0]
    shown = rows(axes)
    assert shown == [f"g{i}" for i in (*range(499, 299, -1), *range(199, -1, -1))]
    assert columns(axes) == shown
    assert dots(axes) == [(i, i) for i in range(400)]
    assert "400 of 500 prompts that are right or highest" in axes.get_title()


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


def test_the_title_is_above_the_highest_prompt():
    for p, name in ((3, "the robot opens the left door " * 4), (40, "the robot opens it")):
        _, figure = draw(2, p, prompts=[name] + ["x"] * (p - 1))
        figure.draw_without_rendering()
        axes = figure.axes[0]
        highest = {text.get_window_extent().y1: text.get_text() for text in axes.texts}
        assert highest[max(highest)] == "prompts"
        assert 0 < axes.title.get_window_extent().y0 - max(highest) < 40


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


def test_title_keeps_its_lines():
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


def test_deviations_are_written_below_the_values():
    deviations = np.array([[0.1, 0.25], [0, 0.5]])
    values = [[1, -0.001], [0, 1]]
    figure = heatmap(table(values, ["a", "b"], ["p", "q"]), "t", deviations=deviations)
    texts = numbers(figure.axes[0])
    deviated = ["±0.10", "±0.25", "±0.00", "±0.50"]
    assert labels(texts) == ["1.00", "0.00", "0.00", "1.00", *deviated]
    assert texts[4].get_fontsize() < texts[0].get_fontsize()
    assert texts[4].get_position()[1] > texts[0].get_position()[1]
    assert picture(figure).std() > 10


def lines_of(axes):
    """The lines between groups."""
    return [line for line in axes.lines if line.get_marker() == "None"]


def test_lines_between_groups():
    groups = list("xxy"), list("zwwv")
    figure = heatmap(table(np.zeros((3, 4)), list("abc"), list("pqrs"), *groups), "t")
    lines = sorted(
        (tuple(line.get_xdata()), tuple(line.get_ydata())) for line in lines_of(figure.axes[0])
    )
    assert lines == [((0, 1), (2, 2)), ((1, 1), (0, 1)), ((3, 3), (0, 1))]


def groups(means, names, label="cosine similarity"):
    return table(means, names, names, names, names, label)


def test_side_by_side():
    pictures = [as_png(draw(n, 2)[1]) for n in (2, 5)]
    both = iio.imread(side_by_side(pictures))
    shapes = [iio.imread(png).shape for png in pictures]
    assert both.shape[0] == max(shape[0] for shape in shapes)
    assert both.shape[1] == sum(shape[1] for shape in shapes)


def test_axes_say_what_they_are():
    axes = draw(3, 3)[1].axes[0]
    titles = {t.get_text(): t.get_position() for t in axes.texts if t.get_gid() == "axis title"}
    assert titles.keys() == {"trajectories", "prompts"}
    assert titles["trajectories"][0] < 0 and titles["prompts"][1] < 0
    left = min(t.get_window_extent().x0 for t in axes.texts if t.get_text()[:11] == "trajectory ")
    (title,) = (text for text in axes.texts if text.get_text() == "trajectories")
    assert title.get_window_extent().x1 < left


def dots(axes):
    places = [line.get_xydata() for line in axes.lines if line.get_marker() == "o"]
    return sorted((int(y), int(x)) for marks in places for x, y in marks)


@pytest.mark.parametrize("repeats", [1, 20])
def test_a_dot_in_the_right_cells(repeats):
    rows, columns = ["run", "jump", "run"], ["jump", "run", "fly"] * repeats
    values = np.arange(9 * repeats).reshape(3, -1)
    names = [f"prompt {i}" for i in range(len(columns))]
    axes = heatmap(table(values, list("abc"), names, rows, columns), "t").axes[0]
    right = [(i, j) for i, row in enumerate(rows) for j, c in enumerate(columns) if row == c]
    assert dots(axes) == right
    assert any("dot: the right" in label.replace("\n", " ") for label in labels(axes.texts))
    assert bool(numbers(axes)) == (repeats == 1)


def test_a_dot_for_each_of_several_labels():
    several = table(np.eye(3), list("abc"), list("pqr"), ["x", "y", "z"], ["x", "y", "z"])
    rows = [row._replace(groups=names) for row, names in zip(several.rows, ("xy", "y", "zx"))]
    assert dots(heatmap(several._replace(rows=rows), "t").axes[0]) == [
        *((0, 0), (0, 1), (1, 1)),
        *((2, 0), (2, 2)),
    ]


def test_without_labels_there_are_no_dots():
    axes = draw(3, 3)[1].axes[0]
    assert dots(axes) == [] and not any("dot" in text.get_text() for text in axes.texts)
    one_list = table(np.eye(2), list("ab"), list("pq"), ["x", "y"])
    assert dots(heatmap(one_list, "t").axes[0]) == []


def test_outlines_lie_inside_their_cells_and_above_the_lines_between_groups():
    names = list("abcdef")
    labelled = table(
        np.eye(6)[:, ::-1] + np.eye(6)[0], names, names, list("xxyyzz"), list("xxyyzz")
    )
    figure = heatmap(labelled, "t")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    black, white = [cells for cells in axes.collections if type(cells) is PolyCollection]
    assert min(black.zorder, white.zorder) > max(line.zorder for line in lines_of(axes))
    point = axes.transData.inverted().transform([[0, 0], [1, 1]]) * figure.dpi / 72
    point = np.abs(point[1] - point[0])  # in cells
    reach = black.get_linewidths()[0] / 2 + max(line.get_linewidth() for line in lines_of(axes)) / 2
    for path in black.get_paths():
        inset = path.vertices.min(0) % 1
        assert (inset >= reach * point * 0.99).all()
        assert (path.vertices.max(0) % 1 <= 1 - reach * point * 0.99).all()


def test_groups_of_one_entry_need_no_lines():
    assert not lines_of(heatmap(groups(np.eye(3), list("abc")), "t").axes[0])


@pytest.mark.parametrize(
    "label", ["cosine similarity, standardised for each prompt", "cosine, rescaled as in ViSTa"]
)
def test_centred_values_have_a_diverging_scale(label):
    figure = heatmap(table([[-1, 0], [3, -2]], list("ab"), list("pq"), label=label), "t")
    (mesh,) = (cells for cells in figure.axes[0].collections if isinstance(cells, QuadMesh))
    assert mesh.get_clim() == (-3, 3) and mesh.get_cmap().name == "RdBu_r"
    figure = heatmap(table([[-1, 0], [3, -2]], list("ab"), list("pq"), label=label), "t", vmax=2)
    (mesh,) = (cells for cells in figure.axes[0].collections if isinstance(cells, QuadMesh))
    assert mesh.get_clim() == (-2, 2)
    softmax = f"{label}, softmax at temperature 1"
    figure = heatmap(table([[0, 1], [0.5, 0.5]], list("ab"), list("pq"), label=softmax), "t")
    (mesh,) = (cells for cells in figure.axes[0].collections if isinstance(cells, QuadMesh))
    assert mesh.get_clim() == (0, 1) and mesh.get_cmap().name == "viridis"


def test_the_ends_of_the_scale_may_be_given():
    values = table([[-1, 0], [3, -2]], list("ab"), list("pq"))
    for given_ends, ends in (({"vmin": 0}, (0, 3)), ({"vmin": -5, "vmax": 1}, (-5, 1))):
        figure = heatmap(values, "t", **given_ends)
        (mesh,) = (cells for cells in figure.axes[0].collections if isinstance(cells, QuadMesh))
        assert mesh.get_clim() == ends and picture(figure).std() > 10


def test_equal_values_have_a_neutral_colour():
    figure = draw(1, 1, values=[[0.5]])[1]
    (mesh,) = (cells for cells in figure.axes[0].collections if isinstance(cells, QuadMesh))
    red, green, blue, _ = mesh.to_rgba(np.array([[0.5]]))[0, 0]
    assert max(red, green, blue) - min(red, green, blue) < 0.06
    figure.draw_without_rendering()
    assert labels(figure.axes[1].get_yticklabels()) == ["0.5"]


def test_long_labels_stay_beside_their_bar():
    label = "cosine similarity, standardised for each prompt, softmax at temperature 0.01"
    figure = heatmap(table(np.eye(3), list("abc"), list("pqr"), label=label), "t")
    figure.draw_without_rendering()
    bar = figure.axes[1]
    assert bar.yaxis.label.get_window_extent().height < bar.bbox.height * 1.3
    assert bar.get_ylabel().replace("\n", " ") == label
