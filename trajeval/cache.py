"""Keeps on disk, from one run to the next, what is dear to compute.

One file holds one entry, under a hash of everything that the entry depends on, so nothing ever
has to be called out of date. Any number of processes may read, write and prune a folder at once,
on a shared disk too. An entry that is missing, damaged or cannot be read is computed again:
nothing here stops a run. Nothing that is read is ever executed.
"""

import base64
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import iglob
from pathlib import Path
from time import time_ns

HASH_BYTES = 20  # of names and checksums
BLOCK = 4096  # bytes: what a file takes on a disk is a multiple of it
FILLED = 0.9  # of the largest size: what pruning leaves, so that not every run has to prune
SETTLED = 2_000_000_000  # ns: no file system's clock ticks more slowly
DAY = 86_400_000_000_000  # ns

# What pruning may remove, from the folder on. Somebody may name a folder with other files in it.
HEX = "[0-9a-f]"
ENTRIES = f"*/{HEX * 2}/{HEX * 2 * HASH_BYTES}.entry"
TEMPORARY = f"*/{HEX * 2}/.{HEX * 2 * HASH_BYTES}.entry.{HEX * 16}.part"


def default_folder() -> Path:
    """Where this platform keeps caches, such as ~/.cache/trajectory-heatmaps. Nothing is made."""
    from platformdirs import user_cache_path

    return user_cache_path("trajectory-heatmaps", appauthor=False)


class Cache:
    """A folder of entries. With the folder None it keeps nothing, and each get finds nothing.

    A disk that is full or may not be written to raises nothing: `problem` says what went wrong
    first, as "FOLDER: No space left on device", and is None as long as all goes well.
    """

    def __init__(self, folder: str | Path | None, max_bytes: int = 2_000_000_000):
        self.folder = None if folder is None else os.path.abspath(folder)
        self.max_bytes = max_bytes
        self.problem: str | None = None
        self._grown = False  # since the last pruning

    def get(self, kind: str, key: dict) -> dict | None:
        """The entry that was put under this kind and key; its vectors are float32 [D], equal bit by
        bit. None if there is none, or it is damaged. Counts as use."""
        if self.folder is None:
            return None
        path = self._path(kind, key)
        with self._without_errors():
            with open(path, "rb") as file:
                entry = decode(file.read())
            with suppress(OSError):  # a folder that is only read
                os.utime(path)
            return entry
        return None

    def put(self, kind: str, key: dict, entry: dict) -> None:
        """Keeps an entry, in place of any that is there.

        kind: the name of the folder. key: what the entry depends on, all of it, as JSON can hold
        it; strings may be file names in any encoding. entry: name -> float32 [D] array, or what
        JSON can hold (which makes lists of tuples). Raises TypeError for anything else.
        """
        if self.folder is None:
            return
        path, content = self._path(kind, key), encode(entry)
        with self._without_errors():
            self._grown = True
            try:
                write(path, content)
            except FileNotFoundError:  # the first one in its folder
                os.makedirs(os.path.dirname(path), exist_ok=True)
                write(path, content)

    def digest(self, path: str | Path, algorithm: str) -> str:
        """The hash of a regular file's content ("sha256", "blake2b"), in hexadecimal digits.

        A file that lies where it lay, with the size, times and inode that it had, is not read
        again. Raises OSError if the file cannot be read, ValueError for an unknown algorithm.
        """
        now = time_ns()  # before the first look: a change after it shows in the times
        # A file is opened even if its hash is known: that makes network disks look at it afresh.
        with open(path, "rb") as file:
            found = stamp(file)
            key = {"algorithm": algorithm, "path": os.path.abspath(path), **found}
            # If it changed just now, it may change again and bear the same times.
            settled = max(found["mtime_ns"], found["ctime_ns"]) < now - SETTLED
            known = self.get("digests", key) if settled else None
            if known and "digest" in known:
                return known["digest"]
            digest = hashlib.file_digest(file, algorithm).hexdigest()
            if settled and stamp(file) == found:
                self.put("digests", key, {"digest": digest})
        return digest

    def prune(self) -> None:
        """Removes the entries that were not used for longest if they take more than max_bytes
        together, and what writers that were killed left behind. Does nothing if nothing was put
        since the last time: going through a large folder takes seconds."""
        if self.folder is None or not self._grown:
            return
        self._grown = False
        for path, _, used in files_in(self.folder, TEMPORARY):
            if used < time_ns() - DAY:
                with self._without_errors():
                    os.unlink(path)
        files = sorted(files_in(self.folder, ENTRIES), key=lambda file: file[2])
        total = sum(size for _, size, _ in files)
        if total <= self.max_bytes:
            return
        for path, size, _ in files:
            if total <= FILLED * self.max_bytes:
                break
            with self._without_errors():
                with suppress(FileNotFoundError):  # somebody else prunes too
                    os.unlink(path)
                total -= size

    def _path(self, kind: str, key: dict) -> str:
        name = checksum(to_json([kind, key]))
        # Folders of hundreds of thousands of files are slow.
        return f"{self.folder}/{kind}/{name[:2]}/{name}.entry"

    @contextmanager
    def _without_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # What vanishes was removed by somebody else, and they may.
            if error.errno not in (errno.ENOENT, errno.ESTALE) and self.problem is None:
                self.problem = f"{self.folder}: {error.strerror or error}"


NO_CACHE = Cache(None)


def encode(entry: dict) -> bytes:
    """An entry as a file's content: a checksum, and the rest in JSON. Vectors go in as base64 of
    little-endian bytes, apart from the other values, so that none of those can be taken for one.
    Raises TypeError for what is neither a float32 [D] array nor JSON."""
    import numpy as np

    values, vectors = {}, {}
    for name, value in entry.items():
        if isinstance(value, np.ndarray) and value.dtype == np.float32 and value.ndim == 1:
            vectors[name] = base64.b64encode(value.astype("<f4").tobytes()).decode()
        else:
            values[name] = value
    rest = to_json([values, vectors])
    return checksum(rest).encode() + b"\n" + rest


def decode(content: bytes) -> dict | None:
    """What encode was given, or None if this is not what encode made of it."""
    import numpy as np

    found, _, rest = content.partition(b"\n")
    if found != checksum(rest).encode():
        return None
    try:
        values, vectors = json.loads(rest.decode("utf-8", "surrogatepass"))
        return values | {
            name: np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
            for name, text in vectors.items()
        }
    except Exception:  # somebody else's file can hold anything
        return None


def checksum(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=HASH_BYTES).hexdigest()


def to_json(content) -> bytes:
    """The same bytes for the same content. A file name that is no UTF-8 has lone surrogates; as
    \\u escapes, two of them would read as one other character."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def write(path: str, content: bytes) -> None:
    """Writes a file so that whoever looks sees all of it or the old one. Raises OSError."""
    folder, name = os.path.split(path)
    temporary = f"{folder}/.{name}.{os.urandom(8).hex()}.part"
    try:
        # Not forced to the disk: what a crash leaves half written fails its checksum.
        with open(temporary, "xb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def stamp(file) -> dict[str, int]:
    """What changes with the content of an open file. Its permissions change the ctime too, and
    then it is read once more than needed; but unlike the mtime, nobody can set it back."""
    stat = os.fstat(file.fileno())
    return {
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "ctime_ns": stat.st_ctime_ns,
        "inode": stat.st_ino,
    }


def files_in(folder: str, pattern: str) -> Iterator[tuple[str, int, int]]:
    """The path, the bytes on disk and the time of last use (ns) of each file that matches; those
    that vanish meanwhile are left out."""
    for name in iglob(pattern, root_dir=folder):
        with suppress(OSError):
            stat = os.lstat(f"{folder}/{name}")
            yield f"{folder}/{name}", -(-stat.st_size // BLOCK) * BLOCK, stat.st_mtime_ns
