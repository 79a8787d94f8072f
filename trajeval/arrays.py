"""Reading the array files of a run: curves.npz and controls.npz. What is wrong with one is a
ValueError that names it; a damaged archive can raise anything."""

from pathlib import Path

import numpy as np

from trajeval.curves import Control, Curves
from trajeval.files import open_regular
from trajeval.table import Table

NAMES = ("still", "shuffled", "reversed")  # of the controls


def read_curves(folder: Path, how: str, table: Table) -> Curves | None:
    """The curves of a run with this table; None if it has none."""
    if (arrays := read_npz(folder / "curves.npz", Curves._fields[1:])) is None:
        return None
    frames, times, values = arrays.values()
    if frames.ndim != 2:
        raise ValueError("curves.npz: frames has not two dimensions")
    shape = (len(table.rows), frames.shape[1], len(table.columns))
    for name, array, wanted, kind in (
        ("frames", frames, shape[:2], "i"),
        ("times", times, shape[:2], "f"),
        ("values", values, shape, "f"),
    ):
        check("curves.npz", name, array, wanted, kind)
    if not frames.size or (np.diff(frames) < 0).any():
        raise ValueError("curves.npz: frames does not ascend")
    check_finite("curves.npz", "values", values)
    return Curves(how, frames, times, values)


def read_controls(folder: Path, table: Table, curves: Curves | None) -> dict[str, Control] | None:
    """The controls of a run with this table and these curves; None if it has none."""
    path = folder / "controls.npz"
    of_curves = [f"{name}_curves" for name in NAMES[1:]] if curves else []
    if (arrays := read_npz(path, [*NAMES, *of_curves])) is None:
        return None
    for name, array in arrays.items():
        wanted = curves.values.shape if curves and name in of_curves else table.values.shape
        check(path.name, name, array, wanted, "f")
        check_finite(path.name, name, array)
    return {
        name: Control(
            table._replace(values=arrays[name]),
            curves._replace(values=arrays[f"{name}_curves"])
            if curves and f"{name}_curves" in of_curves
            else None,
        )
        for name in NAMES
    }


def read_npz(path: Path, names) -> dict[str, np.ndarray] | None:
    """The arrays of these names; None if there is no such file."""
    try:
        opened = open_regular(path)
    except FileNotFoundError:
        return None
    with opened as file, np.load(file, allow_pickle=False) as arrays:
        if missing := [name for name in names if name not in arrays]:
            raise ValueError(f"{path.name} has no {missing[0]}")
        return {name: arrays[name] for name in names}


def check(file: str, name: str, array: np.ndarray, shape: tuple, kind: str) -> None:
    if array.shape != shape:
        found = " by ".join(map(str, array.shape))
        raise ValueError(f"{file}: {name} is {found}, which does not match run.json")
    if array.dtype.kind != kind:
        what = "whole" if kind == "i" else "floating-point"
        raise ValueError(f"{file}: {name} holds other things than {what} numbers")


def check_finite(file: str, name: str, array: np.ndarray) -> None:
    if not np.isfinite(array).all():
        raise ValueError(f"{file}: {name} holds NaN or infinite values")
