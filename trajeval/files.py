"""Files that are old or new as a whole, and what can be told of a file before it is read."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from trajeval.terminal import UserError, printable


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write to, in the place of the one at `path`, which it replaces when the block ends
    without an error: whoever looks sees the old file or all of the new one. Raises OSError."""
    folder, name = os.path.split(path)
    # A name of our own: several processes may be writing the same file.
    temporary = os.path.join(folder, f".{name[:100]}.{os.urandom(8).hex()}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def open_regular(path: str | Path) -> BinaryIO:
    """Opens a regular file for reading; a pipe without a writer would hang, a device never end.
    Raises OSError, also for what is not a regular file."""
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(21, "is a folder", str(path))
        raise OSError(22, "is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def stamp(file: BinaryIO | str | Path) -> dict[str, int]:
    """What changes with the content of a file, by its path or open. Its permissions change the
    ctime too, and then it counts as changed; but unlike the mtime, nobody can set it back."""
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


def _stamp_or_none(path):
    try:
        return stamp(path)
    except OSError:
        return None


def project_folder() -> Path | None:
    """The folder of the scripts, with the demo's lists, clips and weights; None where the suite is
    installed as a package, without them."""
    folder = Path(__file__).resolve().parent.parent
    return folder if (folder / "pyproject.toml").is_file() else None
