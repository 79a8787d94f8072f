"""Files of a run that may be larger than the memory: written piece by piece."""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trajeval.files import hash_file, open_regular
from trajeval.spool import Rows

Content = bytes | Callable[[BinaryIO], None]  # of a file, or what writes it
NAMES = 20_000  # that are written at a time


def write_content(path: Path, content: Content) -> str:
    """Writes a file; returns its SHA-256 in hexadecimal. Raises OSError."""
    if isinstance(content, bytes):
        path.write_bytes(content)
        return hashlib.sha256(content).hexdigest()
    with open(path, "wb") as file:
        content(file)
    with open_regular(path) as written:  # an archive is not written from its start to its end
        return hash_file(written, "sha256")


def npy(array: np.ndarray) -> Content:
    return lambda file: np.lib.format.write_array(file, array, allow_pickle=False)


def npz(**arrays: np.ndarray | Rows | list[str]) -> Content:
    """A NumPy archive, byte for byte that of np.savez. A list of texts becomes an array of them."""

    def write(file: BinaryIO) -> None:
        import zipfile

        with zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    for piece in pieces(array):
                        member.write(piece)

    return write


def pieces(array: np.ndarray | Rows | list[str]) -> Iterator[bytes]:
    """A .npy file of an array."""
    if isinstance(array, Rows):
        yield header((len(array), *array.shape), np.dtype(np.float32))
        for _, block in array.blocks():
            yield block.tobytes()
    elif isinstance(array, list):
        kind = np.dtype(f"<U{max(map(len, array), default=1) or 1}")
        yield header((len(array),), kind)
        for start in range(0, len(array), NAMES):
            yield np.array(array[start : start + NAMES], kind).tobytes()
    else:
        file = io.BytesIO()
        np.lib.format.write_array(file, array, allow_pickle=False)
        yield file.getvalue()


def header(shape: tuple[int, ...], kind: np.dtype) -> bytes:
    file = io.BytesIO()
    about = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue()


def parquet(kinds: list[tuple[str, str]], blocks: Callable[[], Iterable[list]]) -> Content:
    """A Parquet table. kinds: of each column its name, to which a number is added where it is there
    already, and what it holds: "text", "number", "float32", "integer", "texts" or "integers".
    blocks: gives its rows, some at a time, as columns: lists, with None for what is missing, or
    arrays of numbers. Texts that are not UTF-8 get backslash escapes, as in CSV files."""

    def write(file: BinaryIO) -> None:
        import pyarrow
        from pyarrow.parquet import ParquetWriter

        types = {
            "text": pyarrow.string(),
            "number": pyarrow.float64(),
            "float32": pyarrow.float32(),
            "integer": pyarrow.int64(),
            "texts": pyarrow.list_(pyarrow.string()),
            "integers": pyarrow.list_(pyarrow.int64()),
        }
        names = different([name for name, _ in kinds])
        schema = pyarrow.schema([(name, types[kind]) for name, (_, kind) in zip(names, kinds)])
        texts = [name for name, (_, kind) in zip(names, kinds) if kind == "text"]
        with ParquetWriter(file, schema, use_dictionary=texts) as writer:
            for block in blocks():
                columns = [
                    pyarrow.array(escaped(column) if "text" in kind else column, types[kind])
                    for column, (_, kind) in zip(block, kinds)
                ]
                writer.write_batch(pyarrow.record_batch(columns, schema=schema))

    return write


def different(names: list[str]) -> list[str]:
    """The same names, those that are repeated with a number."""
    found: dict[str, None] = {}
    for name in escaped(names):
        number, one = 1, name
        while one in found:
            number += 1
            one = f"{name} ({number})"
        found[one] = None
    return list(found)


def escaped(value):
    """A text as UTF-8 can hold it, or a list of such, of lists, of None."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    return None if value is None else [escaped(one) for one in value]
