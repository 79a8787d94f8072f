"""Pruning and merging segments, beside readers, writers and others that do the same.

A segment is removed only when its writer has finished or is silent for long, and what it holds was
copied into a new one. An entry is left out only for a greater one, by its time and then by its
segment's name, so that of two that merge at once none relies on what the other leaves out.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from time import time_ns
from typing import BinaryIO, NamedTuple

import numpy as np

from trajeval.entry_index import Index, places_of
from trajeval.files import open_regular, replacing
from trajeval.segments import (
    CHECKSUM,
    GONE,
    IDLE,
    LARGE,
    RECORD,
    STILL,
    Segment,
    is_end,
    names_in,
    new_name,
    read_at,
)

BLOCK = 4096  # bytes: files take up multiples of it on disk
FILLED = 0.9  # of the maximum size: what pruning leaves, so that not every run has to prune
MANY = 16  # segments of about a size: more become one
SMALL = 1 << 20  # bytes
SIZES = (1, 8, 64)  # times SMALL: what is about a size lies between two of these
STEP = 1 << 23  # bytes copied at a time
FULL = (errno.ENOSPC, errno.EDQUOT)

CLAIM = "pruning"  # a file that says that a process prunes, so that others need not
TEMPORARY = re.compile(r"\.[0-9a-f]{16}-[0-9a-f]{16}\.index\.[0-9a-f]{16}\.part")


class Listed(NamedTuple):
    """A segment. data: bytes of its data; bytes: of both files on disk; is_still: its writer adds
    nothing to it any more."""

    name: str
    data: int
    bytes: int
    is_still: bool


def prune(folder: str, max_bytes: int) -> None:
    """Removes the least recently used entries if all take more than max_bytes together, makes one
    segment of many small ones, and removes what killed writers left behind. Does nothing while
    another process does so. Raises OSError, such as for a full disk."""
    if not os.path.isdir(folder):
        return
    with claimed(folder) as now:
        if now is None:
            return
        remove_leftovers(folder, now)
        segments = survey(folder, now)
        total = sum(segment.bytes for segment in segments)
        small = many_small(segments)
        if total > max_bytes or small:
            Merge(folder, segments, total, max_bytes).run(small)


class Merge:
    """Which entries of a folder remain, and the copying of them."""

    def __init__(self, folder: str, segments: list[Listed], total: int, max_bytes: int):
        self.folder, self.segments, self.total, self.max_bytes = folder, segments, total, max_bytes
        self.uses = [np.empty(0, "<i8")] * len(segments)  # the keys that each says were used
        self.index = Index(self._records(), [segment.name for segment in segments])
        rows, data = self.index.rows, np.array([segment.data for segment in segments])
        room = data[rows["segment"]] - rows["length"]
        # Damaged records say anything.
        self.kept = (rows["length"] > CHECKSUM) & (rows["offset"] >= 0) & (rows["offset"] <= room)

    def _records(self) -> Iterator[tuple[int, np.ndarray]]:
        for number, segment in enumerate(self.segments):
            with suppress(PermissionError), unless_gone():
                records = Segment(f"{self.folder}/{segment.name}").new_records()
                self.uses[number] = np.unique(records["key"][records["length"] == 0])
                yield number, records

    def run(self, small: list[Listed]) -> None:
        """Leaves out what is too much, and copies what remains of the segments that hold such, and
        of small ones. Raises OSError."""
        sources = {self.segments.index(segment) for segment in small}
        limit = FILLED * self.max_bytes - 2 * BLOCK * (1 + self.max_bytes // LARGE)
        if is_over := self.total > self.max_bytes:
            self._leave_out(limit)
        rows = self.index.rows[self.kept]
        held = np.bincount(rows["segment"], rows["length"] + RECORD.itemsize, len(self.segments))
        if is_over:
            total = self.total
            gains = [segment.bytes - n for segment, n in zip(self.segments, held)]
            for i in sorted(range(len(gains)), key=lambda i: -gains[i] / self.segments[i].bytes):
                if total > limit and self.segments[i].is_still:
                    sources.add(i)
                    total -= gains[i]
        group, size = [], 0
        for i in sorted(sources):
            group.append(i)
            size += held[i]
            if size > LARGE or i == max(sources):
                self._move(group, is_over)
                group, size = [], 0

    def _leave_out(self, limit: float) -> None:
        """Keeps only the last used entries that fit, besides those that cannot be removed."""
        still = np.array([segment.is_still for segment in self.segments])
        limit -= sum(segment.bytes for segment in self.segments if not segment.is_still)
        rows = self.index.rows
        can_go = np.flatnonzero(still[rows["segment"]] & self.kept)
        can_go = can_go[np.argsort(rows["used"][can_go])[::-1]]
        sizes = np.cumsum(rows["length"][can_go] + 2 * RECORD.itemsize)
        self.kept[can_go[sizes > limit]] = False

    def _move(self, group: list[int], is_over: bool) -> None:
        try:
            copied = self._copy(group)
        except OSError as error:
            if error.errno in FULL and is_over:  # no room to copy: all of it is computed again
                for i in group:
                    remove(f"{self.folder}/{self.segments[i].name}")
            raise
        for i in copied:
            remove(f"{self.folder}/{self.segments[i].name}")
        with suppress(OSError):
            os.utime(f"{self.folder}/{CLAIM}")

    def _copy(self, group: list[int]) -> list[int]:
        """Copies what remains of segments into a new one; returns those that were all copied."""
        path = f"{self.folder}/{new_name(self.segments[-1].name)}"
        copied, made = [], [np.empty(0, RECORD)]
        try:
            with open(f"{path}.data", "xb") as target:
                for i in group:
                    with unless_gone():
                        made.append(self._copy_entries(i, target))
                        copied.append(i)
                sync(target)  # before the only other copy is removed
            records = np.concatenate([*made, self._uses_in(copied)])
            if len(records):
                end = np.array([(0, 0, 0, time_ns())], RECORD)
                with replacing(f"{path}.index") as file:
                    file.write(np.concatenate([records, end]).tobytes())
                    sync(file)
        finally:
            if not os.path.exists(f"{path}.index"):
                with unless_gone():  # it may not have been created
                    os.unlink(f"{path}.data")
        return copied

    def _copy_entries(self, number: int, target: BinaryIO) -> np.ndarray:
        """Appends what remains of a segment; returns its records there."""
        here = np.flatnonzero(self.kept & (self.index.rows["segment"] == number))
        here = here[np.argsort(self.index.rows["offset"][here])]
        rows = self.index.rows[here]
        records = np.empty(len(rows), RECORD)
        records["key"], records["length"] = self.index.keys[here], rows["length"]
        records["time"] = np.maximum(rows["time"], 1)  # 0 says that it was not written
        if not len(rows):
            return records
        with open_regular(f"{self.folder}/{self.segments[number].name}.data") as source:
            for part in runs(rows["offset"], rows["length"]):
                start = int(rows["offset"][part][0])
                records["offset"][part] = rows["offset"][part] - start + target.tell()
                target.write(read_at(source, start, int(rows["length"][part].sum())))
        return records

    def _uses_in(self, group: list[int]) -> np.ndarray:
        """The records of use that segments have, of their own entries and of others."""
        index, rows = self.index, self.index.rows
        noted = np.isin(rows["segment"], group)
        for number in group:
            places = places_of(self.uses[number], index.keys)
            noted[places[places >= 0]] = True
        noted &= self.kept & (rows["used"] > rows["time"])
        uses = np.zeros(noted.sum(), RECORD)
        uses["key"], uses["time"] = index.keys[noted], rows["used"][noted]
        return uses


def runs(offsets: np.ndarray, lengths: np.ndarray) -> Iterator[slice]:
    """Parts of entries that lie side by side, of some megabytes each."""
    starts = np.ones(len(offsets), bool)
    starts[1:] = offsets[1:] != (offsets + lengths)[:-1]
    starts[1:] |= (offsets // STEP)[1:] != (offsets // STEP)[:-1]
    bounds = [*np.flatnonzero(starts).tolist(), len(offsets)]
    yield from map(slice, bounds, bounds[1:])


def survey(folder: str, now: float) -> list[Listed]:
    """All segments, oldest first. now: by the clock of the disk."""
    segments = []
    for name in names_in(folder, "index"):
        index, data = f"{folder}/{name}.index", f"{folder}/{name}.data"
        with unless_gone():
            try:
                with open_regular(index) as file:
                    found = os.fstat(file.fileno())
                    start = max(found.st_size - RECORD.itemsize, 0)
                    is_ended = is_end(read_at(file, start, RECORD.itemsize))
                size = size_of(data)
                is_still = is_ended or abs(now - found.st_mtime) > STILL
                segments.append(Listed(name, size, on_disk(found.st_size, size), is_still))
            except PermissionError:  # another user's
                sizes = [os.stat(path).st_size for path in (index, data)]
                segments.append(Listed(name, 0, on_disk(*sizes), is_still=False))
    return segments


def many_small(segments: list[Listed]) -> list[Listed]:
    """Segments that are more than MANY of about a size, and all smaller ones. What they become is
    of the next size, so each entry is copied a few times at most."""
    still = sorted((s for s in segments if s.is_still), key=lambda s: s.bytes)
    below = 0
    for size in SIZES:
        smaller = [segment for segment in still if segment.bytes <= size * SMALL]
        if len(smaller) - below > MANY:
            return smaller
        below = len(smaller)
    return []


@contextmanager
def claimed(folder: str) -> Iterator[float | None]:
    """Yields the time by the clock of the disk (s), None if another process prunes. That only
    spares work: should two do so, they copy the same twice."""
    path = f"{folder}/{CLAIM}"
    with TemporaryFile(dir=folder) as file:
        now = os.fstat(file.fileno()).st_mtime
    with unless_gone():
        # Its process was killed. The clock may have been put back since.
        if abs(now - os.stat(path).st_mtime) > IDLE:
            os.unlink(path)
    try:
        open(path, "xb").close()
    except FileExistsError:
        yield None
        return
    try:
        yield now
    finally:
        with unless_gone():
            os.unlink(path)


def remove_leftovers(folder: str, now: float) -> None:
    """What killed processes left: data without an index, temporary files."""
    alone = set(names_in(folder, "data")) - set(names_in(folder, "index"))
    names = [f"{name}.data" for name in alone]
    names += filter(TEMPORARY.fullmatch, os.listdir(folder))
    for name in names:
        with unless_gone():
            if abs(now - os.stat(f"{folder}/{name}").st_mtime) > STILL:
                os.unlink(f"{folder}/{name}")


def remove(path: str) -> None:
    """A segment: first what is looked for first."""
    for suffix in ("index", "data"):
        with unless_gone():
            os.unlink(f"{path}.{suffix}")


def size_of(path: str) -> int:
    """0 for a missing file. It is opened, as network disks then look again."""
    with unless_gone(), open_regular(path) as file:
        return os.fstat(file.fileno()).st_size
    return 0


def on_disk(*sizes: int) -> int:
    return sum(-(-size // BLOCK) * BLOCK for size in sizes)


def sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def unless_gone() -> Iterator[None]:
    """Nothing happens to what another process has removed."""
    try:
        yield
    except OSError as error:
        if error.errno not in GONE:
            raise
