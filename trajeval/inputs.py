"""Reads prompt lists and trajectory lists.

A list is a UTF-8 text file with one entry on each line. Blank lines and lines that begin with `#`
are skipped; a byte-order mark and Windows line ends are accepted. A line `[name]` opens a group,
and in a list with groups every entry belongs to one.
"""

import os
from collections.abc import Iterable, Iterator
from glob import has_magic, iglob
from pathlib import Path
from typing import NamedTuple

from trajeval.files import open_regular, project_folder
from trajeval.sources import Source, fragment, frames_in, split_part
from trajeval.terminal import UserError, printable

# The videos of a folder. A file that is named itself may have any suffix.
VIDEO_SUFFIXES = (
    *(
        ".3gp",
        ".apng",
        ".asf",
        ".avi",
        ".flv",
        ".gif",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
    ),
    *(".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
BASELINE = "baseline"  # the group of prompts that describe only what all trajectories share
MAX_BYTES = 1 << 24  # of a list


class Prompt(NamedTuple):
    text: str
    group: str | None
    line: int


class Trajectory(NamedTuple):
    """start, end: of the part of a video, in seconds; None: from the start, to the end."""

    path: Path
    group: str | None
    line: int
    start: float | None = None
    end: float | None = None

    @property
    def name(self) -> str:
        """PATH, or PATH#t=START,END for a part."""
        return self.path.as_posix() + fragment(self.start, self.end)

    @property
    def source(self) -> Source:
        return Source(self.path, self.start, self.end)


def read_prompts(path: str | Path) -> list[Prompt]:
    """The prompts of a list, in order. Raises UserError."""
    prompts, problems = read_list(Path(path), "prompt")
    if problems:
        raise UserError(*problems)
    return [Prompt(*prompt) for prompt in prompts]


def read_trajectories(path: str | Path) -> list[Trajectory]:
    """The trajectories of a list, in order. A line is a file, a folder (the videos in it, sorted;
    without any, its images are the frames of one) or a glob pattern (the files that match, sorted),
    looked up in the current folder, then in the list's own, then beside the scripts; #t=START,END
    after it means this part of each. Raises UserError, which names every entry that is wrong."""
    entries, problems = read_list(Path(path), "trajectory")
    trajectories = []
    for text, group, line in entries:
        try:
            found, start, end = find_parts(text, Path(path).parent)
        except OSError as error:
            problems.append(f"{path}:{line}: {error.strerror}: {printable(text)}")
        except ValueError as error:
            problems.append(f"{path}:{line}: {error}")
        else:
            trajectories += [Trajectory(video, group, line, start, end) for video in found]
    if problems:
        raise UserError(*problems)
    return trajectories


def read_list(path: Path, kind: str) -> tuple[list[tuple[str, str | None, int]], list[str]]:
    """The entries of a list as (text, group, line), and what is wrong with it."""
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return [], [f"{path}: no such {kind} list"]
    except IsADirectoryError:
        return [], [f"{path}: is a folder; give a text file with one {kind} on each line"]
    except OSError as error:
        return [], [f"{path}: cannot be read: {error.strerror}"]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return [], [f"{path}: is UTF-16 text: save the list as UTF-8"]
    if b"\0" in data or len(data) > MAX_BYTES:
        return [], [f"{path}: is not a text file with one {kind} on each line"]

    entries, opened, problems = parse_lines(path, data.removeprefix(b"\xef\xbb\xbf").splitlines())
    if problems:
        return entries, problems
    if not entries:
        return [], [f"{path}: has no {kind}: write one on each line"]
    filled = {group for _, group, _ in entries}
    for name, number in opened.items():
        if name not in filled:
            problems.append(f"{path}:{number}: the group [{name}] is empty")
    _, group, number = entries[0]
    if opened and group is None:
        problems.append(
            f"{path}:{number}: comes before the first group: in a list with groups every entry "
            "belongs to one"
        )
    return entries, problems


def parse_lines(path: Path, lines: list[bytes]):
    """The lines of a list -> its entries as (text, group, line), its groups with the line that
    opens each, and what is wrong."""
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
            entries.append((text, group, number))
    return entries, opened, problems


def find_parts(entry: str, list_folder: Path) -> tuple[list[Path], float | None, float | None]:
    """What a line of a trajectory list means: files and folders of frames, and where the part of
    each starts and ends. A file whose name ends in #t=START,END is found first. Raises OSError, and
    ValueError if there are none."""
    places = {list_folder: str(list_folder), Path(): "the current folder"}
    places = {Path(): places.pop(Path())} | places  # the current folder first
    if project := project_folder():
        places.setdefault(project, "the folder of the scripts")
    if "#t=" in entry and (found := find_videos(entry, places)):
        return found, None, None
    path, start, end = split_part(entry)
    if found := find_videos(path, places):
        return found, start, end
    looked = " or ".join(dict.fromkeys(places.values()))
    raise ValueError(f"no such file, folder or match: {printable(path)} (searched in {looked})")


def find_videos(entry: str, places: Iterable[Path]) -> list[Path]:
    """The files and folders of frames that a line without a part means, in the first of some
    folders that has any. Raises ValueError for what cannot be a trajectory."""
    for folder in places:
        path = folder / os.path.expanduser(entry)
        if path.is_dir():
            return find_in_folder(path)
        if os.path.lexists(path):
            check_file(path)
            return [path]
        matches = sorted(folder / match for match in find_matches(entry, folder))
        found = [match for match in matches if not match.is_dir()]
        for file in found:
            check_regular(file)
        if found := found or [match for match in matches if holds_frames(match)]:
            return found
        if matches:
            raise ValueError(f"matches only folders without frames, no files: {printable(entry)}")
    return []


def find_in_folder(path: Path) -> list[Path]:
    """The videos in a folder; the folder itself if it holds images, the frames of one trajectory.
    Raises ValueError if it has neither."""
    found = sorted(videos_in(path))
    for file in found:
        check_regular(file)
    if found:
        return found
    shown = printable(str(path))
    try:
        names = frames_in(path)
    except ValueError as error:
        raise ValueError(f"{shown} holds no videos, and {error}") from None
    if not names:
        raise ValueError(f"no videos in the folder {shown}, and no numbered images")
    return [path]


def holds_frames(folder: Path) -> bool:
    """Whether a folder's images are the frames of one trajectory."""
    try:
        return not any(videos_in(folder)) and bool(frames_in(folder))
    except (OSError, ValueError):
        return False


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
    head, stars, rest = partition_recursive(pattern)
    if not stars:
        yield from iglob(pattern, root_dir=folder) if has_magic(pattern) else ()
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
