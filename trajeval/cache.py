"""Keeps expensive results on disk between runs.

Entries are found by a hash of everything they depend on, so they never go out of date. Any number
of processes may read, write and prune a folder at once, on a shared disk too. An entry that is
missing, damaged, unreadable or not what it should be is computed again: nothing here stops a run,
and nothing that is read is ever executed.
"""

import errno
import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from glob import iglob
from itertools import repeat
from pathlib import Path
from time import time_ns
from types import UnionType
from typing import TYPE_CHECKING, get_args, get_origin

from trajeval.files import hash_file, open_regular, stamp

if TYPE_CHECKING:
    from trajeval.store import Store

NAME_BYTES = 20  # of an entry's name
SETTLED = 2_000_000_000  # ns: the coarsest clock of any file system

# What earlier versions left: a file for each entry. The folder may hold others.
HEX = "[0-9a-f]"
OLD = [f"*/{HEX * 2}/{HEX * 40}.{suffix}" for suffix in ("npz", "entry")]
OLD += [f"*/{HEX * 2}/.{HEX * 40}.{suffix}.{HEX * 16}.part" for suffix in ("npz", "entry")]

# json.dumps makes one for each call.
ENCODE = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def default_folder() -> Path | None:
    """The platform's cache folder, such as ~/.cache/trajectory-heatmaps; None for a user without a
    home folder, as in some containers. Does not create it."""
    from platformdirs import user_cache_path

    try:
        return user_cache_path("trajectory-heatmaps", appauthor=False)
    except RuntimeError:
        return None


class Cache:
    """A folder of entries. If the folder is None, nothing is kept and nothing is ever found.

    A full or read-only disk raises nothing. `problem` is the first thing that went wrong, such as
    "FOLDER: No space left on device", or None.
    """

    def __init__(self, folder: str | Path | None, max_bytes: int = 2_000_000_000):
        self.folder = None if folder is None else os.path.abspath(folder)
        self.max_bytes = max_bytes
        self.problem: str | None = None
        self._opened: Store | None = None

    def __reduce__(self):
        return Cache, (self.folder, self.max_bytes)

    def check(self) -> str | None:
        """Creates the folder and tries to write to it, so that a run can warn at its start.
        Returns `problem`. What is already in a read-only folder is still found."""
        from tempfile import TemporaryFile

        if self.folder is not None:
            try:
                with suppress(FileExistsError):
                    os.makedirs(self.folder)
                with TemporaryFile(dir=self.folder) as file:
                    file.write(b"\0" * 4096)
            except OSError as error:
                self._note(error)
        return self.problem

    def get(self, kind: str, key: dict, fields: dict) -> dict | None:
        """The entry that was put under this kind and key, arrays bit for bit. None if there is
        none, or if it is damaged or does not have these fields. Counts as use.

        fields: name -> type of each value, such as np.ndarray, list[int], str | None, or again a
        dict of fields.
        """
        if self.folder is None:
            return None
        with self._without_errors():
            content = self._store.get(name_of(kind, key))
            if self._store.error:
                self._note(self._store.error)
            entry = None if content is None else unpacked(content)
            return entry if fits(entry, fields) else None
        return None

    def put(self, kind: str, key: dict, entry: dict) -> None:
        """Keeps an entry, replacing any that is there.

        kind: what it is an entry of. key: everything the entry depends on, as JSON values;
        strings may be file names in any encoding. entry: name -> float32 array of any shape, or
        JSON value (tuples become lists). Raises TypeError for anything else.
        """
        if self.folder is None:
            return
        parts = packed(entry)
        with self._without_errors():
            self._store.put(name_of(kind, key), parts)

    def digest(self, path: str | Path, algorithm: str) -> str:
        """The hash of a regular file's content ("sha256", "blake2b"), in hexadecimal.

        The content is not read again while the file's path, size, times and inode stay the same.
        Raises OSError if the file cannot be read, ValueError for an unknown algorithm.
        """
        return self.digest_and_stamp(path, algorithm)[0]

    def digest_and_stamp(self, path: str | Path, algorithm: str) -> tuple[str, dict | None]:
        """As `digest`, and the stamp (files.stamp) that the file has as long as it holds this; None
        if it may change and keep it."""
        now = time_ns()  # taken first, so that any later change has later times
        # The file is opened even if its hash is known: network disks then refresh its metadata.
        with open_regular(path) as file:
            found = stamp(file)
            key = {"algorithm": algorithm, "path": os.path.abspath(path), **found}
            # A file that has only just changed may change again and keep the same times.
            settled = max(found["mtime_ns"], found["ctime_ns"]) < now - SETTLED
            if settled and (known := self.get("digests", key, {"digest": str})):
                return known["digest"], found
            digest = hash_file(file, algorithm)
            if not settled or stamp(file) != found:
                return digest, None
        self.put("digests", key, {"digest": digest})
        return digest, found

    def prune(self) -> None:
        """To be called when a run has ended. Removes the least recently used entries if all take
        more than max_bytes together, what killed writers left behind, and what earlier versions
        kept."""
        if self.folder is None or not os.access(self.folder, os.W_OK):
            return
        from trajeval.merging import prune

        with self._without_errors():
            self._store.finish()
            remove_old(self.folder)
            prune(self._store.folder, self.max_bytes)

    @property
    def _store(self) -> "Store":
        if self._opened is None or self._opened.process != os.getpid():  # as after a fork
            from trajeval.store import Store

            self._opened = Store(f"{self.folder}/segments")
        return self._opened

    @contextmanager
    def _without_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # What has vanished was removed by another process, as it may.
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                self._note(error)

    def _note(self, error: OSError) -> None:
        if self.problem is None:
            self.problem = f"{self.folder}: {error.strerror or error}"


NO_CACHE = Cache(None)


def to_json(content) -> bytes:
    """The same bytes for the same content. A file name that is not UTF-8 has lone surrogates;
    escaped as \\u, two of them would read as one other character."""
    return ENCODE(content).encode("utf-8", "surrogatepass")


def name_of(kind: str, key: dict) -> bytes:
    return hashlib.blake2b(to_json([kind, key]), digest_size=NAME_BYTES).digest()


def packed(entry: dict) -> list:
    """An entry as bytes, in parts: the length of a header, the header with all values but arrays
    and with the names and shapes of those, the arrays. Raises TypeError as Cache.put does."""
    import numpy as np

    arrays = {name: value for name, value in entry.items() if isinstance(value, np.ndarray)}
    for name, array in arrays.items():
        if array.dtype != np.float32:
            raise TypeError(f"{name} is {array.dtype}, not float32")
    values = {name: value for name, value in entry.items() if name not in arrays}
    header = to_json([values, [[name, array.shape] for name, array in arrays.items()]])
    content = [array.astype("<f4", copy=False).tobytes() for array in arrays.values()]
    return [len(header).to_bytes(8, "little"), header, *content]


def unpacked(content: memoryview) -> dict | None:
    """The entry in bytes, None if they are something else."""
    import numpy as np

    try:
        at = 8 + int.from_bytes(content[:8], "little")
        entry, arrays = json.loads(str(content[8:at], "utf-8", "surrogatepass"))
        for name, shape in arrays:
            array = np.frombuffer(content, "<f4", math.prod(shape), at).reshape(shape)
            if array.shape != tuple(shape):  # NumPy takes -1 for what is left
                return None
            entry[name] = array.astype(np.float32)  # a copy that may be written to
            at += array.nbytes
    except Exception:  # a file from elsewhere can hold anything
        return None
    return entry if at == len(content) else None


def remove_old(folder: str) -> None:
    """Removes the entries that earlier versions kept, and their folders once these are empty."""
    paths = [f"{folder}/{name}" for pattern in OLD for name in iglob(pattern, root_dir=folder)]
    parents = {os.path.dirname(path) for path in paths}
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path)
    for parent in [*parents, *map(os.path.dirname, parents)]:
        with suppress(OSError):
            os.rmdir(parent)


def fits(value, kind) -> bool:
    """Whether a value is of a type: a class, list[T], dict[str, T], a union, or fields by name."""
    if type(kind) is type:
        return isinstance(value, kind)
    if isinstance(kind, dict):
        same = isinstance(value, dict) and value.keys() == kind.keys()
        return same and all(fits(value[name], kind[name]) for name in kind)
    outer, parts = parts_of(kind)
    if outer is None:
        return any(fits(value, one) for one in parts)
    if not isinstance(value, outer):
        return False
    values = value.values() if isinstance(value, dict) else value
    if type(parts[-1]) is type:
        return all(map(isinstance, values, repeat(parts[-1])))
    return all(fits(v, parts[-1]) for v in values)


@cache
def parts_of(kind) -> tuple[type | None, tuple]:
    """What a list[T] or dict[str, T] is, and of what; of a union None, and of what."""
    return None if isinstance(kind, UnionType) else get_origin(kind), get_args(kind)
