"""Files that are written piece by piece are those that would be written at once."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as arrow

from trajeval import spool, streams
from trajeval.spool import Rows
from trajeval.streams import npz, parquet, write_content

any_text = st.text(st.characters(codec=None))  # lone surrogates too, as in file names


def rows_of(array):
    rows = Rows(array.shape[1:])
    for row in array:
        rows.append(row)
    return rows


def content(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


@settings(deadline=None)
@given(st.integers(0, 9), st.lists(any_text, min_size=1), st.integers(1, 4))
def test_an_archive_has_the_bytes_of_numpys(n, names, at_once):
    array = np.arange(n * 6, dtype=np.float32).reshape(n, 2, 3)
    expected = io.BytesIO()
    np.savez(expected, trajectories=np.array(names), videos=array, more=np.eye(3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "NAMES", at_once)
        patch.setattr(spool, "BLOCK", 24 * at_once)
        found = content(npz(trajectories=names, videos=rows_of(array), more=np.eye(3)))
    assert found == expected.getvalue()


@pytest.mark.parametrize("in_memory", [1 << 20, 40])
def test_rows_are_in_a_file_once_they_are_many(monkeypatch, in_memory):
    monkeypatch.setattr(spool, "IN_MEMORY", in_memory)
    array = np.random.default_rng(0).random((50, 3), np.float32)
    rows = rows_of(array)
    assert len(rows) == 50 and np.array_equal(rows.take(0, 50), array)
    assert np.array_equal(rows.take(40, 99), array[40:]) and rows.take(50, 60).shape == (0, 3)
    assert np.array_equal(rows.of(np.array([7, 0, 7])), array[[7, 0, 7]])
    monkeypatch.setattr(spool, "BLOCK", 60)
    blocks = list(rows.blocks())
    assert [start for start, _ in blocks] == list(range(0, 50, 5))
    assert np.array_equal(np.concatenate([block for _, block in blocks]), array)
    rows.append(array[0])  # after it was read
    assert np.array_equal(rows.take(50, 51), array[:1])
    with pytest.raises(ValueError, match="expected a row of"):
        rows.append(np.zeros(4))


def test_a_parquet_table(tmp_path):
    kinds = [
        ("a", "text"),
        ("a", "float32"),
        ("a (2)", "number"),
        ("b", "integers"),
        ("\udcff", "texts"),
    ]
    blocks = [
        [["x", None], np.float32([0.1, 2]), [None, 0.5], [[1, 2], None], [["\udc80"], []]],
        [["\udc80é"], np.float32([3]), [1], [[]], [["y", "z"]]],
    ]
    path = tmp_path / "t.parquet"
    digest = write_content(path, parquet(kinds, lambda: blocks))
    table = arrow.read_table(path)
    assert table.column_names == ["a", "a (2)", "a (2) (2)", "b", "\\udcff"]
    assert table.to_pydict() == {
        "a": ["x", None, "\\udc80é"],
        "a (2)": np.float32([0.1, 2, 3]).tolist(),
        "a (2) (2)": [None, 0.5, 1.0],
        "b": [[1, 2], None, []],
        "\\udcff": [["\\udc80"], [], ["y", "z"]],
    }
    assert len(digest) == 64
