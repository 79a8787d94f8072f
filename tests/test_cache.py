"""The cache: entries come back exactly or not at all, and nothing stops a run."""

import hashlib
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from conftest import write
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trajeval import cache, store
from trajeval import files as files_module
from trajeval.cache import Cache, default_folder, name_of, packed
from trajeval.segments import Writer, names_in

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


def segments(folder):
    """The index and data files of the segments, oldest first."""
    place = Path(folder, "segments")
    names = names_in(place, "index")
    return [(place / f"{name}.index", place / f"{name}.data") for name in names]


# Keeping entries.


def test_what_was_put_comes_back_in_another_run(folder):
    Cache(folder).put("videos", KEY, ENTRY)
    store = Cache(str(folder))
    assert same(store.get("videos", KEY, FIELDS), ENTRY)
    assert store.problem is None


def test_a_second_put_replaces_the_first(folder):
    store = Cache(folder)
    store.put("videos", KEY, {"embedding": VECTOR})
    store.put("videos", KEY, ENTRY)
    assert same(store.get("videos", KEY, FIELDS), ENTRY)
    assert same(Cache(folder).get("videos", KEY, FIELDS), ENTRY)


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
    assert not folder.exists()


def test_without_a_folder_nothing_is_kept(in_empty_folder, later, hashed):
    store = Cache(None)
    store.put("videos", KEY, ENTRY)
    assert store.get("videos", KEY, FIELDS) is None
    path = write("a.mp4", "content")
    for _ in range(2):
        assert store.digest(path, "sha256") == hashlib.sha256(b"content").hexdigest()
    store.prune()
    assert hashed == ["a.mp4"] * 2 and os.listdir() == ["a.mp4"] and store.problem is None


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


def test_damage_at_any_byte_is_noticed(folder):
    Cache(folder).put("videos", KEY, ENTRY)
    ((index, data),) = segments(folder)
    for path in (index, data):
        content = path.read_bytes()
        for at in range(len(content)):
            for damaged in (
                content[:at],
                content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :],
                content[:at] + bytes([content[at] ^ 128]) + content[at + 1 :],
            ):
                path.write_bytes(damaged)
                reader = Cache(folder)
                found = reader.get("videos", KEY, FIELDS)
                # A record has the time, and then the one that says that the writer has finished.
                harmless = path == index and at >= 24
                assert same(found, ENTRY) if harmless and found else found is None, (path, at)
                assert reader.problem is None
        path.write_bytes(content)
        assert same(Cache(folder).get("videos", KEY, FIELDS), ENTRY)


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


def header(content, *arrays):
    """An entry's bytes with another header."""
    text = content if isinstance(content, bytes) else cache.to_json(content)
    return len(text).to_bytes(8, "little") + text + b"".join(a.tobytes() for a in arrays)


GOOD = {"length": 96, "warnings": []}
SHAPES = [["embedding", [6]]]
DAMAGED = {
    "empty": b"",
    "zeros": b"\0" * 500,
    "pickle": pickle.dumps(Trap()),
    "pickled values": header(pickle.dumps(Trap())),
    "not JSON": header(b'"\xff"'),
    "deep JSON": header(b"[" * 100_000),
    "not a pair": header([]),
    "a length that cannot be": b"\xff" * 8 + b"[{},[]]",
    "not fields": header([[1, 2], []]),
    "no array": header([GOOD, []]),
    "a list for an array": header([GOOD | {"embedding": [1.0]}, []]),
    "float64": header([GOOD, SHAPES], VECTOR.astype(float)),
    "less than an array": header([GOOD, SHAPES], VECTOR[:5]),
    "a huge array": header([GOOD, [["embedding", [9999999999999]]]], VECTOR),
    "a shape that cannot be": header([GOOD, [["embedding", [-6]]]], VECTOR),
    "an array without a name": header([GOOD, [[["embedding"], [6]]]], VECTOR),
    "another type": header([GOOD | {"length": "96"}, SHAPES], VECTOR),
    "another type within": header([GOOD | {"warnings": [1]}, SHAPES], VECTOR),
    "a field too few": header([{"length": 1}, SHAPES], VECTOR),
    "a field too many": header([GOOD | {"more": 1}, SHAPES], VECTOR),
}


def put_bytes(folder, content, name=None):
    """Puts what is no entry, with the right name and checksum."""
    Path(folder, "segments").mkdir(parents=True, exist_ok=True)
    writer = Writer(f"{folder}/segments")
    writer.put(name or name_of("videos", KEY), [content], store.time_ns())


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_or_foreign_entry_counts_as_missing(folder, case):
    put_bytes(folder, DAMAGED[case])
    reader = Cache(folder)
    assert reader.get("videos", KEY, FIELDS) is None
    reader.put("videos", KEY, ENTRY)
    assert same(reader.get("videos", KEY, FIELDS), ENTRY)
    assert same(Cache(folder).get("videos", KEY, FIELDS), ENTRY)
    assert reader.problem is None


def test_the_entries_above_are_wrong_in_one_way_only(folder):
    put_bytes(folder, header([GOOD, SHAPES], VECTOR))
    assert same(Cache(folder).get("videos", KEY, FIELDS), GOOD | {"embedding": VECTOR})


def test_an_entry_under_the_name_of_another_is_noticed(folder):
    """Also where the keys in the index, the first 8 bytes of the names, are the same."""
    name = name_of("videos", KEY)
    put_bytes(folder, b"".join(packed(ENTRY)), name[:8] + bytes(12))
    assert Cache(folder).get("videos", KEY, FIELDS) is None


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


# Folders that cannot be written to.


def test_a_folder_is_tried_before_a_run(folder):
    tried = Cache(folder / "deeper")
    assert tried.check() is None and tried.problem is None
    assert (folder / "deeper").is_dir() and not list((folder / "deeper").iterdir())
    assert tried.check() is None
    assert Cache(None).check() is None


def test_a_folder_that_cannot_be_created_or_written_to_is_reported_at_once(folder, monkeypatch):
    write(folder, "mine")
    for tried in (Cache(folder), Cache(folder / "deeper")):
        assert tried.check() == tried.problem == f"{tried.folder}: Not a directory"

    def refused(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    tried = Cache(folder.with_name("other"))
    assert tried.check() == f"{tried.folder}: Read-only file system"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_folder_whose_parent_cannot_be_created(later):
    tried = Cache("/proc/none/cache")
    tried.put("videos", KEY, ENTRY)  # says only that there is no such folder
    assert tried.check() == "/proc/none/cache: No such file or directory"


def test_a_file_in_the_place_of_the_folder(folder, later):
    write(folder, "mine")
    path = write(folder.with_name("a.mp4"), "content")
    for tried in (Cache(folder), Cache(folder / "deeper")):
        tried.put("videos", KEY, ENTRY)
        assert tried.problem == f"{tried.folder}: Not a directory"
        assert tried.get("videos", KEY, FIELDS) is None
        assert tried.digest(path, "sha256") == hashlib.sha256(b"content").hexdigest()
        tried.prune()
    assert folder.read_text() == "mine"


def closed(*_, **__):
    raise PermissionError(13, "Permission denied")


def test_a_read_only_folder(folder, later, monkeypatch):
    path = write(folder.with_name("a.mp4"), "content")
    Cache(folder).put("videos", KEY, ENTRY)
    Cache(folder).digest(path, "sha256")
    before = segments(folder)
    monkeypatch.setattr("trajeval.segments.created", closed)
    monkeypatch.setattr(store, "HOUR", -store.HOUR)  # every use would be written
    reader = Cache(folder, max_bytes=0)
    for _ in range(2):
        assert same(reader.get("videos", KEY, FIELDS), ENTRY) and reader.problem is None
    assert reader.digest(path, "sha256") == hashlib.sha256(b"content").hexdigest()
    reader.put("videos", KEY, {})
    assert reader.problem == f"{folder}: Permission denied"
    assert same(reader.get("videos", KEY, FIELDS), ENTRY) and segments(folder) == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_another_user(folder):
    Cache(folder).put("videos", KEY, ENTRY)
    places = [folder, folder / "segments"]
    for place in places:
        place.chmod(0o500)
    reader = Cache(folder, max_bytes=0)
    reader.prune()
    reader.put("videos", KEY, {})
    assert reader.problem == f"{folder}: Permission denied"
    assert same(reader.get("videos", KEY, FIELDS), ENTRY)
    for place in places:
        place.chmod(0o700)


@pytest.mark.parametrize("step", ["makedirs", "index", "data", "record"])
def test_a_full_disk(folder, monkeypatch, step):
    """Also one that takes a part of what is written."""
    writer = Cache(folder)
    if step in ("data", "record"):
        writer.put("videos", KEY, ENTRY)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def written(file, offset, content):
        if Path(file.name).suffix == (".index" if step == "record" else ".data"):
            write_at(file, offset, content[:10])
            full()
        write_at(file, offset, content)

    from trajeval import segments as module

    write_at = module.write_at
    with monkeypatch.context() as patch:
        if step == "makedirs":
            patch.setattr(os, step, full)
        elif step == "index":
            patch.setattr(module, "created", full)
        else:
            patch.setattr(module, "write_at", written)
        for number in range(3):
            writer.put("videos", {"number": number}, {"new": 1})
        assert writer.problem == f"{folder}: No space left on device"
        assert len(segments(folder)) == (step in ("data", "record"))
    if step in ("data", "record"):
        assert same(writer.get("videos", KEY, FIELDS), ENTRY)
        assert same(Cache(folder).get("videos", KEY, FIELDS), ENTRY)
    writer.put("videos", {"number": 3}, {"number": 3})  # once there is room
    writer.put("videos", {"number": 4}, {"number": 4})
    for reader in (writer, Cache(folder)):
        found = [reader.get("videos", {"number": n}, NUMBER) for n in range(5)]
        assert found == [None, None, None, {"number": 3}, {"number": 4}]


def test_the_first_problem_is_reported(folder):
    first = Cache(folder)
    write(folder / "segments")
    assert first.get("videos", KEY, ARRAY) is None
    assert first.problem == f"{folder}: Not a directory"
    (folder / "segments").unlink()
    first.put("videos", KEY, ENTRY)
    assert first.problem == f"{folder}: Not a directory"
    assert same(first.get("videos", KEY, FIELDS), ENTRY)


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
    assert len(hashed) == 4 and not segments(folder)
    monkeypatch.setattr(cache, "time_ns", lambda: changed + 2_000_000_001)
    store.digest(path, "sha256")
    store.digest(path, "sha256")
    assert len(hashed) == 5 and len(segments(folder)) == 1
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
    assert len(hashed) == 2 and not segments(folder)


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
    assert not segments(folder)
    digest = hashlib.sha256(b"content and more").hexdigest()
    assert Cache(folder).digest(path, "sha256") == digest


def test_a_damaged_entry_of_a_hash(folder, tmp_path, later, hashed):
    path = write(tmp_path / "a.mp4", "content")
    digest = Cache(folder).digest(path, "sha256")
    key = {"algorithm": "sha256", "path": str(path), **files_module.stamp(path)}
    for wrong in ({}, {"digest": 1}, {"digest": digest, "more": 1}):
        Cache(folder).put("digests", key, wrong)
        assert Cache(folder).digest(path, "sha256") == digest
        assert Cache(folder).digest(path, "sha256") == digest
    (_, data) = segments(folder)[-1]
    data.write_bytes(b"")
    assert Cache(folder).digest(path, "sha256") == digest
    assert len(hashed) == 5


@pytest.mark.skipif(os.name == "nt", reason="named pipes and devices of POSIX")
def test_only_regular_files_are_hashed(folder, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    for name in ("pipe.mp4", "zero.mp4"):
        with pytest.raises(OSError, match="is not a regular file"):
            Cache(folder).digest(tmp_path / name, "blake2b")


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
