"""Replaces the results of a run as a whole: the folder NAME and the picture NAME.png beside it.

The new ones are written in a hidden folder `.writing-*` beside the old. Then four renames, the
picture's last:

    NAME.png -> .writing-*/old/NAME.png       NAME -> .writing-*/old/NAME
    .writing-*/new/NAME -> NAME               .writing-*/new/NAME.png -> NAME.png

`settle` ends whatever was begun: before the third rename everything goes back, after it forward. If
a process is killed in between, the next one that writes or reads results there settles it. A lock
on the folder that holds the results keeps processes apart.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trajeval.terminal import UserError

PLOTS = "plots"  # the folder of --plots in that of an experiment
PLOT_NAMES = ("heatmap", "groups", "confusion", "curves", "distributions", "auc")
PLOT_FORMATS = ("png", "pdf", "svg")
FILES = (  # in the folder of an experiment; files of other names are the user's
    *("similarities.csv", "similarities.npy", "embeddings.npz", "run.json"),
    "running.json",  # of a run that was killed: see running.py
    *("groups.csv", "scores.csv"),  # with groups
    *("similarities.parquet", "scores.parquet", "trajectories.parquet"),  # of a large table
    "metrics.json",  # with labels
    *("curves.csv", "curves.npz", "controls.npz"),  # with --curves, --controls
    "report.html",
    *(f"{PLOTS}/{plot}.{ending}" for plot in PLOT_NAMES for ending in PLOT_FORMATS),
    *("heatmap.png", "groups.png", "confusion.png"),  # of older versions, to be removed
)
PREFIX = ".writing-"
PATIENCE = 10  # seconds to wait for another process; none takes that long
ABANDONED = 3600  # seconds after which a hidden folder is in nobody's use, without locks


def swap_in(parent: Path, name: str, write: Callable[[Path, Path], None]) -> None:
    """Makes the folder `name` in `parent` hold what `write` writes, given an empty folder, and the
    path of the picture to put beside it. Files of other names than FILES in the old folder stay.
    Raises UserError, with status 1, for an OSError, and then nothing has changed."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with undisturbed(parent):
            staging = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            try:
                new = staging / "new" / name
                new.mkdir(parents=True)
                (staging / "old").mkdir()
                write(new, staging / "new" / f"{name}.png")
                exchange(parent, name, staging)
            finally:
                settle(parent, staging)
    except OSError as error:
        raise UserError(sentence(error, parent), status=1) from None


def exchange(parent: Path, name: str, staging: Path) -> None:
    """The renames. Raises OSError."""
    folder, picture = parent / name, parent / f"{name}.png"
    old, new = staging / "old", staging / "new"
    if os.path.lexists(picture):
        os.rename(picture, old / picture.name)
    if os.path.lexists(folder):
        shutil.copymode(folder, new / name)
        move_others(folder, new / name)
        os.rename(folder, old / name)
    os.rename(new / name, folder)
    try:
        os.rename(new / picture.name, picture)
    except OSError:
        os.rename(folder, new / name)
        raise


def settle(parent: Path, staging: Path) -> None:
    """Ends what was begun in a hidden folder, and removes it; what fails is left for next time."""
    old, new = staging / "old", staging / "new"
    with suppress(OSError):
        if new.is_dir() and old.is_dir():
            for path in new.iterdir():
                if path.is_dir():
                    go_back(parent, path.name, old, new)
                elif not (new / path.stem).is_dir():  # the folder is in its place
                    os.replace(path, parent / path.name)
            for path in old.iterdir():
                if path.is_dir():
                    move_others(path, parent / path.name)  # what has come in the meantime
        shutil.rmtree(staging)


def go_back(parent: Path, name: str, old: Path, new: Path) -> None:
    """Puts the old folder and the old picture back into their places."""
    folder, picture = parent / name, parent / f"{name}.png"
    if os.path.lexists(old / name):
        os.rename(old / name, folder)
    if os.path.lexists(folder):
        move_others(new / name, folder)
    if os.path.lexists(old / picture.name):
        os.rename(old / picture.name, picture)


def move_others(folder: Path, target: Path) -> None:
    """Moves what is the user's from one folder into another, also what is beside the plots."""
    plots = folder / PLOTS
    mixed = plots.is_dir() and not plots.is_symlink()  # may hold files of both
    paths = [path for path in folder.iterdir() if not (mixed and path == plots)]
    for path in [*paths, *(plots.iterdir() if mixed else ())]:
        name = path.relative_to(folder)
        if name.as_posix() not in FILES and not os.path.lexists(target / name):
            (target / name).parent.mkdir(exist_ok=True)
            os.rename(path, target / name)


@contextmanager
def undisturbed(parent: Path) -> Iterator[None]:
    """While no other process changes results in a folder, and with all settled that killed
    processes left there."""
    with locked(parent) as is_alone:
        for staging in parent.glob(f"{PREFIX}*"):
            with suppress(OSError):
                if is_alone or time.time() - staging.stat().st_mtime > ABANDONED:
                    settle(parent, staging)
        yield


@contextmanager
def locked(parent: Path) -> Iterator[bool]:
    """Holds the lock on a folder, or yields False: where the system or the file system has none, or
    another process keeps it for too long."""
    try:
        import fcntl

        descriptor = os.open(parent, os.O_RDONLY)
    except (ImportError, OSError):  # Windows; a folder that does not exist or is closed to us
        yield False
        return
    try:
        deadline, is_alone = time.monotonic() + PATIENCE, False
        while not is_alone and time.monotonic() < deadline:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_alone = True
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                break
        yield is_alone
    finally:
        os.close(descriptor)


def sentence(error: OSError, parent: Path) -> str:
    """What went wrong, with a path that the user knows."""
    paths = [path for path in (error.filename, error.filename2) if path is not None]
    known = [path for path in map(os.fsdecode, paths) if PREFIX not in path]
    path = known[0] if known else parent
    return f"{path}: could not be written: {error.strerror}; nothing was changed"
