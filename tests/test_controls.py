"""What does the model look at? Controls against the plain run."""

import io
import json

import numpy as np
import pytest

from trajeval.controls import as_lines, judge, meaning
from trajeval.curves import Control, Curves
from trajeval.report import report
from trajeval.table import Table, entry_of, is_right

NAMES = ["run", "jump", "crawl"]
K = 8


def made(n=30, per_group=2, seed=0, names=NAMES):
    """A model that tells the behaviours apart, and whose curves rise for the right prompts."""
    rng = np.random.default_rng(seed)
    rows = [entry_of(f"{name} {i}.mp4", name) for name in names for i in range(n)]
    columns = [entry_of(f"it {name}s {i}", name) for name in names for i in range(per_group)]
    right = is_right(rows, columns)
    values = rng.normal(size=(len(rows), K, len(columns)))
    values += right[:, None] * np.linspace(0, 10, K)[:, None]
    frames = np.tile(np.arange(K), (len(rows), 1))
    curves = Curves("prefix", frames, frames / 10, values.astype(np.float32))
    return Table(curves.values[:, -1], rows, columns, "cosine"), curves


def unchanged(table, curves):
    return {
        "still": Control(table, None),
        "shuffled": Control(table, curves),
        "reversed": Control(table, curves),
    }


def lost(table, curves, seed=1):
    """A control in which nothing is left."""
    values = np.random.default_rng(seed).normal(size=curves.values.shape).astype(np.float32)
    return Control(table._replace(values=values[:, -1]), curves._replace(values=values))


def test_a_model_that_sees_the_scene_and_no_order():
    table, curves = made()
    found = judge(table, curves, unchanged(table, curves))
    json.dumps(found, allow_nan=False)
    assert found.keys() == {"still", "shuffled", "reversed", "swapped", "meaning"}
    assert found["still"]["auc"]["value"] == 1 and found["still"]["voc"] is None
    for name in ("shuffled", "reversed"):
        assert found[name]["auc_difference"]["value"] == 0 == found[name]["voc_difference"]["value"]
        assert found[name]["auc_difference"]["low"] < 0 < found[name]["auc_difference"]["high"]
    assert found["swapped"]["voc_difference"]["high"] < 0
    assert found["meaning"].startswith(
        "sees the scene (1.00 of AUC 1.00 without motion); knows no order (shuffled 1.00, "
        "reversed 1.00); its curves rise more with the right prompts (VOC 0.9"
    )
    value = f"(VOC {found['reversed']['voc']['value']:.2f})"
    assert found["meaning"].endswith(
        f"; its curves also rise when videos are played backwards {value}"
    )


def test_a_model_that_needs_motion_and_order():
    table, curves = made()
    gone = lost(table, curves)
    backwards = Control(gone.table, curves._replace(values=curves.values[:, ::-1]))
    controls = {"still": gone._replace(curves=None), "shuffled": gone, "reversed": backwards}
    found = judge(table, curves, controls)
    assert found["still"]["auc_difference"]["high"] < -0.2
    assert found["reversed"]["voc"]["value"] < -0.8
    assert "sees motion (0." in found["meaning"] and "knows order (" in found["meaning"]
    assert "backwards" not in found["meaning"]


def test_a_model_whose_curves_rise_whatever_the_prompt_says():
    table, curves = made()
    rising = curves._replace(values=curves.values + np.linspace(0, 40, K, dtype="f4")[:, None])
    found = judge(table, rising, unchanged(table, rising))
    assert "its curves rise whatever the prompt says (VOC " in found["meaning"]


def test_few_takes_leave_it_open():
    table, curves = made(3)
    found = judge(table, curves, unchanged(table, curves))
    assert "whether it sees motion cannot be told from 9 takes (1.00 of" in found["meaning"]
    assert "whether it knows order cannot be told from 9 takes (shuffled" in found["meaning"]


def test_one_take_each_and_equal_scores():
    table, curves = made(1)
    found = judge(table, curves, unchanged(table, curves))
    assert found["still"]["auc_difference"]["low"] < -0.1
    flat = curves._replace(values=np.ones_like(curves.values))
    table = table._replace(values=flat.values[:, -1])
    found = judge(table, flat, unchanged(table, flat))
    json.dumps(found, allow_nan=False)
    assert found["still"]["auc"]["value"] == 0.5 and found["reversed"]["voc"]["value"] == 0
    assert found["meaning"] == (
        "AUC 0.50 is not surely above chance, so there is nothing to lose; "
        "whether its curves rise cannot be told from 3 takes (VOC 0.00)"
    )


@pytest.mark.parametrize(
    "shuffled, reversed_, words",
    [
        ((-0.3, -0.1), (-0.05, 0.05), "needs the frames in sequence, in either direction ("),
        (
            (-0.3, -0.1),
            (-0.2, 0.05),
            "needs the frames in sequence; whether their direction matters cannot be told",
        ),
        ((-0.05, 0.05), (-0.3, -0.1), "knows order ("),
        ((-0.3, -0.1), (-0.3, -0.1), "knows order ("),
        ((-0.05, -0.01), (-0.09, 0.0), "knows no order (shuffled 0.80, reversed 0.80)"),
        ((-0.05, 0.05), (-0.2, 0.05), "whether it knows order cannot be told from 7 takes ("),
    ],
)
def test_what_is_said_of_order(shuffled, reversed_, words):
    found = {
        name: {
            "auc": {"value": 0.8, "low": 0.7, "high": 0.9},
            "auc_difference": {"value": sum(ends) / 2, "low": ends[0], "high": ends[1]},
        }
        for name, ends in (("shuffled", shuffled), ("reversed", reversed_))
    }
    plain = {"value": 0.9, "low": 0.8, "high": 0.95}
    assert meaning(found, plain, None, 7).startswith(words)


def test_without_curves():
    table, _ = made()
    controls = {name: Control(table, None) for name in ("still", "shuffled", "reversed")}
    found = judge(table, None, controls)
    assert "swapped" not in found and found["reversed"]["voc"] is None
    assert "VOC" not in "\n".join(as_lines(found))


def test_one_group_of_prompts_has_curves_all_the_same():
    """One task, as rewards mostly have: nothing to tell apart, so no AUC, no prompts of others."""
    table, curves = made(300, names=NAMES[:1])
    controls = unchanged(table, curves) | {"reversed": lost(table, curves)}
    found = judge(table, curves, controls)
    json.dumps(found, allow_nan=False)
    assert found.keys() == {"shuffled", "reversed", "meaning"}
    assert found["reversed"]["auc"] is None and found["reversed"]["voc_difference"]["high"] < 0
    assert found["shuffled"]["voc_difference"]["value"] == 0
    assert found["meaning"] == "no AUC, which needs two groups to be told apart"
    assert as_lines(found)[1].startswith("shuffled  -")
    assert judge(table, None, controls) is None
    found = judge(table, curves, unchanged(table, curves))
    assert "its curves also rise when videos are played backwards (VOC " in found["meaning"]


def test_the_terminals_table():
    table, curves = made()
    lines = as_lines(judge(table, curves, unchanged(table, curves)))
    assert lines[0].split()[:3] == ["control", "AUC", "difference"]
    assert lines[1].startswith("still, the middle frame") and lines[1].endswith("-")
    assert lines[4].startswith("prompts of other groups  -")
    assert lines[5].startswith("sees the scene")


def test_several_labels_and_trajectories_without_one():
    table, curves = made(4)
    rows = [
        table.rows[0]._replace(groups=tuple(NAMES)),
        table.rows[1]._replace(groups=("run", "jump")),
        *table.rows[2:-1],
        table.rows[-1]._replace(groups=("fly",)),
    ]
    table = table._replace(rows=rows)
    found = judge(table, curves, unchanged(table, curves))
    json.dumps(found, allow_nan=False)
    assert "from 11 takes" in found["meaning"]


@pytest.mark.parametrize("groups, names", [(None, NAMES), ("fly", ["run"]), ("fly", NAMES)])
def test_what_cannot_be_judged_is_told_and_written(groups, names):
    table, curves = made(2, names=names)
    table = table._replace(rows=[entry_of(row.name, groups) for row in table.rows])
    controls = unchanged(table, curves)
    assert judge(table, curves, controls) is None
    made_of = report(table, "title", "S3D", curves=curves, controls=controls)
    assert any(line.startswith("controls not judged") for line in made_of.lines)
    file = io.BytesIO()
    made_of.files["controls.npz"](file)
    kept = np.load(io.BytesIO(file.getvalue()))
    assert set(kept) == {*controls, "shuffled_curves", "reversed_curves"}


def test_what_is_written():
    table, curves = made(2)
    made_of = report(table, "title", "S3D", curves=curves, controls=unchanged(table, curves))
    assert json.loads(made_of.files["metrics.json"])["controls"] == made_of.verdict["controls"]
    assert made_of.verdict["controls"]["meaning"] in made_of.lines
