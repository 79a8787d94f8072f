"""Reads prompt lists and trajectory lists.

A list is a UTF-8 text file, one entry a line. Blank lines and lines that begin with `#` are
skipped; a byte-order mark and Windows line ends do no harm. A line `[name]` opens a group, and
once a list has groups, every entry stands in one.
"""

import os
from collections.abc import Iterator
from glob import glob
from pathlib import Path
from typing import NamedTuple

from trajeval.terminal import UserError

BASELINE = "baseline"  # the group of prompts that describe only what all trajectories share

# What counts as a video when a whole folder is listed. A file named on its own may be anything.
VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
    *(".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
MAX_BYTES = 1 << 24  # of a list; more is no list


class Prompt(NamedTuple):
    text: str
    group: str | None
    line: int


class Trajectory(NamedTuple):
    path: Path
    group: str | None
    line: int


def read_prompts(path: str | Path) -> list[Prompt]:
    """The prompts of a list, in order. Raises UserError."""
    prompts, problems = read_list(Path(path), "prompt")
    if problems:
        raise UserError(*problems)
    return [Prompt(*prompt) for prompt in prompts]


def read_trajectories(path: str | Path) -> list[Trajectory]:
    """The trajectories of a list, in order: a line is a file, a folder (the videos in it, sorted)
    or a glob pattern (the files that match, sorted), tried from the current folder and then from
    the list's own. Raises UserError, which names every entry that leads nowhere."""
    entries, problems = read_list(Path(path), "trajectory")
    trajectories = []
    for text, group, line in entries:
        try:
            found = find_videos(text, Path(path).parent)
        except (ValueError, OSError) as error:
            problems.append(f"{path}:{line}: {error}")
        else:
            trajectories += [Trajectory(video, group, line) for video in found]
    if problems:
        raise UserError(*problems)
    return trajectories


def read_list(path: Path, kind: str) -> tuple[list[tuple[str, str | None, int]], list[str]]:
    """The entries of a list as (text, group, line), and what is wrong with it."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return [], [f"{path}: no such {kind} list"]
    except IsADirectoryError:
        return [], [f"{path}: a folder, expected a text file with one {kind} a line"]
    except OSError as error:
        return [], [f"{path}: cannot be read: {error.strerror}"]

    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return [], [f"{path}: text in UTF-16: save the list as UTF-8"]
    if b"\0" in data or len(data) > MAX_BYTES:
        return [], [f"{path}: not a text file with one {kind} a line"]

    entries, problems = [], []
    group, opened = None, {}  # opened: group name -> its line
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
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
                    f"{path}:{number}: the group [{group}] was opened in line {opened[group]} "
                    "already: put its entries together"
                )
            opened.setdefault(group, number)
        else:
            entries.append((text, group, number))

    if problems:
        return entries, problems
    if not entries:
        return [], [f"{path}: holds no {kind}: write one a line"]
    filled = {group for _, group, _ in entries}
    for name, number in opened.items():
        if name not in filled:
            problems.append(f"{path}:{number}: the group [{name}] is empty")
    _, group, number = entries[0]
    if opened and group is None:
        problems.append(
            f"{path}:{number}: stands before the first group: "
            "in a list with groups every entry belongs to one"
        )
    return entries, problems


def find_videos(entry: str, list_folder: Path) -> list[Path]:
    """The files that one line of a trajectory list means. Raises ValueError if there are none."""
    for folder in dict.fromkeys((Path(), list_folder)):
        path = folder / os.path.expanduser(entry)
        if path.is_dir():
            found = sorted(videos_in(path))
            if not found:
                raise ValueError(f"no videos in the folder {entry}")
            return found
        if path.is_symlink() and not path.exists():
            raise ValueError(f"a link to nowhere: {entry}")
        if path.exists():
            if not path.is_file():
                raise ValueError(f"not a file: {entry}")
            if not os.access(path, os.R_OK):
                raise ValueError(f"no permission to read {entry}")
            return [path]
        if found := glob(os.path.expanduser(entry), root_dir=folder, recursive=True):
            files = sorted(folder / match for match in found if not (folder / match).is_dir())
            if not files:
                raise ValueError(f"matches folders only, no files: {entry}")
            return files
    looked = " or ".join(dict.fromkeys(["the current folder", str(list_folder)]))
    raise ValueError(f"no such file, folder or match: {entry} (looked from {looked})")


def videos_in(folder: Path) -> Iterator[Path]:
    """The videos that lie in a folder, by their extension; hidden files do not count."""
    for path in folder.iterdir():
        hidden = path.name.startswith(".")
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir() and not hidden:
            yield path
