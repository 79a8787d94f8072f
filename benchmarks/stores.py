"""What should the cache keep its entries in? Segments, as it does, against plain candidates.

    uv run benchmarks/stores.py [N ...] [--only NAME]

prints a table for each number of entries, by default 10,000 and 100,000: seconds and, in brackets,
those of the processor, which others on the machine disturb less. LMDB needs `uv run --with lmdb`.
An entry is a float32 [512] embedding with the facts of its clip, as embedding.py keeps them, each
put on its own, as a run does. Every figure is of a process of its own. The files are in the folder
for temporary files (TMPDIR).
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from trajeval.cache import Cache, name_of, packed, unpacked

EMBEDDING = np.random.default_rng(0).random(512, np.float32)
FACTS = {"length": 96, "size": [240, 320], "fps": 10.0, "warning": None}
ENTRY = FACTS | {"indices": list(range(0, 96, 3)), "embedding": EMBEDDING}
FIELDS = dict.fromkeys(ENTRY, object)
MODEL = {"version": 3, "model": "s3d", "weights": ["ab" * 32] * 2, "packages": {"torch": "2.15.0"}}


def key_of(i: int) -> dict:
    return MODEL | {"n_frames": 32, "precision": "float32", "content": f"{i:0128x}"}


class Segments:
    """What the cache does."""

    def __init__(self, folder):
        self.cache = Cache(folder, 10**12)

    def put(self, i):
        self.cache.put("videos", key_of(i), ENTRY)

    def get(self, i):
        return self.cache.get("videos", key_of(i), FIELDS)

    def prune(self, share):
        self.cache.max_bytes = int(share * disk(self.cache.folder)[1])
        self.cache.prune()


class Plain:
    """The same entries, as bytes under their names. Without checksums."""

    def put(self, i):
        self.write(name_of("videos", key_of(i)), b"".join(packed(ENTRY)))

    def get(self, i):
        content = self.read(name_of("videos", key_of(i)))
        return content and unpacked(memoryview(content))

    def prune(self, share):
        raise NotImplementedError


class Files(Plain):
    """One for each entry."""

    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        return f"{self.folder}/{name.hex()[:2]}/{name.hex()}"

    def write(self, name, content):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(f"{path}.{os.getpid()}", "xb") as file:
            file.write(content)
        os.replace(file.name, path)

    def read(self, name):
        path = self.path(name)
        if not os.path.exists(path):
            return None
        os.utime(path)
        return Path(path).read_bytes()

    def prune(self, share):
        paths = [entry.path for folder in os.scandir(self.folder) for entry in os.scandir(folder)]
        paths.sort(key=lambda path: os.stat(path).st_mtime_ns)
        for path in paths[: int((1 - share) * len(paths))]:
            os.unlink(path)


class SQLite(Plain):
    """A database in WAL mode, each entry its own transaction, not synced."""

    def __init__(self, folder):
        import sqlite3

        os.makedirs(folder, exist_ok=True)
        self.base = sqlite3.connect(f"{folder}/base", timeout=600, isolation_level=None)
        self.base.execute("pragma journal_mode = wal")
        self.base.execute("pragma synchronous = off")
        self.base.execute("create table if not exists e (name blob primary key, content blob)")

    def write(self, name, content):
        self.base.execute("insert or replace into e values (?, ?)", (name, content))

    def read(self, name):
        found = self.base.execute("select content from e where name = ?", (name,)).fetchone()
        return found and found[0]

    def prune(self, share):  # the space is used again, but the file stays as large
        n = self.base.execute("select max(rowid) from e").fetchone()[0]
        self.base.execute("delete from e where rowid < ?", (int((1 - share) * n),))


class LMDB(Plain):
    """A B-tree in a memory map, each entry its own transaction, not synced."""

    def __init__(self, folder):
        import lmdb

        self.base = lmdb.open(str(folder), map_size=1 << 40, sync=False)

    def write(self, name, content):
        with self.base.begin(write=True) as transaction:
            transaction.put(name, content)

    def read(self, name):
        with self.base.begin() as transaction:
            return transaction.get(name)

    def prune(self, share):  # as above; names are not in the order of their use
        n = int((1 - share) * self.base.stat()["entries"])
        with self.base.begin(write=True) as transaction:
            cursor = transaction.cursor()
            for _ in range(n):
                cursor.first()
                cursor.delete()


STORES = {store.__name__: store for store in (Segments, Files, SQLite, LMDB)}
STEPS = {
    "put, us": lambda store, first, n: [store.put(i) for i in range(first, first + n)],
    "get, us": lambda store, first, n: [store.get(i)["length"] for i in range(n)],
    "miss, us": lambda store, first, n: [store.get(-i - 1) for i in range(n)],
    "36 entries, s": lambda store, first, n: [store.get(i * n // 36)["length"] for i in range(36)],
    "prune by 10 %, s": lambda store, first, n: store.prune(0.9),
}


def step(name: str, what: str, folder: Path, first: int, n: int) -> None:
    """In a process of its own: prints the seconds, those of its processor, and bytes of memory."""
    before = getrusage(RUSAGE_SELF).ru_maxrss
    started, worked = time.perf_counter(), time.process_time()
    STEPS[what](STORES[name](folder), first, n)
    print(time.perf_counter() - started, time.process_time() - worked)
    print(1024 * (getrusage(RUSAGE_SELF).ru_maxrss - before))


def start(*arguments) -> subprocess.Popen:
    command = [sys.executable, __file__, "--step", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def measured(*arguments) -> list[float]:
    out, _ = (process := start(*arguments)).communicate()
    if process.returncode:
        raise RuntimeError(f"{arguments} failed")
    return [float(value) for value in out.split()]


def disk(folder) -> tuple[int, int]:
    """Inodes, and bytes that they take."""
    stats = [path.lstat() for path in Path(folder).rglob("*")]
    return len(stats), 512 * sum(stat.st_blocks for stat in stats)


def killed(name: str, folder: Path) -> str:
    """What is left of a store whose writer is killed while it is at work."""
    writer = start(name, "put, us", folder, 0, 10**6)
    while disk(folder)[1] < 10**7:
        time.sleep(0.01)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    n, store = 0, STORES[name](folder)
    while store.get(n) is not None:
        n += 1
    store.put(10**6)
    return f"{n} in a row" if store.get(10**6) else "damaged"


def figures(name: str, n: int, folder: Path) -> dict[str, str]:
    made: dict[str, str] = {}
    for what in STEPS:
        if what == "prune by 10 %, s":
            inodes, size = disk(folder / "one")
            made |= {"inodes": f"{inodes}", "MB on disk": f"{size / 1e6:.0f}"}
        seconds, worked, memory = measured(name, what, folder / "one", 0, n)
        scale = 1e6 / n if "us" in what else 1
        made[what] = f"{seconds * scale:.3g} ({worked * scale:.3g})"
        if what == "36 entries, s":
            made["its memory, MB"] = f"{memory / 1e6:.0f}"
    started = time.perf_counter()
    writers = [start(name, "put, us", folder / "two", i * n, n // 2) for i in range(2)]
    for writer in writers:
        writer.communicate()
    if any(writer.returncode for writer in writers):
        raise RuntimeError(f"{name}: a writer failed")
    made["put by two at once, us"] = f"{(time.perf_counter() - started) * 1e6 / n:.3g}"
    made["after kill -9"] = killed(name, folder / "killed")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("n", nargs="*", type=int, default=[10**4, 10**5])
    parser.add_argument("--only", choices=STORES)
    parser.add_argument("--step", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        name, what, folder, first, n = args.step
        return step(name, what, Path(folder), int(first), int(n))
    for n in args.n:
        columns = {}
        for name in [args.only] if args.only else STORES:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    columns[name] = figures(name, n, Path(folder))
                except RuntimeError as error:
                    print(error, file=sys.stderr)
        rows = [(f"{n:,} entries", *columns)]
        for what in next(iter(columns.values())):
            rows.append((what, *(column[what] for column in columns.values())))
        rows.insert(1, ("---",) * len(rows[0]))
        print("".join(f"| {' | '.join(row)} |\n" for row in rows), flush=True)


if __name__ == "__main__":
    main()
