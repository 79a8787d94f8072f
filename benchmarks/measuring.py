"""What all benchmarks share: a row of the table, and the clock."""

import ast
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Row(NamedTuple):
    """A line of the table. ratio: how many times better than the baseline ours is, or None where
    ours stands for itself. aim: a text, and met: whether it is reached, None without an aim."""

    what: str
    ours: str
    baseline: str = ""
    ratio: float | None = None
    aim: str = ""
    met: bool | None = None

    def texts(self) -> tuple[str, ...]:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        met = {None: "", True: "yes", False: "NO"}[self.met]
        return self.what, self.ours, self.baseline, ratio, self.aim, met


def compared(what, ours: float, baseline: float, aim: float | None = None, unit="s") -> Row:
    """A row of two times, the smaller the better. aim: the ratio to be reached."""
    ratio = baseline / ours
    texts = f"{ours:.3g} {unit}", f"{baseline:.3g} {unit}"
    return Row(what, *texts, ratio, *(("", None) if aim is None else (f">= {aim:g}", ratio >= aim)))


def limited(what, ours: float, limit: float, unit="s", baseline="") -> Row:
    """A row of a value that must not exceed a limit."""
    return Row(what, f"{ours:.3g} {unit}", baseline, None, f"<= {limit:g} {unit}", ours <= limit)


def fastest(functions: dict[str, tuple[Callable, int]], rounds: int) -> dict[str, float]:
    """Seconds that each function takes, over the number that stands beside it: the least of several
    rounds, in which they take turns, so that what else the machine does disturbs them alike. One
    round before those is not counted, unless it is the only one."""
    seconds = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, (function, n) in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append((time.perf_counter() - start) / n)
    return {name: min(values[1:] or values) for name, values in seconds.items()}


class Finished(NamedTuple):
    """How a command ended: seconds, seconds of all cores, peak memory in bytes."""

    status: int
    seconds: float
    cpu_seconds: float
    peak: int
    stdout: str
    stderr: str


def run(*command, cwd=ROOT) -> Finished:
    """Runs a Python command to its end, in a process of its own."""
    program = (
        "import os, resource, subprocess, sys, time\n"
        "start = time.perf_counter()\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
        "seconds = time.perf_counter() - start\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(repr((done.returncode, seconds, used.ru_utime + used.ru_stime,\n"
        "            1024 * used.ru_maxrss, done.stdout, done.stderr)))\n"
    )
    arguments = [sys.executable, "-c", program, sys.executable, *map(str, command)]
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, check=True)
    return Finished(*ast.literal_eval(done.stdout))
