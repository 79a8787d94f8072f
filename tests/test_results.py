"""What a run leaves on disk: whole, or the old results untouched."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

import results
from results import check_destination, write_results

NUMBERS = np.array([[0.1, -0.25], [1 / 3, 0.0]], np.float32)


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(experiment="exp", trajectories=("a.mp4", "b.mp4"), prompts=("x", "y")):
    return write_results("out", experiment, NUMBERS, trajectories, prompts, b"PNG", {"a": 1})


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


def test_a_failed_write_leaves_the_old_results(monkeypatch):
    write()

    def full(path, content):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "write_json", full)
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
