"""What a run leaves on disk, and reading it again.

A run's results are the folder NAME and the picture NAME.png beside it. They are old or new as a
whole: `swap.py` says how they are replaced, and run.json has the SHA-256 of each file.
"""

import csv
import io
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from trajeval.entries import content_in, entries_in, groups_in, rating_in
from trajeval.files import hash_file, open_regular, replacing
from trajeval.swap import FILES, PLOTS, swap_in, undisturbed
from trajeval.terminal import UserError

if TYPE_CHECKING:  # NumPy is imported where it is needed
    from trajeval.curves import Control, Curves
    from trajeval.streams import Content
    from trajeval.table import Table


class Results(NamedTuple):
    """What a run left. contents: for each row of the table the digest of the video's content, with
    the start and end of a part, None if run.json has none. fingerprint: of what the results depend
    on (see record.fingerprint), None in results of older versions. missing: files that the run
    wrote and that were deleted since. curves: None without --curves; controls: by their names, None
    without --controls; None too where the file was deleted."""

    name: str
    model: str
    table: "Table"
    contents: list[str | None]
    fingerprint: str | None
    missing: list[Path]
    curves: "Curves | None" = None
    controls: "dict[str, Control] | None" = None


def read_results(folder: str | Path) -> Results:
    """Reads the results in a run's folder. Raises UserError."""
    folder = Path(folder)
    try:
        with undisturbed(Path(os.path.abspath(folder)).parent):
            return parse_results(folder)
    except OSError as error:
        raise UserError(
            f"{folder}: not the folder of a run's results: {error.filename}: {error.strerror}"
        ) from None
    except KeyError as error:
        raise UserError(f"{folder}: run.json has no {error}; run the evaluator again") from None
    except (UserError, ImportError):
        raise
    except Exception as error:  # a damaged file can raise anything
        raise UserError(f"{folder}: damaged, run the evaluator again: {error}") from None


def parse_results(folder: Path) -> Results:
    """Raises whatever a damaged file raises."""
    import numpy as np

    from trajeval.arrays import read_controls, read_curves
    from trajeval.table import Entry, Table

    with open_regular(folder / "run.json") as file:
        run = json.loads(file.read().decode("utf-8"))
    missing = check_manifest(folder, run)
    with open_regular(folder / "similarities.npy") as file:
        values = np.lib.format.read_array(file, allow_pickle=False)
    rows, contents = [], []
    for entry in entries_in(folder, run):
        if "error" not in entry:
            rows.append(Entry(str(entry["path"]), groups_in(entry), rating_in(entry)))
            contents.append(content_in(entry))
    columns = [Entry(str(entry["prompt"]), groups_in(entry)) for entry in run["columns"]]
    name, model, label = (str(run[key]) for key in ("experiment", "description", "similarity"))
    for entries in (rows, columns):
        if len({bool(entry.groups) for entry in entries}) > 1:
            raise ValueError("in a list with groups every entry needs one, a text")
    if values.shape != (len(rows), len(columns)) or not values.size:
        shape = " by ".join(map(str, values.shape))
        raise ValueError(f"similarities.npy is {shape}, which does not match run.json")
    if values.dtype.kind != "f":
        raise ValueError("similarities.npy holds other things than floating-point numbers")
    if not np.isfinite(values).all():
        raise ValueError("similarities.npy holds NaN or infinite values")
    if len({type(row.rating) for row in rows if row.rating is not None}) > 1:
        raise ValueError("some ratings are numbers, others words")
    table = Table(values, rows, columns, label)
    curves = controls = None
    if how := run.get("arguments", {}).get("curves"):
        curves = read_curves(folder, str(how), table)
    if run.get("arguments", {}).get("controls"):
        controls = read_controls(folder, table, curves)
    return Results(name, model, table, contents, run.get("fingerprint"), missing, curves, controls)


def check_manifest(folder: Path, run: dict) -> list[Path]:
    """Raises UserError if a file is not the one that the run wrote. A deleted file is no error, and
    returned; the picture is not looked for beside a folder that was renamed."""
    place = Path(os.path.abspath(folder))
    missing = []
    for name, digest in run.get("files", {}).items():
        if name in FILES:
            path = folder / name
        elif name == f"{place.name}.png":
            path = folder.parent / name
        else:
            continue
        try:
            with open_regular(path) as file:
                found = hash_file(file, "sha256")
        except FileNotFoundError:
            missing.append(path)
            continue
        if found != digest:
            raise UserError(
                f"{folder}: damaged or mixed, run the evaluator again: {path} is not the file that "
                "the run wrote"
            )
    return missing


def check_destination(output_dir: str | Path, experiment_id: str) -> list[str]:
    """What is wrong with the place of the results; nothing is created."""
    if problem := wrong_name(experiment_id):
        return [f"--experiment-id {experiment_id!r}: {problem}"]
    if problems := wrong_folder("--output-dir", output_dir):
        return problems
    output_dir = Path(output_dir)
    picture, folder = output_dir / f"{experiment_id}.png", output_dir / experiment_id
    try:
        for path in (picture, *(folder / name for name in FILES)):
            if path.is_dir():
                problems.append(f"{path}: a folder has the name of a result")
        for path, what in ((folder, "the results folder"), (folder / PLOTS, "the folder of plots")):
            if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
                kind = "symbolic link" if path.is_symlink() else "file"
                problems.append(f"{path}: a {kind} has the name of {what}")
                break  # of a link, what is in it is not ours
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            problems.append(f"--output-dir {output_dir}: no permission to write to {folder}")
    except OSError as error:
        problems.append(f"--output-dir {output_dir}: {error.strerror}")
    return problems


def wrong_folder(option: str, folder: str | Path) -> list[str]:
    """Why the folder that an option names cannot be made or written to; nothing is created."""
    if not os.fspath(folder):
        return [f"{option}: the path is empty: name a folder"]
    folder = Path(folder)
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
    """Why an experiment's id cannot be a file name in the output folder."""
    if not experiment_id.strip() or experiment_id in (".", ".."):
        return "give the experiment a name"
    if "/" in experiment_id or "\\" in experiment_id:
        return "takes a name, not a path: --output-dir names the folder"
    if not experiment_id.isprintable():
        return "use printable characters only"
    if len(os.fsencode(experiment_id)) > 200:
        return "use at most 200 bytes"
    return None


def write_results(
    output_dir: str | Path, experiment_id: str, picture: bytes, files: "Mapping[str, Content]"
) -> Path:
    """Writes the picture and the files of the experiment's folder; returns the picture's path.

    files: name -> content, of the names in FILES; those that an earlier run left and this one does
    not have are removed. run.json is among them and gets an entry `files`: the SHA-256 of every
    other file and of the picture. Files of other names in the folder stay. Raises UserError, with
    status 1, and then the old results are as they were.
    """
    from trajeval.streams import write_content

    run = files["run.json"]
    assert isinstance(run, bytes)
    run = json.loads(run)

    def write(folder: Path, picture_path: Path) -> None:
        digests = {}
        for name, content in files.items():
            if name != "run.json":
                (folder / name).parent.mkdir(exist_ok=True)
                digests[name] = write_content(folder / name, content)
        digests[picture_path.name] = write_content(picture_path, picture)
        (folder / "run.json").write_bytes(as_json(run | {"files": digests}))

    swap_in(Path(output_dir), experiment_id, write)
    return Path(output_dir) / f"{experiment_id}.png"


def replace_files(folder: str | Path, files: Mapping[str, bytes | None]) -> None:
    """Writes files, by their paths in a folder; None removes one. All are written before the first
    replaces an old one, in reverse order. Raises UserError, with status 1."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            for name, content in files.items():
                if content is not None:
                    path = Path(folder) / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    file = stack.enter_context(replacing(path))
                    file.write(content)
                    file.close()  # a thousand files may be more than can be open
        for name in (name for name, content in files.items() if content is None):
            path = Path(folder) / name
            path.unlink(missing_ok=True)
    except OSError as error:
        if error.filename2 is not None:  # a file that cannot be replaced
            path = error.filename2
        raise UserError(f"{path}: could not be written: {error.strerror}", status=1) from None


# File names may hold bytes that are not UTF-8; both write them as backslash escapes.


def as_csv(header: list, rows) -> bytes:
    """A table, header first; a float32 keeps every digit it has."""
    content = io.BytesIO()
    write_csv(content, header, rows)
    return content.getvalue()


def write_csv(content: BinaryIO, header: list, rows) -> None:
    """Writes what `as_csv` returns."""
    file = io.TextIOWrapper(content, "utf-8", "backslashreplace", newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    file.detach()  # flushed; it would close what it was given


def as_json(content) -> bytes:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")
