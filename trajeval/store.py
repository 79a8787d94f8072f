"""Entries in the segments of a folder, found by their names.

Of what other processes add it hears when an entry is missing, but no more often than keeps looking
a small part of the time: a look takes some calls of the file system for each segment.
"""

import os
from collections.abc import Iterator
from threading import Lock
from time import monotonic, time_ns

import numpy as np

from trajeval.entry_index import Index
from trajeval.segments import GONE, Segment, Writer, key_of, names_in

HOUR = 3_600_000_000_000  # ns: a use is not recorded again within it
SHARE = 50  # times as long as a look took: until the next one
LOOKS = 3  # for an entry, if segments are removed meanwhile
OPEN = 64  # segments at a time


class Store:
    """For one process. error: the last one of reading, which hides what could not be read."""

    def __init__(self, folder: str):
        self.folder, self.process = folder, os.getpid()
        self.error: OSError | None = None
        self._lock = Lock()  # of its threads
        self._segments: list[Segment] = []
        self._names: list[str] = []  # of the segments
        self._numbers: dict[str, int] = {}
        self._open: dict[Segment, None] = {}
        self._index: Index | None = None
        self._next_look = 0.0
        self._writer: Writer | None = None
        self._marks_uses = True

    def get(self, name: bytes) -> memoryview | None:
        """The content of the newest entry of this name. Counts as use."""
        with self._lock:
            for _ in range(LOOKS):
                if (content := self._find(name)) is not None or not self._look():
                    return content
            return self._find(name)

    def put(self, name: bytes, parts: list) -> None:
        """Adds an entry, whose content is in parts. Raises OSError."""
        with self._lock:
            now, writer = time_ns(), self._writing()
            if self._index is not None and (known := self._index.find(key_of(name))):
                now = max(now, known[3] + 1)  # another machine's clock may be ahead
            try:
                place = writer.put(name, parts, now)
            except OSError as error:
                if error.errno in GONE:
                    self._writer = None
                raise
            if self._index is not None:
                self._index.set(key_of(name), self._numbers[writer.name], *place, now, now)

    def finish(self) -> None:
        """What was added may be moved by others from now on."""
        with self._lock:
            while self._open:
                self._open.popitem()[0].close()
            self._end_writing()

    def _end_writing(self) -> None:
        writer, self._writer = self._writer, None
        if writer:
            if self._index is not None:  # which has it all
                self._segments[self._numbers[writer.name]].is_finished = True
            writer.finish()

    def _writing(self) -> Writer:
        if self._writer and self._writer.is_due():
            self._end_writing()
        if not self._writer:
            os.makedirs(self.folder, exist_ok=True)
            self._writer = Writer(self.folder)
            self._number(self._writer.name)
        return self._writer

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._names)
            self._names.append(name)
            self._segments.append(Segment(f"{self.folder}/{name}"))
        return self._numbers[name]

    def _find(self, name: bytes) -> memoryview | None:
        if (index := self._index) is None:
            return None
        row = index.find(key := key_of(name))
        if row is None or (content := self._read(name, *row[:3])) is None:
            return None
        now = time_ns()
        if row[-1] < now - HOUR and self._marks_uses:
            index.set_used(key, now)
            try:
                self._writing().mark_use(key, now)
            except OSError:  # in a read-only folder
                self._marks_uses = False
        return content

    def _read(self, name: bytes, number: int, offset: int, length: int) -> memoryview | None:
        segment = self._segments[number]
        if segment.is_gone:
            return None
        self._open[segment] = None
        try:
            return segment.read(name, offset, length)
        except OSError as error:
            if error.errno in GONE:  # removed; others may have moved what it had
                segment.is_gone, self._next_look = True, 0
            else:
                self.error = error
            return None
        finally:
            if len(self._open) > OPEN:
                oldest = next(iter(self._open))
                del self._open[oldest]
                oldest.close()

    def _look(self) -> bool:
        """Whether it looked for what others have added."""
        started = monotonic()
        if started < self._next_look:
            return False
        if self._index is None:
            self._index = Index(self._new_records(), self._names, time_ns() - HOUR)
            return True
        self._next_look = started
        self._index.add(self._new_records())
        if self._next_look:
            now = monotonic()
            self._next_look = now + SHARE * (now - started)
        return True

    def _new_records(self) -> Iterator[tuple[int, np.ndarray]]:
        for name in names_in(self.folder, "index"):
            number = self._number(name)
            if self._index is not None and self._writer and name == self._writer.name:
                continue
            segment = self._segments[number]
            try:
                yield number, segment.new_records()
            except OSError as error:
                if error.errno not in GONE:
                    self.error = error
                elif not segment.is_gone:  # what it had is in one that was not listed yet
                    segment.is_gone, self._next_look = True, 0
