"""Evaluators run over the project that the fixture of that name makes."""

import csv
import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from trajeval import evaluator

ROOT = Path(__file__).parent.parent
TRAJECTORIES = [ROOT / f"trajectories/cheetah_{name}.mp4" for name in ("run", "jump", "tremble")]
PROMPTS = ["a cheetah is running", "a cheetah is jumping up and down", "a cheetah is trembling"]
LISTS = ["-t", "trajectories.txt", "-p", "prompts.txt", "-e", "exp", "-o", "out"]


def evaluate(script, *arguments, **environment):
    """A run over the project's lists, called `exp` in the folder `out`."""
    command = [sys.executable, ROOT / script, *LISTS, *map(str, arguments)]
    environment = {k: v for k, v in os.environ.items() if k[:3] != "HF_"} | environment
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def evaluate_here(model_class, *arguments):
    """The same without the seconds that a process of its own takes to import; the exit status."""
    return evaluator.main(model_class, "", [*LISTS, *map(str, arguments)])


def example():
    """The module of the example of a model in one file, quick and right about colours."""
    path = ROOT / "examples/colour_evaluator.py"
    spec = importlib.util.spec_from_file_location("colour_evaluator", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_npy(array):
    """The bytes of a .npy file, of objects too."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def read_numbers(folder):
    """The CSV as (columns but for the groups, rows, float array)."""
    with open(Path(folder) / "similarities.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header.pop(1) == "group"
    return header, [row[0] for row in rows], np.array([row[2:] for row in rows], np.float32)
