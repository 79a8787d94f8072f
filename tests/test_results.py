"""What a run leaves on disk: whole, or the old results untouched."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from trajeval import results
from trajeval.results import (
    as_csv,
    as_json,
    as_npy,
    check_destination,
    read_results,
    write_results,
)
from trajeval.terminal import UserError

NUMBERS = np.array([[0.1, -0.25], [1 / 3, 0.0]], np.float32)

pytestmark = pytest.mark.usefixtures("in_empty_folder")


def write(experiment="exp", trajectories=("a.mp4", "b.mp4"), prompts=("x", "y"), **more):
    rows = ([name, *row] for name, row in zip(trajectories, NUMBERS))
    content = {
        "similarities.csv": as_csv(["trajectory", *prompts], rows),
        "similarities.npy": as_npy(NUMBERS),
        "run.json": as_json({"a": 1}),
    }
    return write_results("out", experiment, b"PNG", content | more)


def files(folder="out"):
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file())


def test_files_and_their_content():
    assert write() == Path("out/exp.png")
    assert files() == [*("exp.png", "exp/run.json", "exp/similarities.csv", "exp/similarities.npy")]
    assert Path("out/exp.png").read_bytes() == b"PNG"
    assert Path("out/exp/similarities.csv").read_text().splitlines() == [
        *("trajectory,x,y", "a.mp4,0.1,-0.25", "b.mp4,0.33333334,0.0")
    ]
    assert (np.load("out/exp/similarities.npy") == NUMBERS).all()
    assert json.loads(Path("out/exp/run.json").read_text()) == {"a": 1}


def test_unusual_names_survive_the_csv():
    prompts = ['say "open", door', "開ける\nline"]
    trajectories = ["a,b.mp4", "not utf-8 \udcff.mp4"]
    write("名 前 $x$ <b>", trajectories, prompts)
    path = Path("out/名 前 $x$ <b>/similarities.csv")
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["trajectory", *prompts]
    assert [row[0] for row in rows] == ["a,b.mp4", r"not utf-8 \udcff.mp4"]


def test_a_second_run_replaces_the_first_and_leaves_other_files():
    write()
    Path("out/exp/notes.txt").write_text("mine")
    write(prompts=("new", "y"))
    assert "new" in Path("out/exp/similarities.csv").read_text()
    assert "exp/notes.txt" in files() and len(files()) == 5


def test_what_a_run_with_groups_left_goes_with_a_run_without():
    write(**{"groups.csv": b"groups", "heatmap.png": b"PNG"})
    assert {"exp/groups.csv", "exp/heatmap.png"} <= set(files())
    write()
    assert files() == [*("exp.png", "exp/run.json", "exp/similarities.csv", "exp/similarities.npy")]


RUN = {
    "experiment": "exp",
    "description": "S3D, weights",
    "similarity": "cosine similarity",
    "trajectories": [
        {"path": "a.mp4", "group": "run"},
        {"path": "bad.mp4", "group": "run", "error": "empty"},
        {"path": "b.mp4", "group": "jump"},
    ],
    "columns": [{"prompt": "x", "group": "run"}, {"prompt": "y", "group": "jump"}],
}


def test_reading_what_was_written():
    write(**{"run.json": as_json(RUN)})
    found = read_results("out/exp")
    assert (found.name, found.model, found.label) == ("exp", "S3D, weights", "cosine similarity")
    assert found.trajectories == [("a.mp4", "run"), ("b.mp4", "jump")]
    assert found.prompts == [("x", "run"), ("y", "jump")]
    assert np.array_equal(found.similarities, NUMBERS)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("run.json", b"{", "damaged, run the evaluator again"),
        ("run.json", b"[]", "damaged, run the evaluator again"),
        ("run.json", b"\xff", "damaged, run the evaluator again"),
        ("run.json", as_json(RUN | {"columns": []}), "similarities.npy is 2 by 2"),
        ("run.json", as_json(RUN | {"columns": [{"prompt": 1}]}), "run.json has no 'group'"),
        (
            "run.json",
            as_json(RUN | {"columns": [{"prompt": 1, "group": 2}] * 2}),
            "neither all names nor",
        ),
        (
            "run.json",
            as_json(RUN | {"columns": [{"prompt": "x", "group": g} for g in ("a", None)]}),
            "neither all names nor all missing",
        ),
        ("run.json", b"[" * 100_000, "damaged, run the evaluator again"),
        ("similarities.npy", b"\x93NUMPY\x01\x00\x10\x00{(" + b" " * 14, "damaged"),
        ("run.json", as_json({}), "run.json has no 'trajectories'"),
        ("similarities.npy", b"", "damaged, run the evaluator again"),
        ("similarities.npy", as_npy(NUMBERS * np.nan), "holds other things than numbers"),
        ("similarities.npy", as_npy(np.array([["a", "b"]] * 2)), "holds other things"),
    ],
)
def test_folders_that_hold_no_results(name, content, problem):
    write(**{"run.json": as_json(RUN)} | {name: content})
    with pytest.raises(UserError, match=f"^out/exp: .*{problem}"):
        read_results("out/exp")


def test_nothing_that_is_read_is_executed():
    write(**{"run.json": as_json(RUN), "similarities.npy": as_npy(np.array([{}, 1]))})
    with pytest.raises(UserError, match="allow_pickle=False"):
        read_results("out/exp")


def test_no_results_at_all():
    with pytest.raises(UserError, match="results: no/run.json: No such"):
        read_results("no")


def test_a_failed_write_leaves_the_old_results(monkeypatch):
    write()

    write_bytes = Path.write_bytes

    def full(path, content):
        if path.name == "run.json":
            write_bytes(path, content[:1])
            raise OSError(28, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(results.Path, "write_bytes", full)
    before = {name: Path("out", name).read_bytes() for name in files()}
    with pytest.raises(OSError, match="No space left"):
        write(prompts=("new", "y"))
    assert {name: Path("out", name).read_bytes() for name in files()} == before
    assert not list(Path("out").glob(".writing-*"))


@pytest.mark.parametrize("name", ["x", "x y", "x.png", "走る", "<b>$x$'\"", "-v", "..x"])
def test_names_that_are_fine(name):
    assert check_destination("out", name) == []
    assert write(name).is_file()
    assert not Path("out", name).is_symlink() and all(f.startswith(name) for f in files())


ESCAPING = [" ", ".", "..", "a/b", "/abs", "../up", "a\\b", "a\nb", "a\0b", "\x1b[31m", "x" * 201]


@pytest.mark.parametrize("name", ESCAPING)
def test_names_that_escape_or_break(name):
    (problem,) = check_destination("out", name)
    assert problem.startswith("--experiment-id ")
    assert problem.isprintable()


def test_places_that_are_taken():
    Path("file").touch()
    Path("out/x.png").mkdir(parents=True)
    Path("out/y").touch()
    assert check_destination("file", "x") == ["--output-dir file: file is a file, not a folder"]
    assert "file is a file" in check_destination("file/deep/er", "x")[0]
    assert check_destination("out", "x") == ["out/x.png: a folder is in the place of a result"]
    assert check_destination("out", "y") == ["out/y: a file is in the place of the results folder"]
    Path("out/z/run.json").mkdir(parents=True)
    Path("out/link").symlink_to("nowhere")
    assert check_destination("out", "z") == ["out/z/run.json: a folder is in the place of a result"]
    assert "place of the results folder" in check_destination("out", "link")[0]
    assert "too long" in check_destination("x" * 300, "x")[0]
    assert check_destination("new/er", "x") == [] and not Path("new").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_places_one_may_not_write_to():
    Path("out/x").mkdir(parents=True)
    Path("out/x").chmod(0o500)
    assert "no permission to write to out/x" in check_destination("out", "x")[0]
    Path("out/x").chmod(0o700)
    Path("out").chmod(0o500)
    assert "no permission to write to out" in check_destination("out", "y")[0]
    Path("out").chmod(0o700)
