"""Runs over lists with ratings, from the command line to the files."""

import csv
import json
from pathlib import Path

import pytest
from conftest import refused, write
from make_videos import counting_frames, write_video

from s3d_evaluator import S3DModel
from trajeval import evaluator
from trajeval.results import read_results

PROMPTS = "prompt,group\nopen door,open\ncut tomato,close\n"
NAMES = [f"{i}.mp4" for i in range(6)]


@pytest.fixture
def run(tmp_path, monkeypatch, small_weights, capsys):
    """Runs over a list of rows of `path,group,rating`; the status and what was told."""
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(NAMES):
        write_video(Path(name), counting_frames(4 + i, 64, 64))
    write("p.csv", PROMPTS)

    def over(rows, *arguments, header="path,group,rating"):
        write("t.csv", "\n".join([header, *rows]))
        weights = ["--model-checkpoint-path", str(small_weights / "weights.pth")]
        quick = [*weights, "--n-frames", "2", "--size", "200", "--device", "cpu"]
        lists = ["-t", "t.csv", "-p", "p.csv", "-e", "exp", "-o", "out"]
        status = evaluator.main(S3DModel, "", [*lists, *quick, *map(str, arguments)])
        return status, capsys.readouterr().err

    return over


def metrics():
    return json.loads(Path("out/exp/metrics.json").read_text())


def rows_of(name):
    return list(csv.DictReader(Path("out/exp", name).read_text().splitlines()))


GROUPS = ["open"] * 3 + ["close"] * 3


def test_words(run):
    words = ["success", "failure", "suboptimal", "success", "", "failure"]
    status, told = run(map(",".join, zip(NAMES, GROUPS, words)))
    assert status == 0 and "1 trajectory has no rating: left out of the ratings" in told
    found = metrics()
    assert found["ratings"]["kind"] == "order" and found["ratings"]["unrated"] == 1
    assert [group["count"] for group in found["ratings"]["groups"]] == [3, 2]
    assert found["success"]["above"] == "suboptimal" and found["success"]["sentence"] in told
    assert found["probe"]["meaning"] in told and found["metrics"]["top1"]
    rated = [row.rating for row in read_results("out/exp").table.rows]
    assert rated == [word or None for word in words]
    for name in ("similarities.csv", "scores.csv"):
        assert [row["rating"] for row in rows_of(name)] == words
    run_json = json.loads(Path("out/exp/run.json").read_text())
    assert run_json["trajectories"][0]["rating"] == "success"
    assert "rating" not in run_json["trajectories"][4]


def test_numbers_and_where_success_begins(run):
    rows = [f"{name},{group},{i / 4}" for i, (name, group) in enumerate(zip(NAMES, GROUPS))]
    assert run(rows)[0] == 0
    assert metrics()["ratings"]["kind"] == "numbers" and "success" not in metrics()
    status, told = run(rows, "--success-above", 0.25, "--max-false-positives", 0.5)
    assert status == 0 and "no failures" in told
    found = metrics()["success"]
    assert found["above"] == 0.25 and found["max_false_positives"] == 0.5
    assert [(g["successes"], g["failures"]) for g in found["groups"]] == [(1, 2), (3, 0)]
    assert [row.rating for row in read_results("out/exp").table.rows] == [i / 4 for i in range(6)]


def test_without_labels_there_are_ratings_and_no_verdict(run):
    rows = [f"{name},{i % 2}" for i, name in enumerate(NAMES)]
    status, told = run(rows, header="path,rating")
    assert status == 0 and "accuracy  " not in told.replace("ranking accuracy", "")
    found = metrics()
    assert found.keys() == {"ratings", "success"}
    assert not found["ratings"]["by_label"]
    assert [(g["name"], g["count"]) for g in found["ratings"]["groups"]] == [
        ("open", 6),
        ("close", 6),
    ]
    assert "word" not in told
    write("p.csv", "prompt\nopen door\ncut tomato\ncut door\n")
    assert run(rows, header="path,rating")[0] == 0
    names = [group["name"] for group in metrics()["ratings"]["groups"]]
    assert names == ["open door", "cut tomato", "cut door"]


def test_one_task(run):
    """No behaviour to tell it from, and a reward all the same."""
    write("p.csv", "prompt,group\nopen door,open\n")
    status, told = run(f"{name},open,{i}" for i, name in enumerate(NAMES))
    assert status == 0 and "not judged: a verdict needs two groups" in told
    assert metrics().keys() == {"ratings"} and metrics()["ratings"]["by_label"]


def test_lists_without_ratings_have_no_column_of_them(run):
    run(map(",".join, zip(NAMES, GROUPS, [""] * 6)))
    assert "ratings" not in metrics() and "success" not in metrics()
    assert "rating" not in rows_of("scores.csv")[0]


@pytest.mark.parametrize(
    "ratings, arguments, problem",
    [
        ("nan", (), 't.csv:2: column rating: "nan" is not a number, nor failure, suboptimal or'),
        ("-inf", (), 't.csv:2: column rating: "-inf" is not a number, nor failure'),
        ("1e999", (), 't.csv:2: column rating: "1e999" is not a number, nor failure'),
        ("good", (), 't.csv:2: column rating: "good" is not a number, nor failure'),
        ("1_0", (), 't.csv:2: column rating: "1_0" is not a number'),
        ("success,1", (), "t.csv:3: column rating: is 1.0, but success in line 2: use numbers or"),
        ("1,,2,failure", (), "t.csv:5: column rating: is failure, but 1.0 in line 2: use numbers"),
        ("success,failure", ("--success-above", 0), "t.csv: --success-above needs ratings that"),
        (",", ("--success-above", 0), "t.csv: --success-above needs ratings that are numbers"),
        ("1", ("--success-above", "nan"), "--success-above nan: takes a number such as 0.5"),
        ("1", ("--max-false-positives", 1), "--max-false-positives 1: takes a number from 0, bel"),
        ("1", ("--max-false-positives", -1), "--max-false-positives -1: takes a number from 0"),
    ],
)
def test_what_is_refused(run, ratings, arguments, problem):
    status, told = run(
        [f"{name},open,{rating}" for name, rating in zip(NAMES, ratings.split(","))], *arguments
    )
    assert status == 2 and told.startswith(problem), told
    assert told.endswith("1 problem found; nothing was run\n") and not Path("out").exists()


@pytest.mark.parametrize("rating", ['"great"', "NaN", "[1]", "1e999"])
def test_a_damaged_rating_in_run_json(run, rating):
    run(map(",".join, zip(NAMES, GROUPS, "123456")))
    path = Path("out/exp/run.json")
    path.write_text(path.read_text().replace('"rating": 2.0', f'"rating": {rating}'))
    assert "damaged, run the evaluator again" in refused(read_results, "out/exp")


def test_a_problem_set_with_ratings_and_no_labels(run):
    rows = [f"{name},{i % 2}" for i, name in enumerate(NAMES)]
    run(rows, header="path,rating")
    for kind, path in (("trajectories", "t.csv"), ("prompts", "p.csv")):
        Path("sets").mkdir(exist_ok=True)
        Path(path).rename(f"sets/x_{kind}.csv")
    weights = Path(json.loads(Path("out/exp/run.json").read_text())["weights"][0]["path"])
    quick = ["--model-checkpoint-path", weights, "--n-frames", 2, "--size", 200, "--device", "cpu"]
    arguments = ["--problem-sets", "sets", "-e", "all", "-o", "out", *quick]
    for _ in range(2):  # then unchanged
        assert evaluator.main(S3DModel, "", [*map(str, arguments)]) == 0
    assert json.loads(Path("out/all/x/metrics.json").read_text()).keys() == {"ratings", "success"}
    assert Path("out/all/summary.csv").exists()
