"""Large tables: the same numbers as of small ones, in Parquet; a page of some rows."""

import csv
import errno
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from make_videos import write_video
from pyarrow import parquet
from runs import example

import compare_results
from trajeval import inputs, page_data, spool
from trajeval.evaluator import main
from trajeval.results import read_results

COLOURS = ("red", "green", "blue")
PARTS = [("", "0.5"), ("0.5", "1"), ("1", "")]
FILES = {
    *("similarities.npy", "groups.csv", "metrics.json", "embeddings.npz"),
    *("run.json", "report.html"),
}


@pytest.fixture(scope="module")
def colour():
    return example().ColourModel


@pytest.fixture
def many(monkeypatch):
    """Makes more rows than these many."""

    def limit(rows, on_page=1000):
        monkeypatch.setattr(inputs, "LARGE_ROWS", rows)
        monkeypatch.setattr(page_data, "MAX_ROWS", on_page)

    return limit


@pytest.fixture
def lists(in_empty_folder):
    def write(ratings=("1", "2.5", "3")):
        rows = [
            f"{name}.mov,{start},{end},{name},{rating}"
            for name in COLOURS
            for (start, end), rating in zip(PARTS, ratings)
        ]
        Path("t.csv").write_text("path,start,end,group,rating\n" + "\n".join(rows))

    for i, name in enumerate(COLOURS):
        frames = np.full((20, 32, 32, 3), 30, np.uint8)
        frames[..., i] = np.linspace(30, 250, 20)[:, None, None]
        write_video(Path(f"{name}.mov"), frames, codec="png", pix_fmt="rgb24", fps=10)
    Path("p.txt").write_text("\n".join(f"[{n}]\nit is {n}\nall {n}" for n in COLOURS))
    write()
    return write


def run(colour, name, *arguments):
    lists = ["-t", "t.csv", "-p", "p.txt", "-e", name, "-o", "out"]
    return main(colour, "", [*lists, *arguments])


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def read_parquet(path):
    return parquet.read_table(path).to_pydict()


@pytest.mark.parametrize("ratings", [("1", "2.5", "3"), ("failure", "suboptimal", "success")])
def test_the_same_numbers_in_other_files(lists, colour, many, ratings):
    lists(ratings)
    many(9)
    assert run(colour, "small") == 0
    many(8, on_page=4)
    assert run(colour, "large") == 0
    small, large = Path("out/small"), Path("out/large")
    tables = {f"{name}.parquet" for name in ("similarities", "scores", "trajectories")}
    assert {path.name for path in large.iterdir()} == FILES | tables
    for same in FILES - {"run.json", "report.html"}:
        assert (small / same).read_bytes() == (large / same).read_bytes()

    header, *cells = read_csv(small / "similarities.csv")
    found = read_parquet(large / "similarities.parquet")
    assert list(found) == header
    assert [[str(found[name][i]) for name in header[:3]] for i in range(9)] == [
        row[:3] for row in cells
    ]
    columns = [np.float32(found[name]) for name in header[3:]]
    assert np.array_equal(columns, np.load(large / "similarities.npy").T)

    header, *cells = read_csv(small / "scores.csv")
    scores = read_parquet(large / "scores.parquet")
    assert list(scores) == header
    for row, others in zip(cells, zip(*scores.values()), strict=True):
        assert row == ["" if cell is None else str(cell) for cell in others]

    entries = json.loads((small / "run.json").read_text())["trajectories"]
    back = parquet.read_table(large / "trajectories.parquet").to_pylist()
    for one, other in zip(entries, back, strict=True):
        known = {name: value for name, value in other.items() if value is not None}
        # Both stand in a folder of their own below the same one.
        assert known == {name: value for name, value in one.items() if value is not None}
    record = json.loads((large / "run.json").read_text())
    assert record["n_trajectories"] == 9 and "trajectories" not in record
    assert record["files"].keys() == (FILES | tables | {"large.png"}) - {"run.json"}


def test_they_are_read_again(lists, colour, many, capsys):
    many(9)
    assert run(colour, "small") == 0
    many(8, on_page=4)
    assert run(colour, "large", "--curves", "prefix", "--controls") == 0
    first, second = read_results("out/small"), read_results("out/large")
    assert first.table.rows == second.table.rows and first.contents == second.contents
    assert np.array_equal(first.table.values, second.table.values)
    page = Path("out/large/report.html").read_bytes()
    assert compare_results.main(["out/large"]) == 0  # its page again
    assert Path("out/large/report.html").read_bytes() == page
    assert "trajectories" not in json.loads(Path("out/large/run.json").read_text())
    read_results("out/large")  # with the page's hash
    assert compare_results.main(["out/small", "out/large", "-e", "both", "-o", "out"]) == 0
    assert "small" in capsys.readouterr().err

    os.truncate("out/large/trajectories.parquet", 500)
    assert compare_results.main(["out/small", "out/large", "-e", "both", "-o", "out"]) == 2
    assert "trajectories.parquet is not the file that the run wrote" in capsys.readouterr().err
    Path("out/large/trajectories.parquet").unlink()
    assert compare_results.main(["out/small", "out/large", "-e", "both", "-o", "out"]) == 2
    err = capsys.readouterr().err
    assert "out/large: not the folder of a run's results" in err and "parquet" in err


def test_one_name_small_and_large_in_turn(lists, colour, many):
    for limit, ending in ((9, "csv"), (8, "parquet"), (9, "csv")):
        many(limit)
        assert run(colour, "mine") == 0
        tables = {path.name for path in Path("out/mine").iterdir()} - FILES
        of_large = {"trajectories.parquet"} if limit == 8 else set()
        assert tables == {f"similarities.{ending}", f"scores.{ending}"} | of_large


def test_without_groups_of_trajectories(lists, colour, many):
    Path("t.csv").write_text(
        "path,start,end\n"
        + "\n".join(f"{name}.mov,{start},{end}" for name in COLOURS for start, end in PARTS)
    )
    many(8, on_page=4)
    assert run(colour, "mine") == 0
    assert not Path("out/mine/groups.csv").exists()  # it would have a row for each trajectory
    assert (
        Path("out/mine.png").stat().st_size
        and "9 trajectories" in Path("out/mine/report.html").read_text()
    )
    assert list(read_parquet("out/mine/scores.parquet"))[:3] == ["trajectory", "group", "score red"]


def test_what_cannot_be_used(lists, colour, many, capsys):
    Path("bad.mov").write_bytes(b"no video")
    Path("t.csv").write_text(Path("t.csv").read_text() + "\nbad.mov,,,red,2")
    many(8, on_page=4)
    assert run(colour, "mine") == 1
    assert "skipped 1 of 10 videos" in capsys.readouterr().err
    entries = read_parquet("out/mine/trajectories.parquet")
    assert len(entries["path"]) == 10 and entries["error"][:9] == [None] * 9
    assert "bad.mov" in entries["error"][9] and entries["frames"][9] is None
    assert "bad.mov" in Path("out/mine/report.html").read_text()
    assert len(read_results("out/mine").table.rows) == 9


def test_names_that_are_not_utf_8(lists, colour, many):
    try:
        os.rename("red.mov", b"r\xe9d.mov")
    except OSError:
        pytest.skip("file names are UTF-8 here")
    Path("t.txt").write_text("*.mov")
    many(2)
    lists = ["-t", "t.txt", "-p", "p.txt", "-e", "mine", "-o", "out"]
    assert main(colour, "", lists) == 0
    assert "r\\udce9d.mov" in read_parquet("out/mine/similarities.parquet")["trajectory"]
    assert [row.name for row in read_results("out/mine").table.rows][2] == "r\\udce9d.mov"


def test_without_pyarrow(lists, colour, many, capsys, monkeypatch):
    many(8)
    with monkeypatch.context() as patch:
        patch.setattr("trajeval.arguments.find_spec", lambda name: None)
        assert run(colour, "mine") == 2
        assert "--extra large" in capsys.readouterr().err and not Path("out").exists()
        lists = ["-t", "t.csv", "-p", "p.txt", "--cache-dir", "kept"]
        assert main(colour, "", [*lists, "--shard", "1/1"]) == 0
    assert run(colour, "mine", "--cache-dir", "kept") == 0
    assert "9 from the cache" in capsys.readouterr().err


def test_no_space_for_temporary_files(lists, colour, capsys, monkeypatch):
    class Full(tempfile.SpooledTemporaryFile):
        def rollover(self):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(spool, "IN_MEMORY", 10)
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Full)
    assert run(colour, "mine") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(tempfile.gettempdir()) and "No space left on device; TMPDIR" in last
    assert not Path("out").exists()
