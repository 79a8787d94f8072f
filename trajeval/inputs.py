"""Reads prompt lists and trajectory lists.

A list is a UTF-8 text file with one entry on each line. Blank lines and lines that begin with `#`
are skipped; a byte-order mark and Windows line ends are accepted. A line `[name]` opens a group,
and in a list with groups every entry belongs to one. A list whose name ends in `.csv` is a table,
which `csv_lists.py` reads.
"""

import errno
import os
import stat
from collections.abc import Iterator
from glob import has_magic, iglob
from pathlib import Path
from typing import NamedTuple

from trajeval.csv_lists import Row, read_rows
from trajeval.files import open_regular, project_folder
from trajeval.terminal import UserError, printable

# The videos of a folder. A file that is named itself may have any suffix.
VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
    *(".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
BASELINE = "baseline"  # the group of prompts that describe only what all trajectories share
MAX_BYTES = 1 << 24  # of a list
MAX_CSV_BYTES = 1 << 26  # of a table, which may have columns of all kinds


class Prompt(NamedTuple):
    text: str
    group: str | None
    line: int


class Trajectory(NamedTuple):
    """start, end: the part of the video, in seconds, None for its own. rating: how good it is: a
    number, or one of csv_lists.RATINGS."""

    path: Path
    group: str | None
    line: int
    start: float | None = None
    end: float | None = None
    rating: float | str | None = None


def read_prompts(path: str | Path, notes: list[str] | None = None) -> list[Prompt]:
    """The prompts of a list, in order. notes: gets what is ignored. Raises UserError."""
    rows, problems = read_list(Path(path), "prompt", notes)
    if problems:
        raise UserError(*problems)
    return [Prompt(row.text, row.group, row.line) for row in rows]


def read_trajectories(path: str | Path, notes: list[str] | None = None) -> list[Trajectory]:
    """The trajectories of a list, in order. An entry is a file, a folder (the videos in it, sorted)
    or a glob pattern (the files that match, sorted), looked up in the current folder, then in the
    list's own, then beside the scripts. notes: gets what is ignored. Raises UserError, which names
    every entry that cannot be found."""
    path = Path(path)
    rows, problems = read_list(path, "trajectory", notes)
    column = ": column path" if is_table(path) else ""
    places = places_of(path.parent)
    trajectories = []
    for row in rows:
        try:
            found = find_videos(row.text, places)
        except OSError as error:
            problems.append(f"{path}:{row.line}{column}: {error.strerror}: {printable(row.text)}")
        except ValueError as error:
            problems.append(f"{path}:{row.line}{column}: {error}")
        else:
            part = row.start, row.end
            trajectories += [
                Trajectory(video, row.group, row.line, *part, row.rating) for video in found
            ]
    if problems:
        raise UserError(*problems)
    return trajectories


def is_table(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def read_list(path: Path, kind: str, notes: list[str] | None) -> tuple[list[Row], list[str]]:
    """The entries of a list, and what is wrong with it."""
    limit = MAX_CSV_BYTES if is_table(path) else MAX_BYTES
    try:
        with open_regular(path) as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return [], [f"{path}: no such {kind} list"]
    except IsADirectoryError:
        return [], [f"{path}: is a folder; give a text file with one {kind} on each line"]
    except OSError as error:
        return [], [f"{path}: cannot be read: {error.strerror}"]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return [], [f"{path}: is UTF-16 text: save the list as UTF-8"]
    if is_table(path):
        if len(data) > limit:
            return [], [f"{path}: is larger than {limit >> 20} MiB: split it"]
        rows, problems, ignored = read_rows(path, data, kind)
        if ignored and notes is not None:
            notes.append(f"{path}: columns ignored: {printable(', '.join(ignored))}")
        return rows, problems
    if b"\0" in data or len(data) > limit:
        return [], [f"{path}: is not a text file with one {kind} on each line"]
    return read_lines(path, data, kind)


def read_lines(path: Path, data: bytes, kind: str) -> tuple[list[Row], list[str]]:
    """The entries of a text file, and what is wrong with it."""
    rows, opened, problems = parse_lines(path, data.removeprefix(b"\xef\xbb\xbf").splitlines())
    if problems:
        return rows, problems
    if not rows:
        return [], [f"{path}: has no {kind}: write one on each line"]
    filled = {row.group for row in rows}
    for name, number in opened.items():
        if name not in filled:
            problems.append(f"{path}:{number}: the group [{name}] is empty")
    if opened and rows[0].group is None:
        problems.append(
            f"{path}:{rows[0].line}: comes before the first group: in a list with groups every "
            "entry belongs to one"
        )
    return rows, problems


def parse_lines(path: Path, lines: list[bytes]):
    """The lines of a list -> its entries, its groups with the line that opens each, and what is
    wrong."""
    entries, problems = [], []
    group, opened = None, {}  # opened: group name -> its line
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            byte = line[error.start]
            problems.append(f"{path}:{number}: not UTF-8 (byte 0x{byte:02x}): save it as UTF-8")
            continue
        if not text or text.startswith("#"):
            continue
        if text.startswith("[") and text.endswith("]"):
            group = text[1:-1].strip()
            if not group:
                problems.append(f"{path}:{number}: a group needs a name between the brackets")
            elif group in opened:
                problems.append(
                    f"{path}:{number}: the group [{group}] was already opened in line "
                    f"{opened[group]}: put its entries together"
                )
            opened.setdefault(group, number)
        else:
            entries.append(Row(text, group, number))
    return entries, opened, problems


def places_of(list_folder: Path) -> dict[Path, str]:
    """The folders where the entries of a list are looked up, and what they are called."""
    places = {list_folder: str(list_folder), Path(): "the current folder"}
    places = {Path(): places.pop(Path())} | places  # the current folder first
    if project := project_folder():
        places.setdefault(project, "the folder of the scripts")
    return places


def find_videos(entry: str, places: dict[Path, str]) -> list[Path]:
    """The files that an entry of a trajectory list means. Raises ValueError if there are none."""
    expanded = os.path.expanduser(entry)
    for folder in places:
        path = os.path.join(folder, expanded)
        mode = mode_of(path)
        if stat.S_ISREG(mode) and os.access(path, os.R_OK):
            return [Path(path)]
        if stat.S_ISDIR(mode):
            found = sorted(videos_in(Path(path)))
            if not found:
                raise ValueError(f"no videos in the folder {printable(entry)}")
        elif os.path.lexists(path):
            check_file(Path(path))
            return [Path(path)]
        else:
            matches = [folder / match for match in find_matches(entry, folder)]
            found = sorted(match for match in matches if not match.is_dir())
            if matches and not found:
                raise ValueError(f"matches only folders, no files: {printable(entry)}")
        if found:
            for file in found:
                check_regular(file)
            return found
    looked = " or ".join(dict.fromkeys(places.values()))
    raise ValueError(f"no such file, folder or match: {printable(entry)} (searched in {looked})")


def mode_of(path: str) -> int:
    """What is at a path (see `stat`), 0 if nothing is. Raises OSError if it cannot be known. A list
    may have 100,000 entries: pathlib takes several times as long."""
    try:
        return os.stat(path).st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return 0
        raise


def check_file(path: Path) -> None:
    """Raises ValueError for a path that a line names and that is not a readable file."""
    shown = printable(str(path))
    if not path.exists():
        raise ValueError(f"a broken symbolic link: {shown}")
    check_regular(path)
    if not os.access(path, os.R_OK):
        raise ValueError(f"no permission to read {shown}")


def check_regular(path: Path) -> None:
    """Raises ValueError for what exists and is not a file: a pipe would hang. Files of a folder
    that cannot be read are reported by the run, which goes on with the others."""
    if path.exists() and not path.is_file():
        raise ValueError(f"not a regular file: {printable(str(path))}")


def find_matches(pattern: str, folder: Path) -> Iterator[str]:
    """The paths that match a glob pattern, from a folder. `**` means this folder and all below it,
    each of them once, however many links lead to it."""
    pattern = os.path.expanduser(pattern)
    if not has_magic(pattern):
        return
    head, stars, rest = partition_recursive(pattern)
    if not stars:
        yield from iglob(pattern, root_dir=folder)
        return
    seen: set[tuple[int, int]] = set()
    for start in iglob(head, root_dir=folder) if head else ("",):
        for below in folders_below(folder / start, seen):
            for match in find_matches(rest, below) if has_magic(rest) else (rest,):
                if os.path.lexists(below / match):
                    yield str(below.relative_to(folder) / match)


def partition_recursive(pattern: str) -> tuple[str, str, str]:
    """A pattern before, at and after its first component `**`; what comes after it is `*` if there
    is nothing."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return pattern, "", ""
    i = parts.index("**")
    return os.path.join("", *parts[:i]), "**", os.path.join("", *parts[i + 1 :]) or "*"


def folders_below(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """A folder and all below it that are not hidden, except those seen already, which get noted."""
    try:
        found = os.stat(folder)
        key = found.st_dev, found.st_ino
        if key in seen or not os.path.isdir(folder):
            return
        seen.add(key)
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError:  # vanished, or closed to us
        return
    yield folder
    for name in names:
        if not name.startswith("."):
            yield from folders_below(folder / name, seen)


def videos_in(folder: Path) -> Iterator[Path]:
    """The videos in a folder, by their suffix; hidden files do not count."""
    for path in folder.iterdir():
        hidden = path.name.startswith(".")
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir() and not hidden:
            yield path
