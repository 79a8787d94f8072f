"""Which files the entries of a trajectory list mean."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from glob import has_magic, iglob
from pathlib import Path

from trajeval.files import RealPaths, as_posix, is_folder, project_folder
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
READABLE = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH  # by all: nothing to ask
TRIED = 100  # entries of a folder; for more it is quicker to list its names


def places_of(list_folder: Path) -> dict[str, str]:
    """The folders where the entries of a list are looked up, and what they are called; "" is the
    current folder, the first."""
    places = {"": "the current folder"}
    if list_folder != Path():
        places[str(list_folder)] = str(list_folder)
    if project := project_folder():
        places.setdefault(str(project), "the folder of the scripts")
    return places


class Finder:
    """What the entries of a list in a folder mean. Each path is looked up once, and each folder:
    on a shared disk this is what takes time."""

    def __init__(self, list_folder: Path):
        self.files: dict[str, str] = {}  # the paths with links in them -> where they lead
        self._places = places_of(list_folder)
        self._found: dict[str, tuple[str, ...]] = {}  # by the paths and patterns of entries
        self._real = RealPaths()
        self._tried: Counter[str] = Counter()  # by folders: entries whose names look like parts
        self._like_parts: dict[str, set[str]] = {}  # the names in them that do

    def find(self, entry: str) -> tuple[tuple[str, ...], float | None, float | None]:
        """The files and folders of frames that an entry means, and where the part of each starts
        and ends. A file whose name ends in #t=START,END is found first. Raises OSError, and
        ValueError if there are none."""
        if "#t=" in entry and self._may_be_name(entry) and (found := self._find(entry)):
            return found, None, None
        path, start, end = split_part(entry)
        if found := self._find(path):
            return found, start, end
        looked = " or ".join(dict.fromkeys(self._places.values()))
        raise ValueError(f"no such file, folder or match: {printable(path)} (searched in {looked})")

    def _may_be_name(self, entry: str) -> bool:
        """Whether a file may have a name that looks like a part of another. Of a folder with many
        parts, this is known from its names."""
        folder, name = os.path.split(os.path.expanduser(entry))
        if "#t=" not in name or has_magic(folder):
            return True
        self._tried[folder] += 1
        if self._tried[folder] <= TRIED:
            return True
        if folder not in self._like_parts:
            places = [os.path.join(place, folder) for place in self._places]
            try:
                self._like_parts[folder] = {name for place in places for name in like_parts(place)}
            except OSError:  # its names are not for us, though its files may be
                return True
        names = self._like_parts[folder]
        return name in names or (bool(names) and has_magic(name))

    def _find(self, entry: str) -> tuple[str, ...]:
        found = self._found.get(entry)
        if found is None:
            found = self._found[entry] = tuple(self._look_for(entry))
        return found

    def _look_for(self, entry: str) -> list[str]:
        """What a path or pattern means, in the first of the places that has any. Raises ValueError
        for what cannot be a trajectory."""
        expanded = os.path.expanduser(entry)
        for folder in self._places:
            path = os.path.join(folder, expanded)
            mode = self._look_up(path)
            if stat.S_ISDIR(mode):
                return self._look_in(path, printable(entry))
            if mode:
                check_file(path, mode)
                return [as_posix(path)]
            if has_magic(expanded) and (found := self._look_for_matches(expanded, folder)):
                return found
        return []

    def _look_for_matches(self, pattern: str, folder: str) -> list[str]:
        """The files that match a pattern, sorted; where only folders do, those that hold frames.
        Raises ValueError if none of them does."""
        matches = map(as_posix, find_matches(pattern, folder))
        modes = {path: self._look_up(path) for path in sorted(matches, key=in_order)}
        found = [path for path, mode in modes.items() if not stat.S_ISDIR(mode)]
        for path in found:
            check_regular(path, modes[path])
        found = found or [path for path in modes if holds_frames(path)]
        if modes and not found:
            raise ValueError(f"matches only folders without frames, no files: {printable(pattern)}")
        return found

    def _look_in(self, folder: str, shown: str) -> list[str]:
        """The videos in a folder, sorted; the folder itself if it holds images, the frames of one
        trajectory. Raises ValueError if it has neither."""
        real, found = self._real.folder(folder) or "", []
        for entry in videos_in(folder):
            path = as_posix(os.path.join(folder, entry.name))
            if entry.is_file(follow_symlinks=False):  # known from the folder
                self._note(path, os.path.join(real, entry.name))
            else:
                check_regular(path, self._look_up(path))
            found.append(path)
        if found:
            return found
        try:
            names = frames_in(folder)
        except ValueError as error:
            raise ValueError(f"{shown} holds no videos, and {error}") from None
        if not names:
            raise ValueError(f"no videos in the folder {shown}, and no numbered images")
        return [as_posix(folder)]

    def _look_up(self, path: str) -> int:
        """What is at a path (see `stat`), of a link what it leads to if it does; 0 if nothing is.
        Raises OSError if it cannot be known."""
        mode, real = self._real.look_up(path)
        if mode:
            self._note(as_posix(path), real)
        return mode

    def _note(self, path: str, real: str) -> None:
        if real != path:
            self.files[path] = real


def in_order(path: str) -> str:
    """By what paths are sorted: name by name."""
    return path.replace("/", "\0")


def like_parts(folder: str) -> list[str]:
    """The names in a folder that look like parts of files; none if it is not there. Raises
    OSError."""
    try:
        with os.scandir(folder or ".") as entries:
            return [entry.name for entry in entries if "#t=" in entry.name]
    except (FileNotFoundError, NotADirectoryError):
        return []


def holds_frames(folder: str) -> bool:
    """Whether a folder's images are the frames of one trajectory."""
    try:
        return not videos_in(folder) and bool(frames_in(folder))
    except (OSError, ValueError):
        return False


def check_file(path: str, mode: int) -> None:
    """Raises ValueError for a path that a line names and that is not a readable file."""
    if stat.S_ISLNK(mode):
        raise ValueError(f"a broken symbolic link: {printable(as_posix(path))}")
    check_regular(path, mode)
    if mode & READABLE != READABLE and not os.access(path, os.R_OK):
        raise ValueError(f"no permission to read {printable(as_posix(path))}")


def check_regular(path: str, mode: int) -> None:
    """Raises ValueError for what is there and is not a file: a pipe would hang. Files of a folder
    that cannot be read are reported by the run, which goes on with the others."""
    if mode and not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):  # a link that leads nowhere
        raise ValueError(f"not a regular file: {printable(as_posix(path))}")


def find_matches(pattern: str, folder: str) -> Iterator[str]:
    """The paths that match a glob pattern, from a folder. `**` means this folder and all below it,
    each of them once, however many links lead to it."""
    head, stars, rest = partition_recursive(pattern)
    if not stars:
        yield from (os.path.join(folder, match) for match in iglob(pattern, root_dir=folder))
        return
    seen: set[tuple[int, int]] = set()
    for start in iglob(head, root_dir=folder) if head else ("",):
        for below in folders_below(os.path.join(folder, start), seen):
            if has_magic(rest):
                yield from find_matches(rest, below)
            elif os.path.lexists(match := os.path.join(below, rest)):
                yield match


def partition_recursive(pattern: str) -> tuple[str, str, str]:
    """A pattern before, at and after its first component `**`; what comes after it is `*` if there
    is nothing."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return pattern, "", ""
    i = parts.index("**")
    return os.path.join("", *parts[:i]), "**", os.path.join("", *parts[i + 1 :]) or "*"


def folders_below(folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    """A folder and all below it that are not hidden, except those seen already, which get noted."""
    try:
        found = os.stat(folder or ".")
        key = found.st_dev, found.st_ino
        if key in seen or not stat.S_ISDIR(found.st_mode):
            return
        seen.add(key)
        with os.scandir(folder or ".") as entries:
            names = sorted(entry.name for entry in entries if is_folder(entry))
    except OSError:  # vanished, or closed to us
        return
    yield folder
    for name in names:
        if not name.startswith("."):
            yield from folders_below(os.path.join(folder, name), seen)


def videos_in(folder: str) -> list[os.DirEntry]:
    """The videos in a folder, by their suffix, sorted; hidden files do not count."""
    with os.scandir(folder or ".") as entries:
        found = [
            entry
            for entry in entries
            if entry.name.lower().endswith(VIDEO_SUFFIXES)
            and not entry.name.startswith(".")
            and not is_folder(entry)
        ]
    return sorted(found, key=lambda entry: entry.name)
