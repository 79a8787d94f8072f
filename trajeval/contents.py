"""Hashes of what trajectories hold, which the cache is keyed by."""

import hashlib
import os
from time import time_ns
from typing import Any

from trajeval.cache import SETTLED, Cache, to_json
from trajeval.files import hash_file, open_regular, stamp
from trajeval.sources import Source, frames_in

ALGORITHM = "blake2b"
MANY = 100_000  # files that a run keeps in mind, 50 MB


class Contents:
    """For one run: a file that many trajectories are parts of is hashed once while it stays the
    same, even if the cache keeps nothing."""

    def __init__(self, cache: Cache):
        self.cache = cache
        self._known: dict[str, tuple[str, tuple]] = {}  # by path

    def of(self, source: Source) -> str | None:
        """The hash of all that a source's file, folder or array holds, in hexadecimal. None if it
        cannot be read, as reading it will say, and for an array if the cache keeps nothing."""
        path = source.path
        try:
            if path is None:
                return None if self.cache.folder is None else hash_of_array(source.origin)
            return self._of_folder(path) if os.path.isdir(path) else self._of_file(path)
        except (OSError, ValueError):
            return None

    def _of_file(self, path: str) -> str:
        if path in self._known:
            digest, before = self._known[path]
            with open_regular(path) as file:
                if tuple(stamp(file).values()) == before:
                    return digest
        digest, found = self.cache.digest_and_stamp(path, ALGORITHM)
        if found:
            self._known[path] = digest, tuple(found.values())
            if len(self._known) > MANY:
                del self._known[next(iter(self._known))]
        return digest

    def _of_folder(self, folder: str) -> str:
        """Of the names and contents of its images. One entry of the cache holds it: to look up
        each image would take longer than to hash it."""
        now, names = time_ns(), frames_in(folder)
        found = [(name, stamp(os.path.join(folder, name))) for name in names]
        settled = all(is_settled(stamp_, now) for _, stamp_ in found)
        key = {"algorithm": ALGORITHM, "folder": os.path.abspath(folder), "files": found}
        if settled and (known := self.cache.get("digests", key, {"digest": str})):
            return known["digest"]
        hasher = hashlib.new(ALGORITHM)
        for name in names:
            with open_regular(os.path.join(folder, name)) as file:
                hasher.update(to_json([name, hash_file(file, ALGORITHM)]))
        digest = hasher.hexdigest()
        again = [(name, stamp(os.path.join(folder, name))) for name in names]
        if settled and again == found:
            self.cache.put("digests", key, {"digest": digest})
        return digest


def is_settled(found: dict[str, int], now: int) -> bool:
    """Whether a file with these times cannot change again and keep them."""
    return max(found["mtime_ns"], found["ctime_ns"]) < now - SETTLED


def hash_of_array(array: Any) -> str:
    import numpy as np

    hasher = hashlib.new(ALGORITHM, to_json([str(array.dtype), array.shape]))
    for part in array:  # one at a time: a part that is not contiguous is copied
        hasher.update(np.ascontiguousarray(part).data)
    return hasher.hexdigest()
