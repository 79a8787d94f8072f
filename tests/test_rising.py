"""Do the curves rise? metrics.json's block, the terminal's lines, the files."""

import csv
import io
import json

import numpy as np
import pytest

from trajeval.curves import Curves
from trajeval.report import report
from trajeval.rising import as_lines, curves_csv, judge
from trajeval.table import Entry, Table, entry_of

RISES, FALLS, FLAT = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.2, 0.2, 0.2]
PEAKS = [0.1, 0.3, 0.2]


def made(groups, prompt_groups, values, times=(0.5, 1.0, 1.5), frames=(4, 9, 14)):
    """A table and its curves. groups: of each trajectory, a name, None or a tuple; values: for each
    trajectory its curve for each prompt."""
    rows = [
        Entry(f"{i}.mp4", of if isinstance(of, tuple) else entry_of("", of).groups)
        for i, of in enumerate(groups)
    ]
    columns = [entry_of(f"prompt {i}", group) for i, group in enumerate(prompt_groups)]
    values = np.array(values, np.float32).transpose(0, 2, 1)  # [N, K, P]
    n = len(rows)
    frames, times = np.tile(np.array(frames), (n, 1)), np.tile(np.array(times, float), (n, 1))
    return Table(values[:, -1], rows, columns, "cosine"), Curves("prefix", frames, times, values)


def test_a_behaviour():
    table, curves = made(
        ["run", "run", "jump"],
        ["run", "jump", "crawl"],
        [[RISES, FALLS, PEAKS], [RISES, RISES, FLAT], [FLAT, RISES, FALLS]],
    )
    found = judge(table, curves)
    json.dumps(found, allow_nan=False)
    assert (found["how"], found["points"]) == ("prefix", 3)
    run, jump = found["groups"]
    assert (run["name"], run["count"], run["undefined"]) == ("run", 2, 0)
    assert run["right"]["value"] == pytest.approx(1)
    # "jump" has -1 and 1, "crawl" 0.5 and a constant curve, which counts as 0
    assert run["best_wrong_group"] == "crawl"
    assert run["best_wrong"]["value"] == pytest.approx(0.25)
    assert run["difference"]["value"] == pytest.approx(0.75)
    assert jump["best_wrong_group"] == "run" and jump["best_wrong"]["value"] == 0
    assert found["mean"]["difference"]["value"] == pytest.approx((0.75 + 1) / 2)
    first, second, third = found["trajectories"]
    assert first == {
        "trajectory": "0.mp4",
        "behaviour": "run",
        "right": pytest.approx(1),
        "best_wrong": pytest.approx(0.5),
        "best_time": 1.5,
    }
    assert second["best_wrong"] is None and third["behaviour"] == "jump"


def test_constant_curves_count_as_0_and_are_told():
    found = judge(*made(["run", "run"], ["run", "jump"], [[FLAT, RISES], [RISES, RISES]]))
    assert found["groups"][0]["undefined"] == 1
    assert found["groups"][0]["right"]["value"] == pytest.approx(0.5)
    assert found["trajectories"][0]["right"] is None
    told = as_lines(found)[-1]
    assert told.startswith("1 of 2 curves constant, or of one frame")


def content(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def test_clips_of_one_frame():
    table, curves = made(["run"], ["run", "jump"], [[FLAT, FLAT]], frames=(0, 0, 0))
    [of] = judge(table, curves)["groups"]
    assert of["undefined"] == 1 and of["right"]["value"] == 0
    assert len(content(curves_csv(table, curves)).splitlines()) == 1 + 2  # the point once


def test_one_group_of_prompts_has_no_wrong_one():
    found = judge(*made(["run", "run"], ["run", "run"], [[RISES, FALLS], [RISES, RISES]]))
    [of] = found["groups"]
    assert of["right"]["value"] == pytest.approx(0.5)  # the mean of both prompts is constant once
    assert of["best_wrong"] is None and of["difference"] is None
    assert found["mean"]["difference"] is None
    lines = as_lines(found)
    assert "own - wrong" not in lines[0] and "wrong" not in lines[-2]


def test_several_labels_are_no_wrong_ones():
    table, curves = made(
        [("run", "jump"), "run"],
        ["run", "jump", "crawl"],
        [[RISES, RISES, FALLS], [RISES, PEAKS, FALLS]],
    )
    run, jump = judge(table, curves)["groups"]
    assert run["count"] == 2 and jump["count"] == 1
    assert run["best_wrong_group"] == "jump" and run["best_wrong"]["value"] == pytest.approx(0.5)
    assert jump["best_wrong_group"] == "crawl"
    every = made([("run", "jump")], ["run", "jump"], [[RISES, FALLS]])
    assert [of["best_wrong"] for of in judge(*every)["groups"]] == [None, None]


def test_two_points():
    table, curves = made(
        ["run", "jump"], ["run", "jump"], [[[1, 2], [2, 1]], [[2, 1], [1, 1]]], (0, 1), (3, 7)
    )
    run, jump = judge(table, curves)["groups"]
    assert run["right"]["value"] == pytest.approx(1) and jump["undefined"] == 1


@pytest.mark.parametrize(
    "groups, prompt_groups, why",
    [
        ([None], ["run"], "the trajectories have no groups"),
        (["run"], [None], "the prompts have no groups"),
        ([None], [None], "the prompts have no groups"),
        (["run"], ["jump"], "no trajectory has a group of prompts"),
    ],
)
def test_what_cannot_be_judged_is_told_and_written(groups, prompt_groups, why):
    table, curves = made(groups, prompt_groups, [[RISES]])
    assert judge(table, curves) is None
    made_of = report(table, "title", "S3D", curves=curves)
    assert any(line.startswith("curves not judged") and why in line for line in made_of.lines)
    assert content(made_of.files["curves.csv"]).count(b"\n") == 4
    assert "curves.npz" in made_of.files and "metrics.json" not in made_of.files


def test_the_terminals_table():
    lines = as_lines(
        judge(
            *made(
                ["run", "a\x1b" + "b" * 99],
                ["run", "a\x1b" + "b" * 99],
                [[RISES, FALLS], [FALLS, RISES]],
            )
        )
    )
    assert lines[0].startswith("value-order correlation (prefix)")
    assert lines[1].split()[:3] == ["run", "1", "1.00"]
    assert lines[3].startswith("mean over behaviours")
    assert "curves surely rise (interval above 0) in 0 of 2 behaviours" in lines[4]
    assert "\x1b" not in "".join(lines) and max(map(len, lines)) < 200


def test_the_files():
    table, curves = made(
        ["run", ("run", "jump")],
        ["run", "jump"],
        [[PEAKS, FLAT], [RISES, RISES]],
        times=(0.5, np.nan, 1.5),
        frames=(4, 9, 9),
    )
    header, *rows = csv.reader(io.StringIO(content(curves_csv(table, curves)).decode()))
    assert header == [
        *("trajectory", "group", "time", "prompt", "prompt_group", "similarity", "normalised"),
    ]
    assert rows[0] == ["0.mp4", "run", "0.5", "prompt 0", "run", "0.1", "0.0"]
    assert rows[2] == ["0.mp4", "run", "", "prompt 0", "run", "0.3", "1.0"]
    assert rows[1][5:] == ["0.2", "1.0"]  # constant
    assert len(rows) == 2 * 2 * 2 and rows[-1][1] == "run; jump"

    files = report(table, "title", "S3D", curves=curves).files
    assert json.loads(files["metrics.json"])["curves"]["groups"][0]["count"] == 2
    kept = np.load(io.BytesIO(content(files["curves.npz"])))
    assert np.array_equal(kept["values"], curves.values) and kept["frames"].shape == (2, 3)
    scores = list(csv.DictReader(io.StringIO(files["scores.csv"].decode())))
    assert [row["best time"] for row in scores] == ["", "1.5"]
