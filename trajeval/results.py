"""What a run leaves on disk, and what is read of it again."""

import csv
import io
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from trajeval.terminal import UserError

FILES = (  # in the folder of the experiment
    *("similarities.csv", "similarities.npy", "embeddings.npz", "run.json"),
    *("heatmap.png", "groups.png", "groups.csv", "metrics.json", "confusion.png"),  # with groups
)


class Results(NamedTuple):
    """What a run left: similarities, float32 [N, P], and the group or None of each row (a path) and
    column (a prompt)."""

    name: str
    model: str
    label: str
    similarities: "np.ndarray"  # noqa: F821, NumPy is imported where it is needed
    trajectories: list[tuple[str, str | None]]
    prompts: list[tuple[str, str | None]]


def read_results(folder: str | Path) -> Results:
    """Reads the results in a run's folder. Raises UserError."""
    import numpy as np

    folder = Path(folder)
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        with open(folder / "similarities.npy", "rb") as file:
            similarities = np.lib.format.read_array(file, allow_pickle=False)
        trajectories = [
            (str(entry["path"]), entry["group"])
            for entry in run["trajectories"]
            if "error" not in entry
        ]
        prompts = [(str(entry["prompt"]), entry["group"]) for entry in run["columns"]]
        found = Results(
            *(str(run[key]) for key in ("experiment", "description", "similarity")),
            similarities,
            trajectories,
            prompts,
        )
        for listed in (trajectories, prompts):
            kinds = {type(group) for _, group in listed}
            if kinds - {str, type(None)} or len(kinds) > 1:
                raise ValueError("the groups of a list are neither all names nor all missing")
        if similarities.shape != (len(trajectories), len(prompts)) or not similarities.size:
            shape = " by ".join(map(str, similarities.shape))
            raise ValueError(f"similarities.npy is {shape}, which is not what run.json says")
        if similarities.dtype.kind != "f" or not np.isfinite(similarities).all():
            raise ValueError("similarities.npy holds other things than numbers")
        return found
    except OSError as error:
        raise UserError(
            f"{folder}: not the folder of a run's results: {error.filename}: {error.strerror}"
        ) from None
    except KeyError as error:
        raise UserError(f"{folder}: run.json has no {error}; run the evaluator again") from None
    except Exception as error:  # a damaged file can raise anything
        raise UserError(f"{folder}: damaged, run the evaluator again: {error}") from None


def check_destination(output_dir: str | Path, experiment_id: str) -> list[str]:
    """What is wrong with where the results should go; nothing is created."""
    if problem := wrong_name(experiment_id):
        return [f"--experiment-id {experiment_id!r}: {problem}"]
    output_dir = Path(output_dir)
    picture, folder = output_dir / f"{experiment_id}.png", output_dir / experiment_id
    if problems := wrong_folder("--output-dir", output_dir):
        return problems
    try:
        for path in (picture, *(folder / name for name in FILES)):
            if path.is_dir():
                problems.append(f"{path}: a folder is in the place of a result")
        if os.path.lexists(folder) and not folder.is_dir():
            problems.append(f"{folder}: a file is in the place of the results folder")
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            problems.append(f"--output-dir {output_dir}: no permission to write to {folder}")
    except OSError as error:
        problems.append(f"--output-dir {output_dir}: {error.strerror}")
    return problems


def wrong_folder(option: str, folder: Path) -> list[str]:
    """Why the folder that an option names cannot be made or written to; nothing is created."""
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            (folder / "file").lstat()  # too long a path, or one through a closed folder
    except OSError as error:
        return [f"{option} {folder}: {error.strerror}"]
    existing = folder
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return [f"{option} {folder}: {existing} is a file, not a folder"]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [f"{option} {folder}: no permission to write to {existing}"]
    return []


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
    output_dir: str | Path, experiment_id: str, picture: bytes, files: dict[str, bytes]
) -> Path:
    """Writes the picture and the files of the experiment's folder; returns the picture's path.

    files: name -> content, of the names in FILES; those that an earlier run left and this one does
    not have are removed. Raises OSError, and then the old results are as they were.
    """
    folder = {f"{experiment_id}/{name}": files.get(name) for name in FILES}
    replace_files(output_dir, folder | {f"{experiment_id}.png": picture})
    return Path(output_dir) / f"{experiment_id}.png"


def replace_files(folder: str | Path, files: dict[str, bytes | None]) -> None:
    """Writes files, by their paths in a folder; None removes one. All are written beside their
    places first and renamed into them at the end, so that whoever looks sees the old or the new
    ones, and a failed write leaves the old. Raises OSError."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as temporary:
        for name, content in files.items():
            if content is not None:
                (Path(temporary) / name).parent.mkdir(exist_ok=True)
                (Path(temporary) / name).write_bytes(content)
        for name, content in files.items():
            if content is None:
                (folder / name).unlink(missing_ok=True)
            else:
                (folder / name).parent.mkdir(exist_ok=True)
                os.replace(Path(temporary) / name, folder / name)


# File names may hold bytes that are no UTF-8; both show them as backslash escapes.


def as_csv(header: list, rows) -> bytes:
    """A table, header first; a float32 keeps every digit it has."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue().encode("utf-8", "backslashreplace")


def as_json(content) -> bytes:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")


def as_npy(array) -> bytes:
    import numpy as np

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def as_npz(**arrays) -> bytes:
    import numpy as np

    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()
