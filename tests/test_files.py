"""Files: replaced whole or not at all, hashed with progress, and watched for changes."""

import hashlib
import os
import signal
import stat
import threading
from pathlib import Path

import pytest
from conftest import hear_ctrl_c, write
from hypothesis import example, given
from hypothesis import strategies as st

from trajeval import files, terminal
from trajeval.files import (
    RealPaths,
    as_posix,
    check_unchanged,
    hash_file,
    open_regular,
    replacing,
    stamps,
)
from trajeval.terminal import UserError


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = write(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half")
        assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 2
        _ = 1 / 0
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_name_as_long_as_the_file_system_allows(tmp_path):
    with replacing(tmp_path / ("x" * 255)) as file:
        file.write(b"new")
    assert [path.name for path in list(tmp_path.iterdir())] == ["x" * 255]


def test_a_folder_is_not_a_regular_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        open_regular(tmp_path)
    with open_regular(write(tmp_path / "a.txt", "content")) as file:
        assert file.read() == b"content"


@pytest.mark.parametrize("change", ["written", "replaced", "removed", "made"])
def test_files_that_changed_since_they_were_hashed(tmp_path, change):
    kept, path = write(tmp_path / "kept"), tmp_path / "last\x1b.pth"
    if change != "made":
        write(path, "content")
    before = stamps([kept, path])
    check_unchanged(before)
    match change:
        case "written":
            write(path, "other")
        case "replaced":
            write(tmp_path / "other", "content").replace(path)
        case "removed":
            path.unlink()
        case "made":
            write(path, "content")
    with pytest.raises(UserError, match="changed while it was being loaded: run again") as caught:
        check_unchanged(before)
    assert "\x1b" not in str(caught.value)


def test_hashing_a_large_file_shows_its_progress(tmp_path, monkeypatch, capsys):
    path = write(tmp_path / "large\x1b.mp4", bytes(range(256)) * 20_000)
    with open(path, "rb") as file:
        digest = hash_file(file, "sha256")
    assert capsys.readouterr().err == ""  # quick
    monkeypatch.setattr(files, "PATIENCE", 0)
    monkeypatch.setattr(terminal, "pause_after", lambda seconds: 0)
    with open(path, "rb") as file:
        assert hash_file(file, "sha256") == digest == hashlib.sha256(path.read_bytes()).hexdigest()
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"reading {tmp_path}/large\N{REPLACEMENT CHARACTER}.mp4: ")
    assert last.endswith(": 100%")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_ends_hashing_at_once(tmp_path):
    path = tmp_path / "sparse.mp4"
    with open(path, "wb") as file:
        file.truncate(10**12)
    main = threading.get_ident()
    timer = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    hear_ctrl_c()
    with open(path, "rb") as file, pytest.raises(KeyboardInterrupt):
        timer.start()
        hash_file(file, "sha256")
    signal.signal(signal.SIGINT, before)


# Real paths

STEPS = ["v", "w", "a.mp4", "l", "up", "gone", "none", ".", "..", "", "root"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A folder with links to a file, to folders, to nowhere and to itself."""
    top = tmp_path_factory.mktemp("tree") / "top"
    for name in ("v/a.mp4", "v/w/a.mp4", "w/a.mp4"):
        write(top / name)
    for name, target in (
        *(("l", "v/w"), ("v/l", "a.mp4"), ("v/w/up", ".."), ("w/l", "../v/w/up/w/a.mp4")),
        *(("gone", "nowhere/x"), ("v/gone", "gone"), ("root", "/"), ("v/root", top)),
    ):
        (top / name).symlink_to(target)
    return top


@example([("/", ["", "root"])])  # //root
@given(st.lists(st.tuples(st.sampled_from(["", "top", "/"]), st.lists(st.sampled_from(STEPS)))))
def test_real_paths(tree, several):
    """As the system has them, whatever was looked up before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tree)
        real = RealPaths()
        for start, steps in several:
            base = {"": "", "top": f"{tree}/", "/": "/"}[start]
            path = base + "/".join(steps)
            mode, found = real.look_up(path)
            if not os.path.lexists(path):
                assert mode == 0
                continue
            assert stat.S_IFMT(mode) == stat.S_IFMT(
                (os.stat if os.path.exists(path) else os.lstat)(path).st_mode
            )
            wanted = os.path.realpath(path)
            assert os.path.join(os.path.realpath(tree), found).rstrip("/.") == wanted.rstrip("/")
            below = f"{os.path.realpath(tree)}/"
            assert os.path.isabs(found) == (not f"{wanted}/".startswith(below))


def test_a_folder_is_looked_up_once(tree, monkeypatch):
    monkeypatch.chdir(tree)
    asked = []
    monkeypatch.setattr(os, "lstat", lambda path, *, of=os.lstat: asked.append(path) or of(path))
    real = RealPaths()
    for name in ("v/w/a.mp4", "v/w/b.mp4", "v/a.mp4", "none/a/b.mp4", "none/a/c.mp4"):
        real.look_up(name)
    assert asked == ["v", "v/w", "v/w/a.mp4", "v/w/b.mp4", "v/a.mp4", "none"]


def test_a_path_of_thousands_of_folders():
    assert RealPaths().look_up("a/" * 2000 + "b") == (0, "a/" * 2000 + "b")


@given(st.text(st.sampled_from("a./ ")))
def test_paths_as_texts(text):
    assert as_posix(text) == Path(text).as_posix()
