"""Curves and controls, written and read back."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import refused
from runs import as_npy

from trajeval.controls import controls_npz
from trajeval.curves import Control, Curves
from trajeval.results import as_json, read_results, write_results
from trajeval.rising import curves_npz
from trajeval.table import Entry, Table

pytestmark = pytest.mark.usefixtures("in_empty_folder")

N, K, P = 2, 3, 4
TABLE = Table(
    np.arange(N * P, dtype=np.float32).reshape(N, P),
    [Entry(f"{i}.mp4") for i in range(N)],
    [Entry(f"prompt {i}") for i in range(P)],
    "cosine",
)
CURVES = Curves(
    "window",
    np.array([[0, 4, 9], [0, 0, 0]]),
    np.array([[0.0, 0.4, 0.9], [np.nan] * 3]),
    np.arange(N * K * P, dtype=np.float32).reshape(N, K, P),
)
CONTROLS = {
    "still": Control(TABLE._replace(values=TABLE.values + 1), None),
    "shuffled": Control(TABLE, CURVES._replace(values=CURVES.values + 1)),
    "reversed": Control(TABLE, CURVES._replace(values=CURVES.values + 2)),
}


def as_npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def written(curves=CURVES, controls=CONTROLS, **files):
    run = {
        "experiment": "exp",
        "description": "S3D",
        "similarity": TABLE.label,
        "arguments": {"curves": curves and curves.how, "controls": bool(controls)},
        "trajectories": [{"path": row.name, "groups": []} for row in TABLE.rows],
        "columns": [{"prompt": column.name, "group": None} for column in TABLE.columns],
    }
    content = {"similarities.npy": as_npy(TABLE.values), "run.json": as_json(run)}
    if curves:
        content["curves.npz"] = curves_npz(curves)
    if controls:
        content["controls.npz"] = controls_npz(controls)
    write_results("out", "exp", b"PNG", content | files)
    return read_results("out/exp")


def test_what_was_written_is_read():
    found = written()
    assert found.curves.how == "window" and found.controls.keys() == CONTROLS.keys()
    for one, other in zip(found.curves[1:], CURVES[1:]):
        assert one.dtype == other.dtype and np.array_equal(
            one, other, equal_nan=one.dtype.kind == "f"
        )
    for name, control in CONTROLS.items():
        assert np.array_equal(found.controls[name].table.values, control.table.values)
        assert found.controls[name].table.rows == TABLE.rows
    assert found.controls["still"].curves is None
    assert np.array_equal(found.controls["reversed"].curves.values, CURVES.values + 2)
    assert np.array_equal(found.controls["reversed"].curves.frames, CURVES.frames)


def test_one_without_the_other():
    assert written(controls=None).controls is None
    plain = {name: control._replace(curves=None) for name, control in CONTROLS.items()}
    found = written(None, plain)
    assert found.curves is None and found.controls["shuffled"].curves is None
    assert written(None, None).controls is None


def test_deleted_files_are_missing():
    written()
    for name in ("curves.npz", "controls.npz"):
        Path("out/exp", name).unlink()
    found = read_results("out/exp")
    assert found.curves is None and found.controls is None
    assert [path.name for path in found.missing] == ["curves.npz", "controls.npz"]


ARRAYS = dict(zip(("frames", "times", "values"), CURVES[1:]))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("curves.npz", b"", "damaged, run the evaluator again"),
        ("curves.npz", b"PK", "damaged, run the evaluator again"),
        ("curves.npz", as_npz(frames=CURVES.frames), "curves.npz has no times"),
        (
            "curves.npz",
            as_npz(**ARRAYS | {"values": CURVES.values[:, :2]}),
            "curves.npz: values is 2 by 2 by 4, which does not match",
        ),
        ("curves.npz", as_npz(**ARRAYS | {"times": np.zeros(3)}), "times is 3, which"),
        ("curves.npz", as_npz(**ARRAYS | {"frames": np.zeros(3, int)}), "not two dimensions"),
        ("curves.npz", as_npz(**ARRAYS | {"frames": CURVES.times}), "than whole numbers"),
        ("curves.npz", as_npz(**ARRAYS | {"frames": -CURVES.frames}), "frames does not ascend"),
        ("curves.npz", as_npz(**ARRAYS | {"values": CURVES.values * np.nan}), "holds NaN"),
        (
            "curves.npz",
            as_npz(**ARRAYS | {"values": np.array([{}], object)}),
            "damaged, run the evaluator again",
        ),
        ("controls.npz", as_npz(still=TABLE.values), "controls.npz has no shuffled"),
        (
            "controls.npz",
            as_npz(**dict.fromkeys(CONTROLS, TABLE.values)),
            "controls.npz has no shuffled_curves",
        ),
        ("controls.npz", b"\x00" * 99, "damaged, run the evaluator again"),
    ],
)
def test_damage_is_told(name, content, problem):
    written()
    Path("out/exp", name).write_bytes(content)
    run = json.loads(Path("out/exp/run.json").read_text())
    run["files"][name] = hashlib.sha256(content).hexdigest()  # as if a run had written it
    Path("out/exp/run.json").write_text(json.dumps(run))
    message = refused(read_results, "out/exp")
    assert message.startswith("out/exp: damaged, run the evaluator again") and problem in message
