"""Lists are read in blocks: as if they were read as a whole."""

import csv
import io
import tracemalloc

import pytest
from conftest import refused, write
from hypothesis import example, given
from hypothesis import strategies as st

from trajeval import rows
from trajeval.csv_lists import COLUMNS
from trajeval.inputs import read_prompts, read_trajectories
from trajeval.rows import MAX_LINE, Row, lines_of, read_list

pytestmark = pytest.mark.usefixtures("in_empty_folder")

# What some split lines at, besides \n and \r: \v, \f, the separators, NEL and U+2028.
ENDS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"]
WORDS = [*ENDS, "a", " ", "#", "[", "]", "[x]", "ö", "走", "\ufeff", '"', ",", "group"]
PIECES = st.sampled_from([word.encode() for word in WORDS])
TEXTS = st.lists(PIECES).map(b"".join)
ODD = st.lists(PIECES | st.sampled_from([b"\xe4", b"\xe8\xb5", b"\xff"])).map(b"".join)
BLOCKS = st.integers(1, 9)


@pytest.fixture
def blocks(monkeypatch):
    """A function that sets how many bytes are read at a time."""
    return lambda n: monkeypatch.setattr(rows, "BLOCK", n)


def found(path, kind):
    problems, notes = [], []
    return list(read_list(path, kind, problems, notes)), problems, notes


@given(st.binary() | ODD, BLOCKS)
def test_lines_are_those_of_the_whole(data, n):
    path = write("t.csv", data)  # of a table, in which NULs are told cell by cell
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        patch.setattr(rows, "BLOCK", n)
        assert list(lines_of(path, file, "prompt")) == data.splitlines(keepends=True)


def plainly(data):
    """The rows of a text list without mistakes, read as a whole."""
    entries, group = [], None
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        text = line.decode().strip()
        if text.startswith("[") and text.endswith("]"):
            group = text[1:-1].strip()
        elif text and not text.startswith("#"):
            entries.append(Row(text, group, number))
    return entries


@given(TEXTS, BLOCKS)
@example("走る\r\nö\r\n".encode(), 4)  # a block ends in a character, another between \r and \n
@example(b"\xef\xbb\xbf[x]\r\na", 1)
def test_a_text_list_is_read_as_a_whole(data, n):
    path = write("p.txt", data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "BLOCK", n)
        read, problems, _ = found(path, "prompt")
    assert read == plainly(data)
    assert found(path, "prompt") == (read, problems, [])


@given(st.sampled_from([b"", b"prompt\n", b"prompt,group,x\r\n"]), ODD, BLOCKS)
def test_a_table_is_read_as_a_whole(header, data, n):
    path = write("p.csv", header + data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "BLOCK", n)
        in_blocks = found(path, "prompt")
    assert in_blocks == found(path, "prompt")
    read, problems, _ = in_blocks
    if header and not problems:
        text = (header + data).decode()
        cells = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        wanted = [" ".join(one["prompt"].strip().splitlines()) for one in cells]
        assert [row.text for row in read] == [one for one in wanted if one]


@pytest.mark.parametrize("name", ["p.txt", "p.csv"])
def test_a_line_that_no_list_has(name, blocks):
    blocks(1 << 24)
    text = "prompt\n" + "x" * (MAX_LINE + 1)
    assert refused(read_prompts, write(name, text)) == (
        f"{name}: is not a text file with one prompt on each line"
    )


def test_a_nul_after_the_first_block(blocks):
    """Only this is told, not what is wrong with the lines before it."""
    write("t.txt", b"none.mp4\n\xff\n" * 10 + b"\0")
    blocks(50)
    assert refused(read_trajectories, "t.txt") == (
        "t.txt: is not a text file with one trajectory on each line"
    )


@pytest.mark.parametrize("name", ["t.txt", "t.csv"])
def test_a_list_is_never_in_memory_as_a_whole(name):
    header = "path,comment\n" if name.endswith("csv") else ""
    path = write(name, header + ("a.mp4," + "x" * 1000 + "\n") * 20_000)
    tracemalloc.start()
    problems = []
    n = sum(1 for _ in read_list(path, "trajectory", problems))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n == 20_000 and not problems and peak < 5 << 20  # of 20 MB


def test_every_kind_has_a_limit():
    assert set(rows.MAX_BYTES) == set(COLUMNS)
