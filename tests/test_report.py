"""What a run leaves of its similarities, with groups and without."""

import csv
import io
import json

import imageio.v3 as iio
import numpy as np
import pytest

from trajeval.report import report
from trajeval.table import Entry, Table, entry_of

SIMILARITIES = np.array([[0.9, 0.7, 0.1], [0.8, 0.2, 0.4], [0.1, 0.2, 0.9]], np.float32)


def entries(names, groups):
    return [entry_of(f"/x/{name}", group) for name, group in zip(names, groups)]


def reported(row_groups, column_groups, **options):
    rows, columns = entries("abc", row_groups), entries("pqr", column_groups)
    table = Table(SIMILARITIES, rows, columns, "cosine similarity")
    return report(table, "title", "S3D", **options)


def read_csv(content):
    return list(csv.reader(io.StringIO(content.decode())))


def test_without_groups():
    picture, files, found, lines = reported([None] * 3, [None] * 3)
    assert files.keys() == {"similarities.csv", "similarities.npy"} and found is None and not lines
    assert iio.imread(picture).std() > 10
    assert read_csv(files["similarities.csv"])[1] == ["/x/a", "", "0.9", "0.7", "0.1"]
    numbers = io.BytesIO()
    files["similarities.npy"](numbers)
    assert np.array_equal(np.load(io.BytesIO(numbers.getvalue())), SIMILARITIES)


def test_with_labels():
    picture, files, found, lines = reported(["run", "run", "jump"], ["run", "run", "jump"])
    assert read_csv(files["similarities.csv"])[0] == ["trajectory", "group", "/x/p", "/x/q", "/x/r"]
    assert read_csv(files["similarities.csv"])[3] == ["/x/c", "jump", "0.1", "0.2", "0.9"]
    assert files.keys() == {
        *("similarities.csv", "similarities.npy", "groups.csv", "metrics.json", "scores.csv")
    }
    assert iio.imread(picture).std() > 5
    header, first, *_ = read_csv(files["groups.csv"])
    assert header == ["trajectory_group", "prompt_group", "mean", "std", "count"]
    assert first[:2] == ["run", "run"] and first[4] == "4"
    values = [0.9, 0.7, 0.8, 0.2]
    assert [float(x) for x in first[2:4]] == pytest.approx([np.mean(values), np.std(values)])
    assert json.loads(files["metrics.json"]) == found
    assert found["sentence"].startswith("S3D tells 2 of 2 behaviours apart")
    assert lines[-1] == found["sentence"]


@pytest.mark.parametrize(
    ("row_groups", "column_groups"),
    [
        (["a", "a", "b"], [None] * 3),
        ([None] * 3, ["a", "b", "b"]),
        (["a", "a", "b"], ["c", "c", "d"]),
    ],
)
def test_groups_without_labels(row_groups, column_groups):
    _, files, found, lines = reported(row_groups, column_groups)
    assert found is None and "metrics.json" not in files
    assert any("not judged" in line for line in lines)
    rows, columns = len(set(row_groups)), len(set(column_groups))
    n_pairs = (rows if row_groups[0] else 3) * (columns if column_groups[0] else 3)
    assert len(read_csv(files["groups.csv"])) == 1 + n_pairs


def test_tables_have_full_names():
    files = reported(["a", "a", "b"], [None] * 3).files
    assert {row[1] for row in read_csv(files["groups.csv"])[1:]} == {"/x/p", "/x/q", "/x/r"}


def test_the_ends_of_the_colour_scale():
    plain, wide = reported(*[[None] * 3] * 2), reported(*[[None] * 3] * 2, vmin=-5, vmax=5)
    yellow = []
    for found in (plain, wide):
        red, green, blue, _ = np.moveaxis(iio.imread(found.picture)[:, :480].astype(int), 2, 0)
        yellow.append(((red > 240) & (green > 220) & (blue < 60)).sum())
    assert yellow[0] > 1000 and yellow[1] == 0  # left of the bar; the values are in its middle


def test_warnings_of_the_values_are_told():
    table = Table(SIMILARITIES, *[entries("abc", [None] * 3)] * 2, "cosine", ("all the same",))
    assert report(table, "title", "S3D").lines == ["warning: all the same"]
    many = table._replace(warnings=tuple(map(str, range(99))))
    lines = report(many, "title", "S3D").lines
    assert lines[9:] == ["warning: 9", "... and 89 more warnings"]


def scores_of(row_groups, column_groups, values=SIMILARITIES, label="cosine similarity"):
    """scores.csv of rows with some groups each."""
    rows = [Entry(name, tuple(groups)) for name, groups in zip("abc", row_groups)]
    table = Table(values, rows, entries("pqr", column_groups), label)
    header, *lines = read_csv(report(table, "title", "S3D").files["scores.csv"])
    return header, lines


def test_scores_of_prompt_groups():
    """The last trajectory has both labels; fly has no prompts; a tie is wrong."""
    values = np.array([[0.5, 0.25, 0.5], [0.75, 0.25, 0.5], [0.25, 0.75, 1]], np.float32)
    header, lines = scores_of([["run"], ["fly"], ["run", "jump"]], ["run", "run", "jump"], values)
    assert header == [
        *("trajectory", "group", "score run", "score jump", "answer", "right", "margin")
    ]
    assert lines == [
        ["a", "run", "0.375", "0.5", "jump", "0", "-0.125"],
        ["b", "fly", "0.5", "0.5", "run", "", ""],
        ["c", "run; jump", "0.5", "1.0", "jump", "1", ""],
    ]
    _, lines = scores_of([["jump"]] * 3, ["jump", "run", "fly"], np.ones((3, 3), np.float32))
    assert lines[0] == ["a", "jump", "1.0", "1.0", "1.0", "run", "0", "0.0"]


def test_scores_without_groups_of_trajectories():
    _, lines = scores_of([[]] * 3, ["run", "run", "right"])
    assert [line[1] + line[4] + line[5] + line[6] for line in lines] == ["run", "run", "right"]
    _, lines = scores_of([["run"]] * 3, ["run"] * 3)
    assert [line[3:] for line in lines] == [["run", "1", ""]] * 3  # nothing to be better than


def test_scores_are_the_margins_and_answers_of_the_verdict():
    found = reported(["run", "run", "jump"], ["run", "jump", "jump"])
    header, *lines = read_csv(found.files["scores.csv"])
    margins = {m["trajectory"]: m["margin"] for m in found.verdict["margins"]}
    for line in lines:
        values = dict(zip(header, line))
        assert float(values["margin"]) == pytest.approx(margins[values["trajectory"]])
        assert (values["right"] == "1") == (values["answer"] == values["group"])
        assert (values["right"] == "1") == (margins[values["trajectory"]] > 0)


def test_several_labels_that_nothing_has_alone():
    rows = [Entry(name, ("run", "jump")) for name in "abc"]
    table = Table(SIMILARITIES, rows, entries("pqr", ["run", "run", "jump"]), "cosine similarity")
    files = report(table, "title", "S3D").files
    assert not np.any(json.loads(files["metrics.json"])["confusion"])
