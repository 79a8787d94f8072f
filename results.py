"""What a run leaves on disk."""

import csv
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

FILES = ("similarities.csv", "similarities.npy", "run.json")  # in the folder of the experiment


def check_destination(output_dir: str | Path, experiment_id: str) -> list[str]:
    """What is wrong with where the results should go; nothing is created."""
    if problem := wrong_name(experiment_id):
        return [f"--experiment-id {experiment_id!r}: {problem}"]
    output_dir = Path(output_dir)
    picture, folder = output_dir / f"{experiment_id}.png", output_dir / experiment_id
    problems = []
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            folder.lstat()  # says if the path is too long or leads through a closed folder
        for path in (picture, *(folder / name for name in FILES)):
            if path.is_dir():
                problems.append(f"{path}: a folder is in the place of a result")
        if os.path.lexists(folder) and not folder.is_dir():
            problems.append(f"{folder}: a file is in the place of the results folder")
        existing = output_dir
        while not os.path.lexists(existing):
            existing = existing.parent
        if not existing.is_dir():
            problems.append(f"--output-dir {output_dir}: {existing} is a file, not a folder")
        for place in (existing, folder):
            if place.is_dir() and not os.access(place, os.W_OK | os.X_OK):
                problems.append(f"--output-dir {output_dir}: no permission to write to {place}")
    except OSError as error:
        problems.append(f"--output-dir {output_dir}: {error.strerror}")
    return problems


def wrong_name(experiment_id: str) -> str | None:
    """Why an experiment's id cannot be the name of a file in the output folder."""
    if not experiment_id.strip() or experiment_id in (".", ".."):
        return "give the experiment a name"
    if "/" in experiment_id or "\\" in experiment_id:
        return "a name, not a path: the folder is given with --output-dir"
    if not experiment_id.isprintable():
        return "a name of printable characters"
    if len(os.fsencode(experiment_id)) > 200:
        return "a name of at most 200 bytes"
    return None


def write_results(
    output_dir: str | Path,
    experiment_id: str,
    similarities,
    trajectories: list[str],
    prompts: list[str],
    heatmap: bytes,
    run: dict,
) -> Path:
    """Writes the picture, the numbers and run.json, and returns the picture's path.

    similarities: NumPy float32 [N, P]; trajectories and prompts name its rows and columns;
    heatmap: a PNG file. Everything is written beside its place first and renamed into it at the
    end, so that a failed run leaves the old results as they were. Raises OSError.
    """
    import numpy as np

    output_dir = Path(output_dir)
    folder = output_dir / experiment_id
    output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=output_dir) as temporary:
        new = Path(temporary)
        (new / "heatmap.png").write_bytes(heatmap)
        write_csv(new / "similarities.csv", similarities, trajectories, prompts)
        np.save(new / "similarities.npy", similarities)
        write_json(new / "run.json", run)

        folder.mkdir(exist_ok=True)
        for name in FILES:
            os.replace(new / name, folder / name)
        picture = output_dir / f"{experiment_id}.png"
        os.replace(new / "heatmap.png", picture)
    return picture


# File names may hold bytes that are no UTF-8; both writers show them as backslash escapes.


def write_csv(path, similarities, trajectories, prompts):
    """One row per trajectory, one column per prompt; a float32 keeps every digit it has."""
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["trajectory", *prompts])
        rows.writerows([name, *row] for name, row in zip(trajectories, similarities))


def write_json(path, content):
    with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
        file.write("\n")
