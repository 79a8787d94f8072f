"""Reads the rows of a list.

A list is a UTF-8 text file with one entry on each line. Blank lines and lines that begin with `#`
are skipped; a byte-order mark and Windows line ends are accepted. A line `[name]` opens a group,
and in a list with groups every entry belongs to one. A list whose name ends in `.csv` is a table,
which `csv_lists.py` reads.
"""

from pathlib import Path

from trajeval.csv_lists import Row, read_rows
from trajeval.files import open_regular
from trajeval.terminal import printable

MAX_BYTES = 1 << 24  # of a list
MAX_CSV_BYTES = 1 << 26  # of a table, which may have columns of all kinds


def is_table(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def read_list(path: Path, kind: str, notes: list[str] | None = None) -> tuple[list[Row], list[str]]:
    """The entries of a list, and what is wrong with it."""
    limit = MAX_CSV_BYTES if is_table(path) else MAX_BYTES
    try:
        with open_regular(path) as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return [], [f"{path}: no such {kind} list"]
    except IsADirectoryError:
        return [], [f"{path}: is a folder; give a text file with one {kind} on each line"]
    except OSError as error:
        return [], [f"{path}: cannot be read: {error.strerror}"]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return [], [f"{path}: is UTF-16 text: save the list as UTF-8"]
    if is_table(path):
        if len(data) > limit:
            return [], [f"{path}: is larger than {limit >> 20} MiB: split it"]
        rows, problems, ignored = read_rows(path, data, kind)
        if ignored and notes is not None:
            notes.append(f"{path}: columns ignored: {printable(', '.join(ignored))}")
        return rows, problems
    if b"\0" in data or len(data) > limit:
        return [], [f"{path}: is not a text file with one {kind} on each line"]
    return read_lines(path, data, kind)


def read_lines(path: Path, data: bytes, kind: str) -> tuple[list[Row], list[str]]:
    """The entries of a text file, and what is wrong with it."""
    rows, opened, problems = parse_lines(path, data.removeprefix(b"\xef\xbb\xbf").splitlines())
    if problems:
        return rows, problems
    if not rows:
        return [], [f"{path}: has no {kind}: write one on each line"]
    filled = {row.group for row in rows}
    for name, number in opened.items():
        if name not in filled:
            problems.append(f"{path}:{number}: the group [{name}] is empty")
    if opened and rows[0].group is None:
        problems.append(
            f"{path}:{rows[0].line}: comes before the first group: in a list with groups every "
            "entry belongs to one"
        )
    return rows, problems


def parse_lines(path: Path, lines: list[bytes]):
    """The lines of a list -> its entries, its groups with the line that opens each, and what is
    wrong."""
    entries, problems = [], []
    group, opened = None, {}  # opened: group name -> its line
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            byte = line[error.start]
            problems.append(f"{path}:{number}: not UTF-8 (byte 0x{byte:02x}): save it as UTF-8")
            continue
        if not text or text.startswith("#"):
            continue
        if text.startswith("[") and text.endswith("]"):
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
            entries.append(Row(text, group, number))
    return entries, opened, problems
