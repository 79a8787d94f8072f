"""What a run leaves of its similarities, with groups and without."""

import csv
import io
import json

import imageio.v3 as iio
import numpy as np
import pytest

from trajeval.report import report
from trajeval.table import Table, entry_of

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
    assert read_csv(files["similarities.csv"])[1] == ["/x/a", "0.9", "0.7", "0.1"]
    assert np.array_equal(np.load(io.BytesIO(files["similarities.npy"])), SIMILARITIES)


def test_with_labels():
    picture, files, found, lines = reported(["run", "run", "jump"], ["run", "run", "jump"])
    assert files.keys() == {
        *("similarities.csv", "similarities.npy", "heatmap.png", "groups.csv", "groups.png"),
        *("metrics.json", "confusion.png"),
    }
    for name in ("heatmap.png", "groups.png", "confusion.png"):
        assert iio.imread(files[name]).std() > 5
    assert iio.imread(picture).shape != iio.imread(files["heatmap.png"]).shape
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
    assert any("not judged" in line for line in lines) == (None not in row_groups + column_groups)
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
