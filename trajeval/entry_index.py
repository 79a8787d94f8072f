"""Of each entry in segments the newest record, by key: many in arrays, the latest in a dict."""

from collections.abc import Sequence
from time import time_ns
from typing import Any

import numpy as np

ROW: Any = np.dtype(
    [("segment", "<i4"), ("offset", "<i8"), ("length", "<i8"), ("time", "<i8"), ("used", "<i8")]
)
DAY = 86_400_000_000_000  # ns
FEW = 4096  # entries that are added one by one


class Index:
    """The segment (by number), offset, length, time and last use (ns) of each key. It takes 44
    bytes for each of many.

    found: the number and the records (segments.RECORD) of each segment, oldest first. uses_since:
    ns, earlier uses are left out."""

    def __init__(self, found: Sequence[tuple[int, np.ndarray]], uses_since: int = 0):
        self.keys, self.rows = np.empty(0, "<i8"), np.empty(0, ROW)  # ascending, and theirs
        self._latest: dict[int, list[int]] = {}
        self._fold(*entries_in(found))
        for _, records in found:
            self._add_uses(records, uses_since)

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
            self._fold(self.keys[:0], self.rows[:0])

    def set_used(self, key: int, at: int) -> None:
        """Of a key that is there."""
        if key in self._latest:
            self._latest[key][-1] = at
        else:
            self.rows["used"][self.keys.searchsorted(key)] = at

    def add(self, found: Sequence[tuple[int, np.ndarray]]) -> None:
        """Adds entries of segments, without their uses. Of equal times what is added is kept."""
        keys, rows = entries_in(found)
        if len(keys) > FEW:
            self._fold(keys, rows)
            return
        for key, row in zip(keys.tolist(), rows.tolist()):
            if (known := self.find(key)) is None or known[3] <= row[3]:
                self.set(key, *row)

    def _fold(self, keys: np.ndarray, rows: np.ndarray) -> None:
        """Takes entries, and those of the dict, into the arrays."""
        latest = np.array([tuple(row) for row in self._latest.values()], ROW)
        added = np.fromiter(self._latest, "<i8", len(self._latest))
        keys = np.concatenate([self.keys, added, keys])
        rows = np.concatenate([self.rows, latest, rows])
        self.keys, self.rows = newest(keys, rows)
        self._latest = {}

    def _add_uses(self, records: np.ndarray, since: int) -> None:
        uses = records[(records["length"] == 0) & (records["time"] >= since)]
        places = self.keys.searchsorted(uses["key"])
        places[places == len(self.keys)] = 0
        known = self.keys[places] == uses["key"] if len(self.keys) else np.zeros(len(uses), bool)
        np.maximum.at(self.rows["used"], places[known], sane(uses["time"][known]))


def entries_in(found: Sequence[tuple[int, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The keys and rows of all entries in the records of segments."""
    puts = [records["length"] != 0 for _, records in found]
    rows = np.empty(sum(int(put.sum()) for put in puts), ROW)
    keys, at = np.empty(len(rows), "<i8"), 0
    for (number, records), put in zip(found, puts):
        part = slice(at, at := at + int(put.sum()))
        keys[part] = records["key"][put]
        rows["segment"][part] = number
        for name in ("offset", "length"):
            rows[name][part] = records[name][put]
        rows["time"][part] = rows["used"][part] = sane(records["time"][put])
    return keys, rows


def newest(keys: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In the order of the keys, of equal keys the row with the latest time, of equal times the
    last; its last use is the last of them all."""
    order = np.argsort(keys)
    keys = keys[order]
    first = np.ones(len(keys), bool)
    first[1:] = keys[1:] != keys[:-1]
    if first.all():
        return keys, rows[order]
    last = np.ones(len(keys), bool)
    last[:-1] = first[1:]
    among = np.flatnonzero(~(first & last))
    places = order[among]
    order[among] = places[np.lexsort((places, rows["time"][places], keys[among]))]
    used = np.maximum.reduceat(rows["used"][order], np.flatnonzero(first))
    rows = rows[order[last]]
    rows["used"] = used
    return keys[last], rows


def sane(times: np.ndarray) -> np.ndarray:
    """Times of the future are none: they would keep a damaged entry for ever."""
    return np.where(times > time_ns() + DAY, 0, times)
