"""Files that only grow, each with one writer, so that any number of processes need no locks.

A segment is two files. NAME.data has contents, one after another, each behind its checksum, which
also covers the content's name. NAME.index has a record for each: the first 8 bytes of the name, the
place in the data, and when it was put. A record without a length says that an entry was used; one
without a key as well, that the writer has finished. Names sort by the time of creation.
"""

import errno
import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from io import BufferedReader, FileIO, RawIOBase
from time import time, time_ns
from typing import Any
from weakref import finalize

import numpy as np

from trajeval.files import open_regular

RECORD: Any = np.dtype([(name, "<i8") for name in ("key", "offset", "length", "time")])
CHECKSUM = 16  # bytes before each content
LARGE = 1 << 28  # bytes of data in a segment: its writer then begins another
IDLE = 600  # seconds after which a writer begins another, too
STILL = 3600  # seconds after which others may remove a segment that was not finished

NAME = re.compile(r"([0-9a-f]{16}-[0-9a-f]{16})\.(index|data)")
GONE = (errno.ENOENT, errno.ESTALE)  # removed by another process, as it may


class Segment:
    """One to be read. path: of its files, without their suffixes."""

    def __init__(self, path: str):
        self.path = path
        self.is_finished = self.is_gone = False
        self._seen: tuple[int, int] | None = None  # size and mtime of the index
        self._taken = 0  # bytes of the index
        self._data: RawIOBase | None = None
        self._size = 0  # of the data

    def new_records(self) -> np.ndarray:
        """The records that were not returned before, RECORD [R], but for the one that says that
        the writer has finished. Raises OSError."""
        if self.is_finished:
            return np.empty(0, RECORD)
        found = os.stat(f"{self.path}.index")
        if (found.st_size, found.st_mtime_ns) == self._seen:
            return np.empty(0, RECORD)
        self._seen = found.st_size, found.st_mtime_ns
        with open_regular(f"{self.path}.index") as file:
            file.seek(self._taken)
            content = file.read()
        records = np.frombuffer(content, RECORD, len(content) // RECORD.itemsize)
        written = records["time"] != 0
        # On a network disk what was written first may come last; it is looked for again.
        whole = len(records) if written.all() else int(written.argmin())
        self._taken += whole * RECORD.itemsize
        self.is_finished = whole == len(records) and is_end(content[-RECORD.itemsize :])
        return records[written & ((records["key"] != 0) | (records["length"] != 0))]

    def read(self, name: bytes, offset: int, length: int) -> memoryview | None:
        """The content of this name at a place, None if it is damaged. Raises OSError."""
        for _ in range(2):
            if self._data is None:
                self._data = open_regular(f"{self.path}.data").detach()
                self._size = os.fstat(self._data.fileno()).st_size
            if 0 <= offset <= offset + length <= self._size and length >= CHECKSUM:
                sealed = memoryview(read_at(self._data, offset, length))
                if sealed[:CHECKSUM] == checksum(name, [sealed[CHECKSUM:]]):
                    return sealed[CHECKSUM:]
            self.close()  # it may have grown, and network disks look again only when it is opened
        return None

    def close(self) -> None:
        if self._data:
            self._data.close()
            self._data = None


class Writer:
    """A new segment in a folder, for this process alone. Raises OSError, here and below."""

    def __init__(self, folder: str):
        self.name = new_name()
        self._path = f"{folder}/{self.name}"
        self._files = ExitStack()
        self._index = self._files.enter_context(created(f"{self._path}.index"))
        self._data: FileIO | None = None
        self._records, self._end = 0, 0
        self._written = time()
        # Called at the latest when this object or the process ends.
        self.finish = finalize(self, finish, self._files, self._index, os.getpid())

    def is_due(self) -> bool:
        """Whether the next entry should go into another segment: this one is large, others may
        soon take it for finished, or it was removed."""
        if self._end >= LARGE or not 0 <= time() - self._written < IDLE:
            return True
        try:
            return os.fstat(self._index.fileno()).st_nlink == 0
        except OSError as error:  # a network disk says so in this way
            return error.errno in GONE

    def put(self, name: bytes, parts: list, at: int) -> tuple[int, int]:
        """Appends a content, which is in parts; its offset and length. at: the time, ns."""
        if self._data is None:
            self._data = self._files.enter_context(created(f"{self._path}.data"))
        sealed = b"".join([checksum(name, parts), *parts])
        offset = self._end
        # Not synced to disk: what a crash leaves half written fails its checksum. What could be
        # written in part only is written over by the next.
        write_at(self._data, offset, sealed)
        self._record(key_of(name), offset, len(sealed), at)
        self._end += len(sealed)
        return offset, len(sealed)

    def mark_use(self, key: int, at: int) -> None:
        self._record(key, 0, 0, at)

    def _record(self, *values: int) -> None:
        write_at(self._index, self._records * RECORD.itemsize, record(*values))
        self._records += 1
        self._written = time()


def finish(files: ExitStack, index: FileIO, process: int) -> None:
    """Says that the writer has finished, so that others may remove the segment. A fork of the
    process has not."""
    with files, suppress(OSError):
        if os.getpid() == process:
            whole = index.seek(0, os.SEEK_END) // RECORD.itemsize * RECORD.itemsize
            write_at(index, whole, record(0, 0, 0, time_ns()))


def record(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, "little", signed=True) for value in values)


def is_end(record: bytes) -> bool:
    """Whether a record, of these bytes, says that the writer has finished."""
    return len(record) == RECORD.itemsize and not any(record[:24]) and any(record[24:])


def key_of(name: bytes) -> int:
    return int.from_bytes(name[:8], "little", signed=True)


def checksum(name: bytes, parts: Iterable) -> bytes:
    hasher = hashlib.blake2b(key=name, digest_size=CHECKSUM)
    for part in parts:
        hasher.update(part)
    return hasher.digest()


def new_name(after: str = "") -> str:
    """For a segment that is newer than another one, whatever the clock says."""
    at = max(time_ns(), int(after[:16] or "0", 16) + 1)
    return f"{at:016x}-{os.urandom(8).hex()}"


def names_in(folder: str, suffix: str) -> list[str]:
    """The names of the segments that have an index (or data), oldest first."""
    with suppress(FileNotFoundError):
        matches = map(NAME.fullmatch, os.listdir(folder))
        return sorted(match[1] for match in matches if match and match[2] == suffix)
    return []


def created(path: str) -> FileIO:
    return open(path, "xb", buffering=0)


def read_at(file: RawIOBase | BufferedReader, offset: int, length: int) -> bytes:
    """As much of it as there is. Raises OSError."""
    file.seek(offset)
    parts = []
    while length and (part := file.read(length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def write_at(file: FileIO, offset: int, content: bytes) -> None:
    file.seek(offset)
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
