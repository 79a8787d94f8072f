"""--shard: several processes share the embedding of one list."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import write
from make_videos import counting_frames, write_video
from runs import ROOT, read_numbers
from test_scoring import Toy
from test_sets import model as colours

from trajeval import segments
from trajeval.evaluator import main

__all__ = ["colours"]
LISTS = ["-t", "t.txt", "-p", "p.txt"]


@pytest.fixture
def lists(in_empty_folder):
    """Seven videos, one of which a list names twice, and two prompts."""
    for i in range(7):
        write_video(
            f"{i}.mov",
            counting_frames(4 + i, 32, 32) // (i + 1),
            codec="png",
            pix_fmt="rgb24",
            fps=10,
        )
    names = [f"{i}.mov" for i in range(7)]
    write("t.txt", "\n".join([*names[:2], "./0.mov", *names[2:]]))
    write("p.txt", "it is red\nall blue\n")


@pytest.fixture
def run(colours, capsys):
    """Runs the model; the exit status and the lines of standard error."""

    def run(*arguments, model=colours):
        capsys.readouterr()
        status = main(model, "", [*map(str, arguments)])
        out, err = capsys.readouterr()
        assert not out or "--shard" not in arguments
        return status, err.splitlines()

    return run


def test_shards_fill_the_cache_and_write_nothing_else(lists, run):
    before = sorted(os.listdir())
    counts = [3, 2, 2]
    for own, count in enumerate(counts, 1):
        status, lines = run(*LISTS, "--shard", f"{own}/3")
        assert status == 0 and len(lines) == 1
        assert lines[0].startswith(f"shard {own} of 3: {count} videos: {count} computed")
    assert sorted(os.listdir()) == before
    status, lines = run(*LISTS, "-e", "mine", "-o", "out")
    assert status == 0 and "7 videos: 7 from the cache" in lines
    numbers = read_numbers("out/mine")
    assert run(*LISTS, "-e", "alone", "-o", "out", "--no-cache")[0] == 0
    assert numbers[2].tobytes() == read_numbers("out/alone")[2].tobytes()
    assert json.loads(Path("out/mine/run.json").read_text())["arguments"]["shard"] is None


def test_a_shard_again_does_nothing(lists, run):
    assert run(*LISTS, "--shard", "2/3")[0] == 0
    assert run(*LISTS, "--shard", "2/3")[1][-1] == "shard 2 of 3: 2 videos: 2 from the cache"


def test_more_shards_than_videos(lists, run):
    found = run(*LISTS, "--shard", "8/8")
    assert found == (0, ["shard 8 of 8: 0 videos: nothing to do"])


def test_curves_and_controls(lists, run):
    views = ["--curves", "prefix", "--curve-points", "3", "--controls"]
    for own in (1, 2):
        assert run(*LISTS, *views, "--shard", f"{own}/2")[0] == 0
    lines = run(*LISTS, *views, "-e", "mine")[1]
    assert "7 videos, each with 3 points and controls: 7 from the cache" in lines


def test_a_judge(lists, run):
    Toy.scored.clear()
    for own in (1, 2):
        assert run(*LISTS, "--shard", f"{own}/2", model=Toy)[0] == 0
    assert Toy.scored == [["it is red", "all blue"]] * 7
    assert "7 videos: 7 from the cache" in run(*LISTS, "-e", "mine", model=Toy)[1]


def test_problem_sets_share_what_they_have_in_common(lists, run):
    write("sets/a_trajectories.txt", "../0.mov\n../1.mov\n../2.mov")
    write("sets/b_trajectories.txt", "../2.mov\n../3.mov")
    for name in "ab":
        write(f"sets/{name}_prompts.txt", "it is red\nall blue")
    write("sets/half_prompts.txt", "it is red")
    before = sorted(os.listdir())
    for own in (1, 2):
        status, lines = run("--problem-sets", "sets", "--shard", f"{own}/2")
        assert status == 1 and "skipped: half (1 problem)" in lines
        assert lines[-1].startswith(f"shard {own} of 2: 2 videos: 2 computed")
    assert sorted(os.listdir()) == before
    assert "4 videos: 4 from the cache" in run("--problem-sets", "sets", "-e", "all")[1]


def test_a_video_that_cannot_be_used(lists, run):
    write("bad.mov", "no video")
    write("t.txt", "0.mov\nbad.mov\n1.mov")
    assert run(*LISTS, "--shard", "1/2")[0] == 0
    status, lines = run(*LISTS, "--shard", "2/2")
    assert status == 1 and lines[0].startswith("error: bad.mov: ")
    assert lines[1] == "shard 2 of 2: 1 video: 1 failed"


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "", "²/3"])
def test_what_is_no_shard(run, text):
    status, lines = run(*LISTS, "--shard", text)
    assert status == 2
    assert f"--shard {text or repr('')}: takes I/N, such as 1/8 to 8/8" in lines


def test_a_shard_needs_a_cache(lists, run, monkeypatch, tmp_path):
    assert run(*LISTS, "--shard", "1/2", "--no-cache") == (
        2,
        [
            "--shard: needs a cache, --cache-dir DIR (--no-cache)",
            "1 problem found; nothing was run",
        ],
    )
    write("file")
    status, lines = run(*LISTS, "--shard", "1/2", "--cache-dir", "file/x")
    assert status == 2

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segments, "write_at", full)
    status, lines = run(*LISTS, "--shard", "1/2", "--cache-dir", "kept")
    assert status == 1
    place = tmp_path / "kept"
    assert lines[-1] == f"--shard: embeddings cannot be kept: {place}: No space left on device"


def test_a_name_is_needed_without(lists, run):
    assert "-e NAME is missing: the name of the results" in run(*LISTS)[1]


def test_shards_at_once(lists):
    """As docs/scale.md has it, in a plain shell."""
    script = ROOT / "examples/colour_evaluator.py"
    command = f"{sys.executable} {script} -t t.txt -p p.txt --cache-dir kept"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    shell = f"for i in 1 2 3; do {command} --shard $i/3 & done; wait; {command} -e mine -o out"
    done = subprocess.run(
        shell, shell=True, capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "7 videos: 7 from the cache" in done.stderr.splitlines()
    assert Path("out/mine.png").exists()
