"""Reads lists that are tables: CSV files whose first row names the columns."""

import csv
import math
import re
from array import array
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import chain
from sys import intern
from typing import NamedTuple

from trajeval.terminal import plural, printable

# The column that every list of a kind has, then those that it may have.
COLUMNS = {
    "prompt": ("prompt", "group"),
    "trajectory": ("path", "start", "end", "group", "rating"),
}
RATINGS = ("failure", "suboptimal", "success")
FOREIGN = re.compile("[\0\udc80-\udcff]")  # NUL, and bytes that are not UTF-8 (surrogateescape)
PROBLEMS = {  # what Python's csv says -> what is wrong
    "unexpected end of data": 'a quote (") is opened and never closed',
    "',' expected after '\"'": 'text after a closing quote: write a quote inside quotes as ""',
    "field larger than field limit": f"a cell has more than {csv.field_size_limit()} characters",
}


class Row(NamedTuple):
    """An entry of a list. start, end: seconds. line: its first in the file."""

    text: str
    group: str | None
    line: int
    start: float | None = None
    end: float | None = None
    rating: float | str | None = None


def read_rows(
    path, lines: Iterable[bytes], kind: str, problems: list[str], notes: list[str] | None
) -> Iterator[Row]:
    """The entries of the lines of a CSV file; what is wrong with it is added to the problems, its
    columns that mean nothing here to the notes. kind: one of COLUMNS."""
    texts = (line.decode("utf-8", "surrogateescape") for line in lines)
    head = list(up_to_the_first(texts))
    if head and (wrong := wrong_separator(f"{path}:{len(head)}", head[-1], kind)):
        problems.append(wrong)
        return
    places, header, n_rows = {}, [], 0
    has_groups, without_group = False, array("q")  # the lines of rows without one
    try:
        for line, cells in numbered(chain(head, texts)):
            where = f"{path}:{line}"
            if FOREIGN.search("".join(cells)):
                problems += foreign_cells(where, cells, places)
            elif not places:
                places, ignored, wrong = read_header(where, cells, kind)
                header = cells
                problems += wrong
                if ignored and notes is not None:
                    notes.append(f"{path}: columns ignored: {printable(', '.join(ignored))}")
            elif len(cells) != len(header):
                problems.append(f"{where}: {wrong_width(len(cells), header)}")
            elif row := read_row(where, line, cells, places, kind, problems):
                n_rows += 1
                has_groups |= row.group is not None
                if row.group is None:
                    without_group.append(line)
                yield row
            if not places:
                return
    except UnreadableRow as error:
        problems.append(f"{path}:{error.line}: {error}")
        return
    if not places:
        problems.append(f"{path}: is empty: write a header and one {kind} in each row below it")
    elif not n_rows and not problems:
        problems.append(f"{path}: has no {kind}: write one in each row below the header")
    if has_groups:
        problems += [
            f"{path}:{line}: column group: is empty: in a list with groups every entry belongs to "
            "one"
            for line in without_group
        ]


def up_to_the_first(texts: Iterable[str]) -> Iterator[str]:
    """The lines of a file up to the first that is not empty."""
    for text in texts:
        yield text
        if text.strip("\r\n"):
            return


def wrong_separator(where: str, header: str, kind: str) -> str | None:
    """What is wrong if the header has semicolons or tabs where commas should be."""
    header = header.rstrip("\r\n")
    if COLUMNS[kind][0] in (cell.strip(' "') for cell in header.split(",")):
        return None
    for separator, what in ((";", "semicolons"), ("\t", "tabs")):
        if separator in header:
            return f"{where}: the columns are separated by {what}: save it with commas"
    return None


class UnreadableRow(Exception):
    """What is wrong with a row that is not CSV; line: its first."""

    def __init__(self, problem: str, line: int):
        super().__init__(problem)
        self.line = line


def numbered(texts: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file, without empty ones, each with the number of its first line. texts:
    the lines of the file with their ends. Raises UnreadableRow."""
    reader, line = csv.reader(texts, strict=True), 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        known = (words for start, words in PROBLEMS.items() if str(error).startswith(start))
        raise UnreadableRow(next(known, str(error)), line) from None


def foreign_cells(where: str, cells: list[str], places: dict[str, int]) -> Iterator[str]:
    """What is wrong with cells that hold a NUL or bytes that are not UTF-8."""
    names = {place: name for name, place in places.items()}
    for place, cell in enumerate(cells):
        if found := FOREIGN.search(cell):
            column = f"{where}: column {names.get(place, place + 1)}"
            if found[0] == "\0":
                yield f"{column}: has a NUL byte: save the list as UTF-8 text"
            else:
                byte = ord(found[0]) - 0xDC00
                yield f"{column}: not UTF-8 (byte 0x{byte:02x}): save it as UTF-8"


def read_header(where: str, cells: list[str], kind: str):
    """The place of each column that a kind of list has, the names of the other columns, and what is
    wrong. Without the needed column there are no places."""
    names = [cell.strip() for cell in cells]
    needed, *_ = known = COLUMNS[kind]
    others = list(dict.fromkeys(name for name in names if name and name not in known))
    shown = printable(", ".join(names))
    if needed not in names:
        message = f"{where}: no column {needed} in the header ({shown})"
        return {}, [], [message + hint_of_header(kind, others)]
    problems = [
        f"{where}: column {name}: is {names.count(name)} times in the header: rename or remove one"
        for name in known
        if names.count(name) > 1
    ]
    missing = [name for name in known if name not in names]
    for name in others:
        if near := get_close_matches(name.casefold(), missing, 1, cutoff=0.8):
            problems.append(
                f"{where}: column {printable(name)}: did you mean {near[0]}? Otherwise rename it"
            )
    return {name: names.index(name) for name in known if name in names}, others, problems


def hint_of_header(kind: str, names: list[str]) -> str:
    """What to do about a header without the column that a kind of list needs."""
    for other, (needed, *_) in COLUMNS.items():
        if other != kind and needed in names:
            return f": this is a {other} list"
    near = get_close_matches(COLUMNS[kind][0], [name.casefold() for name in names], 1, cutoff=0.7)
    close = [name for name in names if name.casefold() in near]
    return f": rename {printable(close[0])}" if close else ": name the columns in the first row"


def wrong_width(n: int, header: list[str]) -> str:
    """What is wrong with a row of n cells."""
    if n < len(header):
        column = printable(header[n].strip()) or n + 1
        return f"column {column}: is missing: the header has {len(header)} cells, this row {n}"
    return (
        f"column {len(header) + 1}: is not in the header, which has {plural(len(header), 'cell')}: "
        "put a text with a comma in quotes"
    )


def read_row(
    where: str,
    line: int,
    cells: list[str],
    places: dict[str, int],
    kind: str,
    problems: list[str],
) -> Row | None:
    """The entry of a row, None without its text; what is wrong with its cells is added to the
    problems."""
    found = {name: cells[place].strip() for name, place in places.items()}
    needed, *_ = COLUMNS[kind]
    text, group = found[needed], found.get("group")
    if not text:
        problems.append(f"{where}: column {needed}: is empty")
        return None
    if group and not group.isprintable():
        group = " ".join(group.split())
    if kind == "prompt":
        return Row(" ".join(text.splitlines()), group or None, line)
    start, end = (
        read_cell(where, found, name, read_seconds, problems) for name in ("start", "end")
    )
    rating = read_cell(where, found, "rating", read_rating, problems)
    if end is not None and end <= (start or 0):
        problems.append(f"{where}: column end: {end:g} is not after the start, {start or 0:g}")
    return Row(text, group or None, line, start, end, rating)


def read_cell(where: str, cells: dict[str, str], name: str, read, problems):
    """The value of a cell, None if it is empty, wrong (see the problems) or not in the list."""
    if not (text := cells.get(name)):
        return None
    try:
        return read(text)
    except ValueError as error:
        problems.append(f'{where}: column {name}: "{printable(text, 60)}" {error}')
        return None


def read_seconds(text: str) -> float:
    seconds = read_number(text, "is not a number of seconds, such as 2.5")
    if seconds < 0:
        raise ValueError("is below 0: count seconds from the start of the video")
    return seconds


def read_rating(text: str) -> float | str:
    if text in RATINGS:
        return intern(text)
    return read_number(text, f"is not a number, nor {', '.join(RATINGS[:-1])} or {RATINGS[-1]}")


def read_number(text: str, problem: str) -> float:
    """Raises ValueError with the problem for everything but a finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in text:
        raise ValueError(problem)
    return number
