"""Folders of problem sets: found, checked, run in one go, not run again, and summarized."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import write
from make_videos import write_video
from runs import example

import import_vista
from s3d_evaluator import S3DModel
from trajeval import batches, evaluation, evaluator, report, results, sets
from trajeval.arguments import check_arguments
from trajeval.batches import is_error
from trajeval.sets import names_that_clash

ROOT = Path(__file__).parent.parent
VISTA = ROOT / "tests/vista"
COLOURS = {"red": (220, 20, 20), "green": (20, 180, 20), "blue": (20, 20, 220)}
ALL = ["--problem-sets", "sets", "-e", "all", "-o", "out"]


@pytest.fixture(scope="module")
def model():
    return example().ColourModel


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three videos of each colour."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for i in range(3):
            frames = np.array(colour) + rng.integers(-20, 20, (4, 64, 64, 3))
            write_video(folder / f"{name}_{i}.mp4", frames.astype(np.uint8))
    return folder


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch, clips):
    """A folder to run in, with the videos in v/."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(clips, "v")
    return tmp_path


@pytest.fixture
def run(model, capsys):
    """Runs all problem sets; (status, standard output, lines of standard error)."""

    def run(*arguments, options=ALL):
        capsys.readouterr()
        status = evaluator.main(model, "", [*options, *map(str, arguments)])
        out, err = capsys.readouterr()
        return status, out, err.splitlines()

    return run


def write_set(name, colours=("red", "blue"), suffix=".txt", videos="v"):
    """A problem set: which colour is it?"""
    videos = os.path.relpath(videos, Path("sets", name).parent)
    trajectories = [(f"{videos}/{colour}_*.mp4", colour) for colour in colours]
    for kind, column, rows in (
        ("trajectories", "path", trajectories),
        ("prompts", "prompt", [(f"it is {colour}", colour) for colour in colours]),
    ):
        if suffix == ".csv":
            text = "".join(f"{a},{b}\n" for a, b in [(column, "group"), *rows])
        else:
            text = "".join(f"[{b}]\n{a}\n" for a, b in rows)
        write(f"sets/{name}_{kind}{suffix}", text)


def files(folder="out"):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def read_summary(folder="out/all"):
    with open(Path(folder, "summary.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    return {(row["kind"], row["name"]): row for row in rows}


def counted(monkeypatch):
    """A list that gets the names of the videos that are embedded."""
    names, original = [], batches.embed_batch

    def counting(model, batch):
        names.extend(Path(part.name).name for part in batch if not is_error(part))
        return original(model, batch)

    monkeypatch.setattr(batches, "embed_batch", counting)
    return names


# --- what a run leaves


@pytest.mark.parametrize("more", [[], ["--no-cache"]])
def test_results_are_those_of_single_runs(run, model, monkeypatch, more):
    """In the same folders, and videos of several sets are embedded once."""
    write_set("x")
    write_set("a/x", ["red", "green"], ".csv")
    write_set("a/deep/y", ["red", "green", "blue"])
    embedded = counted(monkeypatch)
    status, out, err = run(*more)
    assert (status, out) == (0, "out/all/summary.csv\n")
    assert sorted(embedded) == sorted(os.listdir("v"))
    assert err[0].startswith("9 videos: 9 computed (")
    together = files("out/all")
    del together["summary.csv"]
    for name in ("x", "a/x", "a/deep/y"):
        suffix = ".csv" if name == "a/x" else ".txt"
        lists = ["-t", f"sets/{name}_trajectories{suffix}", "-p", f"sets/{name}_prompts{suffix}"]
        place = ["-e", Path(name).name, "-o", str(Path("one/all", name).parent)]
        assert run(*more, options=[*lists, *place])[0] == 0
    alone = files("one/all")
    assert together.keys() == alone.keys()
    for name, content in alone.items():
        if name.endswith("run.json"):
            ours, other = json.loads(together[name]), json.loads(content)
            assert ours["fingerprint"] == other["fingerprint"]
            for record in (ours, other):
                del record["started"], record["seconds"]
                for option in ("output_dir", "problem_sets"):
                    del record["arguments"][option]
            assert ours == other
        else:
            assert together[name] == content, name


def test_summary(run):
    """A row for each set, and one for each folder with the mean of all sets in and below it."""
    write_set("x")
    write_set("a/x", ["red", "green", "blue"])
    write_set("a/b/x")
    for kind in ("trajectories", "prompts"):  # blue is called red and red blue: every answer wrong
        path = Path(f"sets/a/b/x_{kind}.txt")
        text = path.read_text()
        if kind == "prompts":
            text = text.replace("is red", "is X").replace("is blue", "is red")
            path.write_text(text.replace("is X", "is blue"))
    write("sets/a/b/unlabelled_trajectories.txt", "../../../v/red_0.mp4\n")
    write("sets/a/b/unlabelled_prompts.txt", "red\ngreen\n")
    status, _, err = run()
    assert status == 0
    rows = read_summary()
    assert list(rows) == [
        *(("set", "x"), ("set", "a/x"), ("set", "a/b/unlabelled"), ("set", "a/b/x")),
        *(("folder", "."), ("folder", "a"), ("folder", "a/b")),
    ]
    x, three, none, wrong, top, a, deep = rows.values()
    for metric in ("macro_f1", "accuracy", "mean_auc", "mean_average_precision"):
        assert (float(x[metric]), float(three[metric]), none[metric]) == (1, 1, "")
    assert (x["trajectories"], x["prompt_groups"]) == ("6", "2")
    assert (three["trajectories"], three["prompt_groups"]) == ("9", "3")
    assert (none["trajectories"], none["prompt_groups"]) == ("1", "2")
    assert [float(wrong[name]) for name in ("macro_f1", "accuracy", "mean_auc")] == [0, 0, 0]
    assert [float(row["majority_accuracy"]) for row in (x, three)] == [0.5, pytest.approx(1 / 3)]
    assert [float(row["random_accuracy"]) for row in (x, three)] == [0.5, pytest.approx(1 / 3)]
    metrics = json.loads(Path("out/all/x/metrics.json").read_bytes())["metrics"]
    assert float(x["majority_macro_f1"]) == metrics["macro_f1"]["majority"]
    assert float(x["random_macro_f1"]) == metrics["macro_f1"]["chance"]
    assert x["macro_f1_error"] == ""
    for end in ("low", "high"):
        assert float(x[f"mean_auc_{end}"]) == metrics["mean_auc"][end]
        assert none[f"mean_auc_{end}"] == top[f"mean_auc_{end}"] == ""
    assert (top["sets"], a["sets"], deep["sets"]) == ("4", "3", "2")
    assert top["trajectories"] == "22"
    found = [1, 1, 0]
    assert float(top["macro_f1"]) == pytest.approx(np.mean(found))
    error = 1.96 * np.std(found, ddof=1) / np.sqrt(3)
    assert float(top["macro_f1_error"]) == pytest.approx(error)
    assert float(a["accuracy"]) == 0.5
    assert (float(deep["accuracy"]), deep["accuracy_error"]) == (0, "")
    shown = err[-5:]
    assert [line.split()[0] for line in shown] == ["folder", ".", "a", "a/b", "mean"]
    assert f"0.67 ± {error:.2f}" in shown[1] and shown[1].split()[1] == "4"


def test_parts_of_a_video_that_sets_share(run, monkeypatch):
    write("sets/x_prompts.txt", "it is red\n")
    write("sets/y_prompts.txt", "it is red\n")
    write("sets/x_trajectories.txt", "../v/red_0.mp4\n../v/red_0.mp4#t=,0.1\n")
    write("sets/y_trajectories.csv", "path,end\n../v/red_0.mp4,0.1\n../v/red_0.mp4,0.05\n")
    embedded = counted(monkeypatch)
    assert run("--no-cache")[0] == 0
    assert sorted(embedded) == ["red_0.mp4", "red_0.mp4#t=,0.05", "red_0.mp4#t=,0.1"]
    assert "unchanged: 2 of 2 problem sets" in run("--no-cache")[2]
    write("sets/y_trajectories.csv", "path,end\n../v/red_0.mp4,0.1\n../v/red_0.mp4,0.06\n")
    assert "unchanged: 1 of 2 problem sets" in run("--no-cache")[2]


# --- what is not run again


def test_unchanged_sets_are_not_run_again(run, monkeypatch):
    write_set("x")
    write_set("a/x", ["red", "green"])
    assert run()[0] == 0
    before = files()
    embedded = counted(monkeypatch)
    status, out, err = run("-v", "--batch-size", 2, "--no-cache")  # which change no result
    assert (status, out) == (0, "out/all/summary.csv\n")
    assert "unchanged: 2 of 2 problem sets" in err
    assert files() == before and not embedded


@pytest.mark.parametrize(
    "change",
    [
        *("prompts", "order", "video", "option", "group", "deleted", "damaged", "picture"),
        *("old", "record", "version", "code"),
    ],
)
def test_a_changed_set_is_run_again_alone(run, monkeypatch, change):
    write_set("x")
    write_set("a/x", ["green", "blue"])
    assert run()[0] == 0
    stamps = {path: path.stat().st_mtime_ns for path in Path("out").rglob("run.json")}
    lists = Path("sets/x_trajectories.txt"), Path("sets/x_prompts.txt")
    more, both = [], False
    match change:
        case "prompts":
            lists[1].write_text(lists[1].read_text().replace("it is", "this is"))
        case "order":
            lists[0].write_text("[blue]\n../v/blue_*.mp4\n[red]\n../v/red_*.mp4\n")
        case "group":
            lists[0].write_text(lists[0].read_text().replace("[red]", "[rot]"))
        case "video":
            shutil.copy("v/red_1.mp4", "v/red_2.mp4")
        case "option":
            more, both = ["--n-frames", "2"], True
        case "deleted":
            Path("out/all/x/groups.csv").unlink()
        case "damaged":
            Path("out/all/x/metrics.json").write_text("{}")
        case "picture":
            Path("out/all/x.png").unlink()
        case "old":
            path = Path("out/all/x/run.json")
            run_json = json.loads(path.read_bytes())
            del run_json["fingerprint"]
            path.write_text(json.dumps(run_json))
        case "record":
            Path("out/all/x/run.json").write_text("[")
        case "version":
            monkeypatch.setattr("trajeval.record.version", lambda _: "99")
            both = True
        case "code":
            monkeypatch.setattr("trajeval.record.code", lambda: "another")
            both = True
    status, _, err = run(*more)
    assert status == 0
    assert ("unchanged: 1 of 2 problem sets" in err) != both
    again = {path for path in stamps if path.stat().st_mtime_ns != stamps[path]}
    wanted = {Path("out/all/x/run.json"), Path("out/all/a/x/run.json")}
    assert again == (wanted if both else wanted - {Path("out/all/a/x/run.json")})
    assert len(read_summary()) == 4


def test_sets_that_are_new_are_run_beside_old_ones(run):
    write_set("x")
    assert run()[0] == 0
    write_set("y")
    assert "unchanged: 1 of 2 problem sets" in run()[2]
    Path("sets/x_prompts.txt").unlink()
    Path("sets/x_trajectories.txt").unlink()
    assert run()[0] == 0
    assert list(read_summary()) == [("set", "y"), ("folder", ".")]
    assert Path("out/all/x.png").exists()


# --- what is wrong


def test_a_wrong_set_does_not_stop_the_others(run):
    write_set("good")
    write_set("a/wrong")
    write("sets/a/wrong_trajectories.txt", "[red]\nnone.mp4\nnor_this.mp4\n[red]\nx\n")
    write_set("bytes")
    write("sets/bytes_prompts.txt", b"[red]\n\xff\n")
    write("sets/b/half_prompts.txt", "x\n")
    write("sets/b/other_trajectories.txt", "x\n")
    write_set("twice")
    write_set("twice", suffix=".csv")
    write("sets/_prompts.txt", "x\n")
    write("sets/line\nbreak_prompts.txt", "x\n")
    status, out, err = run("-v")
    assert (status, out) == (1, "out/all/summary.csv\n")
    wanted = [
        "sets/_prompts.txt: a problem set needs a name before _prompts",
        "sets/bytes_prompts.txt:2: not UTF-8 (byte 0xff): save it as UTF-8",
        "sets: twice_trajectories.csv and twice_trajectories.txt are of the same set: keep one of",
        "sets: twice_prompts.csv and twice_prompts.txt are of the same set: keep one of them",
        "sets/a/wrong_trajectories.txt:4: the group [red] was already opened in line 1",
        "sets/b/half_prompts.txt: no half_trajectories.txt or .csv beside it: half a pair",
        "sets/b/other_trajectories.txt: no other_prompts.txt or .csv beside it: half a pair",
        "sets/line�break_prompts.txt: the name of the set 'line\\nbreak': use",
        "skipped: bytes (1 problem)",
        "skipped: twice (2 problems)",
        "skipped: a/wrong (4 problems)",
        "skipped: b/half (1 problem)",
        "skipped: b/other (1 problem)",
    ]
    for line in wanted:
        assert any(found.startswith(line) for found in err), (line, err)
    assert list(read_summary()) == [("set", "good"), ("folder", ".")]


def test_only_wrong_sets_end_the_run(run):
    write_set("a")
    write_set("b")
    write("sets/a_prompts.txt", "")
    write("sets/b_trajectories.txt", "none.mp4")
    status, out, err = run()
    assert (status, out) == (2, "")
    assert err[0].startswith("sets/a_prompts.txt: has no prompt")
    assert err[1].startswith("sets/b_trajectories.txt:1: no such file")
    assert err[2:] == ["2 problems found; nothing was run"]
    assert not Path("out").exists()


def test_options_and_sets_are_checked_together(run):
    write_set("a")
    write_set("b")
    write("sets/b_prompts.txt", "")
    options = ["--problem-sets", "sets", "-t", "x.txt", "-o", "out", "--n-frames", "0"]
    status, _, err = run(options=options)
    assert status == 2
    assert err == [
        "--n-frames 0: takes a whole number from 1 to 1024",
        "--problem-sets: cannot be combined with -t or -p",
        "-e NAME is missing: the name of the results",
        "sets/b_prompts.txt: has no prompt: write one on each line",
        "4 problems found; nothing was run",
    ]


def test_the_demo_is_its_weights_alone():
    args, problems = check_arguments(S3DModel, "", ["--demo", "--problem-sets", "sets"])
    assert problems == [] and args.experiment_id == "demo"
    write_set("x")
    found, has_wrong = sets.check_sets(args, problems)
    assert [inputs.args.prompts_path for inputs in found.values()] == ["sets/x_prompts.txt"]
    assert not has_wrong


def test_what_options_need_of_the_lists_holds_for_each_set(run):
    write_set("grouped")
    write("sets/flat_trajectories.txt", "../v\n")
    write("sets/flat_prompts.txt", "it is red\n")
    status, _, err = run("--max-per-group", 1)
    assert status == 1
    assert err[0] == "sets/flat_trajectories.txt: --max-per-group needs trajectory groups"
    assert read_summary()["set", "grouped"]["trajectories"] == "2"


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("none", "--problem-sets none: no such folder"),
        ("v/red_0.mp4", "--problem-sets v/red_0.mp4: no such folder"),
        ("v", "--problem-sets v: no problem set in or below this folder"),
        ("empty", "--problem-sets empty: no problem set in or below this folder"),
    ],
)
def test_folders_without_sets(run, folder, message):
    Path("empty").mkdir()
    status, out, err = run(options=["--problem-sets", folder, "-e", "x", "-o", "out"])
    assert (status, out) == (2, "")
    assert err[0].startswith(message)
    assert err[1:] == ["1 problem found; nothing was run"]


def test_a_video_that_cannot_be_used(run):
    """It is named once, and sets without any that can be used are errors of their own."""
    write_set("good")
    write_set("a/some")
    write_set("a/none")
    write("v/broken.mp4", b"not a video" * 100)
    with open("sets/a/some_trajectories.txt", "a") as file:
        file.write("../../v/broken.mp4\n")
    write("sets/a/none_trajectories.txt", "[red]\n../../v/broken.mp4\n")
    status, _, err = run()
    assert status == 1
    assert len([line for line in err if "broken.mp4: " in line]) == 1
    assert "error: a/none: none of the videos could be used" in err
    assert not Path("out/all/a/none").exists()
    rows = read_summary()
    assert rows["set", "a/some"]["trajectories"] == "6" and ("set", "a/none") not in rows
    status, _, err = run()  # what failed is tried again
    assert status == 1
    assert "unchanged: 1 of 3 problem sets" in err
    write("sets/good_trajectories.txt", "[red]\n../v/broken.mp4\n")
    shutil.rmtree("sets/a")
    status, out, err = run()
    assert (status, out, err[-1]) == (1, "", "no problem set could be evaluated")


def test_a_set_that_cannot_be_written(run, monkeypatch):
    write_set("x")
    write_set("y")
    original = results.swap_in

    def full(parent, name, *rest):
        if name == "x":
            raise results.UserError("out: could not be written: No space left", status=1)
        original(parent, name, *rest)

    monkeypatch.setattr(results, "swap_in", full)
    status, out, err = run()
    assert (status, out) == (1, "out/all/summary.csv\n")
    assert "error: x: out: could not be written: No space left" in err
    assert ("set", "y") in read_summary() and ("set", "x") not in read_summary()


def test_an_interrupt_says_what_was_written(run, monkeypatch):
    for name in "abc":
        write_set(name)
    asked, original = [], evaluation.evaluate

    def interrupted(*arguments):
        asked.append(arguments)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(evaluation, "evaluate", interrupted)
    status, out, err = run()
    assert (status, out) == (130, "")
    assert err[-1] == "interrupted; 1 of 3 problem sets written, no summary.csv"
    assert sorted(os.listdir("out/all")) == ["a", "a.png"]
    status, _, err = run()
    assert status == 0 and "unchanged: 1 of 3 problem sets" in err


def test_places_that_cannot_be_written_to(run):
    write_set("x")
    write("out/all/x", "a file")
    status, _, err = run()
    assert (status, err[0]) == (2, "out/all/x: a file has the name of the results folder")
    shutil.rmtree("out")
    write("out/all", "a file")
    status, _, err = run()
    assert status == 2 and err[0].startswith("out/all: a file has the name of the results folder")


# --- names, links, many


def test_same_names_in_different_folders(run):
    for folder in ("a", "b", "a/b"):
        write_set(f"{folder}/apple", ["red", "green"] if folder == "b" else ["red", "blue"])
    assert run()[0] == 0
    for folder in ("a", "b", "a/b"):
        lines = Path(f"out/all/{folder}/apple/similarities.csv").read_text().splitlines()
        assert lines[0].endswith("it is green" if folder == "b" else "it is blue")


def test_a_set_called_like_a_folder(run):
    write_set("a", ["red", "green"])
    write_set("a/b")
    assert run()[0] == 0
    assert run()[2][0] == "unchanged: 2 of 2 problem sets"
    write_set("a", ["green", "red"])
    assert run()[0] == 0
    assert {"a/b.png", "a/b/run.json", "a/run.json", "a.png"} <= files("out/all").keys()


def test_names_whose_results_would_be_in_each_others_place(run):
    write_set("a")
    write_set("a/heatmap")
    write_set("b")
    status, _, err = run()
    assert status == 1
    assert err[0] == (
        "sets/a_trajectories.txt: the results would be where those of another set or summary.csv "
        "are: rename the set"
    )
    assert list(read_summary()) == [("set", "b"), ("folder", ".")]
    assert names_that_clash(["x", "x.png", "y"]) == {"x", "x.png"}
    assert names_that_clash(["summary.csv", "y"]) == {"summary.csv"}
    assert names_that_clash(["summary.csv/x", "y"]) == {"summary.csv/x"}
    assert names_that_clash(["a", "a/b", "a/a"]) == set()


def test_links(run):
    """Folders are followed once; hidden ones are skipped, and so are hidden lists."""
    write_set("a/x")
    os.symlink("..", "sets/a/loop")
    os.symlink("a", "sets/b")
    shutil.copytree("sets/a", "elsewhere", symlinks=True)
    shutil.copytree("v", "w")
    write("elsewhere/x_trajectories.txt", "[red]\n../w/red_*.mp4\n[blue]\n../w/blue_*.mp4\n")
    os.symlink("../elsewhere", "sets/linked")
    shutil.copytree("sets/a", "sets/.hidden", symlinks=True)
    write("sets/a/.y_prompts.txt", "x\n")
    status, _, err = run()
    assert status == 0, err
    assert list(read_summary())[:2] == [("set", "a/x"), ("set", "linked/x")]
    assert not Path("out/all/b").exists() and not Path("out/all/linked").is_symlink()
    os.symlink("nowhere.txt", "sets/broken_prompts.txt")
    write("sets/broken_trajectories.txt", "../v\n")
    os.mkfifo("sets/pipe_prompts.txt")
    write("sets/pipe_trajectories.txt", "../v\n")
    status, _, err = run()
    assert status == 1
    assert err[:2] == [
        "sets/broken_prompts.txt: no such prompt list",
        "sets/pipe_prompts.txt: cannot be read: is not a regular file",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_folder_that_is_closed(run):
    write_set("x")
    write_set("closed/x")
    Path("sets/closed").chmod(0)
    status, _, err = run()
    Path("sets/closed").chmod(0o700)
    assert (status, err[0]) == (1, "sets/closed: Permission denied")


def test_a_video_under_two_paths_is_embedded_once(run, monkeypatch):
    write_set("x")
    os.symlink("v", "w")
    write_set("y", videos="w")
    embedded = counted(monkeypatch)
    assert run("--no-cache")[0] == 0
    assert len(embedded) == 6


@pytest.mark.slow
def test_300_sets(run, monkeypatch):
    """Their pictures are not drawn here, as that takes minutes."""
    for i in range(300):
        write_set(f"level_{i % 7}/{i}", ["red", "blue"] if i % 2 else ["red", "green", "blue"])
    for i in range(12):
        write(f"sets/wrong/{i}_prompts.txt", "x\n")
    monkeypatch.setattr(report, "heatmap", lambda *_, **__: None)
    monkeypatch.setattr(report, "as_png", lambda _: b"not drawn")
    status, _, err = run()
    assert status == 1
    assert len([line for line in err if "half a pair" in line]) == 10
    assert "... and 2 more problems in the problem sets; -v shows all" in err
    assert "... and 2 more problem sets that are skipped; -v shows all" in err
    assert len(err) < 40
    rows = read_summary()
    assert sum(kind == "set" for kind, _ in rows) == 300
    assert rows["folder", "."]["sets"] == "300" and len(rows) == 308
    assert "unchanged: 300 of 300 problem sets" in run()[2]


# --- ViSTa


def write_videos(folder, clips):
    """Small videos, each of its own content, where the sets in tests/vista say that they are."""
    contents = [(clips / f"{colour}_0.mp4").read_bytes() for colour in COLOURS]
    for data in VISTA.rglob("*_data.json"):
        for i, item in enumerate(json.loads(data.read_text())):
            content = contents[i % len(contents)]
            write(folder / item["path"], content + item["path"].encode())


@pytest.mark.slow
def test_from_vista_to_the_summary(small_weights, clips, capsys):
    """Real problem sets of all three parts of ViSTa, one with several labels."""
    write_videos(Path("videos"), clips)
    assert import_vista.main([str(VISTA), "-o", "sets", "--video-dir", "videos"]) == 0
    said = capsys.readouterr().err
    assert "_permutation_and_remix_template.yaml: skipped as a template" in said
    weights = ["--model-checkpoint-path", str(small_weights / "weights.pth")]
    quick = ["--n-frames", "2", "--size", "200", "--normalize", "vista"]
    assert evaluator.main(S3DModel, "", [*ALL, *weights, *quick]) == 0
    out, err = capsys.readouterr()
    assert out == "out/all/summary.csv\n"
    assert "137 videos: 137 computed (" in err
    rows = read_summary()
    found = {name: row for (kind, name), row in rows.items() if kind == "set"}
    assert {
        name: (int(row["trajectories"]), int(row["prompt_groups"])) for name, row in found.items()
    } == {
        "alfred/foundation/clean/apple": (30, 3),
        "alfred/foundation/heat/apple": (50, 5),
        "alfred/foundation/on_v_off/desk_lamp": (20, 2),
        "minecraft/foundation/multilabel": (32, 7),
        "real_life/level_2/permutation/permutation_level_2_group_3": (2, 2),
        "real_life/level_8/permutation/permutation_level_8_group_3": (3, 3),
    }
    for name, row in found.items():
        run_json = json.loads(Path("out/all", name, "run.json").read_bytes())
        assert float(row["macro_f1"]) == run_json["metrics"]["macro_f1"]["value"]
        assert 0 <= float(row["mean_auc"]) <= 1 and 0 < float(row["mean_average_precision"]) <= 1
    folders = {name: int(row["sets"]) for (kind, name), row in rows.items() if kind == "folder"}
    assert (folders["."], folders["alfred"], folders["real_life"], folders["minecraft"]) == (
        6,
        3,
        2,
        1,
    )
    mean = np.mean([float(found[name]["macro_f1"]) for name in found if name[0] == "a"])
    assert float(rows["folder", "alfred"]["macro_f1"]) == pytest.approx(mean)
    multi = json.loads(Path("out/all/minecraft/foundation/multilabel/run.json").read_bytes())
    labels = {
        item["path"]: item["label"].split(",")
        for item in json.loads((VISTA / "minecraft/foundation/multilabel_data.json").read_text())
    }
    assert len(multi["trajectories"]) == len(labels) == 32
    for one in multi["trajectories"]:
        name = Path(one["path"]).name
        (wanted,) = (own for path, own in labels.items() if Path(path).name == name)
        assert sorted(one["groups"]) == sorted(wanted)
    assert evaluator.main(S3DModel, "", [*ALL, *weights, *quick]) == 0
    assert "unchanged: 6 of 6 problem sets" in capsys.readouterr().err
