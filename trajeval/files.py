"""Reading and replacing files: whole or not at all, regular files only, unchanged while in use."""

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from trajeval.terminal import UserError, printable, progress

BLOCK = 1 << 20  # bytes hashed at a time
PATIENCE = 3  # seconds that hashing a file may take before its progress is shown
UNTIDY = re.compile(r"//|(^|/)\.(/|$)|/$")  # in a path: what pathlib leaves out


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Opens a temporary file beside `path` for writing. If the block ends without an error, the
    file is renamed to `path`, so readers see either the old file or all of the new one; otherwise
    it is removed. Raises OSError."""
    folder, name = os.path.split(path)
    # A unique name: several processes may be writing the same file.
    temporary = os.path.join(folder, f".{name[:100]}.{os.urandom(8).hex()}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def open_regular(path: str | Path) -> BufferedReader:
    """Opens a regular file for reading. Raises OSError for anything else: opening a pipe without a
    writer would block, and some devices never end."""
    return open(path, "rb", opener=_regular)


def stamp(file: BinaryIO | str | Path) -> dict[str, int]:
    """Metadata that changes whenever the content of a file does; the file is open or given by its
    path. Changing permissions changes the ctime too and so counts as a change, but unlike the
    mtime, the ctime cannot be set back. Raises OSError."""
    found = os.stat(file) if isinstance(file, str | Path) else os.fstat(file.fileno())
    return {
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "ctime_ns": found.st_ctime_ns,
        "inode": found.st_ino,
    }


def stamps(paths: Iterable[str | Path]) -> dict[str, dict[str, int] | None]:
    """The stamp of each file by its path, None for a missing one. Take it before hashing files,
    and pass it to check_unchanged once they are loaded."""
    return {str(path): _stamp_or_none(path) for path in paths}


def check_unchanged(before: dict[str, dict[str, int] | None]) -> None:
    """Raises UserError if any of the files changed since `before = stamps(paths)`: what was loaded
    may then differ from what was hashed."""
    for path, found in before.items():
        if _stamp_or_none(path) != found:
            raise UserError(
                f"{printable(path)} changed while it was being loaded: run again once it is "
                "completely written"
            )


def hash_file(file: BufferedReader, algorithm: str) -> str:
    """The hash ("sha256", "blake2b") of an open file's content in hexadecimal. Shows its progress
    if that takes more than a few seconds. Raises OSError, and ValueError for an unknown
    algorithm."""
    hasher = hashlib.new(algorithm)
    buffer = memoryview(bytearray(BLOCK))
    started, advance, done = time.monotonic(), None, 0
    with ExitStack() as stack:
        while n := file.readinto(buffer):
            hasher.update(buffer[:n])
            done += n
            if advance:
                advance(n)
            elif time.monotonic() - started > PATIENCE:
                what = f"reading {printable(str(file.name))}"
                size = os.fstat(file.fileno()).st_size
                advance = stack.enter_context(progress(what, size, "B"))
                advance(done)
    return hasher.hexdigest()


def _regular(path, flags):
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(21, "is a folder", str(path))
    raise OSError(22, "is not a regular file", str(path))


class RealPaths:
    """os.path.realpath for many files, relative to the current folder for those below it. Each
    folder is looked up once."""

    def __init__(self):
        self._here = os.path.realpath("")
        self._below_here = os.path.join(self._here, "")
        self._folders: dict[str, str | None] = {"": ""}

    def look_up(self, path: str) -> tuple[int, str]:
        """What is at a path (see `stat`), of a link what it leads to if it does, 0 if nothing is;
        and its real path. Raises OSError if it cannot be known."""
        head, name = os.path.split(path)
        folder = self.folder(head)
        if folder is None:
            return 0, path
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return 0, path
        if stat.S_ISLNK(mode):
            with suppress(OSError):
                mode = os.stat(path).st_mode
            return mode, self._from_here(os.path.realpath(path)) or "."
        if name in ("", ".", ".."):
            return mode, self.folder(path) or "."
        return mode, self._from_here(os.path.join(folder, name)) or "."

    def folder(self, path: str) -> str | None:
        """The real path of a folder, "" of the current one; None if it is not there. Raises OSError
        if it cannot be known."""
        unknown = []
        while path not in self._folders:
            unknown.append(path)
            parent = os.path.dirname(path)
            if parent == path:  # the root
                self._folders[path] = self._from_here(os.path.realpath(path))
                break
            path = parent
        real = self._folders[path]
        for path in reversed(unknown):
            if path not in self._folders:
                self._folders[path] = self._below(real, path)
            real = self._folders[path]
        return real

    def _below(self, parent: str | None, path: str) -> str | None:
        """The real path of a folder in one whose real path is given."""
        name = os.path.basename(path)
        if parent is None or name in ("", "."):
            return parent
        if name == "..":
            return self._from_here(os.path.dirname(parent or self._here))
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISLNK(mode):
            return self._from_here(os.path.realpath(path)) if os.path.isdir(path) else None
        return self._from_here(os.path.join(parent, name)) if stat.S_ISDIR(mode) else None

    def _from_here(self, path: str) -> str:
        return "" if path == self._here else path.removeprefix(self._below_here)


def as_posix(path: str) -> str:
    """The text of a pathlib.Path, of which a million would take long: with slashes, and without
    what means nothing."""
    return path if path and os.sep == "/" and not UNTIDY.search(path) else Path(path).as_posix()


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry of a folder is one, or a link to one."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def project_folder() -> Path | None:
    """The folder of the scripts, with the demo's lists, clips and weights; None where the suite is
    installed as a package, without them."""
    folder = Path(__file__).resolve().parent.parent
    is_project = all((folder / file).is_file() for file in ("pyproject.toml", "s3dg.py"))
    return folder if is_project else None


def _stamp_or_none(path):
    try:
        return stamp(path)
    except OSError:
        return None
