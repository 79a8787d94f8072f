"""Reads the rows of a list, one after the other.

A list is a UTF-8 text file with one entry on each line. Blank lines and lines that begin with `#`
are skipped; a byte-order mark and Windows line ends are accepted. A line `[name]` opens a group,
and in a list with groups every entry belongs to one. A list whose name ends in `.csv` is a table,
which `csv_lists.py` reads.
"""

import os
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path

from trajeval.csv_lists import Row, read_rows
from trajeval.files import open_regular
from trajeval.terminal import UserError

MAX_BYTES = {"prompt": 1 << 26, "trajectory": 1 << 30}  # of a list
MAX_LINE = 1 << 24  # bytes; a file that is no list may have a single line of gigabytes
BLOCK = 1 << 20  # bytes read at a time


def is_table(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def read_list(
    path: Path, kind: str, problems: list[str], notes: list[str] | None = None
) -> Iterator[Row]:
    """The entries of a list, read as they are asked for; what is wrong with some is added to the
    problems, which are all known after the last. kind: one of MAX_BYTES. Raises UserError for what
    is no list at all."""
    try:
        with open_regular(path) as file:
            check_head(path, file, kind)
            lines = lines_of(path, file, kind)
            if is_table(path):
                yield from read_rows(path, lines, kind, problems, notes)
            else:
                yield from read_lines(path, lines, kind, problems)
    except FileNotFoundError:
        raise UserError(f"{path}: no such {kind} list") from None
    except IsADirectoryError:
        raise UserError(
            f"{path}: is a folder; give a text file with one {kind} on each line"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def check_head(path: Path, file: BufferedReader, kind: str) -> None:
    """Skips a byte-order mark. Raises UserError for UTF-16 and for a file that is too large."""
    if file.peek(3).startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path}: is UTF-16 text: save the list as UTF-8")
    if os.fstat(file.fileno()).st_size > MAX_BYTES[kind]:
        raise UserError(f"{path}: is larger than {MAX_BYTES[kind] >> 20} MiB: split it")
    if file.peek(3).startswith(b"\xef\xbb\xbf"):
        file.read(3)


def lines_of(path: Path, file: BufferedReader, kind: str) -> Iterator[bytes]:
    r"""The lines of a file with their ends, which are \n, \r\n or \r. Raises UserError for a line
    that no list has; of a text file also for NULs, which videos have in their first block."""
    rest = b""
    while block := file.read(BLOCK):
        lines = (rest + block).splitlines(keepends=True)
        rest = lines.pop()  # it may go on, and after a \r a \n may follow
        if len(rest) > MAX_LINE or (b"\0" in block and not is_table(path)):
            raise UserError(f"{path}: is not a text file with one {kind} on each line")
        yield from lines
    if rest:
        yield rest


def read_lines(path: Path, lines: Iterable[bytes], kind: str, problems: list[str]) -> Iterator[Row]:
    """The entries of the lines of a text file."""
    group, opened = None, {}  # opened: group name -> its line
    filled: dict[str | None, int] = {}  # group name -> the line of its first entry
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            byte = line[error.start]
            problems.append(f"{path}:{number}: not UTF-8 (byte 0x{byte:02x}): save it as UTF-8")
            continue
        if not text or text[0] == "#":
            continue
        if text[0] == "[" and text[-1] == "]":
            group = text[1:-1].strip()
            if not group:
                problems.append(f"{path}:{number}: a group needs a name between the brackets")
            elif group in opened:
                problems.append(
                    f"{path}:{number}: the group [{group}] was already opened in line "
                    f"{opened[group]}: put its entries together"
                )
            opened.setdefault(group, number)
        else:
            filled.setdefault(group, number)
            yield Row(text, group, number)
    if not problems:
        problems += wrong_groups(path, kind, opened, filled)


def wrong_groups(
    path: Path, kind: str, opened: dict[str, int], filled: dict[str | None, int]
) -> list[str]:
    """What is wrong with the groups of a text file: their first lines and those of their first
    entries."""
    if not filled:
        return [f"{path}: has no {kind}: write one on each line"]
    problems = [
        f"{path}:{number}: the group [{name}] is empty"
        for name, number in opened.items()
        if name not in filled
    ]
    if opened and None in filled:
        problems.append(
            f"{path}:{filled[None]}: comes before the first group: in a list with groups every "
            "entry belongs to one"
        )
    return problems
