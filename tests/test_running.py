"""How far a run is: the line on the terminal, and running.json while it goes."""

import json
import os
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest
from conftest import write
from hypothesis import given
from hypothesis import strategies as st
from make_videos import counting_frames, write_video
from standin import Standin
from test_terminal import on_a_terminal

from trajeval import running, terminal
from trajeval.evaluator import main
from trajeval.running import Going, Pace, in_words
from trajeval.terminal import UserError
from trajeval.videos import VideoError

N = 6
LISTS = ["-t", "t.txt", "-p", "p.txt", "-o", "out", "--device", "cpu"]
PLACE = Path("out/mine/running.json")


class Kept:
    kept = True


class Computed:
    kept = False


# the pace


@given(st.floats(0.01, 100), st.integers(1, 64), st.integers(1, 1000), st.floats(0, 300), st.data())
def test_a_steady_rate_is_found_whatever_the_bursts(seconds, burst, bursts, loading, data):
    """seconds: that each video takes; they come `burst` at a time, after the model was loaded."""
    if seconds * burst < 2 * running.BURST:
        return
    pace, now = Pace(), loading
    for _ in range(bursts):
        now += seconds * burst
        for i in range(burst):
            pace.add(now + i * 1e-6)
    if bursts == 1:
        assert pace.per_second(now) is None
        return
    assert pace.per_second(now) == pytest.approx(1 / seconds, rel=1e-3)
    later = now + data.draw(st.floats(0, seconds * burst))
    assert 0.499 / seconds <= pace.per_second(later) <= 1.001 / seconds


def test_a_rate_that_changes_is_followed():
    pace = Pace()
    for i in range(100_000):
        pace.add(i * 0.1)
    assert pace.per_second(10_000) == pytest.approx(10, rel=0.01)
    assert len(pace.bursts) < 1000  # of a run of days it keeps no more
    for i in range(100):
        pace.add(10_000 + 10 * i)
    assert pace.per_second(10_990) == pytest.approx(0.1, rel=0.05)
    assert pace.per_second(20_000) < 0.05  # it has stopped


def test_what_the_cache_answers_has_no_part_in_the_rate(monkeypatch):
    now = 0.0
    monkeypatch.setattr(running.time, "monotonic", lambda: now)
    going = Going("embedding", 1000)
    for _ in range(600):
        going.add("a.mp4", Kept())
    going.due = 400
    assert going.details().startswith("600 from the cache, last at ")
    for _ in range(100):
        now += 2
        going.add("b.mp4", Computed())
    assert going.rate() == (pytest.approx(0.5), pytest.approx(600))
    assert "0.50/s, 10 min left" in going.details()


def test_a_line(monkeypatch):
    monkeypatch.setattr(running.time, "monotonic", lambda: 20.0 * going.done)
    going = Going.__new__(Going)
    going.done = 0
    going.__init__("scoring", 10)
    assert going.line() == "scoring: 0 of 10 videos"
    going.due = 10
    for found in (Computed(), VideoError("a.mp4: damaged"), Computed()):
        going.add("a.mp4", found)
    going.has_workers(1)
    at = time.strftime("%H:%M:%S", time.localtime(going.last))
    line = "scoring: 3 of 10 videos, 1 failed, 3.00/min, 3 min left, last at"
    assert going.line() == f"{line} {at}, 1 worker"
    going.last -= 3 * 86400
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(going.last))
    assert f"last at {day}, " in going.line()


def test_durations():
    seconds = (0.4, 59, 60, 61, 3599, 3600, 3 * 3600 + 1, 86399, 86400, 200_000)
    assert [*map(in_words, seconds)] == [
        *("0 s", "59 s", "1 min", "2 min", "1 h 0 min", "1 h 0 min", "3 h 1 min", "1 d 0 h"),
        *("1 d 0 h", "2 d 7 h"),
    ]


def test_lines_become_rare():
    told, now = 0, 0.0
    while (now := now + terminal.pause_after(now)) < 3 * 86400:
        told += 1
    assert 300 < told < 600


# a run


@pytest.fixture
def lists(in_empty_folder):
    for i in range(N):
        frames = counting_frames(4, 32, 32) // (1 + i)
        write_video(f"{i}.mov", frames, codec="png", pix_fmt="rgb24", fps=10)
    write("t.txt", "\n".join(f"{i}.mov" for i in range(N)))
    write("p.txt", "it is red\nall of it is blue\n")


@pytest.fixture
def seen(lists, monkeypatch):
    """What running.json held after each video, with a file written as often as there is one."""
    found = []

    class Looked(Standin):
        def spend(self, frames):
            last = PLACE.stat().st_mtime_ns if PLACE.exists() else 0
            wait_for(lambda: PLACE.exists() and PLACE.stat().st_mtime_ns > last)
            found.append(json.loads(PLACE.read_text()))

    monkeypatch.setattr(running, "FIRST", 0.001)
    monkeypatch.setattr(running, "COST", 0)
    Looked.seen = found
    return Looked


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def run(model, *options):
    return main(model, "", [*LISTS, "-e", "mine", "--no-cache", *options])


def test_a_run_can_be_looked_at(seen, capsys):
    write("0.mov", "no video")
    assert run(seen, "--batch-size", "1") == 1
    assert len(seen.seen) == N - 1 and sorted(os.listdir("out")) == ["mine", "mine.png"]
    record = json.loads(Path("out/mine/run.json").read_text())
    assert not PLACE.exists() and "progress" not in record
    for found in seen.seen:
        assert {key: record[key] for key in found if key in record} == {
            key: value for key, value in found.items() if key in record
        }
        assert {"experiment", "started", "arguments", "versions", "model", "weights"} <= set(found)
        assert found["pid"] == os.getpid()
        assert datetime.fromisoformat(found["progress"]["updated"]).tzinfo
        assert found["progress"]["of"] == N and found["progress"]["workers"] is None
    last = max(seen.seen, key=lambda found: found["progress"]["done"])
    assert datetime.fromisoformat(last["progress"]["last"]).tzinfo
    [error] = last["errors"]
    assert error["path"] == "0.mov" and error["error"].startswith("0.mov: ")
    assert last["progress"]["failed"] == 1 and last["further_errors"] == 0


def test_a_quick_run_writes_only_results(lists, monkeypatch):
    monkeypatch.setattr(running, "put", None)
    assert run(Standin) == 0


def test_the_results_are_those_of_a_run_that_nobody_looked_at(seen):
    assert run(seen) == 0
    looked = {path.name: path.read_bytes() for path in Path("out/mine").iterdir()}
    assert run(Standin) == 0
    for path in Path("out/mine").iterdir():
        if path.name not in ("run.json", "report.html"):  # which have the time
            assert path.read_bytes() == looked[path.name]
    assert {path.name for path in Path("out/mine").iterdir()} == set(looked)


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError("no", status=1)])
def test_it_is_gone_however_a_run_ends(seen, monkeypatch, error):
    calls = []

    def spend(self, frames):
        wait_for(PLACE.exists)
        calls.append(1)
        raise error

    monkeypatch.setattr(seen, "spend", spend)
    assert run(seen) == (130 if error is KeyboardInterrupt else 1)
    assert calls and os.listdir("out") == []


def test_what_a_killed_run_left_is_removed(lists):
    write(PLACE, "{}")
    write("out/mine/own.txt", "the user's")
    write("out/.writing-abc/running.json", "{")
    assert run(Standin) == 0
    assert not PLACE.exists() and Path("out/mine/own.txt").exists()
    assert sorted(os.listdir("out")) == ["mine", "mine.png"]


def test_old_results_stay_whole_beside_it(seen):
    assert run(Standin) == 0
    old = {path.name: path.read_bytes() for path in Path("out/mine").iterdir()}
    beside = []

    def spend(self, frames):
        wait_for(PLACE.exists)
        beside.append({path.name: path.read_bytes() for path in Path("out/mine").iterdir()})
        assert beside[-1].pop("running.json")

    seen.spend = spend
    assert run(seen) == 0
    assert beside and all(found == old for found in beside)


def test_a_failing_write_is_told_once(seen, monkeypatch, capsys):
    tried = threading.Semaphore(0)
    put = running.put

    def failing(*arguments):
        try:
            with monkeypatch.context() as patch:
                patch.setattr(running.os, "replace", full)
                put(*arguments)
        finally:
            tried.release()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(running, "put", failing)
    monkeypatch.setattr(seen, "spend", lambda *_: tried.acquire(timeout=60))
    assert run(seen) == 0
    err = capsys.readouterr().err
    assert err.count("warning: ") == 1
    assert f"warning: {PLACE}: could not be written: No space left on device\n" in err
    assert sorted(os.listdir("out")) == ["mine", "mine.png"]


def test_errors_are_bounded():
    going = Going("embedding", 1000)
    for i in range(1000):
        going.add(f"{i}.mov", VideoError(f"{i}.mov: " + "x" * 10_000))
    content = going.content()
    assert len(content["errors"]) == running.ERRORS and content["further_errors"] == 900
    assert len(json.dumps(content)) < 1200 * running.ERRORS


def test_problem_sets_have_one(seen, monkeypatch):
    for name in "ab":
        write(f"sets/{name}_trajectories.txt", f"../{'ab'.index(name)}.mov\n../2.mov")
        write(f"sets/{name}_prompts.txt", "it is red\nall of it is blue\n")
    write("out/mine/a/running.json", "{}")
    arguments = ["--problem-sets", "sets", "-o", "out", "-e", "mine", "--device", "cpu"]
    assert main(seen, "", arguments) == 0
    assert seen.seen[-1]["progress"]["of"] == 3 and seen.seen[-1]["experiment"] == "mine"
    assert sorted(os.listdir("out/mine")) == ["a", "a.png", "b", "b.png", "summary.csv"]
    assert "running.json" not in os.listdir("out/mine/a")


def test_a_shard_writes_none(lists, monkeypatch):
    monkeypatch.setattr(running, "FIRST", 0)
    before = sorted(os.listdir())
    assert main(Standin, "", [*LISTS, "-e", "mine", "--shard", "1/2", "--seconds", "0.05"]) == 0
    assert sorted(os.listdir()) == before


def test_a_folder_of_that_name_is_an_error(lists, capsys):
    PLACE.mkdir(parents=True)
    assert run(Standin) == 2
    assert f"{PLACE}: a folder has the name of a result" in capsys.readouterr().err


def test_progress_off_a_terminal(lists, monkeypatch, capsys):
    monkeypatch.setattr(terminal, "PROGRESS_EVERY", 0.05)
    monkeypatch.setattr(running, "BURST", 0.01)
    assert run(Standin, "--seconds", "0.3", "--batch-size", "1") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("embedding")]
    assert lines[0].startswith(f"embedding: 0 of {N} videos")
    assert any(" left, last at " in line for line in lines)


def test_progress_on_a_terminal():
    shown = on_a_terminal(
        "from trajeval.running import Going, shown\n"
        "class Found:\n    kept = True\n"
        "going = Going('embedding', 3)\n"
        "with shown(going):\n"
        "    for _ in range(3):\n"
        "        going.add('a.mp4', Found())\n        tell('seen')\n"
        "    going.has_workers(2)\n"
        "return 0"
    )
    assert b"| 3/3 videos, 3 from the cache, 2 workers" in shown and shown.count(b"seen") == 3
