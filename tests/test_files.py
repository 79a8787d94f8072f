"""Files: replaced whole or not at all, hashed with progress, and watched for changes."""

import hashlib
import os
import signal
import threading

import pytest
from conftest import hear_ctrl_c, write

from trajeval import files, terminal
from trajeval.files import check_unchanged, hash_file, open_regular, replacing, stamps
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
    monkeypatch.setattr(terminal, "PROGRESS_EVERY", 0)
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
