"""Which files the entries of a trajectory list mean."""

import os
import stat
from collections.abc import Iterator
from glob import has_magic, iglob
from pathlib import Path

from trajeval.files import project_folder
from trajeval.sources import frames_in, split_part
from trajeval.terminal import printable

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


def places_of(list_folder: Path) -> dict[str, str]:
    """The folders where the entries of a list are looked up, and what they are called; "" is the
    current folder, the first."""
    places = {"": "the current folder"}
    if list_folder != Path():
        places[str(list_folder)] = str(list_folder)
    if project := project_folder():
        places.setdefault(str(project), "the folder of the scripts")
    return places


def find_parts(entry: str, places: dict[str, str]) -> tuple[list[Path], float | None, float | None]:
    """The files and folders of frames that an entry of a trajectory list means, and where the part
    of each starts and ends. A file whose name ends in #t=START,END is found first. Raises OSError,
    and ValueError if there are none."""
    if "#t=" in entry and (found := find_videos(entry, places)):
        return found, None, None
    path, start, end = split_part(entry)
    if found := find_videos(path, places):
        return found, start, end
    looked = " or ".join(dict.fromkeys(places.values()))
    raise ValueError(f"no such file, folder or match: {printable(path)} (searched in {looked})")


def find_videos(entry: str, places: dict[str, str]) -> list[Path]:
    """The files and folders of frames that a path or pattern means, in the first of some folders
    that has any. Raises ValueError for what cannot be a trajectory."""
    expanded = os.path.expanduser(entry)
    is_pattern = has_magic(expanded)
    for folder in places:
        path = os.path.join(folder, expanded)
        mode = mode_of(path)
        if stat.S_ISREG(mode) and os.access(path, os.R_OK):
            return [Path(path)]
        if stat.S_ISDIR(mode):
            return find_in_folder(Path(path), printable(entry))
        if mode:
            check_file(Path(path))
            return [Path(path)]
        if is_pattern and (found := find_matching(expanded, Path(folder))):
            return found
    return []


def find_matching(pattern: str, folder: Path) -> list[Path]:
    """The files that match a pattern; where only folders do, those that hold frames. Raises
    ValueError if none of them does."""
    matches = sorted(folder / match for match in find_matches(pattern, folder))
    found = [match for match in matches if not match.is_dir()]
    for file in found:
        check_regular(file)
    found = found or [match for match in matches if holds_frames(match)]
    if matches and not found:
        raise ValueError(f"matches only folders without frames, no files: {printable(pattern)}")
    return found


def find_in_folder(folder: Path, shown: str) -> list[Path]:
    """The videos in a folder; the folder itself if it holds images, the frames of one trajectory.
    Raises ValueError if it has neither."""
    if found := sorted(videos_in(folder)):
        for file in found:
            check_regular(file)
        return found
    try:
        names = frames_in(folder)
    except ValueError as error:
        raise ValueError(f"{shown} holds no videos, and {error}") from None
    if not names:
        raise ValueError(f"no videos in the folder {shown}, and no numbered images")
    return [folder]


def holds_frames(folder: Path) -> bool:
    """Whether a folder's images are the frames of one trajectory."""
    try:
        return not any(videos_in(folder)) and bool(frames_in(folder))
    except (OSError, ValueError):
        return False


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
