"""Segments: any number of processes add, read, prune and merge; what is found is right."""

import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from conftest import write
from hypothesis import given
from hypothesis import strategies as st
from runs import ROOT

from trajeval import entry_index, merging, segments, store
from trajeval import files as trajeval_files
from trajeval.cache import Cache
from trajeval.entry_index import Index
from trajeval.segments import RECORD, Segment, names_in, new_name

NUMBER = {"number": int}
ARRAY = NUMBER | {"embedding": np.ndarray}
HUGE = 10**9


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def clock(monkeypatch):
    """Sets the time that entries are put and used at, in hours."""
    hours = [0.0]
    base = time.time_ns() - 10**5 * store.HOUR

    monkeypatch.setattr(store, "time_ns", lambda: base + int(hours[0] * store.HOUR))
    return lambda at: hours.__setitem__(0, at)


def entry(number, size=1000):
    return {"number": number, "embedding": np.full(size, number, np.float32)}


def put(folder, *numbers, size=1000):
    """Puts entries of four bytes for each of their size, by a writer that then ends."""
    writer = Cache(folder)
    for number in numbers:
        writer.put("videos", {"number": number}, entry(number, size))
    assert writer.problem is None


def is_kept(reader, number):
    """Whether there is an entry, which must be the right one."""
    found = reader.get("videos", {"number": number}, ARRAY)
    assert found is None or (found["number"] == number and (found["embedding"] == number).all())
    return found is not None


def kept(folder, n=100):
    """The numbers of the entries that a new process finds."""
    reader = Cache(folder)
    found = [number for number in range(n) if is_kept(reader, number)]
    assert reader.problem is None
    return found


def prune(folder, max_bytes=HUGE):
    pruner = Cache(folder, max_bytes)
    pruner.prune()
    assert pruner.problem is None


def files(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def size_of(folder):
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in files(folder))


def age(folder, seconds):
    """Makes all files look as old as that."""
    for path in files(folder):
        os.utime(path, (time.time() - seconds,) * 2)


# What others add and move is found.


def test_what_others_add_meanwhile_is_found(folder, monkeypatch):
    monkeypatch.setattr(store, "SHARE", 0)
    reader, writer = Cache(folder), Cache(folder)
    for number in range(5):
        assert not is_kept(reader, number)
        writer.put("videos", {"number": number}, entry(number))
        assert is_kept(reader, number)
    put(folder, 5)
    assert is_kept(reader, 5)


def test_misses_do_not_look_each_time(folder, monkeypatch):
    put(folder, 0)
    reader, looked, listdir = Cache(folder), [], os.listdir

    def slow(path):
        looked.append(path)
        time.sleep(0.01)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", slow)
    started = time.monotonic()
    for number in range(1, 1000):
        assert not is_kept(reader, number)
    assert len(looked) <= 2 + (time.monotonic() - started) / (store.SHARE * 0.01)


def test_the_newest_of_a_name_wins(folder, monkeypatch, clock):
    monkeypatch.setattr(store, "SHARE", 0)
    reader = Cache(folder)
    for number in range(4):  # also of one writer, and at one time
        clock(number // 2)
        Cache(folder).put("videos", {}, {"number": number})
        Cache(folder).put("videos", {}, {"number": -number})
        assert Cache(folder).get("videos", {}, NUMBER) == {"number": -number}
    reader.get("videos", {"none": 1}, NUMBER)
    assert reader.get("videos", {}, NUMBER) == {"number": -3}
    prune(folder, 4 * 4096)
    assert Cache(folder).get("videos", {}, NUMBER) == {"number": -3}


def test_what_replaces_an_entry_wins_though_its_machine_is_behind(folder, clock):
    clock(5)
    Cache(folder).put("videos", {}, {"number": 0})
    clock(2)
    behind = Cache(folder)
    assert behind.get("videos", {}, NUMBER) == {"number": 0}
    behind.put("videos", {}, {"number": 1})
    assert Cache(folder).get("videos", {}, NUMBER) == {"number": 1}


def test_own_entries_are_found_whatever_was_looked_up_first(folder):
    writer = Cache(folder)
    writer.put("videos", {"number": 0}, entry(0))
    assert is_kept(writer, 0)
    writer.put("videos", {"number": 1}, entry(1))
    assert is_kept(writer, 1) and is_kept(writer, 0) and not is_kept(writer, 2)


def test_a_reader_whose_segments_are_merged(folder):
    for number in range(20):
        put(folder, number)
    reader = Cache(folder)
    assert is_kept(reader, 3)  # open
    prune(folder)
    assert len(names_in(f"{folder}/segments", "index")) == 1
    assert all(is_kept(reader, number) for number in range(20)) and reader.problem is None


def test_a_reader_beside_merges_of_what_was_merged(folder, monkeypatch):
    """What it lists is merged before it is opened."""
    put(folder, 0)
    reader = Cache(folder)
    assert is_kept(reader, 0)
    monkeypatch.setattr(merging, "MANY", 0)
    prune(folder)
    reader._store._open.popitem()[0].close()
    listdir, merges = os.listdir, [1]

    def late(path):
        names = listdir(path)
        if merges:
            merges.pop()
            prune(folder)
        return names

    monkeypatch.setattr(os, "listdir", late)
    assert is_kept(reader, 0) and not merges


def test_a_reader_whose_segments_are_pruned(folder):
    for number in range(10):
        put(folder, number)
    reader = Cache(folder)
    assert is_kept(reader, 0)
    prune(folder, 0)
    assert [n for n in range(10) if is_kept(reader, n)] in ([], [0])
    assert reader.problem is None


def test_more_segments_than_are_open_at_a_time(folder, monkeypatch):
    monkeypatch.setattr(store, "OPEN", 3)
    for number in range(10):
        put(folder, number)
    reader = Cache(folder)
    assert all(is_kept(reader, number % 10) for number in range(30))
    assert sum(segment._data is not None for segment in reader._store._segments) == 3


# Writers.


def test_a_writer_begins_another_segment_when_one_is_large_or_old(folder, monkeypatch):
    monkeypatch.setattr(segments, "LARGE", 3 * 4096)
    writer = Cache(folder)
    for number in range(9):
        writer.put("videos", {"number": number}, entry(number))
    assert len(names_in(f"{folder}/segments", "index")) == 3
    at = time.time()
    for later in (segments.IDLE + 1, 2 * segments.IDLE, -HUGE):  # also if the clock is put back
        monkeypatch.setattr(segments, "time", lambda later=later: at + later)
        writer.put("videos", {"number": 9}, entry(9))
    assert len(names_in(f"{folder}/segments", "index")) == 5
    assert kept(folder) == list(range(10)) and all(is_kept(writer, n) for n in range(10))


def test_a_folder_that_is_removed_meanwhile(folder):
    writer = Cache(folder)
    for number in range(3):
        writer.put("videos", {"number": number}, entry(number))
        assert kept(folder) == [number]
        for path in files(folder):
            path.unlink()
        if number:
            (folder / "segments").rmdir()
    assert not is_kept(writer, 5) and writer.problem is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_has_its_own_segment(folder):
    writer = Cache(folder)
    writer.put("videos", {"number": 0}, entry(0))
    assert is_kept(writer, 0)
    if not (child := os.fork()):
        writer.put("videos", {"number": 1}, entry(1))
        ok = all(is_kept(writer, number) for number in range(2))
        del writer
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    writer.put("videos", {"number": 2}, entry(2))
    prune(folder, 0)  # the parent has not finished
    assert kept(folder) == [0, 2]


def test_a_cache_can_be_sent_to_another_process(folder):
    import pickle

    put(folder, 0)
    reader = Cache(folder, 123)
    assert is_kept(reader, 0)
    again = pickle.loads(pickle.dumps(reader))
    assert (again.folder, again.max_bytes) == (str(folder), 123) and is_kept(again, 0)


# Pruning.


def test_the_least_recently_used_go_first(folder, clock):
    for number in range(12):
        clock(number)
        put(folder, number)
    clock(20)
    assert kept(folder, 2) == [0, 1]
    clock(21)
    prune(folder, 8 * 4096)
    left = kept(folder)
    assert left[:2] == [0, 1] and left[2:] == list(range(12))[-len(left[2:]) :] and len(left) >= 4
    assert size_of(folder) <= 8 * 4096


@pytest.mark.parametrize("limit", [0, 1, 8191, 8192, 50_000, 6 * 8192 - 1, 6 * 8192, HUGE])
@pytest.mark.parametrize("together", [False, True])
def test_after_pruning_the_folder_is_no_larger_than_allowed(folder, clock, limit, together):
    for numbers in [range(6)] if together else [[n] for n in range(6)]:
        clock(numbers[0])
        put(folder, *numbers)
    before = size_of(folder)
    prune(folder, limit)
    assert size_of(folder) <= limit
    left = kept(folder)
    assert limit < before or left == list(range(6))
    assert left == list(range(6))[-len(left) :] or together or not left


def test_uses_are_kept_through_merges_and_are_written_once_an_hour(folder, clock):
    for number in range(30):
        clock(number / 100)
        put(folder, number)
    clock(10)
    assert kept(folder, 3) == [0, 1, 2]
    written = len(files(folder))
    clock(10.5)
    assert kept(folder, 3) == [0, 1, 2] and len(files(folder)) == written
    prune(folder)
    assert len(files(folder)) == 2
    for number in range(30, 50):
        clock(11)
        put(folder, number)
    prune(folder)
    prune(folder, 30 * 4096)
    left = kept(folder)
    assert left[:3] == [0, 1, 2] and left[3:] == list(range(50))[-len(left[3:]) :]


def test_uses_of_entries_in_another_segment_are_kept_when_theirs_are_merged(folder, clock):
    put(folder, 0, 1, size=10**6)  # too large to be merged with small ones
    clock(5)
    assert kept(folder, 1) == [0]
    for number in range(2, 22):
        put(folder, number, size=1)
    prune(folder)
    assert len(names_in(f"{folder}/segments", "index")) == 2
    clock(6)
    prune(folder, 5 * 10**6)
    assert kept(folder, 2) == [0]


def test_what_was_replaced_goes_first(folder, clock):
    for number in range(8):
        clock(number)
        put(folder, number)
    clock(9)
    for _ in range(4):
        put(folder, 0)
    assert size_of(folder) == 12 * 2 * 4096
    prune(folder, 12 * 2 * 4096 - 1)
    assert kept(folder) == list(range(8)) and size_of(folder) < 12 * 2 * 4096


def test_many_small_segments_become_few_and_none_is_copied_often(folder, monkeypatch):
    copied = []
    copy = merging.Merge._copy
    monkeypatch.setattr(
        merging.Merge,
        "_copy",
        lambda self, group: (copied.append(len(group)), copy(self, group))[1],
    )
    monkeypatch.setattr(merging, "SMALL", 16384)
    for number in range(300):
        put(folder, number)
        prune(folder)
        assert len(names_in(f"{folder}/segments", "index")) <= 2 * merging.MANY + 4
    assert kept(folder, 301) == list(range(300)) and sum(copied) < 3 * 300


@pytest.mark.parametrize("size", [1, 3000, 20_000])
def test_segments_of_any_size_become_few(folder, monkeypatch, size):
    monkeypatch.setattr(merging, "SMALL", 8192)
    for number in range(60):
        put(folder, number, size=size)
        prune(folder)
    assert len(names_in(f"{folder}/segments", "index")) <= 2 * merging.MANY
    assert kept(folder) == list(range(60))


def test_segments_of_writers_at_work_are_left_alone(folder):
    writer = Cache(folder)
    writer.put("videos", {"number": 0}, entry(0))
    for number in range(1, 20):
        put(folder, number)
    prune(folder, 0)
    assert kept(folder) == [0]
    writer.put("videos", {"number": 20}, entry(20))
    assert kept(folder) == [0, 20]
    age(folder, segments.STILL / 2)
    prune(folder, 0)
    assert kept(folder) == [0, 20]
    age(folder, segments.STILL + 9)  # it would have begun another
    prune(folder, 0)
    assert not files(folder)


def test_a_process_that_prunes_finishes_its_own(folder):
    writer = Cache(folder, max_bytes=0)
    for number in range(3):
        writer.put("videos", {"number": number}, entry(number))
        writer.prune()
        assert not files(folder) and not is_kept(writer, number)
    assert writer.problem is None


def test_a_writer_goes_on_when_a_network_disk_has_lost_its_segment(folder, monkeypatch):
    writer = Cache(folder)
    writer.put("videos", {"number": 0}, entry(0))

    def stale(_):
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", stale)
        writer.put("videos", {"number": 1}, entry(1))
    assert kept(folder) == [0, 1] and len(names_in(f"{folder}/segments", "index")) == 2


def test_a_clock_that_was_put_back(folder):
    """Files from the future belong to processes that have ended."""
    abandoned = Cache(folder)
    abandoned.put("videos", {"number": 0}, entry(0))
    write(folder / "segments" / merging.CLAIM)
    age(folder, -(10**6))
    prune(folder, 0)
    assert not files(folder)


def test_only_one_prunes_at_a_time_unless_it_was_killed(folder):
    put(folder, 0)
    claim = write(folder / "segments" / merging.CLAIM)
    prune(folder, 0)
    assert kept(folder) == [0] and claim.exists()
    os.utime(claim, (time.time() - segments.IDLE - 9,) * 2)
    prune(folder, 0)
    assert not files(folder)


def test_what_killed_processes_left_is_removed_after_an_hour(folder):
    put(folder, 0)
    place = folder / "segments"
    left = [
        write(place / f"{new_name()}.data"),
        write(place / f".{new_name()}.index.{'a' * 16}.part"),
    ]
    prune(folder)
    assert all(path.exists() for path in left)
    for path in left:
        os.utime(path, (time.time() - segments.STILL - 9,) * 2)
    prune(folder)
    assert not any(path.exists() for path in left) and kept(folder) == [0]


def test_what_earlier_versions_kept_is_removed(folder):
    old = ["videos/ab/" + "c" * 40 + ".npz", "prompts/cd/" + "d" * 40 + ".entry"]
    old += ["total/ab/." + "c" * 40 + ".npz." + "e" * 16 + ".part"]
    others = ["a.txt", ".git/objects/ab/" + "c" * 38, "videos/ab/" + "c" * 40, "videos/b.npz"]
    for suffix in (".npz", ".entry"):
        name = "c" * 40 + suffix
        others += [f"ab/{name}", f"other/ab/notes{suffix}", f"other/ab/deeper/{name}"]
    for name in [*old, *others]:
        write(folder / name)
    put(folder, 0)
    prune(folder)
    left = {str(path.relative_to(folder)) for path in files(folder)}
    assert left & {*old, *others} == set(others) and kept(folder) == [0]
    assert not (folder / "prompts").exists() and (folder / "videos/ab").exists()


def test_other_files_beside_the_segments_are_never_removed(folder):
    put(folder, 0)
    names = ["a.txt", "a.index", f"{'g' * 16}-{'0' * 16}.data", f"{new_name()}.datas", ".x.part"]
    others = [write(folder / "segments" / name, "mine") for name in names]
    age(folder, 10**6)
    prune(folder, 0)
    assert files(folder) == sorted(others)


ODD = [b"", b"x", b"\0" * 3200, b"\xff" * 3200, bytes(range(256)) * 10]


@pytest.mark.parametrize("what", range(len(ODD)))
@pytest.mark.parametrize("suffix", ["index", "data"])
def test_segments_that_are_none(folder, what, suffix):
    """Also in the middle of what is read, merged and pruned."""
    put(folder, *range(5))
    name = new_name()
    write(folder / f"segments/{name}.{suffix}", ODD[what])
    if suffix == "index":
        write(folder / f"segments/{name}.data", b"y" * 100)
    for number in range(5, 25):
        put(folder, number)
    assert kept(folder) == list(range(25))
    age(folder, 10**6)
    prune(folder)
    assert kept(folder) == list(range(25))
    prune(folder, 0)
    assert not files(folder)


def test_segments_of_another_user_that_cannot_be_read(folder, monkeypatch):
    """They are told and left alone; the others are pruned and merged."""
    put(folder, 0)
    theirs = [path.name for path in files(folder)]
    for number in range(1, 20):
        put(folder, number)
    opened = trajeval_files._regular

    def regular(path, flags):
        if os.path.basename(path) in theirs:
            raise PermissionError(13, "Permission denied")
        return opened(path, flags)

    monkeypatch.setattr(trajeval_files, "_regular", regular)
    prune(folder)
    assert len(names_in(f"{folder}/segments", "index")) == 2
    reader = Cache(folder)
    assert all(is_kept(reader, number) for number in range(1, 20))
    assert reader.problem == f"{folder}: Permission denied"
    prune(folder, 0)
    assert [path.name for path in files(folder)] == theirs


@pytest.mark.skipif(os.name == "nt", reason="named pipes of POSIX")
def test_folders_and_pipes_in_the_place_of_segments(folder):
    put(folder, 0)
    for suffix in ("index", "data"):
        os.mkfifo(folder / f"segments/{new_name()}.{suffix}")
        (folder / f"segments/{new_name()}.{suffix}").mkdir()
    reader = Cache(folder)
    assert is_kept(reader, 0) and reader.problem  # it is told
    reader.prune()
    assert is_kept(Cache(folder), 0)


def test_damaged_records_do_no_harm(folder):
    """Offsets, lengths and times that cannot be, in a segment with a right checksum each."""
    put(folder, *range(20))
    (index,) = (folder / "segments").glob("*.index")
    records = np.frombuffer(index.read_bytes(), RECORD).copy()
    size = index.with_suffix(".data").stat().st_size
    for i, (field, value) in enumerate(
        [
            *[("offset", value) for value in (-1, size, 2**62, -(2**62))],
            *[("length", value) for value in (1, 16, -5, size + 1, 2**62)],
            *[("time", value) for value in (-1, 2**62)],
        ]
    ):
        records[field][i] = value
    index.write_bytes(records.tobytes())
    right = [9, 10, *range(11, 20)]
    assert kept(folder) == right
    put(folder, *range(20, 40))
    prune(folder, size)
    assert set(kept(folder)) <= {*right, *range(20, 40)} and size_of(folder) <= size
    put(folder, *range(20))
    assert set(range(20)) <= set(kept(folder))


@pytest.mark.parametrize("step", ["open", "sync", "replacing"])
def test_a_disk_too_full_to_copy_on(folder, monkeypatch, clock, step):
    """Segments that have to be copied are removed whole."""
    for number in range(0, 20, 2):
        clock(number)
        put(folder, number, number + 1)
    clock(50)
    Cache(folder).get("videos", {"number": 0}, ARRAY)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(merging, step, full, raising=False)
    monkeypatch.setattr(merging, "claimed", lambda _: nullcontext(time.time()))
    pruner = Cache(folder, max_bytes=size_of(folder) - 1)
    pruner.prune()
    assert pruner.problem == f"{folder}: No space left on device"
    assert size_of(folder) < pruner.max_bytes
    assert not list((folder / "segments").glob(merging.CLAIM))


def test_a_disk_too_full_to_merge_on_loses_nothing(folder, monkeypatch):
    for number in range(20):
        put(folder, number)
    before = files(folder)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(merging, "sync", full)
    pruner = Cache(folder, HUGE)
    pruner.prune()
    assert pruner.problem == f"{folder}: No space left on device"
    assert files(folder) == before and kept(folder) == list(range(20))


# Many processes at once.


def use(folder, seed, start):
    """What a process does to the folder that it shares with others. Raises if it finds anything
    but what belongs under a key."""
    chance = random.Random(seed)
    shared = Cache(folder, max_bytes=8 * 8192)  # of 24 entries: they are pruned all the time
    found = 0
    start.wait()
    for _ in range(400):
        number = chance.randrange(24)
        match chance.randrange(8):
            case 0 | 1 | 2:
                found += is_kept(shared, number)
            case 3 | 4 | 5 | 6:
                shared.put("videos", {"number": number}, entry(number))
            case 7:
                shared.prune()
    assert shared.problem is None, shared.problem
    assert found, "nothing was ever found"


def test_processes_that_share_a_folder_do_not_disturb_each_other(folder):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(4)
    processes = [context.Process(target=use, args=(folder, seed, start)) for seed in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    prune(folder, 8 * 8192)
    assert size_of(folder) <= 8 * 8192


def merge(folder, stop):
    """Merges all the time whatever it may, beside the others, without a claim."""
    merging.MANY, merging.CLAIM = 1, f"of {os.getpid()}"
    merger = Cache(folder, HUGE)
    while not stop.is_set():
        merger.prune()
        assert merger.problem is None, merger.problem


@pytest.mark.slow
def test_nothing_is_lost_while_several_merge_the_same_segments(folder):
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    mergers = [context.Process(target=merge, args=(folder, stop)) for _ in range(3)]
    put(folder, 0)
    for merger in mergers:
        merger.start()
    reader = Cache(folder)
    try:
        for number in range(1, 300):
            put(folder, number)
            if number % 10 == 0:
                assert kept(folder, number + 1) == list(range(number + 1))
    finally:
        stop.set()  # or they would merge for ever
    for merger in mergers:
        merger.join()
    assert [merger.exitcode for merger in mergers] == [0] * 3
    assert kept(folder, 301) == list(range(300))
    assert is_kept(reader, 299)


WRITER = """
import sys
sys.path[:0] = [{root!r}, {root!r} + "/tests"]
from test_segments import Cache, entry
writer = Cache({folder!r})
for number in range({first}, 10**6):
    writer.put("videos", {{"number": number}}, entry(number))
    print(number, flush=True)
    if {prunes} and number % 10 == 9:
        writer.prune()
"""


@pytest.mark.parametrize("prunes", [False, True])
def test_what_a_killed_writer_had_put_is_there(folder, prunes, monkeypatch):
    monkeypatch.setattr(merging, "STILL", -1)  # what the killed left may be merged at once
    chance, first, told = random.Random(0), 0, []
    for _ in range(4):
        code = WRITER.format(root=str(ROOT), folder=str(folder), first=first, prunes=prunes)
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        told.append(int(process.stdout.readline()))
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        told += map(int, process.stdout.read().split("\n")[:-1])
        process.wait()
        first = told[-1] + 2  # one may have been put that it could not tell
        found = kept(folder, first)
        assert set(told) <= set(found)
        (folder / "segments" / merging.CLAIM).unlink(missing_ok=True)
        prune(folder)
        assert kept(folder, first) == found


# The index.

RECORDS = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(0, 9), st.integers(0, 2), st.integers(1, 5)),
    max_size=12,
).map(lambda rows: np.array(rows, RECORD))


NAMES = list("abcdef")  # of segments


def expected(found):
    """The same as Index, in the simplest way."""
    rows, used = {}, {}
    for number, records in found:
        for key, offset, length, at in records.tolist():
            if length and (key not in rows or rows[key][3] <= at):
                rows[key] = [number, offset, length, at]
            used[key] = max(used.get(key, 0), at)
    return {key: [*row, used[key]] for key, row in rows.items()}


@given(found=st.lists(RECORDS, max_size=4).map(lambda many: list(enumerate(many))))
def test_an_index_of_many_segments(found):
    index = Index(found, NAMES)
    assert {key: index.find(key) for key in range(-3, 4) if index.find(key)} == expected(found)
    assert len(index.keys) == len(expected(found))


@given(
    first=RECORDS,
    added=st.lists(RECORDS, max_size=4),
    few=st.sampled_from([0, 3, 100]),
)
def test_an_index_that_grows(first, added, few):
    """By what others added and by what this process puts, with and without folding."""
    before, entry_index.FEW = entry_index.FEW, few
    try:
        index, all_of = Index([(0, first)], NAMES), [(0, first)]
        for number, records in enumerate(added, 1):
            index.add([(number, records)])
            all_of.append((number, records[records["length"] != 0]))
            index.set(7, number, 1, 2, 3, 3)
        wanted = expected(all_of)
        if added:
            wanted[7] = [len(added), 1, 2, 3, 3]
        for key in [*range(-3, 4), 7, 8]:
            found = index.find(key)
            assert (found and found[:4]) == (wanted.get(key) and wanted[key][:4])
            if found:
                index.set_used(key, 10**6)
                assert index.find(key)[-1] == 10**6
    finally:
        entry_index.FEW = before


@pytest.mark.parametrize("few", [0, 100])
def test_of_two_copies_that_of_the_greater_name_counts_whichever_comes_first(few, monkeypatch):
    """It is the other that merging leaves out."""
    monkeypatch.setattr(entry_index, "FEW", few)
    copies = np.array([(7, 0, 20, 5)], RECORD)
    index = Index([(0, copies)], ["b", "c", "a"])
    for number, wanted in [(1, 1), (2, 1), (0, 1)]:
        index.add([(number, copies)])
        assert index.find(7)[0] == wanted


def test_records_that_arrive_out_of_order_are_found_later(tmp_path):
    """As on a network disk, where the size is there before the content."""
    records = np.array([(1, 0, 20, 5), (0, 0, 0, 0), (2, 20, 20, 6)], RECORD)
    path = write(tmp_path / "a.index", records.tobytes())
    segment = Segment(str(tmp_path / "a"))
    assert segment.new_records()["key"].tolist() == [1, 2]
    assert segment.new_records()["key"].tolist() == []
    records[1] = (3, 40, 20, 7)
    write(path, records.tobytes() + records[:1].tobytes()[:9])
    assert segment.new_records()["key"].tolist() == [3, 2]
    write(path, records.tobytes() + np.array([(0, 0, 0, 9)], RECORD).tobytes())
    assert not segment.is_finished
    assert segment.new_records()["key"].tolist() == [] and segment.is_finished


def test_names_ascend_whatever_the_clock_says():
    first = new_name()
    later = new_name("f" * 15 + "0-" + "0" * 16)
    assert first < later and new_name(later) > later and segments.NAME.fullmatch(f"{later}.data")
