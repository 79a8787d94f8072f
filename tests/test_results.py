"""What a run leaves on disk: whole, or the old results untouched."""

import csv
import fcntl
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from runs import as_npy

from trajeval import swap
from trajeval.results import (
    as_csv,
    as_json,
    check_destination,
    read_results,
    replace_files,
    write_results,
)
from trajeval.table import Entry
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
    run = json.loads(Path("out/exp/run.json").read_text())
    assert run.pop("files").keys() == {"similarities.csv", "similarities.npy", "exp.png"}
    assert run == {"a": 1}


def test_unusual_names_survive_the_csv():
    prompts = ['say "open", door', "開ける\nline"]
    trajectories = ["a,b.mp4", "not utf-8 \udcff.mp4"]
    write("名 前 $x$ <b>", trajectories, prompts)
    path = Path("out/名 前 $x$ <b>/similarities.csv")
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["trajectory", *prompts]
    assert [row[0] for row in rows] == ["a,b.mp4", r"not utf-8 \udcff.mp4"]


def test_a_second_run_replaces_the_first_and_keeps_the_users_files():
    write()
    Path("out/exp/notes.txt").write_text("mine")
    Path("out/exp/plots").mkdir()
    Path("out/exp/plots/a.png").write_text("mine too")
    Path("out/exp").chmod(0o750)
    write(prompts=("new", "y"))
    assert "new" in Path("out/exp/similarities.csv").read_text()
    assert "exp/notes.txt" in files() and len(files()) == 6
    assert Path("out/exp/plots/a.png").read_text() == "mine too"
    assert Path("out/exp").stat().st_mode & 0o777 == 0o750
    assert sorted(os.listdir("out")) == ["exp", "exp.png"]


def test_files_of_a_run_with_groups_are_removed_by_a_run_without():
    write(**{"groups.csv": b"groups", "heatmap.png": b"PNG"})
    assert {"exp/groups.csv", "exp/heatmap.png"} <= set(files())
    write()
    assert files() == [*("exp.png", "exp/run.json", "exp/similarities.csv", "exp/similarities.npy")]


def test_plots_are_replaced_with_the_rest_and_what_is_beside_them_is_the_users():
    write(**{"plots/auc.png": b"PNG", "plots/heatmap.png": b"old"})
    Path("out/exp/plots/mine.png").write_bytes(b"mine")
    run = json.loads(Path("out/exp/run.json").read_text())
    assert run["files"]["plots/auc.png"] == hashlib.sha256(b"PNG").hexdigest()
    write(**{"plots/heatmap.svg": b"new"})
    plots = [name for name in files() if "plots" in name]
    assert plots == ["exp/plots/heatmap.svg", "exp/plots/mine.png"]
    write()
    assert [name for name in files() if "plots" in name] == ["exp/plots/mine.png"]
    Path("out/exp/plots/mine.png").unlink()
    write()
    assert not Path("out/exp/plots").exists()


def test_pictures_of_older_versions_are_removed():
    write()
    for name in ("heatmap.png", "groups.png", "confusion.png"):
        Path("out/exp", name).write_bytes(b"old")
    write()
    assert len(files()) == 4


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
    assert (found.name, found.model) == ("exp", "S3D, weights")
    assert found.table.label == "cosine similarity"
    assert found.table.rows == [Entry("a.mp4", ("run",)), Entry("b.mp4", ("jump",))]
    assert found.table.columns == [Entry("x", ("run",)), Entry("y", ("jump",))]
    assert np.array_equal(found.table.values, NUMBERS)
    assert found.contents == [None, None]


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
            "in a list with groups every entry needs one",
        ),
        (
            "run.json",
            as_json(RUN | {"columns": [{"prompt": "x", "group": g} for g in ("a", None)]}),
            "in a list with groups every entry needs one",
        ),
        ("run.json", b"[" * 100_000, "damaged, run the evaluator again"),
        ("similarities.npy", b"\x93NUMPY\x01\x00\x10\x00{(" + b" " * 14, "damaged"),
        ("run.json", as_json({}), "run.json has no 'trajectories'"),
        ("similarities.npy", b"", "damaged, run the evaluator again"),
        ("similarities.npy", as_npy(NUMBERS * np.nan), "holds NaN or infinite values"),
        (
            "similarities.npy",
            as_npy(np.array([["a", "b"]] * 2)),
            "holds other things than",
        ),
    ],
)
def test_folders_that_hold_no_results(name, content, problem):
    write(**{"run.json": as_json(RUN)})
    Path("out/exp", name).write_bytes(content)
    if name == "similarities.npy":  # as if a run had written it
        run = json.loads(Path("out/exp/run.json").read_text())
        run["files"][name] = hashlib.sha256(content).hexdigest()
        Path("out/exp/run.json").write_text(json.dumps(run))
    with pytest.raises(UserError, match=f"^out/exp: .*{problem}"):
        read_results("out/exp")


@pytest.mark.parametrize(
    "name", ["exp/similarities.npy", "exp/similarities.csv", "exp.png", "exp/plots/auc.pdf"]
)
def test_files_of_another_run_are_noticed(name):
    write(**{"run.json": as_json(RUN), "plots/auc.pdf": b"PDF"})
    Path("out", name).write_bytes(Path("out", name).read_bytes() + b"x")
    with pytest.raises(UserError) as caught:
        read_results("out/exp")
    assert str(caught.value) == (
        "out/exp: damaged or mixed, run the evaluator again: "
        f"out/{name} is not the file that the run wrote"
    )


def test_a_folder_may_be_renamed_and_files_deleted():
    write(**{"run.json": as_json(RUN)})
    os.rename("out/exp", "out/older")
    Path("out/exp.png").write_bytes(b"another run's")
    Path("out/older/similarities.csv").unlink()
    assert read_results("out/older").name == "exp"


def test_results_without_hashes_are_read():
    write(**{"run.json": as_json(RUN)})
    Path("out/exp/run.json").write_bytes(as_json(RUN))
    assert read_results("out/exp").name == "exp"


def test_digests_of_contents_are_read():
    trajectories = [
        entry | {"content": f"digest {i}"} for i, entry in enumerate(RUN["trajectories"])
    ]
    write(**{"run.json": as_json(RUN | {"trajectories": trajectories})})
    assert read_results("out/exp").contents == ["digest 0", "digest 2"]


def test_a_pipe_in_the_place_of_a_file():
    write(**{"run.json": as_json(RUN)})
    Path("out/exp/run.json").unlink()
    os.mkfifo("out/exp/run.json")
    with pytest.raises(UserError, match="run.json: is not a regular file"):
        read_results("out/exp")


def test_nothing_that_is_read_is_executed():
    write(**{"run.json": as_json(RUN), "similarities.npy": as_npy(np.array([{}, 1]))})
    with pytest.raises(UserError, match="allow_pickle=False"):
        read_results("out/exp")


def test_a_missing_package_is_not_damage(monkeypatch):
    write(**{"run.json": as_json(RUN)})
    monkeypatch.setitem(sys.modules, "trajeval.table", None)
    with pytest.raises(ModuleNotFoundError):
        read_results("out/exp")


def test_no_results_at_all():
    with pytest.raises(UserError, match="results: no/run.json: No such"):
        read_results("no")


def state():
    return {name: Path("out", name).read_bytes() for name in files()}


@pytest.mark.parametrize("full_at", ["similarities.csv", "similarities.npy", "run.json", "exp.png"])
def test_a_failed_write_leaves_the_old_results(full_at, monkeypatch):
    write()

    write_bytes = Path.write_bytes

    def full(path, content):
        if path.name == full_at:
            write_bytes(path, content[:1])
            raise OSError(28, "No space left on device")
        return write_bytes(path, content)

    before = state()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(UserError) as caught:
            write(prompts=("new", "y"))
    assert caught.value.problems == [
        "out: could not be written: No space left on device; nothing was changed"
    ]
    assert caught.value.status == 1
    assert state() == before and sorted(os.listdir("out")) == ["exp", "exp.png"]


class Renames:
    """Counts renames, and does something before the one of a number."""

    def __init__(self, number, action):
        self.left, self.action, self.rename = number, action, os.rename

    def __call__(self, source, target):
        self.left -= 1
        if self.left < 0:
            self.action(source, target)
        return self.rename(source, target)


def add_users_file():
    Path("out/exp/notes.txt").write_text("mine")


@pytest.mark.parametrize("number", range(5))
def test_a_file_that_cannot_be_replaced_leaves_the_old_results(number, monkeypatch):
    write()
    add_users_file()
    before = state()

    def refuse(source, target):
        renames.action = lambda *_: None  # once: going back must be possible
        raise PermissionError(1, "Operation not permitted", source, None, target)

    renames = Renames(number, refuse)
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", renames)
        with pytest.raises(UserError) as caught:
            write(prompts=("new", "y"))
    assert str(caught.value).endswith(
        ": could not be written: Operation not permitted; nothing was changed"
    )
    assert str(caught.value).startswith("out/exp") and ".writing-" not in str(caught.value)
    assert state() == before and sorted(os.listdir("out")) == ["exp", "exp.png"]


def killed(number, **content):
    """A write in a process that is killed before the rename of a number, or at the end."""
    child = os.fork()
    if child == 0:
        os.rename = Renames(number, lambda *_: os._exit(9))
        write(**content)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


NEW = {"run.json": as_json(RUN | {"experiment": "new"}), "metrics.json": b"{}"}


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("reads", [True, False])
def test_a_killed_write_leaves_old_or_new_results(number, reads):
    write(**{"run.json": as_json(RUN), "groups.csv": b"groups"})
    old = state()
    add_users_file()
    assert killed(number, **NEW) == (9 if number < 5 else 0)
    if reads:
        assert read_results("out/exp").name == ("exp" if number < 4 else "new")
    else:
        write_results("out", "other", b"PNG", {"run.json": b"{}"})
        os.unlink("out/other.png")
        os.unlink("out/other/run.json")
        os.rmdir("out/other")
    assert sorted(os.listdir("out")) == ["exp", "exp.png"]
    after = state()
    assert after.pop("exp/notes.txt") == b"mine"
    if number < 4:
        assert after == old
    else:
        assert read_results("out/exp").name == "new" and "exp/metrics.json" in after
        assert "exp/groups.csv" not in after


@pytest.mark.parametrize("number", range(7))
def test_a_killed_write_leaves_old_or_new_plots(number):
    write(**{"run.json": as_json(RUN), "plots/auc.png": b"old"})
    Path("out/exp/plots/mine.png").write_bytes(b"mine")
    add_users_file()
    assert killed(number, **NEW, **{"plots/groups.png": b"new"}) == (9 if number < 6 else 0)
    assert read_results("out/exp").name == ("exp" if number < 5 else "new")
    plot = "auc.png" if number < 5 else "groups.png"
    assert sorted(os.listdir("out/exp/plots")) == sorted([plot, "mine.png"])
    assert Path("out/exp/notes.txt").read_text() == Path("out/exp/plots/mine.png").read_text()


@pytest.mark.parametrize("number", range(3))
def test_a_killed_first_write_leaves_nothing_or_all(number):
    assert killed(number, **NEW) == (9 if number < 2 else 0)
    write_results("out", "other", b"PNG", {"run.json": b"{}"})
    assert [name for name in files() if "other" not in name] == (
        []
        if number == 0
        else [
            *("exp.png", "exp/metrics.json", "exp/run.json"),
            *("exp/similarities.csv", "exp/similarities.npy"),
        ]
    )


def test_what_a_killed_process_left_is_removed():
    write()
    for name in ("empty", "partly/new/exp", "partly/old", "earlier/exp"):
        Path("out", f".writing-{name}").mkdir(parents=True)
    Path("out/.writing-partly/new/exp/run.json").write_text("{")
    Path("out/.writing-earlier/exp/run.json").write_text("{")
    before = Path("out/exp/run.json").read_bytes()
    with pytest.raises(UserError):
        read_results("out/none")
    assert sorted(os.listdir("out")) == ["exp", "exp.png"]
    assert Path("out/exp/run.json").read_bytes() == before


def test_what_another_process_is_writing_is_left_alone(monkeypatch):
    monkeypatch.setattr(swap, "PATIENCE", 0.2)
    write()
    Path("out/.writing-other/new/exp").mkdir(parents=True)
    Path("out/.writing-other/old").mkdir()
    descriptor = os.open("out", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    write()
    assert sorted(os.listdir("out")) == [".writing-other", "exp", "exp.png"]
    os.utime("out/.writing-other", (0, time.time() - 2 * swap.ABANDONED))
    write()
    os.close(descriptor)
    assert sorted(os.listdir("out")) == ["exp", "exp.png"]


def test_files_are_replaced_one_by_one():
    replace_files("lists", {"a/b.txt": b"1", "c.txt": b"2"})
    assert files("lists") == ["a/b.txt", "c.txt"]
    replace_files("lists", {"a/b.txt": b"3", "c.txt": None, "d.txt": None})
    assert files("lists") == ["a/b.txt"] and Path("lists/a/b.txt").read_bytes() == b"3"
    Path("lists/taken/x").mkdir(parents=True)
    with pytest.raises(UserError) as caught:
        replace_files("lists", {"a/b.txt": b"4", "taken": b"5"})
    assert str(caught.value) == "lists/taken: could not be written: Is a directory"
    assert Path("lists/a/b.txt").read_bytes() == b"3"
    assert files("lists") == ["a/b.txt"]


def test_more_files_than_can_be_open():
    replace_files("lists", {f"{i}.txt": b"x" for i in range(1500)})
    assert len(files("lists")) == 1500


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
    assert check_destination("out", "x") == ["out/x.png: a folder has the name of a result"]
    assert check_destination("out", "y") == ["out/y: a file has the name of the results folder"]
    Path("out/z/run.json").mkdir(parents=True)
    Path("out/link").symlink_to("nowhere")
    assert check_destination("out", "z") == ["out/z/run.json: a folder has the name of a result"]
    Path("out/w").mkdir()
    Path("out/folder").symlink_to("w")
    Path("out/plots").touch()
    Path("out/v").mkdir()
    Path("out/v/plots").symlink_to("../w")
    Path("out/u").mkdir()
    Path("out/u/plots").touch()
    for kind, name in (("symbolic link", "v"), ("file", "u")):
        assert check_destination("out", name) == [
            f"out/{name}/plots: a {kind} has the name of the folder of plots"
        ]
    for link in ("link", "folder"):
        assert check_destination("out", link) == [
            f"out/{link}: a symbolic link has the name of the results folder"
        ]
    assert check_destination("", "x") == ["--output-dir: the path is empty: name a folder"]
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


def test_groups_of_trajectories_are_lists_and_were_texts():
    several = [{"path": "a.mp4", "groups": ["run", "jump"]}, {"path": "b.mp4", "groups": ["jump"]}]
    write(**{"run.json": as_json(RUN | {"trajectories": several})})
    rows = read_results("out/exp").table.rows
    assert rows == [Entry("a.mp4", ("run", "jump")), Entry("b.mp4", ("jump",))]
    plain = [{"path": "a.mp4", "groups": []}, {"path": "b.mp4", "group": None}]
    write(**{"run.json": as_json(RUN | {"trajectories": plain})})
    assert read_results("out/exp").table.rows == [Entry("a.mp4", ()), Entry("b.mp4", ())]


@pytest.mark.parametrize("groups", [None, "run", [1], [["run"]], {"run": 1}, []])
def test_groups_that_are_none(groups):
    damaged = [{"path": "a.mp4", "groups": groups}, {"path": "b.mp4", "groups": ["jump"]}]
    write(**{"run.json": as_json(RUN | {"trajectories": damaged})})
    with pytest.raises(UserError, match="in a list with groups every entry needs one, a text"):
        read_results("out/exp")
