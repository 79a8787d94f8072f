"""How far a run is: on the terminal, and, while it goes, in the file running.json of its folder."""

import os
import platform
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from trajeval.results import as_json
from trajeval.swap import PREFIX, undisturbed
from trajeval.terminal import pause_after, plural, printable, tell
from trajeval.threads import repeated

NAME = "running.json"
FIRST, AT_MOST = 5, 60  # seconds until the file is written, and between two versions of it
COST = 100  # of the time, writing it takes at most this part
ERRORS = 100  # that it names; the others are counted
BURST = 1  # seconds: answers of a batch come together
LATELY = 600, 50  # seconds, and answers, that a rate is that of, at least


class Pace:
    """How many answers a second came lately. They come in bursts, the first after the model was
    loaded: counted is from the end of one burst."""

    def __init__(self):
        self.count = 0
        self.bursts: deque[tuple[float, float, int]] = deque()  # begin, end, count at the end

    def add(self, now: float) -> None:
        self.count += 1
        begin = now
        if self.bursts and now - self.bursts[-1][0] < BURST:
            begin, _, _ = self.bursts.pop()
        self.bursts.append((begin, now, self.count))
        seconds, answers = LATELY
        while len(self.bursts) > 2:
            _, end, count = self.bursts[1]
            if now - end < seconds or self.count - count < answers:
                break
            self.bursts.popleft()

    def per_second(self, now: float) -> float | None:
        """None until there is more than one burst."""
        if len(self.bursts) < 2:
            return None
        _, end, count = self.bursts[0]
        return (self.count - count) / max(now - end, 1e-3)


class Going:
    """The videos of a run that are done. due: how many of them the cache lacks, None until that is
    known. workers: how many are ready, None without Ray. last: when the last one was done, in
    seconds since 1970."""

    def __init__(self, what: str, of: int):
        self.what, self.of, self.start = what, of, time.monotonic()
        self.done = self.from_cache = self.failed = 0
        self.due: int | None = None
        self.workers: int | None = None
        self.last: float | None = None
        self.errors: list[dict] = []
        self.pace = Pace()

    def add(self, name: str, found) -> None:
        """found: the embedding.Embedded of a video, or its error."""
        self.done, self.last = self.done + 1, time.time()
        if isinstance(found, Exception):
            self.failed += 1
            if len(self.errors) < ERRORS:
                self.errors.append({"path": printable(name), "error": printable(str(found), 1000)})
        elif found.kept:
            self.from_cache += 1
            return
        self.pace.add(time.monotonic())

    def has_workers(self, count: int) -> None:
        self.workers = count

    def rate(self) -> tuple[float | None, float | None]:
        """Videos that are computed, or fail, in a second, and the seconds left; None if unknown."""
        rate = self.pace.per_second(time.monotonic())
        if self.due is None or not rate:
            return rate, None
        return rate, max(self.due - self.pace.count, 0) / rate

    def details(self) -> str:
        """All but how many are done of how many."""
        parts = [f"{self.from_cache} from the cache"] if self.from_cache else []
        parts += [f"{self.failed} failed"] if self.failed else []
        rate, left = self.rate()
        if rate:
            parts.append(f"{rate:.2f}/s" if rate >= 0.1 else f"{60 * rate:.2f}/min")
        if left and self.done < self.of:
            parts.append(f"{in_words(left)} left")
        if self.last and self.done < self.of:
            is_old = time.time() - self.last > 12 * 3600
            shape = "%Y-%m-%d %H:%M" if is_old else "%H:%M:%S"
            parts.append(f"last at {time.strftime(shape, time.localtime(self.last))}")
        parts += [] if self.workers is None else [plural(self.workers, "worker")]
        return ", ".join(parts)

    def line(self) -> str:
        details = self.details()
        return f"{self.what}: {self.done} of {self.of} videos" + (f", {details}" if details else "")

    def content(self) -> dict:
        rate, left = self.rate()
        return {
            "progress": {
                "done": self.done,
                "of": self.of,
                "from_cache": self.from_cache,
                "failed": self.failed,
                "per_second": rate and float(f"{rate:.3g}"),
                "seconds": round(time.monotonic() - self.start),
                "seconds_left": None if left is None else round(left),
                "last": self.last and in_utc(self.last),
                "updated": in_utc(time.time()),
                "workers": self.workers,
            },
            "errors": list(self.errors),
            "further_errors": max(self.failed - ERRORS, 0),
        }


def in_utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def in_words(seconds: float) -> str:
    """A duration in its two largest units, rounded up."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = -int(-seconds // 60)
    hours, days = minutes // 60, minutes // 1440
    if not hours:
        return f"{minutes} min"
    return f"{days} d {hours % 24} h" if days else f"{hours} h {minutes % 60} min"


@contextmanager
def shown(going: Going) -> Iterator[None]:
    """Within the block, shows how far it is, also while no video gets done: a bar on a terminal,
    else lines, see terminal.pause_after."""
    if not sys.stderr.isatty():
        with repeated(lambda: tell(going.line()), pause_after):
            yield
        return
    from tqdm import tqdm

    shape = "{l_bar}{bar}| {n_fmt}/{total_fmt} videos{postfix}"

    def refresh():
        bar.n = going.done
        bar.set_postfix_str(going.details())

    with tqdm(desc=going.what, total=going.of, bar_format=shape, file=sys.stderr) as bar:
        try:
            with repeated(refresh, lambda _: 0.5):
                yield
        finally:
            refresh()


@contextmanager
def written(going: Going, args, model, clock) -> Iterator[None]:
    """Within the block, writes running.json now and again: what record.head_of says of the run, and
    how far it is. If that fails, it is said once. clock: stages.Clock, None to write nothing."""
    if clock is None:
        yield
        return
    folder, cost, told = place_of(args), 0.0, False

    def write():
        from trajeval.record import head_of

        nonlocal cost, told
        start = time.monotonic()
        process = {"host": platform.node(), "pid": os.getpid()}
        content = head_of(args, model, clock) | process | going.content()
        try:
            put(folder, as_json(content))
        except OSError as error:
            if not told:
                tell(f"warning: {folder / NAME}: could not be written: {error.strerror}")
            told = True
        cost = time.monotonic() - start

    with repeated(write, lambda seconds: max(FIRST, min(seconds / 10, AT_MOST), COST * cost)):
        yield
    if cost:
        write()


def put(folder: Path, content: bytes) -> None:
    """Writes the file as swap.py writes results: whole, and what a killed process leaves of it is
    removed by the next one that writes there. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with undisturbed(folder.parent):
        staging = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder.parent))
        try:
            (staging / NAME).write_bytes(content)
            os.replace(staging / NAME, folder / NAME)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def gone_at_the_end(args) -> Iterator[None]:
    """Removes running.json when the block ends, however that is: it stays only if the process is
    killed, until the next run of this name."""
    try:
        yield
    finally:
        folder = place_of(args)
        if folder.is_dir():
            with suppress(OSError), undisturbed(folder.parent):
                (folder / NAME).unlink()  # else the folder was there before
                folder.rmdir()  # unless results are in it


def place_of(args) -> Path:
    """The folder of a run's results; of many problem sets, that of their summary."""
    return Path(args.output_dir, args.experiment_id)
