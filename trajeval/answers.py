"""What a model made of many videos, in columns: a million objects would take gigabytes."""

from array import array
from collections.abc import Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trajeval.spool import Rows
from trajeval.views import WHOLE, View

if TYPE_CHECKING:
    from trajeval.shelf import Embedded


class Described(NamedTuple):
    """What clips.Clip says of a video that could be used; content: as shelf.Embedded has it."""

    indices: list[int]
    length: int
    size: list[int]
    fps: float | None
    warning: str | None
    content: str | None


class Answers:
    """Of each video its Described, or the VideoError if it cannot be used; and the values of those
    that can be used."""

    def __init__(self):
        self._numbers: Sequence[int] | None = None  # which of those added, and in which order
        self._errors: dict[int, Exception] = {}  # by the number of the video
        self._places = array("q")  # of each video, in what follows; -1 of one with an error
        self._kinds: dict[tuple, int] = {}  # the lists of prompts of a Judge, else one of none
        self._values: list[dict[View, Rows]] = []  # of each kind
        self._rows = array("q")  # the kind, and the row in its values
        self._sizes = array("q")  # length, width, height
        self._fps = array("d")  # NaN where it is unknown
        self._indices, self._ends = array("i"), array("q", [0])  # one after the other, and to where
        self._contents: list[bytes | None] = []
        self._warnings: dict[int, str] = {}  # by place
        self._points: list[tuple[Sequence[int], Sequence[float]]] = []
        self.n_kept = self.n_partly = 0  # of all that were added

    def add(self, found: "Embedded | Exception") -> None:
        """Adds the next video."""
        if isinstance(found, Exception):
            self._errors[len(self._places)] = found
            self._places.append(-1)
            return
        place = len(self._contents)
        self._places.append(place)
        kind = self._kinds.setdefault(tuple(found.prompts), len(self._values))
        if kind == len(self._values):
            shapes = {v: of.shape if v.how else of.shape[1:] for v, of in found.views.items()}
            self._values.append({view: Rows(shape) for view, shape in shapes.items()})
        self._rows.extend((kind, len(self._values[kind][WHOLE])))
        for view, values in found.views.items():
            self._values[kind][view].append(values if view.how else values[0])
        self._sizes.extend((found.length, *found.size))
        self._fps.append(np.nan if found.fps is None else found.fps)
        self._indices.extend(found.indices)
        self._ends.append(len(self._indices))
        self._contents.append(bytes.fromhex(found.content) if found.content else None)
        if found.warning is not None:
            self._warnings[place] = found.warning
        self._points.append((found.ends, found.end_times))
        self.n_kept += found.kept
        self.n_partly += found.partly

    def of(self, numbers: Sequence[int]) -> "Answers":
        """The answers of these numbers, in this order; the same columns."""
        chosen = copy(self)
        chosen._numbers = numbers
        return chosen

    def __len__(self) -> int:
        return len(self._places if self._numbers is None else self._numbers)

    def __iter__(self) -> "Iterator[Described | Exception]":
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, i: int) -> "Described | Exception":
        number = range(len(self._places))[i] if self._numbers is None else self._numbers[i]
        if number in self._errors:
            return self._errors[number]
        place = self._places[number]
        length, *size = self._sizes[3 * place : 3 * place + 3]
        fps, content = self._fps[place], self._contents[place]
        return Described(
            self._indices[self._ends[place] : self._ends[place + 1]].tolist(),
            length,
            size,
            None if np.isnan(fps) else fps,
            self._warnings.get(place),
            content.hex() if content else None,
        )

    @property
    def usable(self) -> np.ndarray:
        """Those without an error, by their places in this sequence. int64 [n]"""
        return np.flatnonzero(self._chosen() >= 0)

    @property
    def views(self) -> list[View]:
        """Those of each that is usable, of which there must be one."""
        return list(self._values[0])

    @property
    def failed(self) -> np.ndarray:
        """The others. int64 [N - n]"""
        return np.flatnonzero(self._chosen() < 0)

    def values(self, view: View, prompts: Sequence[str] = ()) -> Rows:
        """What was made of a view, of each that is usable: [D], or [R, D] of a view with R points.
        prompts: of a Judge, whose scores they are to be, [P] or [R, P]."""
        places = self._chosen()[self.usable]
        is_all = len(places) == len(self._contents) and (places == np.arange(len(places))).all()
        if is_all and not prompts:
            return self._values[0][view]
        kinds, columns = list(self._kinds), {}
        found: Rows | None = None
        for place in places.tolist():
            kind, row = self._rows[2 * place : 2 * place + 2]
            values = self._values[kind][view].take(row, row + 1)[0]
            if prompts:
                if kind not in columns:
                    columns[kind] = [kinds[kind].index(prompt) for prompt in prompts]
                values = values[..., columns[kind]]
            found = Rows(values.shape) if found is None else found
            found.append(values)
        assert found is not None, "of no video"
        return found

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each that is usable, where its curve has points: shelf.Embedded's ends and
        end_times, int64 and float64 [n, K]."""
        chosen = [self._points[place] for place in self._chosen()[self.usable]]
        ends, times = zip(*chosen)
        return np.array(ends), np.array(times)

    def _chosen(self) -> np.ndarray:
        """The places of all. int64 [N]"""
        places = np.array(self._places, np.int64)
        return places if self._numbers is None else places[np.asarray(self._numbers, np.int64)]
