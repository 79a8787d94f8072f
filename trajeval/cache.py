"""Keeps expensive results on disk between runs.

Each entry is one .npz file, named by a hash of everything it depends on, so entries never go out
of date. Any number of processes may read, write and prune a folder at once, on a shared disk too.
An entry that is missing, damaged, unreadable or not what it should be is computed again: nothing
here stops a run, and nothing that is read is ever executed.
"""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import iglob
from pathlib import Path
from time import time_ns
from types import UnionType
from typing import get_args, get_origin

from trajeval.files import hash_file, open_regular, replacing, stamp

HASH_BYTES = 20  # of an entry's name
BLOCK = 4096  # bytes: files take up multiples of it on disk
FILLED = 0.9  # of the maximum size: what pruning leaves, so that not every run has to prune
SETTLED = 2_000_000_000  # ns: the coarsest clock of any file system
DAY = 86_400_000_000_000  # ns

VALUES = "values.json"  # the member of an entry that holds all but its arrays

# What pruning may remove: the folder may hold other files. Earlier versions wrote ".entry".
HEX = "[0-9a-f]"
SUFFIXES = (".npz", ".entry")
ENTRIES = [f"*/{HEX * 2}/{HEX * 2 * HASH_BYTES}{suffix}" for suffix in SUFFIXES]
TEMPORARY = [f"*/{HEX * 2}/.{HEX * 2 * HASH_BYTES}{suffix}.{HEX * 16}.part" for suffix in SUFFIXES]

# The kind and key of the folder's size after the last pruning; removed as soon as it may grow.
TOTAL = ("total", {})


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
        self._grown = False  # since the last pruning

    def check(self) -> str | None:
        """Creates the folder and tries to write to it, so that a run can warn at its start.
        Returns `problem`. What is already in a read-only folder is still found."""
        from tempfile import TemporaryFile

        if self.folder is not None:
            try:
                with suppress(FileExistsError):
                    os.makedirs(self.folder)
                with TemporaryFile(dir=self.folder) as file:
                    file.write(b"\0" * BLOCK)
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
        path = self._path(kind, key)
        with self._without_errors():
            entry = read_entry(path)
            with suppress(OSError):  # in a read-only folder
                os.utime(path)
            return entry if fits(entry, fields) else None
        return None

    def put(self, kind: str, key: dict, entry: dict) -> None:
        """Keeps an entry, replacing any that is there.

        kind: the name of the subfolder. key: everything the entry depends on, as JSON values;
        strings may be file names in any encoding. entry: name -> float32 array of any shape, or
        JSON value (tuples become lists). Raises TypeError for anything else.
        """
        if self.folder is None:
            return
        if not self._grown:
            self._grown = True
            self._remove(self._path(*TOTAL))
        self._put(kind, key, entry)

    def digest(self, path: str | Path, algorithm: str) -> str:
        """The hash of a regular file's content ("sha256", "blake2b"), in hexadecimal.

        The content is not read again while the file's path, size, times and inode stay the same.
        Raises OSError if the file cannot be read, ValueError for an unknown algorithm.
        """
        now = time_ns()  # taken first, so that any later change has later times
        # The file is opened even if its hash is known: network disks then refresh its metadata.
        with open_regular(path) as file:
            found = stamp(file)
            key = {"algorithm": algorithm, "path": os.path.abspath(path), **found}
            # A file that has only just changed may change again and keep the same times.
            settled = max(found["mtime_ns"], found["ctime_ns"]) < now - SETTLED
            if settled and (known := self.get("digests", key, {"digest": str})):
                return known["digest"]
            digest = hash_file(file, algorithm)
            if settled and stamp(file) == found:
                self.put("digests", key, {"digest": digest})
        return digest

    def prune(self) -> None:
        """Removes the least recently used entries if all take more than max_bytes together, and
        what killed writers left behind.

        Listing a large folder takes seconds, so its size is kept in an entry of its own. The
        folder is listed only if this run added to it, or if that size is unknown or too large.
        """
        if self.folder is None or not os.access(self.folder, os.W_OK):
            return
        known = None if self._grown else self.get(*TOTAL, {"bytes": int})
        if known and known["bytes"] <= self.max_bytes:
            return
        self._grown = False
        self._remove(self._path(*TOTAL))
        for path, _, used in files_in(self.folder, TEMPORARY):
            if used < time_ns() - DAY:
                self._remove(path)
        files = sorted(files_in(self.folder, ENTRIES), key=lambda file: file[2])
        total = sum(size for _, size, _ in files)
        if total > self.max_bytes:
            for path, size, _ in files:
                if total <= FILLED * self.max_bytes:
                    break
                if self._remove(path):
                    total -= size
        if files and total + BLOCK <= self.max_bytes:
            self._put(*TOTAL, {"bytes": total + BLOCK})

    def _path(self, kind: str, key: dict) -> str:
        name = hashlib.blake2b(to_json([kind, key]), digest_size=HASH_BYTES).hexdigest()
        # Folders of hundreds of thousands of files are slow.
        return f"{self.folder}/{kind}/{name[:2]}/{name}.npz"

    def _put(self, kind: str, key: dict, entry: dict) -> None:
        path = self._path(kind, key)
        with self._without_errors():
            try:
                write_entry(path, entry)
            except FileNotFoundError:  # the first one in its folder
                os.makedirs(os.path.dirname(path), exist_ok=True)
                write_entry(path, entry)

    def _remove(self, path: str) -> bool:
        """Whether a file is gone, by this process or another one."""
        with self._without_errors():
            with suppress(FileNotFoundError):
                os.unlink(path)
            return True
        return False

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
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def write_entry(path: str, entry: dict) -> None:
    """Writes an entry's file. Raises OSError, and TypeError as Cache.put does."""
    import zipfile

    import numpy as np

    arrays = {name: value for name, value in entry.items() if isinstance(value, np.ndarray)}
    for name, array in arrays.items():
        if array.dtype != np.float32:
            raise TypeError(f"{name} is {array.dtype}, not float32")
    values = {name: value for name, value in entry.items() if name not in arrays}
    content = to_json([name_in(path), values])
    # Not synced to disk: what a crash leaves half written fails its checksums.
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        with archive.open(VALUES, "w") as member:
            member.write(content)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_entry(path: str) -> dict | None:
    """The entry in a file, None if it is damaged or not the one that the file's name says. Raises
    OSError."""
    import zipfile

    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                name, entry = json.loads(archive.read(VALUES).decode("utf-8", "surrogatepass"))
                for member in archive.namelist():
                    if member != VALUES:
                        entry[member.removesuffix(".npy")] = read_array(archive, member)
        except Exception:  # a file from elsewhere can hold anything
            return None
    return entry if name == name_in(path) else None


def read_array(archive, member: str):
    """The float32 array in a member of a zip archive. Raises ValueError if it holds anything else,
    and what zipfile and NumPy raise for damage."""
    import numpy as np

    with archive.open(member) as content:
        array = np.lib.format.read_array(content, allow_pickle=False)
        # zipfile compares the checksum once the member is read to its end.
        if array.dtype != np.float32 or content.read(1):
            raise ValueError(f"{member} is not one float32 array")
    return array


def name_in(path: str) -> str:
    """An entry's name, the hash of its kind and key. The file holds it too, so that one under
    another's name is noticed."""
    return os.path.basename(path).removesuffix(".npz")


def fits(value, kind) -> bool:
    """Whether a value is of a type: a class, list[T], dict[str, T], a union, or fields by name."""
    if type(kind) is type:
        return isinstance(value, kind)
    if isinstance(kind, dict):
        same = isinstance(value, dict) and value.keys() == kind.keys()
        return same and all(fits(value[name], kind[name]) for name in kind)
    if isinstance(kind, UnionType):
        return any(fits(value, one) for one in get_args(kind))
    if not isinstance(value, get_origin(kind)):
        return False
    part = get_args(kind)[-1]
    return all(fits(v, part) for v in (value.values() if isinstance(value, dict) else value))


def files_in(folder: str, patterns: list[str]) -> Iterator[tuple[str, int, int]]:
    """The path, the bytes on disk and the time of last use (ns) of each file that matches. Skips
    files that vanish meanwhile."""
    for pattern in patterns:
        for name in iglob(pattern, root_dir=folder):
            with suppress(OSError):
                stat = os.lstat(f"{folder}/{name}")
                yield f"{folder}/{name}", -(-stat.st_size // BLOCK) * BLOCK, stat.st_mtime_ns
