"""Reads prompt lists and trajectory lists: what their rows mean, and where the videos are."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from glob import has_magic, iglob
from pathlib import Path
from typing import NamedTuple

from trajeval.files import project_folder, real_paths
from trajeval.rows import is_table, read_list
from trajeval.terminal import UserError, printable

# The videos of a folder. A file that is named itself may have any suffix.
VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
    *(".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
BASELINE = "baseline"  # the group of prompts that describe only what all trajectories share


class Prompt(NamedTuple):
    text: str
    group: str | None
    line: int


class Trajectory(NamedTuple):
    """groups: in the order of the list, none in a list without. start, end: the part of the video,
    in seconds, None for its own. rating: how good it is: a number, or one of csv_lists.RATINGS."""

    path: Path
    groups: tuple[str, ...]
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
            groups, part = (row.group,) if row.group else (), (row.start, row.end)
            trajectories += [
                Trajectory(video, groups, row.line, *part, row.rating) for video in found
            ]
    trajectories = with_all_groups(path, trajectories, problems)
    if problems:
        raise UserError(*problems)
    return trajectories


def with_all_groups(
    path: Path, trajectories: list[Trajectory], problems: list[str]
) -> list[Trajectory]:
    """The trajectories of a list with each in all of its groups: the same part of a file in another
    group is the same trajectory, in the same group it is repeated. Ratings that differ are added to
    the problems."""
    real_path = real_paths()
    merged: list[Trajectory] = []
    first_places: dict[tuple, int] = {}  # a part of a file -> where it is in merged
    others: dict[int, tuple[list[int], Counter]] = {}  # there -> all its places, its groups so far
    for trajectory in trajectories:
        part = real_path(trajectory.path), trajectory.start, trajectory.end
        place = first_places.setdefault(part, len(merged))
        if place == len(merged):
            merged.append(trajectory)
            continue
        first = merged[place]
        if trajectory.rating != first.rating:
            problems.append(
                f"{path}:{trajectory.line}: column rating: {shown_rating(trajectory.rating)}, but "
                f"{shown_rating(first.rating)} in line {first.line}: the same video has one rating"
            )
        places, counts = others.setdefault(place, ([place], Counter([first.groups])))
        n = counts[trajectory.groups]
        counts[trajectory.groups] += 1
        if n == len(places):
            places.append(len(merged))
            merged.append(trajectory)
        else:
            earlier = merged[places[n]]
            merged[places[n]] = earlier._replace(groups=earlier.groups + trajectory.groups)
    return merged


def shown_rating(rating: float | str | None) -> str:
    return "is empty" if rating is None else f"is {rating}"


def places_of(list_folder: Path) -> dict[str, str]:
    """The folders where the entries of a list are looked up, and what they are called; "" is the
    current folder, the first."""
    places = {"": "the current folder"}
    if list_folder != Path():
        places[str(list_folder)] = str(list_folder)
    if project := project_folder():
        places.setdefault(str(project), "the folder of the scripts")
    return places


def find_videos(entry: str, places: dict[str, str]) -> list[Path]:
    """The files that an entry of a trajectory list means. Raises ValueError if there are none."""
    expanded = os.path.expanduser(entry)
    is_pattern = has_magic(expanded)
    for folder in places:
        path = os.path.join(folder, expanded)
        mode = mode_of(path)
        if stat.S_ISREG(mode) and os.access(path, os.R_OK):
            return [Path(path)]
        found = []
        if stat.S_ISDIR(mode):
            found = sorted(videos_in(Path(path)))
            if not found:
                raise ValueError(f"no videos in the folder {printable(entry)}")
        elif mode:
            check_file(Path(path))
            return [Path(path)]
        elif is_pattern:
            matches = [Path(folder, match) for match in find_matches(expanded, Path(folder))]
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
    """What is at a path (see `stat`), of a link what it leads to; 0 if nothing is. Raises OSError
    if it cannot be known. pathlib takes several times as long, and a list may have 100,000
    entries."""
    try:
        mode = os.lstat(path).st_mode
        return os.stat(path).st_mode if stat.S_ISLNK(mode) and os.path.exists(path) else mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


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
