"""Reading and replacing files: whole or not at all, regular files only, unchanged while in use."""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from trajeval.terminal import UserError, printable, progress

BLOCK = 1 << 20  # bytes hashed at a time
PATIENCE = 3  # seconds that hashing a file may take before its progress is shown


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


def real_paths() -> Callable[[str | Path], str]:
    """A quick os.path.realpath for many files of few folders: it looks up each folder once."""
    folders: dict[str, str] = {}

    def real_path(path: str | Path) -> str:
        path = os.fspath(path)
        if os.path.islink(path):
            return os.path.realpath(path)
        folder, name = os.path.split(path)
        if name in ("", ".", ".."):
            return os.path.realpath(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        return f"{folders[folder]}/{name}"

    return real_path


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
