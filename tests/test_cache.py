"""The cache: entries come back exactly or not at all, and nothing stops a run."""

import hashlib
import io
import multiprocessing
import os
import pickle
import random
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import write
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trajeval import cache
from trajeval import files as files_module
from trajeval.cache import TOTAL, Cache, default_folder

VECTOR = np.array([1 / 3, -0.0, np.nan, np.inf, -np.inf, 1e-45], np.float32)
KEY = {"video": "ab12", "frames": [0, 3, 6], "size": None}
ENTRY = {"embedding": VECTOR, "length": 96, "warnings": ["開 \udcff"]}
FIELDS = {"embedding": np.ndarray, "length": int, "warnings": list[str]}
ARRAY = {"embedding": np.ndarray}
NUMBER = {"number": int}

TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
KEYS = st.dictionaries(TEXT, JSON, max_size=4)
VECTORS = arrays(np.uint32, st.integers(0, 40)).map(lambda bits: bits.view(np.float32))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def later(monkeypatch):
    """Makes the files that a test creates look a minute old."""
    monkeypatch.setattr(cache, "time_ns", lambda: now() + 60_000_000_000)


now = cache.time_ns


@pytest.fixture
def hashed(monkeypatch):
    """The names of the files whose content was hashed, in order."""
    names, hash_file = [], cache.hash_file

    def watched(file, algorithm):
        names.append(Path(file.name).name)
        return hash_file(file, algorithm)

    monkeypatch.setattr(cache, "hash_file", watched)
    return names


@pytest.fixture
def listed(monkeypatch):
    """The folders that were listed to be pruned, once per pattern."""
    folders, files_in = [], cache.files_in

    def watched(folder, patterns):
        folders.append(folder)
        return files_in(folder, patterns)

    monkeypatch.setattr(cache, "files_in", watched)
    return folders


def same(found, entry):
    """Whether two entries are equal, arrays bit for bit."""
    if found is None or found.keys() != entry.keys():
        return False
    for name, value in entry.items():
        if isinstance(value, np.ndarray):
            other = found.pop(name)
            if (other.dtype, other.tobytes()) != (np.float32, value.tobytes()):
                return False
            assert other.flags.writeable and other.shape == value.shape
    return found == {name: entry[name] for name in found}


def files(folder):
    """The files in a folder but for the one that holds its total size."""
    paths = (path for path in Path(folder).rglob("*") if path.is_file())
    return sorted(path for path in paths if path.parent.parent.name != TOTAL[0])


def put_at(store, number, when, kind="videos"):
    """Puts an entry of two blocks, last used at a time in seconds; its path."""
    before = set(files(store.folder))
    store.put(kind, {"number": number}, {"embedding": np.full(1200, number, np.float32)})
    (path,) = set(files(store.folder)) - before
    os.utime(path, (when, when))
    return path


# Keeping entries.


def test_what_was_put_comes_back_in_another_run(folder):
    Cache(folder).put("videos", KEY, ENTRY)
    store = Cache(str(folder))
    assert same(store.get("videos", KEY, FIELDS), ENTRY)
    (path,) = files(folder)
    assert path.relative_to(folder).parts[:2] == ("videos", path.name[:2])
    assert store.problem is None


def test_a_second_put_replaces_the_first(folder):
    store = Cache(folder)
    store.put("videos", KEY, {"embedding": VECTOR})
    store.put("videos", KEY, ENTRY)
    assert same(store.get("videos", KEY, FIELDS), ENTRY) and len(files(folder)) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=KEYS, values=KEYS, vector=VECTORS)
@example(key={"path": "\udcff\ud83d\ude00"}, values={"float32": "\ud83d\ude00"}, vector=VECTOR)
def test_round_trip(tmp_path, key, values, vector):
    entry = values | {"embedding": vector}
    Cache(tmp_path).put("videos", key, entry)
    assert same(Cache(tmp_path).get("videos", key, dict.fromkeys(entry, object)), entry)


@pytest.mark.parametrize("shape", [(), (0,), (3, 2), (2, 0, 5), (40, 1, 30)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_any_shape(folder, shape, order):
    entry = {"fc1.weight": np.random.default_rng(0).random(shape, np.float32)}
    entry = {"fc1.weight": np.asarray(entry["fc1.weight"], order=order), "more.bias": VECTOR}
    Cache(folder).put("networks", KEY, entry)
    found = Cache(folder).get("networks", KEY, dict.fromkeys(entry, np.ndarray))
    assert same(found, entry)
    (path,) = files(folder)
    with np.load(path) as archive:  # an ordinary .npz
        assert np.array_equal(archive["fc1.weight"], entry["fc1.weight"])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"a": None}),
        ({"n": 1}, {"n": True}),
        ({"n": 1}, {"n": 1.0}),
        ({"n": 1}, {"n": "1"}),
        ({"n": [1, 2]}, {"n": [2, 1]}),
        ({"a": "b"}, {"a": {"b": None}}),
        ({"path": "\udcff"}, {"path": "\xff"}),
        ({"path": "\udcff"}, {"path": "\\udcff"}),
        ({"path": "\ud83d\ude00"}, {"path": "\U0001f600"}),
    ],
)
def test_other_keys_have_other_entries(folder, first, second):
    store = Cache(folder)
    store.put("videos", first, {"number": 1})
    store.put("videos", second, {"number": 2})
    assert store.get("videos", first, NUMBER) == {"number": 1}
    assert store.get("videos", second, NUMBER) == {"number": 2}


def test_the_order_within_a_key_does_not_matter(folder):
    Cache(folder).put("videos", {"a": 1, "b": {"c": 2, "d": 3}}, ENTRY)
    assert same(Cache(folder).get("videos", {"b": {"d": 3, "c": 2}, "a": 1}, FIELDS), ENTRY)


def test_nothing_is_found_under_another_kind_or_key(folder):
    store = Cache(folder)
    store.put("videos", KEY, ENTRY)
    assert store.get("prompts", KEY, FIELDS) is None
    assert store.get("videos", KEY | {"size": 224}, FIELDS) is None
    assert store.problem is None


@pytest.mark.parametrize(
    "value",
    [VECTOR.astype(np.float64), VECTOR[0], b"bytes", {"deeper": VECTOR}, {1, 2}],
)
def test_what_cannot_be_kept_exactly_is_refused(folder, value):
    with pytest.raises(TypeError):
        Cache(folder).put("videos", KEY, {"embedding": value})
    assert not files(folder.parent)


def test_without_a_folder_nothing_is_kept(in_empty_folder, later, hashed):
    store = Cache(None)
    store.put("videos", KEY, ENTRY)
    assert store.get("videos", KEY, FIELDS) is None
    path = write("a.mp4", "content")
    for _ in range(2):
        assert store.digest(path, "sha256") == hashlib.sha256(b"content").hexdigest()
    store.prune()
    assert hashed == ["a.mp4"] * 2 and files(".") == [Path("a.mp4")] and store.problem is None


def test_a_folder_is_where_it_was_named_even_after_chdir(in_empty_folder):
    store = Cache("kept")
    store.put("videos", KEY, ENTRY)
    Path("elsewhere").mkdir()
    os.chdir("elsewhere")
    assert same(store.get("videos", KEY, FIELDS), ENTRY)


def test_the_default_folder_is_the_platforms(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder().name in ("trajectory-heatmaps", "Cache")
    assert "trajectory-heatmaps" in default_folder().parts and not list(tmp_path.iterdir())


def test_a_user_without_a_home_has_no_default_folder(no_home):
    assert default_folder() is None


# Damaged and foreign entries.


def test_damage_at_any_byte_is_noticed_or_harmless(folder):
    store = Cache(folder)
    store.put("videos", KEY, ENTRY)
    (path,) = files(folder)
    content = path.read_bytes()

    def found(content):
        path.write_bytes(content)
        return store.get("videos", KEY, FIELDS)

    assert same(found(content), ENTRY)
    noticed = 0
    for at in range(len(content)):
        assert found(content[:at]) is None, at
        for bit in (0, 7):
            flipped = bytes([content[at] ^ 1 << bit])
            entry = found(content[:at] + flipped + content[at + 1 :])
            noticed += entry is None
            assert entry is None or same(entry, ENTRY), (at, bit)
    assert noticed > len(content)  # the rest is dates, permissions and other metadata
    assert store.problem is None


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


def members(**contents):
    """A zip file of members that are valid as such."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name.replace("_", "."), content)
    return buffer.getvalue()


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def sealed(folder, values, **arrays):
    """An entry with the right name and checksums, but other content."""
    (path,) = files(folder)
    return members(values_json=cache.to_json([cache.name_in(path), values]), **arrays)


GOOD = {"length": 96, "warnings": []}
DAMAGED = {
    "empty": lambda _: b"",
    "zeros": lambda _: b"\0" * 500,
    "pickle": lambda _: pickle.dumps(Trap()),
    "an empty zip": lambda _: members(),
    "pickled values": lambda _: members(values_json=pickle.dumps(Trap())),
    "no values": lambda _: members(embedding_npy=npy(VECTOR)),
    "not JSON": lambda _: members(values_json=b'"\xff"'),
    "deep JSON": lambda _: members(values_json=b"[" * 100_000),
    "not a pair": lambda _: members(values_json=b"[]"),
    "no name": lambda _: members(values_json=cache.to_json(["", GOOD]), embedding_npy=npy(VECTOR)),
    "not fields": lambda folder: sealed(folder, [1, 2]),
    "no array": lambda folder: sealed(folder, GOOD),
    "a list for an array": lambda folder: sealed(folder, GOOD | {"embedding": [1.0]}),
    "pickled array": lambda folder: sealed(
        folder, GOOD, embedding_npy=npy(np.array([Trap()]), allow_pickle=True)
    ),
    "float64": lambda folder: sealed(folder, GOOD, embedding_npy=npy(VECTOR.astype(float))),
    "more than an array": lambda folder: sealed(folder, GOOD, embedding_npy=npy(VECTOR) + b"x"),
    "huge array": lambda folder: sealed(
        folder, GOOD, embedding_npy=npy(VECTOR).replace(b"(6,)", b"(9999999999999,)")
    ),
    "another type": lambda folder: sealed(
        folder, GOOD | {"length": "96"}, embedding_npy=npy(VECTOR)
    ),
    "another type within": lambda folder: sealed(
        folder, GOOD | {"warnings": [1]}, embedding_npy=npy(VECTOR)
    ),
    "a field too few": lambda folder: sealed(folder, {"length": 1}, embedding_npy=npy(VECTOR)),
    "a field too many": lambda folder: sealed(
        folder, GOOD | {"more": 1}, embedding_npy=npy(VECTOR)
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_or_foreign_entry_counts_as_missing(folder, case):
    store = Cache(folder)
    store.put("videos", KEY, ENTRY)
    (path,) = files(folder)
    path.write_bytes(DAMAGED[case](folder))
    assert store.get("videos", KEY, FIELDS) is None
    store.put("videos", KEY, ENTRY)
    assert same(store.get("videos", KEY, FIELDS), ENTRY) and files(folder) == [path]
    assert store.problem is None


def test_the_sealed_entries_above_are_wrong_in_one_way_only(folder):
    store = Cache(folder)
    store.put("videos", KEY, ENTRY)
    (path,) = files(folder)
    path.write_bytes(sealed(folder, GOOD, embedding_npy=npy(VECTOR)))
    assert same(store.get("videos", KEY, FIELDS), GOOD | {"embedding": VECTOR})


def test_entries_with_swapped_names_are_not_taken_for_each_other(folder):
    store = Cache(folder)
    paths = [put_at(store, number, when=number) for number in range(2)]
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, reversed(contents)):
        path.write_bytes(content)
    assert [store.get("videos", {"number": number}, ARRAY) for number in range(2)] == [None] * 2


@pytest.mark.parametrize(
    ("value", "kind", "right"),
    [
        (1, int, True),
        ("1", int, False),
        (None, str | None, True),
        (1, str | None, False),
        ([1, 2], list[int], True),
        ([1, "2"], list[int], False),
        ({"a": 1}, list[int], False),
        ([[1], []], list[list[int]], True),
        ({"a": "b"}, dict[str, str], True),
        ({"a": 1}, dict[str, str], False),
        (["a"], dict[str, str], False),
        ({"a": 1, "b": [0.5, 1]}, {"a": int, "b": list[float | int]}, True),
        ({"a": 1}, {"a": int, "b": int}, False),
        ([], {"a": int}, False),
        (VECTOR, np.ndarray, True),
        ([1.0], np.ndarray, False),
    ],
)
def test_types_of_fields(value, kind, right):
    assert cache.fits(value, kind) is right


# Many processes at once.


def use(folder, seed, start):
    """What a process does to the folder that it shares with others. Raises if it finds anything
    but what belongs under a key."""
    chance = random.Random(seed)
    store = Cache(folder, max_bytes=5 * 8192)  # of 12 entries: they are pruned all the time
    found = 0
    start.wait()
    for _ in range(400):
        number = chance.randrange(12)
        entry = {"number": number, "embedding": np.full(1000, number, np.float32)}
        match chance.randrange(4):
            case 0 | 1:
                got = store.get("videos", {"number": number}, NUMBER | ARRAY)
                assert got is None or same(got, entry), number
                found += got is not None
            case 2:
                store.put("videos", {"number": number}, entry)
            case 3:
                store.prune()
    assert store.problem is None, store.problem
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
    assert all(path.suffix == ".npz" for path in files(folder))


@pytest.mark.parametrize("victim", ["folder", "temporary"])
def test_a_folder_that_is_removed_meanwhile(folder, monkeypatch, victim):
    store, replace = Cache(folder), os.replace

    def gone(source, target):
        Path(source).unlink()
        if victim == "folder":
            Path(source).parent.rmdir()
        replace(source, target)

    monkeypatch.setattr(os, "replace", gone)
    store.put("videos", KEY, ENTRY)
    assert store.get("videos", KEY, FIELDS) is None and store.problem is None and not files(folder)
    monkeypatch.undo()
    store.put("videos", KEY, ENTRY)
    assert same(store.get("videos", KEY, FIELDS), ENTRY)


def test_an_entry_that_vanishes_while_it_is_pruned(folder, monkeypatch):
    store = Cache(folder, max_bytes=3 * 8192)
    paths = [put_at(store, number, when=number) for number in range(6)]
    unlink = os.unlink

    def late(path):
        unlink(path)
        unlink(path)

    monkeypatch.setattr(os, "unlink", late)
    store.prune()
    # One that another process has removed counts as removed.
    assert files(folder) == sorted(paths[4:]) and store.problem is None


# Pruning.


def test_the_oldest_used_go_first_until_there_is_room(folder):
    store = Cache(folder, max_bytes=10 * 8192)
    paths = [put_at(store, n, when=1000 - n, kind=("videos", "prompts")[n % 2]) for n in range(12)]
    assert {-(-path.stat().st_size // 4096) for path in paths} == {2}
    assert store.get("prompts", {"number": 11}, ARRAY) is not None  # the oldest, and now the newest
    store.prune()
    assert files(folder) == sorted([*paths[:8], paths[11]])  # 90 %
    assert store.problem is None


@pytest.mark.parametrize("limit", [0, 1, 8191, 8192, 50_000, 6 * 8192 - 1, 6 * 8192, 10**9])
def test_after_pruning_the_folder_is_no_larger_than_allowed(folder, limit):
    store = Cache(folder, max_bytes=limit)
    for number in range(6):
        put_at(store, number, when=number)
    store.prune()
    left = len(files(folder))
    assert left * 8192 <= limit and (left == 6) == (limit >= 6 * 8192)


def test_a_folder_that_did_not_grow_is_not_listed_again(folder, listed):
    put_at(Cache(folder), 0, when=0)
    store = Cache(folder, max_bytes=10**6)
    assert store.get("videos", {"number": 0}, ARRAY) is not None
    store.prune()
    assert listed  # its size was unknown
    put_at(store, 1, when=1)
    listed.clear()
    store.prune()
    assert listed
    listed.clear()
    store.prune()
    for limit in (10**6, 3 * 8192):
        Cache(folder, max_bytes=limit).prune()
    assert not listed and len(files(folder)) == 2


def test_the_size_holds_for_runs_that_add_nothing(folder):
    """That is, for the size that each is given."""
    store = Cache(folder)
    paths = [put_at(store, number, when=number) for number in range(6)]
    store.prune()
    Cache(folder, max_bytes=5 * 8192).prune()
    assert files(folder) == sorted(paths[2:])
    Cache(folder, max_bytes=0).prune()
    assert not list(folder.rglob("*.*"))


def test_after_a_killed_run_the_next_one_lists_the_folder(folder):
    first = put_at(Cache(folder), 0, when=0)
    Cache(folder).prune()
    later = [put_at(Cache(folder), number, when=number) for number in range(1, 6)]
    Cache(folder, max_bytes=5 * 8192).prune()  # adds nothing itself
    assert not first.exists() and files(folder) == sorted(later[1:])


def test_entries_of_earlier_versions_go_first(folder):
    store = Cache(folder, max_bytes=20_000)
    new = put_at(store, 0, when=2000)
    oldest, old = (new.with_name(f"{digit * 40}.entry") for digit in "ab")
    for when, path in enumerate((oldest, old), 1000):
        path.write_bytes(b"x" * 8192)
        os.utime(path, (when, when))
    store.prune()
    assert files(folder) == sorted([new, old])
    Cache(folder, max_bytes=10_000).prune()
    assert files(folder) == [new]


@pytest.mark.parametrize("total", [None, "many", -1.5])
def test_a_damaged_total_size(folder, listed, total):
    store = Cache(folder)
    put_at(store, 0, when=0)
    store._put(*TOTAL, {"bytes": total})
    Cache(folder, max_bytes=1).prune()
    assert listed and not files(folder)


def test_temporary_files_of_killed_writers_are_removed_after_a_day(folder):
    store = Cache(folder)
    path = put_at(store, 0, when=0)
    old, new = (path.with_name(f".{path.name}.{digit * 16}.part") for digit in "01")
    for part in (old, new):
        part.write_bytes(b"half an ent")
    os.utime(old, (0, 0))
    store.prune()
    assert files(folder) == sorted([path, new])


def test_other_files_in_the_folder_are_never_removed(folder):
    names = ["a.txt", ".git/objects/ab/" + "c" * 38, "objects/ab/" + "c" * 38]
    names += ["videos/ab/" + "c" * 40, "videos/ab/.notes.part"]
    for suffix in (".npz", ".entry"):
        entry = "c" * 40 + suffix
        names += [f"videos/b{suffix}", f"videos/ab/notes{suffix}", f"ab/{entry}"]
        names += [f"videos/ab/deeper/{entry}", f"videos/ab/.{entry}.part"]
    others = [write(folder / name, "mine") for name in names]
    for path in others:
        os.utime(path, (0, 0))
    store = Cache(folder, max_bytes=0)
    put_at(store, 0, when=0)
    store.prune()
    assert files(folder) == sorted(others) and store.problem is None


# Disks that cannot be written to.


def test_a_folder_is_tried_before_a_run(folder):
    store = Cache(folder / "deeper")
    assert store.check() is None and store.problem is None
    assert (folder / "deeper").is_dir() and not files(folder)
    assert store.check() is None
    assert Cache(None).check() is None


def test_a_folder_that_cannot_be_created_or_written_to_is_reported_at_once(folder, monkeypatch):
    write(folder, "mine")
    for store in (Cache(folder), Cache(folder / "deeper")):
        assert store.check() == store.problem == f"{store.folder}: Not a directory"

    def refused(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    store = Cache(folder.with_name("other"))
    assert store.check() == f"{store.folder}: Read-only file system"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_folder_whose_parent_cannot_be_created(later):
    store = Cache("/proc/none/cache")
    store.put("videos", KEY, ENTRY)  # says only that there is no such folder
    assert store.check() == "/proc/none/cache: No such file or directory"


def test_a_file_in_the_place_of_the_folder(folder, later):
    write(folder, "mine")
    path = write(folder.with_name("a.mp4"), "content")
    for store in (Cache(folder), Cache(folder / "deeper")):
        store.put("videos", KEY, ENTRY)
        assert store.problem == f"{store.folder}: Not a directory"
        assert store.get("videos", KEY, FIELDS) is None
        assert store.digest(path, "sha256") == hashlib.sha256(b"content").hexdigest()
        store.prune()
    assert folder.read_text() == "mine"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(folder, later):
    path = write(folder.with_name("a.mp4"), "content")
    Cache(folder).put("videos", KEY, ENTRY)
    (entry,) = files(folder)
    for closed in (entry.parent, entry.parent.parent, folder):
        closed.chmod(0o500)
    store = Cache(folder, max_bytes=0)
    assert same(store.get("videos", KEY, FIELDS), ENTRY) and store.problem is None
    assert store.digest(path, "sha256") == hashlib.sha256(b"content").hexdigest()
    store.put("videos", KEY, {})
    store.prune()
    assert store.problem == f"{folder}: Permission denied"
    assert same(store.get("videos", KEY, FIELDS), ENTRY)
    for closed in (folder, entry.parent.parent, entry.parent):
        closed.chmod(0o700)


@pytest.mark.parametrize("step", ["makedirs", "write", "replace"])
def test_a_full_disk(folder, monkeypatch, step):
    store = Cache(folder)
    if step != "makedirs":
        store.put("videos", KEY, ENTRY)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    class Full(io.FileIO):
        def write(self, content):
            super().write(content[:10])
            full()

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(files_module, "open", Full, raising=False)
        else:
            patch.setattr(os, step, full)
        store.put("videos", KEY, {"new": 1})
        assert store.problem == f"{folder}: No space left on device"
    if step == "makedirs":
        assert not files(folder)
    else:
        assert same(store.get("videos", KEY, FIELDS), ENTRY) and len(files(folder)) == 1


def test_the_first_problem_is_reported(folder):
    store = Cache(folder, max_bytes=0)
    path = put_at(store, 0, when=0)
    path.unlink()
    path.mkdir()  # no file can replace it
    assert store.get("videos", {"number": 0}, ARRAY) is None
    first = store.problem
    assert first.startswith(f"{folder}: ")
    write(folder / "other")
    store.put("other", KEY, ENTRY)
    assert store.problem == first
    store.prune()
    assert path.is_dir()


def test_what_cannot_be_removed(folder, monkeypatch):
    store = Cache(folder, max_bytes=8192)
    paths = [put_at(store, number, when=number) for number in range(3)]
    unlink = os.unlink

    def guarded(path):
        if path == str(paths[0]):
            raise PermissionError(13, "Permission denied")
        unlink(path)

    monkeypatch.setattr(os, "unlink", guarded)
    store.prune()
    assert store.problem == f"{folder}: Permission denied"
    assert files(folder) == paths[:1]  # the others had to go for it


def test_entries_are_read_even_if_their_use_cannot_be_recorded(folder, monkeypatch):
    store = Cache(folder)
    store.put("videos", KEY, ENTRY)

    def refused(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refused)
    assert same(store.get("videos", KEY, FIELDS), ENTRY) and store.problem is None


# The hash of a file.


@pytest.mark.parametrize("algorithm", ["sha256", "blake2b"])
def test_an_unchanged_file_is_read_once(folder, tmp_path, later, hashed, algorithm):
    path = write(tmp_path / "a\udcff.mp4", "content")
    digest = hashlib.new(algorithm, b"content").hexdigest()
    for _ in range(2):
        assert Cache(folder).digest(path, algorithm) == digest
        assert Cache(folder).digest(str(path), algorithm) == digest
    assert hashed == ["a\udcff.mp4"]


def test_each_algorithm_has_its_own(folder, tmp_path, later, hashed):
    path = write(tmp_path / "a.mp4", "content")
    store = Cache(folder)
    assert len({store.digest(path, name) for name in ("sha256", "blake2b")}) == 2
    assert len(hashed) == 2
    with pytest.raises(ValueError):
        store.digest(path, "no such algorithm")


def test_the_same_content_under_another_name(folder, tmp_path, later, hashed):
    store = Cache(folder)
    path = write(tmp_path / "a.mp4", "content")
    digest = store.digest(path, "blake2b")
    assert store.digest(write(tmp_path / "b.mp4", "content"), "blake2b") == digest
    path.rename(tmp_path / "c.mp4")
    assert store.digest(tmp_path / "c.mp4", "blake2b") == digest
    assert hashed == ["a.mp4", "b.mp4", "c.mp4"]


def test_a_path_means_another_file_from_another_folder(in_empty_folder, monkeypatch, later):
    store = Cache("cache")
    # Two disks may have files of the same inode and times.
    monkeypatch.setattr(cache, "stamp", lambda file: {"mtime_ns": 1, "ctime_ns": 1})
    first = store.digest(write("a.mp4", "content"), "sha256")
    second = store.digest(write("elsewhere/a.mp4", "another"), "sha256")
    assert first != second
    os.chdir("elsewhere")
    assert store.digest("a.mp4", "sha256") == second
    assert store.digest("../a.mp4", "sha256") == first


def change(path, action):
    """Does something to a file until the file system's clock has ticked, and puts the mtime back,
    so that nothing but the ctime tells."""
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        action()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_size == before.st_size


@pytest.mark.skipif(os.name == "nt", reason="Windows has no time of change")
def test_other_content_of_the_same_size_and_mtime(folder, tmp_path, later, hashed):
    store = Cache(folder)
    path = write(tmp_path / "a.mp4", "content")
    store.digest(path, "sha256")
    change(path, lambda: path.write_bytes(b"CONTENT"))
    assert store.digest(path, "sha256") == hashlib.sha256(b"CONTENT").hexdigest()
    other = write(tmp_path / "b.mp4", "another")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert store.digest(path, "sha256") == hashlib.sha256(b"another").hexdigest()
    assert hashed == ["a.mp4"] * 3


def test_another_mtime(folder, tmp_path, later, hashed):
    store = Cache(folder)
    path = write(tmp_path / "a.mp4", "content")
    digest = store.digest(path, "sha256")
    os.utime(path, (1, 1))
    assert [store.digest(path, "sha256") for _ in range(2)] == [digest] * 2
    assert hashed == ["a.mp4"] * 2


def test_a_file_that_changed_just_now_is_not_remembered(folder, tmp_path, monkeypatch, hashed):
    store = Cache(folder)
    path = write(tmp_path / "a.mp4", "content")
    os.utime(path, (1, 1))  # as an unpacked archive has it
    changed = path.stat().st_ctime_ns
    for after in (-5_000_000_000, 0, 1_000_000_000, 2_000_000_000):
        monkeypatch.setattr(cache, "time_ns", lambda after=after: changed + after)
        store.digest(path, "sha256")
    assert len(hashed) == 4 and not files(folder)
    monkeypatch.setattr(cache, "time_ns", lambda: changed + 2_000_000_001)
    store.digest(path, "sha256")
    store.digest(path, "sha256")
    assert len(hashed) == 5 and len(files(folder)) == 1
    # Nor is it believed, if the clock was put back.
    monkeypatch.setattr(cache, "time_ns", lambda: changed + 1_000_000_000)
    store.digest(path, "sha256")
    assert len(hashed) == 6


def test_a_file_from_the_future_is_not_remembered(folder, tmp_path, later, hashed):
    path = write(tmp_path / "a.mp4", "content")
    future = now() // 10**9 + 10**6
    os.utime(path, (future, future))
    Cache(folder).digest(path, "sha256")
    Cache(folder).digest(path, "sha256")
    assert len(hashed) == 2 and not files(folder)


def test_a_file_that_changes_while_it_is_hashed_is_not_remembered(
    folder, tmp_path, later, monkeypatch
):
    path, hash_file = write(tmp_path / "a.mp4", "content"), cache.hash_file

    def slow(file, algorithm):
        digest = hash_file(file, algorithm)
        with open(path, "ab") as writer:
            writer.write(b" and more")
        return digest

    with monkeypatch.context() as patch:
        patch.setattr(cache, "hash_file", slow)
        Cache(folder).digest(path, "sha256")
    assert not files(folder)
    digest = hashlib.sha256(b"content and more").hexdigest()
    assert Cache(folder).digest(path, "sha256") == digest


def test_a_damaged_entry_of_a_hash(folder, tmp_path, later, hashed):
    store = Cache(folder)
    path = write(tmp_path / "a.mp4", "content")
    digest = store.digest(path, "sha256")
    (entry,) = files(folder)
    for content in (b"", sealed(folder, {}), sealed(folder, {"digest": 1}), b"PK\3\4"):
        entry.write_bytes(content)
        assert store.digest(path, "sha256") == digest
        assert store.digest(path, "sha256") == digest
    assert len(hashed) == 5


@pytest.mark.skipif(os.name == "nt", reason="named pipes and devices of POSIX")
def test_only_regular_files_are_hashed(folder, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    for name in ("pipe.mp4", "zero.mp4"):
        with pytest.raises(OSError, match="is not a regular file"):
            Cache(folder).digest(tmp_path / name, "blake2b")


@pytest.mark.skipif(os.name == "nt", reason="named pipes of POSIX")
def test_a_pipe_in_the_place_of_an_entry(folder):
    store = Cache(folder)
    store.put("videos", KEY, ENTRY)
    (path,) = files(folder)
    path.unlink()
    os.mkfifo(path)
    assert store.get("videos", KEY, FIELDS) is None


def test_files_that_cannot_be_hashed(folder, tmp_path, later):
    store = Cache(folder)
    with pytest.raises(FileNotFoundError, match=r"missing\.mp4"):
        store.digest(tmp_path / "missing.mp4", "sha256")
    with pytest.raises(OSError):
        store.digest(tmp_path, "sha256")
    path = write(tmp_path / "a.mp4", "content")
    store.digest(path, "sha256")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        store.digest(path, "sha256")
    assert store.problem is None
