"""Of each entry in segments the newest record, by key: many in arrays, the latest in a dict."""

from collections.abc import Iterable, Sequence
from time import time_ns
from typing import Any

import numpy as np

from trajeval.segments import RECORD

ROW: Any = np.dtype(
    [("segment", "<i4"), ("offset", "<i8"), ("length", "<i8"), ("time", "<i8"), ("used", "<i8")]
)
DAY = 86_400_000_000_000  # ns
FEW = 4096  # entries that are added one by one


class Index:
    """The segment (by number), offset, length, time and last use (ns) of each key. It takes 44
    bytes for each of many, and twice that while it is made.

    found: the number and the records (segments.RECORD) of each segment. names: of the segments by
    number, may grow: of equal times that of the greater name is newer, as merging has it.
    uses_since: ns, earlier uses are left out."""

    def __init__(
        self, found: Iterable[tuple[int, np.ndarray]], names: list[str], uses_since: int = 0
    ):
        self.names = names
        self.keys, self.rows = np.empty(0, "<i8"), np.empty(0, ROW)  # ascending, and theirs
        self._latest: dict[int, list[int]] = {}
        parts, uses = [], [np.empty(0, RECORD)]
        for number, records in found:
            parts.append(entries_in(number, records))
            uses.append(records[(records["length"] == 0) & (records["time"] >= uses_since)])
        self._fold(parts)
        self._add_uses(np.concatenate(uses))

    def find(self, key: int) -> list[int] | None:
        if key in self._latest:
            return self._latest[key]
        i = self.keys.searchsorted(key)
        if i < len(self.keys) and self.keys[i] == key:
            return list(self.rows[i].item())
        return None

    def set(self, key: int, *row: int) -> None:
        self._latest[key] = list(row)
        if len(self._latest) > max(FEW, len(self.keys) // 16):
            self._fold([])

    def set_used(self, key: int, at: int) -> None:
        """Of a key that is there."""
        if key in self._latest:
            self._latest[key][-1] = at
        else:
            self.rows["used"][self.keys.searchsorted(key)] = at

    def add(self, found: Iterable[tuple[int, np.ndarray]]) -> None:
        """Adds entries of segments, without their uses."""
        parts = [entries_in(number, records) for number, records in found]
        if sum(len(keys) for keys, _ in parts) > FEW:
            self._fold(parts)
            return
        for keys, rows in parts:
            for key, row in zip(keys.tolist(), rows.tolist()):
                if (known := self.find(key)) is None or self._age(known) <= self._age(row):
                    self.set(key, *row)

    def _age(self, row: Sequence[int]) -> tuple[int, str]:
        return row[3], self.names[row[0]]

    def _fold(self, parts: list[tuple[np.ndarray, np.ndarray]]) -> None:
        """Takes keys and rows, and those of the dict, into the arrays. Empties the list."""
        latest = np.array([tuple(row) for row in self._latest.values()], ROW)
        parts.insert(0, (np.fromiter(self._latest, "<i8", len(latest)), latest))
        keys = np.concatenate([self.keys, *(keys for keys, _ in parts)])
        rows = np.concatenate([self.rows, *(rows for _, rows in parts)])
        parts.clear()
        ranks = np.argsort(sorted(range(len(self.names)), key=self.names.__getitem__))
        self.keys, self.rows = newest(keys, rows, ranks)
        self._latest = {}

    def _add_uses(self, uses: np.ndarray) -> None:
        places = places_of(uses["key"], self.keys)
        is_known = places >= 0
        np.maximum.at(self.rows["used"], places[is_known], sane(uses["time"][is_known]))


def entries_in(number: int, records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The keys and rows of the entries in the records of a segment."""
    records = records[records["length"] != 0]
    rows = np.empty(len(records), ROW)
    rows["segment"] = number
    for name in ("offset", "length"):
        rows[name] = records[name]
    rows["time"] = rows["used"] = sane(records["time"])
    return records["key"].copy(), rows


def places_of(wanted: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Where each stands among ascending keys, -1 where it does not."""
    if not len(keys):
        return np.full(len(wanted), -1)
    places = np.minimum(keys.searchsorted(wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places, -1)


def newest(keys: np.ndarray, rows: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In the order of the keys, of equal keys the row with the latest time, of equal times that of
    the segment with the highest rank, the last of these; its last use is the last of them all.
    Changes the rows."""
    order = np.argsort(keys)
    keys = keys[order]
    first = np.ones(len(keys), bool)
    first[1:] = keys[1:] != keys[:-1]
    used = rows["used"][order]
    if not first.all():
        last = np.ones(len(keys), bool)
        last[:-1] = first[1:]
        among = np.flatnonzero(~(first & last))
        places = order[among]
        by = (places, ranks[rows["segment"][places]], rows["time"][places], keys[among])
        order[among] = places[np.lexsort(by)]
        used = np.maximum.reduceat(used, np.flatnonzero(first))
        keys, order = keys[last], order[last]
    for name in ("segment", "offset", "length", "time"):  # one at a time: half the memory
        rows[name][: len(order)] = rows[name][order]
    rows = rows[: len(order)]
    rows["used"] = used
    return keys, rows


def sane(times: np.ndarray) -> np.ndarray:
    """Times of the future are none: they would keep a damaged entry for ever."""
    return np.where(times > time_ns() + DAY, 0, times)
