"""Rows of numbers, in memory while they are few and in a file once they are many."""

import tempfile
from collections.abc import Iterator

import numpy as np

from trajeval.terminal import UserError

IN_MEMORY = 1 << 28  # bytes: above these an unnamed file in the folder for temporary files has them
BLOCK = 1 << 25  # bytes that are read at a time


class Rows:
    """float32 [N, *shape]: appended one by one, read in blocks."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape
        self._row_bytes = 4 * int(np.prod(shape))
        # Open for as long as this lives.
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, row: np.ndarray) -> None:
        """Adds a row of this shape. Raises ValueError for another, and UserError, with status 1, if
        the file cannot be written, as when the disk is full."""
        if row.shape != self.shape:
            raise ValueError(f"expected a row of {self.shape}, got {row.shape}")
        try:
            self._file.seek(self._count * self._row_bytes)
            self._file.write(np.ascontiguousarray(row, np.float32).tobytes())
        except OSError as error:
            raise UserError(
                f"{tempfile.gettempdir()}: temporary files could not be written: {error.strerror}; "
                "TMPDIR names the folder for them",
                status=1,
            ) from None
        self._count += 1

    def take(self, start: int, stop: int) -> np.ndarray:
        """The rows from start up to stop, float32 [stop - start, *shape]."""
        stop = min(stop, self._count)
        self._file.seek(start * self._row_bytes)
        data = self._file.read(max(stop - start, 0) * self._row_bytes)
        return np.frombuffer(data, np.float32).reshape(-1, *self.shape)

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """The rows of these numbers, int [m]. float32 [m, *shape]"""
        found = np.empty((len(numbers), *self.shape), np.float32)
        for place, number in enumerate(numbers.tolist()):
            found[place] = self.take(number, number + 1)
        return found

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """All rows, in blocks with the number of the first: float32 [B, *shape]."""
        step = max(1, BLOCK // max(self._row_bytes, 1))
        for start in range(0, self._count, step):
            yield start, self.take(start, start + step)
