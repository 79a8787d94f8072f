"""Runs that are killed again and again, and go on: what test_kills.py and test_cluster.py share."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import numpy as np
from conftest import hear_ctrl_c, write
from make_videos import write_video
from runs import ROOT

SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
OVER = 120  # seconds
SCRIPT = """
from pathlib import Path
from trajeval.terminal import exit_on_interrupt, run_script
exit_on_interrupt()
Path("begun").touch()
from standin import Counted
from trajeval import running
from trajeval.evaluator import main
running.FIRST = running.COST = 0.01  # running.json is always being written
run_script(lambda: main(Counted, ""))
"""


def make_lists(count: int) -> None:
    """Videos of different content, some behaviours, and prompts of them, in the current folder."""
    random, rows, behaviours = np.random.default_rng(0), ["path,group"], ("run", "jump", "fall")
    for i in range(count):
        frames = np.zeros((6, 32, 32, 3), np.uint8)
        frames[:] = random.integers(0, 255, (6, 1, 1, 3))
        frames[..., 0] = i  # as standin.Counted reads it
        write_video(f"{i}.mov", frames, codec="png", pix_fmt="rgb24", fps=10)
        rows.append(f"{i}.mov,{behaviours[i % 3]}")
    write("t.csv", "\n".join(rows))
    write("p.csv", "prompt,group\nit runs,run\nit jumps high,jump\nit falls all the time,fall\n")
    write("script.py", SCRIPT)


def start(folder: str, *options) -> subprocess.Popen:
    """A run called `mine` into a folder."""
    lists = ["-t", "t.csv", "-p", "p.csv", "-e", "mine", "-o", folder, "--device", "cpu"]
    return start_script("script.py", *lists, *options)


def start_script(script, *arguments) -> subprocess.Popen:
    """In a process group of its own, with the modules of the tests, and ready for Ctrl-C."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    return subprocess.Popen(
        [sys.executable, script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )


def finish(folder: str, *options) -> float:
    """Runs to the end; the seconds that it took."""
    begin = time.monotonic()
    process = start(folder, *options)
    out, err = process.communicate(timeout=OVER)
    assert (process.returncode, out) == (0, f"{folder}/mine.png\n"), err
    return time.monotonic() - begin


def kill(number: int, seconds: float, after_first: bool, *options) -> bool:
    """Starts a run into the folder `out` and sends its processes a signal, some seconds after the
    start or after it has computed something. Whether that ended it."""
    Path("begun").unlink(missing_ok=True)
    process = start("out", *options)
    end = time.monotonic() + OVER
    while after_first and process.poll() is None and not Path("computed.txt").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    try:
        _, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, number)
        _, err = process.communicate(timeout=OVER)
    if number != signal.SIGKILL and Path("begun").exists():
        assert process.returncode in (0, 130) and "Traceback" not in err, err
    return process.returncode != 0


def kill_often(times: int, at_work: int, longest: float, *options) -> None:
    """Kills runs at random moments, starts each again, and compares what the last one leaves with
    what an undisturbed one leaves. at_work: how many videos a kill may lose. longest: seconds that
    every other one may compute."""
    random, options = Random(0), ("--counts", "computed.txt", *options)
    for _ in range(2):  # with nothing kept, with all
        took = finish("calm", *options, "--cache-dir", "calm_cache")
    Path("computed.txt").unlink()
    kept, killed, within, tries = set[str](), 0, 0, 0
    while killed < times:  # a run may end before it is killed
        tries += 1
        assert tries < 4 * times, killed
        after_first = tries % 2 == 0 and within < times / 2  # else all may be kept too soon
        seconds = random.uniform(0, longest if after_first else took)
        killed += kill(SIGNALS[killed % 3], seconds, after_first, *options, "--cache-dir", "cache")
        within += assert_nothing_again(kept, at_work)
    assert within > times / 3 and kept
    finish("out", *options, "--cache-dir", "cache")
    assert_nothing_again(kept, at_work)
    assert_equal_folders()


def assert_nothing_again(kept: set[str], at_work: int) -> bool:
    """What the last run computed was not kept; adds what it must have kept. Whether it computed
    anything."""
    path = Path("computed.txt")
    videos = list(dict.fromkeys(path.read_text().split())) if path.exists() else []
    assert not kept & set(videos)
    kept |= set(videos[: max(0, len(videos) - at_work)])
    path.unlink(missing_ok=True)
    return bool(videos)


def assert_equal_folders() -> None:
    """What is in `out` and in `calm` is the same, but for times, and nothing else is there."""
    names = [
        sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))
        for folder in ("out", "calm")
    ]
    assert names[0] == names[1]
    assert {"mine/metrics.json", "mine/embeddings.npz", "mine/scores.csv"} < set(names[0])
    assert "mine/running.json" not in names[0]
    for name in names[0]:
        if Path(name).name not in ("mine", "run.json", "report.html"):
            assert Path("out", name).read_bytes() == Path("calm", name).read_bytes(), name
