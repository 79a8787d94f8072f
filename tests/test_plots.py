"""Plots for papers: what they show, of which data, in which letters; nothing is cut off."""

import argparse
import re
import subprocess
import sys
from xml.etree import ElementTree

import imageio.v3 as iio
import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.collections import LineCollection
from runs import ROOT, TRAJECTORIES

from trajeval import plot_curves, plot_groups
from trajeval.curves import Curves
from trajeval.grid import ignore_missing_glyphs
from trajeval.paper import COLUMN, PAGE, RIGHT, TALLEST, mean_interval, style
from trajeval.plot_curves import draw_curves
from trajeval.plot_data import distributions_of, means_of
from trajeval.plot_groups import draw_areas, draw_distributions, draw_groups
from trajeval.plot_matrices import draw_confusion, draw_heatmap
from trajeval.plots import draw_plots
from trajeval.sources import source_of
from trajeval.strips import read_strips
from trajeval.table import Entry, Table, group_scores
from trajeval.verdict import judge

ODD = [
    "$x_1$ \\frac{a}{b",
    '<b>&amp;</b> "it\'s"',
    "_low",
    "開けるロボット",
    "🤖 & <script>",
    "x" * 70,
]


def table_of(names, n_each=3, prompts=1, labelled=True, label="cosine similarity"):
    """n_each trajectories of each group and some prompts for each; its own are the best."""
    groups = np.repeat(np.arange(len(names)), n_each)
    of_columns = np.repeat(np.arange(len(names)), prompts)
    rng = np.random.default_rng(0)
    values = rng.random((len(groups), len(of_columns))) + (groups[:, None] == of_columns)
    rows = [Entry(f"v/take {i}.mp4", (names[g],) if labelled else ()) for i, g in enumerate(groups)]
    columns = [
        Entry(f"prompt {j} of {names[g]}", (names[g],) if labelled else ())
        for j, g in enumerate(of_columns)
    ]
    return Table(values.astype(np.float32), rows, columns, label)


def numbered(n):
    return [f"behaviour {i}" for i in range(n)]


def curves_of(table, n_points=6):
    frames = np.tile(np.arange(1, n_points + 1) * 5 - 1, (len(table.rows), 1))
    rising = np.linspace(0.1, 1, n_points)[None, :, None] * table.values[:, None]
    return Curves("prefix", frames, frames / 30, rising.astype(np.float32))


def arguments(ending="svg"):
    return argparse.Namespace(plots=ending, vmin=None, vmax=None)


def sources_of(table):
    return [source_of(str(TRAJECTORIES[0]))] * len(table.rows)


def drawn(draw, table, *more):
    """A figure, drawn; its names are those of a table."""
    entries = table.rows + table.columns
    names = [name for one in entries for name in (one.name, *one.groups)]
    with rc_context(style(names)), ignore_missing_glyphs():
        figure = draw(table, *more)
        if figure is not None:
            figure.draw_without_rendering()
        return figure


def all_figures(table):
    yield drawn(draw_heatmap, table, None, None)
    yield drawn(draw_curves, table, curves_of(table), sources_of(table))
    if table.rows[0].groups:
        yield drawn(draw_groups, table)
    if verdict := judge(table, "S3D"):
        yield drawn(draw_distributions, table)
        yield drawn(lambda table: draw_areas(verdict, table), table)
        yield drawn(lambda table: draw_confusion(verdict, table), table)


def ticks_of(axis):
    """The names along an axis that are seen, as texts."""
    low, high = sorted(axis.get_view_interval())
    pairs = zip(axis.get_ticklocs(), axis.get_ticklabels())
    seen = [label for place, label in pairs if low <= place <= high]
    return [label for label in seen if label.get_text() and label.get_visible()]


def shown_names(axis):
    return [label.get_text() for label in ticks_of(axis)]


def texts_of(figure):
    """All texts that are seen: along axes, in and above them, in the key."""
    texts = list(figure.texts) + [text for key in figure.legends for text in key.get_texts()]
    for ax in (ax for ax in figure.axes if ax.axison):
        texts += [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
        texts += ticks_of(ax.xaxis) + ticks_of(ax.yaxis)
    return [text for text in texts if text.get_text()]


CASES = {
    "1x1": lambda: table_of(["open"], 1, labelled=False),
    "a group": lambda: table_of(["open"], 1),
    "3x3": lambda: table_of(numbered(3), 1),
    "30x12 without groups": lambda: table_of(numbered(12), 3, labelled=False).take(np.arange(30)),
    "12 groups of 3": lambda: table_of(numbered(12), 3, 2),
    "60 groups": lambda: table_of(numbered(60), 2),
    "odd names": lambda: table_of(ODD),
    "long label": lambda: table_of(
        numbered(3), label="cosine similarity, standardised for each prompt, softmax at " * 2
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_cut_off_or_on_top_of_another(case):
    for figure in all_figures(CASES[case]()):
        width, height = figure.get_size_inches()
        assert width in (COLUMN, PAGE) and height <= TALLEST + 0.01
        for text in texts_of(figure):
            box = text.get_window_extent()
            assert box.x0 >= -1 and box.y0 >= -1, text
            assert box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1, text
            assert text.get_fontsize() == 8 or (5 <= text.get_fontsize() < 8 and case[:2] == "60")
        boxes = np.array([text.get_window_extent().extents for text in texts_of(figure)])
        left, below, right, above = boxes.T
        apart = (left[:, None] >= right - 1) | (below[:, None] >= above - 1)  # pixels
        on_top = ~(apart | apart.T) & ~np.eye(len(boxes), dtype=bool)
        assert not on_top.any(), [texts_of(figure)[i].get_text() for i in np.argwhere(on_top)[0]]


def test_which_plots_there_are():
    plain = table_of(numbered(2), labelled=False)
    assert draw_plots(plain, None, None, [], arguments("png")).keys() == {"plots/heatmap.png"}
    labelled = table_of(numbered(2))
    verdict = judge(labelled, "S3D")
    files = draw_plots(labelled, verdict, curves_of(labelled), sources_of(labelled), arguments())
    names = ("heatmap", "groups", "curves", "distributions", "auc", "confusion")
    assert files.keys() == {f"plots/{name}.svg" for name in names}


def test_png_files_have_300_dots_per_inch():
    table = table_of(numbered(3))
    for content in draw_plots(table, judge(table, "S3D"), None, [], arguments("png")).values():
        image = iio.imread(content)
        assert image.shape[1] == round(COLUMN * 300) and image.std() > 5


def test_svg_files_have_the_names_as_text():
    table = table_of(ODD)
    files = draw_plots(table, judge(table, "S3D"), None, [], arguments())
    for name, content in files.items():
        elements = list(ElementTree.fromstring(content).iter())
        texts = {element.text for element in elements if element.tag.endswith("}text")}
        wanted = [odd for odd in ODD if len(odd) <= 24]
        assert set(wanted) <= texts, name
        assert any(text.startswith("xxx") and "…" in text for text in texts if text)
        assert not [element for element in elements if element.tag.endswith("}script")]


@pytest.mark.parametrize(("names", "kind"), [(numbered(3), b"42"), (ODD, b"3")])
def test_pdf_files_have_their_fonts(names, kind):
    table = table_of(names)
    for content in draw_plots(table, judge(table, "S3D"), None, [], arguments("pdf")).values():
        assert (b"/Type3" in content) == (kind == b"3")
        assert (b"/FontFile2" in content) == (kind == b"42")
        assert re.search(rb"/MediaBox \[ ?0 0 237\.6 ", content)  # 3.3 inches


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_the_same_bytes_every_time(ending, monkeypatch):
    table = table_of(numbered(3))
    verdict, found = judge(table, "S3D"), []
    for date in ("0", "1000000000"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", date)
        monkeypatch.setattr("time.time", lambda date=date: float(date))
        data = table, verdict, curves_of(table), sources_of(table)
        found.append(draw_plots(*data, arguments(ending)))
    assert found[0] == found[1]


def test_the_interval_of_a_mean():
    low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
    far = 4.302652729911275 / np.sqrt(3)  # t with 2 degrees of freedom
    assert (low, high) == pytest.approx((2 - far, 2 + far))
    assert np.isnan(mean_interval(np.array([1.0]))).all()


def marked(ax):
    """The (x, row) of the marks that are joined by no line."""
    return [
        point for line in ax.lines if line.get_marker() != "None" for point in line.get_xydata()
    ]


def test_groups_have_their_own_prompts_and_the_closest_wrong_ones():
    table = table_of(numbered(3))
    figure = drawn(draw_groups, table)
    ax = figure.axes[0]
    means = table.values.astype(float).reshape(3, 3, 3).mean(1)  # [group, prompt]
    own, wrong = np.diag(means), np.where(np.eye(3), -np.inf, means).max(1)
    shown = sorted(float(x) for x, _ in marked(ax) if np.isfinite(x))
    assert shown == pytest.approx(sorted([*own, *wrong]))
    others = np.sort(means, 1)[:, 0]
    (rest,) = [np.asarray(dots.get_offsets()) for dots in ax.collections]
    assert rest[rest[:, 1].argsort()][:, 0] == pytest.approx(others)
    assert shown_names(ax.yaxis) == numbered(3)
    low, high = mean_interval(table.values[:3, 0].astype(float))
    ends = [line.get_xdata() for line in ax.lines if line.get_marker() == "None"]
    assert any(np.asarray(end) == pytest.approx([low, high]) for end in ends if len(end) == 2)


def test_groups_without_labels_have_the_first_eight_prompts():
    table = table_of(numbered(10))
    columns = [column._replace(groups=()) for column in table.columns]
    figure = drawn(draw_groups, table._replace(columns=columns))
    key = [text.get_text() for text in figure.legends[0].get_texts()]
    assert key[:2] == ["prompt 0 of behaviour 0", "prompt 1 of behaviour 1"]
    assert key[8:] == ["the first 8 of 10; groups.csv has all"]
    assert len([x for x, _ in marked(figure.axes[0]) if np.isfinite(x)]) == 80


def test_other_labels_of_a_trajectory_are_not_wrong():
    table = table_of(["run", "jump"], 2)
    rows = [row._replace(groups=("run", "jump")) for row in table.rows]
    both = table._replace(rows=rows)
    figure = drawn(draw_groups, both)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["own prompts"]
    verdict = judge(both, "S3D")
    assert drawn(lambda _: draw_confusion(verdict, both), both) is None
    assert drawn(lambda _: draw_areas(verdict, both), both) is None
    assert drawn(draw_distributions, both).axes[0].patches


def test_areas_are_those_of_the_verdict():
    table = table_of(numbered(2))
    verdict = {
        "behaviours": [
            {"name": "behaviour 0", "auc": {"value": 0.8, "low": 0.55, "high": 0.9}},
            {"name": "behaviour 1", "auc": None},
        ],
        "metrics": {"mean_auc": {"value": 0.8, "low": 0.6, "high": 0.85}},
    }
    figure = drawn(lambda table: draw_areas(verdict, table), table)
    ax = figure.axes[0]
    assert shown_names(ax.yaxis) == ["behaviour 0", "behaviour 1", "mean"]
    points = {round(float(y)): float(x) for x, y in marked(ax) if np.isfinite(x)}
    assert points == pytest.approx({0: 0.8, 2: 0.8})
    ends = [list(line.get_xdata()) for line in ax.lines]
    assert [0.55, 0.9] in ends and [0.6, 0.85] in ends and [0.5, 0.5] in ends


def test_a_confusion_matrix():
    table = table_of(["run", "jump", "fly"], 2)
    verdict = {
        "confusion": [[3, 1, 0], [0, 0, 2], [0, 0, 0]],
        "prompt_groups": ["jump", "run", "fly"],
    }
    ax = drawn(lambda table: draw_confusion(verdict, table), table).axes[0]
    assert shown_names(ax.yaxis) == ["run", "jump"]
    assert shown_names(ax.xaxis) == ["run", "jump", "fly"]
    assert [text.get_text() for text in ax.texts] == ["0", "0", "2", "1", "3", "0"]
    assert np.asarray(ax.collections[0].get_array()).ravel() == pytest.approx(
        [0, 0, 1, 0.25, 0.75, 0]
    )


def test_similar_trajectories_are_side_by_side():
    table = table_of(numbered(2), 4, labelled=False)
    order = np.array([0, 4, 1, 5, 2, 6, 3, 7])
    figure = drawn(draw_heatmap, table.take(order), None, None)
    (names,) = [shown for ax in figure.axes if len(shown := shown_names(ax.yaxis)) == 8]
    first_four = {int(name.split()[1]) // 4 for name in names[:4]}
    assert len(first_four) == 1


def test_too_many_trajectories_for_a_tree():
    table = table_of(numbered(2), 160, labelled=False)
    figure = drawn(draw_heatmap, table, None, None)
    cells = [ax for ax in figure.axes if ax.get_ylabel() == "trajectories (320)"]
    assert len(cells) == 1 and shown_names(cells[0].yaxis) == []


def test_of_very_many_trajectories_the_heatmap_has_a_part():
    figure = drawn(draw_heatmap, table_of(numbered(4), 800), None, None)
    (ax,) = [ax for ax in figure.axes if "of 3,200" in ax.get_ylabel()]
    assert ax.get_ylabel().replace("\n", " ") == (
        "the 1,500 strongest and 1,500 worst of 3,200 trajectories (by margin)"
    )
    assert ax.collections[0].get_array().shape == (3000, 4)
    assert shown_names(ax.yaxis) == numbered(4)


def test_of_very_many_groups_the_strongest_and_the_worst_are_drawn(monkeypatch):
    monkeypatch.setattr(plot_groups, "MAX_GROUPS", 4)
    table = table_of(numbered(6), 2)
    table.values[[0, 1], 0] -= 3  # the first is worst
    figure = drawn(draw_groups, table)
    part = "the 2 strongest and 2 worst of 6 groups (by margin)"
    assert figure.axes[0].get_ylabel() == part
    names = shown_names(figure.axes[0].yaxis)
    verdict = judge(table, "S3D")
    for other in (drawn(draw_distributions, table), drawn(lambda t: draw_areas(verdict, t), table)):
        assert other.axes[-1].get_ylabel() == part
        assert [name for name in shown_names(other.axes[-1].yaxis) if name != "mean"] == names
    assert len(names) == 4 and names[0] == "behaviour 0"
    values = table.values.astype(float)
    means = [values[2 * i : 2 * i + 2, i].mean() for i in (int(name[-1]) for name in names)]
    marks = {(round(float(x), 6)) for x, _ in marked(figure.axes[0]) if np.isfinite(x)}
    assert {round(mean, 6) for mean in means} <= marks


def test_many_right_trajectories_have_dots_at_quantiles(monkeypatch):
    monkeypatch.setattr(plot_groups, "MAX_DOTS", 5)
    table = table_of(numbered(2), 9)
    ax = drawn(draw_distributions, table).axes[1]
    (dots,) = [
        np.asarray(one.get_offsets())[:, 0]
        for one in ax.collections
        if len(one.get_offsets()) and round(float(one.get_offsets()[0][1])) == 0
    ]
    assert dots == pytest.approx(np.quantile(table.values[:9, 0], np.linspace(0, 1, 5)), abs=1e-6)


@pytest.mark.parametrize("labelled", [True, False])
def test_means_of_groups_are_those_of_their_trajectories(labelled):
    table = table_of(numbered(3), 4, 2)
    rows = list(table.rows)
    rows[0] = rows[0]._replace(groups=("behaviour 0", "behaviour 2"))
    if not labelled:
        table = table._replace(columns=[one._replace(groups=()) for one in table.columns])
    table = table._replace(rows=rows)
    names = ["behaviour 2", "behaviour 0"]
    found = means_of(table, names)
    scores = group_scores(table)
    members = [[0, 8, 9, 10, 11], [0, 1, 2, 3]]
    for i, j in np.ndindex(*found.means.shape):
        chosen = [k for k in members[i] if not labelled or k or j == (2, 0)[i] or j == 1]
        values = scores[chosen, j]
        assert found.own[i, j] == (labelled and j == (2, 0)[i])
        assert found.means[i, j] == pytest.approx(values.mean())
        assert (found.low[i, j], found.high[i, j]) == pytest.approx(mean_interval(values))


def test_distributions_count_every_score_once():
    table = table_of(numbered(3), 5, 2)
    table.rows[0] = table.rows[0]._replace(groups=("no prompts",))
    found = distributions_of(table, 7, 100)
    assert found.right_counts.sum() == 14 and found.wrong_counts.sum() == 28
    scores = group_scores(table)[1:]
    assert found.edges[[0, -1]] == pytest.approx([scores.min(), scores.max()])
    assert found.wrong[0] == pytest.approx(np.percentile(scores[4:, 0], (0, 25, 50, 75, 100)))
    assert found.right[0] == pytest.approx(scores[:4, 0])


def test_equal_values():
    table = table_of(numbered(3))
    equal = table._replace(values=np.full_like(table.values, 0.25))
    assert len(list(all_figures(equal))) == 6


def test_the_colours_have_the_ends_that_were_given():
    table = table_of(numbered(3))
    figure = drawn(draw_heatmap, table, -1.0, 5.0)
    assert figure.axes[0].collections[0].get_clim() == (-1, 5)


def test_curves_have_takes_their_mean_and_wrong_prompts():
    table = table_of(numbered(2))
    figure = drawn(draw_curves, table, curves_of(table), sources_of(table))
    panel, strip = figure.axes[:2]
    assert panel.get_title() == "behaviour 0"
    wrong, takes = [lines for lines in panel.collections if hasattr(lines, "get_segments")]
    own = curves_of(table).values[:3, :, 0]
    assert len(wrong.get_segments()) == 1 and len(takes.get_segments()) == 3
    mean = panel.lines[0]
    assert mean.get_color() == RIGHT
    assert mean.get_ydata() == pytest.approx(own.mean(0), abs=1e-6)
    assert strip.images[0].get_array().shape == (128, 640, 3)


def test_curves_of_clips_of_different_lengths_are_over_shares_of_them():
    table = table_of(["run"], 2)
    values = np.array([[[0.0], [1.0], [2.0]], [[0.0], [3.0], [4.0]]], np.float32)
    frames = np.array([[3, 6, 9], [10, 20, 30]])
    curves = Curves("window", frames, frames / 30, values)
    grid, (panel,), _ = plot_curves.panels_of(table, curves)
    assert grid == pytest.approx([1 / 3, 2 / 3, 1])
    assert panel.values[:, :, 0] == pytest.approx(values[:, :, 0])


def test_curves_of_a_part_begin_where_the_part_does():
    table = table_of(["run"], 2)
    frames = np.array([[33, 36, 39], [10, 20, 30]])  # the first numbers those of its file
    times = np.array([[0.1, 0.2, 0.3], [np.nan] * 3])
    curves = Curves("window", frames, times, np.zeros((2, 3, 1), np.float32))
    assert plot_curves.panels_of(table, curves)[0] == pytest.approx([1 / 3, 2 / 3, 1])


def test_a_video_that_has_gone_has_no_frames(tmp_path):
    table = table_of(["run"], 1)
    gone = [source_of(str(tmp_path / "gone.mp4"))]
    figure = drawn(draw_curves, table, curves_of(table), gone)
    assert figure.axes[1].texts[0].get_text() == "no frames: unreadable"


def test_frames_are_read_in_order():
    frames = np.arange(100, dtype=np.uint8)[:, None, None, None].repeat(16, 1).repeat(16, 2)
    (strip,) = read_strips([source_of(np.repeat(frames, 3, 3))])
    assert strip[64, 64::128, 0].tolist() == [10, 30, 50, 70, 90]


def test_more_panels_than_are_drawn():
    table = table_of(numbered(26), 1, labelled=False)
    figure = drawn(draw_curves, table, curves_of(table), sources_of(table))
    assert len(figure.axes) == 48
    key = [text.get_text() for text in figure.legends[0].get_texts()]
    assert key[-2:] == ["the first 8 of 26 prompts", "the first 24 of 26 panels"]


def test_of_many_trajectories_of_a_group_the_first_have_curves(monkeypatch):
    table = table_of(numbered(2), 4)
    for most, n_lines, notes in ((4, 4, []), (3, 3, ["at most the first 3 of each"])):
        monkeypatch.setattr(plot_curves, "MAX_TAKES", most)
        figure = drawn(draw_curves, table, curves_of(table), sources_of(table))
        takes = [lines for lines in figure.axes[0].collections if isinstance(lines, LineCollection)]
        assert len(takes[1].get_segments()) == n_lines
        key = [text.get_text() for text in figure.legends[0].get_texts()]
        assert key[2:] == notes


def test_only_plots_import_what_draws_them():
    code = (
        "import sys, trajeval.evaluation, trajeval.stages\n"
        "sys.exit(str([m for m in ('seaborn', 'pandas', 'scipy') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
