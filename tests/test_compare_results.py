"""Runs compared: the same trajectories under several models or prompts."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from runs import as_npy

import compare_results
from trajeval.areas import auc
from trajeval.comparison import Number, with_parts
from trajeval.figures import as_png
from trajeval.intervals import correlation_of
from trajeval.metrics import measure
from trajeval.panels import difference, difference_panel
from trajeval.results import as_json, write_results
from trajeval.table import Entry, Table, entry_of

ROOT = Path(__file__).parent.parent
PATHS = [f"clips/{i}.mp4" for i in range(8)]
GROUPS = ["run"] * 4 + ["jump"] * 4
PROMPTS = [("it runs", "run"), ("it jumps", "jump")]

pytestmark = pytest.mark.usefixtures("in_empty_folder")


def leave(name, similarities, groups=GROUPS, paths=PATHS, prompts=PROMPTS, contents=None):
    """The folder of a run's results."""
    contents = contents or [None] * len(paths)
    run = {
        "experiment": name,
        "description": "S3D, weights",
        "similarity": "cosine similarity",
        "trajectories": [
            {"path": p, "group": g, "content": c} for p, g, c in zip(paths, groups, contents)
        ],
        "columns": [{"prompt": p, "group": g} for p, g in prompts],
    }
    files = {"run.json": as_json(run), "similarities.npy": as_npy(np.float32(similarities))}
    write_results("out", name, b"PNG", files)
    return f"out/{name}"


def noise(seed, strength):
    right = np.array([[group == other for _, other in PROMPTS] for group in GROUPS])
    return np.random.default_rng(seed).normal(size=(8, 2)) + strength * right


def compare(*arguments):
    return compare_results.main([*arguments, "-e", "both", "-o", "out"])


def read_table():
    with open("out/both.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, {row[0]: dict(zip(header[1:], map(float, row[1:]))) for row in rows}


def metrics_of(scores, right, names=("run", "jump")):
    """The value of each row of the table, by its name."""
    scores = np.float32(scores)
    found = {name: metric["value"] for name, metric in measure(scores, right).items()}
    areas = auc(scores, np.arange(right.shape[1]), right)
    return found | {f"AUC of {name}": area for name, area in zip(names, areas)}


def test_two_models(capsys):
    weak, strong = noise(0, 0.2), noise(1, 3)
    assert compare(leave("weak", weak), leave("strong", strong)) == 0
    out, err = capsys.readouterr()
    assert out == "out/both.png\n" and "top1" in err
    assert iio.imread("out/both.png").std() > 10
    header, table = read_table()
    assert header[:4] == ["metric", "weak", "weak low", "weak high"]
    labels = np.array([0] * 4 + [1] * 4)
    expected = metrics_of(weak, labels[:, None] == [0, 1])
    assert set(table) == set(expected) and "mean_auc" in table
    for metric, row in table.items():
        assert row["weak"] == pytest.approx(expected[metric])
        assert row["strong - weak"] == pytest.approx(row["strong"] - row["weak"])
        assert row["strong - weak low"] <= row["strong - weak"] <= row["strong - weak high"]
    assert "\n* the 95 % interval of the difference excludes 0" in err
    (line,) = (line for line in err.splitlines() if line.startswith("mean_auc"))
    assert line.endswith("*") == (table["mean_auc"]["strong - weak low"] > 0)


def test_parts_of_one_file_are_told_apart():
    """By where they start and end; the file may have moved meanwhile."""
    values, starts = noise(0, 1), list(range(8))
    leave("a", values, contents=["same"] * 8)
    leave("b", values[::-1], GROUPS[::-1], [f"moved/{i}" for i in range(8)], contents=["same"] * 8)
    for name, order in (("a", starts), ("b", starts[::-1])):
        path = Path(f"out/{name}/run.json")
        run = json.loads(path.read_text(encoding="utf-8"))
        for entry, start in zip(run["trajectories"], order):
            entry |= {"start": start, "end": start + 1}
        path.write_text(json.dumps(run), encoding="utf-8")
    assert compare("out/a", "out/b") == 0
    assert all(row["b - a"] == 0 for row in read_table()[1].values())


def test_a_run_against_itself_differs_by_nothing():
    assert compare(leave("a", noise(0, 1)), leave("b", noise(0, 1))) == 0
    for metric, row in read_table()[1].items():
        assert row["b - a"] == 0 and row["b - a low"] <= 0 <= row["b - a high"]
        if not metric.endswith("median_rank"):  # whole numbers
            assert row["b - a low"] < row["b - a high"], metric  # eight trajectories say no more


def test_order_of_rows_and_of_groups_does_not_matter():
    similarities = noise(3, 1)
    order = np.random.default_rng(0).permutation(8)
    first = leave("a", similarities)
    second = leave(
        "b",
        similarities[order][:, ::-1],
        [GROUPS[i] for i in order],
        [PATHS[i] for i in order],
        PROMPTS[::-1],
    )
    assert compare(first, second) == 0
    assert all(row["b - a"] == 0 for row in read_table()[1].values())


def test_three_runs_with_prompts_of_their_own():
    more = [("it runs", "run"), ("running", "run"), ("it jumps", "jump"), ("it flies", "fly")]
    folders = [leave(name, noise(i, 1)) for i, name in enumerate("ab")]
    folders.append(leave("c", np.random.default_rng(9).normal(size=(8, 4)), prompts=more))
    assert compare(*folders) == 0
    assert {"b - a", "c - a"} <= set(read_table()[0])


def test_without_labels_there_is_a_picture(capsys):
    plain = {"groups": [None] * 8, "prompts": [("x", None), ("y", None)]}
    assert compare(leave("a", noise(0, 1), **plain), leave("b", noise(1, 1), **plain)) == 0
    assert "nothing is labelled" in capsys.readouterr().err
    assert Path("out/both.png").exists() and not Path("out/both.csv").exists()


def test_what_differs_is_refused_by_name(capsys):
    first = leave("a", noise(0, 1))
    other = leave("b", noise(0, 1), ["run"] * 5 + ["jump"] * 3, [*PATHS[:7], "clips/new.mp4"])
    assert compare(first, other) == 2
    assert capsys.readouterr().err.splitlines() == [
        "clips/4.mp4 is labelled jump in out/a, but not in out/b",
        "clips/4.mp4 is labelled run in out/b, but not in out/a",
        "clips/7.mp4 is in out/a, but not in out/b",
        "... and 1 more between out/a and out/b",
        "4 problems found; nothing was written",
    ]
    assert not Path("out/both.png").exists()


def test_a_label_or_a_repeat_that_one_run_lacks_is_told_once(capsys):
    first = leave("a", noise(0, 1))
    without = leave("b", np.zeros((8, 1)), prompts=[("running", "run")])
    assert compare(first, without) == 2
    told = capsys.readouterr().err
    assert "clips/4.mp4 is labelled jump in out/a, but not in out/b" in told
    assert "... and 1 more" in told and "no label" not in told
    twice = leave("c", np.zeros((9, 2)), [*GROUPS, GROUPS[-1]], [*PATHS, PATHS[-1]])
    assert compare(first, twice) == 2
    assert "clips/7.mp4 is listed more often in out/c than in out/a" in capsys.readouterr().err


def test_everything_wrong_at_once():
    command = [sys.executable, ROOT / "compare_results.py", "nowhere", "."]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "-e NAME is missing: the name of the comparison",
        "nowhere: not the folder of a run's results: nowhere/run.json: No such file or directory",
        ".: not the folder of a run's results: run.json: No such file or directory",
        "3 problems found; nothing was written",
    ]


def test_names_that_are_the_same_become_folders():
    first = leave("a", noise(0, 1))
    os.rename("out/a", "first")
    second = leave("a", noise(1, 1))
    assert compare(first.replace("out/a", "first"), second) == 0
    assert "out/a - first" in read_table()[0]


def test_help_imports_nothing_heavy():
    for name in ("numpy", "torch", "matplotlib"):
        Path(f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')")
    command = [sys.executable, ROOT / "compare_results.py", "--help"]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_run_json_of_an_older_version(capsys):
    leave("a", noise(0, 1))
    run = json.loads(Path("out/a/run.json").read_text())
    del run["columns"]
    Path("out/a/run.json").write_text(json.dumps(run))
    assert compare("out/a", "out/a") == 2
    assert "out/a: run.json has no 'columns'; run the evaluator again" in capsys.readouterr().err


def test_one_video_under_two_labels_keeps_both():
    paths, groups = ["x", "y", "z", "x", "w"], ["run", "run", "jump", "jump", "jump"]
    similarities = np.random.default_rng(4).normal(size=(5, 2))
    order = [3, 1, 4, 0, 2]
    first = leave("a", similarities, groups, paths)
    second = leave("b", similarities[order], [groups[i] for i in order], [paths[i] for i in order])
    assert compare(first, second) == 0
    table = read_table()[1]
    labels = np.array([0, 0, 1, 1, 1])
    assert table["top1"]["a"] == pytest.approx(
        measure(np.float32(similarities), labels[:, None] == [0, 1])["top1"]["value"]
    )
    assert all(row["b - a"] == 0 for row in table.values())


def test_an_older_table_goes_with_its_picture():
    first, second = leave("a", noise(0, 1)), leave("b", noise(1, 1))
    assert compare(first, second) == 0 and Path("out/both.csv").exists()
    plain = {"groups": [None] * 8, "prompts": [("x", None), ("y", None)]}
    assert compare(leave("a", noise(0, 1), **plain), leave("b", noise(1, 1), **plain)) == 0
    assert not Path("out/both.csv").exists()


def test_places_that_are_taken(capsys):
    first, second = leave("a", noise(0, 1)), leave("both", noise(1, 1))
    Path("out/both.csv").mkdir()
    assert compare(first, second) == 2
    assert capsys.readouterr().err.splitlines() == [
        "--experiment-id both: the name of a run, which has its own picture",
        "out/both.csv: a folder has the name of a result",
        "2 problems found; nothing was written",
    ]


def test_names_that_mathtext_would_read(capsys):
    folder = leave("$\\foo{$", noise(0, 1), prompts=[("$\\foo{$", "run"), ("<b>", "jump")])
    assert compare(folder, leave("b", noise(1, 1))) == 0


DIGESTS = [f"{i:032x}" for i in range(8)]


def test_videos_are_the_same_if_their_contents_are():
    similarities = noise(3, 1)
    elsewhere = [f"/home/colleague/{i}.mp4" for i in range(8)]
    first = leave("a", similarities, contents=DIGESTS)
    second = leave("b", similarities[::-1], GROUPS[::-1], elsewhere[::-1], contents=DIGESTS[::-1])
    assert compare(first, second) == 0
    assert all(row["b - a"] == 0 for row in read_table()[1].values())


def test_another_video_at_the_same_path_is_refused(capsys):
    first = leave("a", noise(0, 1), contents=DIGESTS)
    second = leave("b", noise(0, 1), contents=[*DIGESTS[:7], "f" * 32])
    assert compare(first, second) == 2
    assert capsys.readouterr().err.splitlines() == [
        "clips/7.mp4 is in out/a, but not in out/b: another video has this path there",
        "clips/7.mp4 is in out/b, but not in out/a: another video has this path there",
        "2 problems found; nothing was written",
    ]


def test_paths_count_where_a_run_has_no_contents():
    first = leave("a", noise(0, 1), contents=[*DIGESTS[:7], None])
    assert compare(first, leave("b", noise(0, 1), contents=DIGESTS[::-1])) == 0


def test_many_differences_are_counted(capsys):
    first = leave("a", noise(0, 1))
    others = [leave(name, noise(0, 1), paths=[f"{name}/{i}" for i in range(8)]) for name in "bc"]
    assert compare(first, *others) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 9
    assert [line for line in lines if "more" in line] == [
        f"... and 13 more between out/a and out/{other}" for other in "bc"
    ]


def test_damaged_results_are_refused(capsys):
    first, second = leave("a", noise(0, 1)), leave("b", noise(1, 1))
    Path("out/b/similarities.npy").write_bytes(Path("out/a/similarities.npy").read_bytes())
    assert compare(first, second) == 2
    assert "out/b: damaged or mixed, run the evaluator again" in capsys.readouterr().err


def test_an_empty_output_folder_is_an_error(capsys):
    first, second = leave("a", noise(0, 1)), leave("b", noise(1, 1))
    assert compare_results.main([first, second, "-e", "both", "-o", ""]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "--output-dir '': takes a path",
        "1 problem found; nothing was written",
    ]


def test_options_are_written_out(capsys):
    first, second = leave("a", noise(0, 1)), leave("b", noise(1, 1))
    assert compare_results.main([first, second, "--experiment", "x", "-o", "out"]) == 2
    assert "unknown option --experiment: did you mean" in capsys.readouterr().err


def test_long_names_of_runs_can_be_told_apart(capsys):
    names = [f"s3d_on_the_{'very_' * 8}same_list_{which}" for which in "xy"]
    assert compare(*[leave(name, noise(i, 1)) for i, name in enumerate(names)]) == 0
    header = capsys.readouterr().err.splitlines()[0]
    shown = re.split(r"  +", header.strip())
    assert len(shown) == len(set(shown)) == 3 and all("…" in title for title in shown)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["csv", "numpy"])
def test_interrupted_while_it_imports(number, module):
    """csv is imported when the script starts, NumPy when it reads results."""
    first, second = leave("a", noise(0, 1)), leave("b", noise(1, 1))
    Path(f"{module}.py").write_text(
        f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(60)\n"
    )
    command = [sys.executable, ROOT / "compare_results.py", first, second, "-e", "x", "-o", "out"]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == ("" if module == "csv" else "\ninterrupted\n")


def test_videos_with_several_labels(capsys):
    groups = [["run"]] * 3 + [["run", "jump"]] + [["jump"]] * 3 + [["jump", "run"]]

    def leave_several(name, similarities, groups, order=range(8)):
        paths = [PATHS[i] for i in order]
        folder = leave(name, similarities, [None] * 8, paths)
        run = json.loads(Path(folder, "run.json").read_text())
        for entry, names in zip(run["trajectories"], groups):
            del entry["group"]
            entry["groups"] = names
        numbers = as_npy(np.float32(similarities))
        write_results("out", name, b"PNG", {"run.json": as_json(run), "similarities.npy": numbers})
        return folder

    similarities, order = noise(3, 1), [5, 3, 7, 0, 1, 2, 6, 4]
    first = leave_several("a", similarities, groups)
    shuffled = [groups[i][::-1] for i in order]
    second = leave_several("b", similarities[order], shuffled, order)
    assert compare(first, second) == 0
    table = read_table()[1]
    right = np.array([[name in names for name in ("run", "jump")] for names in groups])
    expected = metrics_of(similarities, right)
    for metric, row in table.items():
        assert row["a"] == pytest.approx(expected[metric]) and row["b - a"] == 0
    third = leave_several("c", similarities, [*groups[:3], ["run"], *groups[4:]])
    assert compare(first, third) == 2
    assert capsys.readouterr().err.splitlines()[-3:] == [
        "clips/3.mp4 is labelled jump, run in out/a, but not in out/c",
        "clips/3.mp4 is labelled run in out/c, but not in out/a",
        "2 problems found; nothing was written",
    ]


# --- the other blocks of metrics.json, the picture


def interval(value, room=0.1):
    return {"value": value, "low": value - room, "high": value + room}


def leave_with(name, values, vocs, accuracy, **more):
    """A run with curves and a probe. vocs: of each trajectory for its own prompt."""
    folder = leave(name, values, **more)
    rows = [
        {"trajectory": path, "behaviour": group, "right": voc, "best_wrong": None, "best_time": 1.0}
        for path, group, voc in zip(PATHS, GROUPS, vocs)
    ]
    mean = {"right": interval(np.mean([voc or 0 for voc in vocs])), "best_wrong": None}
    verdict = {
        "curves": {
            "how": "prefix",
            "groups": [{"name": "run", "count": 4, "right": interval(0.5), "best_wrong": None}],
            "mean": mean,
            "trajectories": rows,
        },
        "probe": {"kind": "nearest centroid", "accuracy": interval(accuracy), "meaning": "words"},
    }
    run = json.loads(Path(folder, "run.json").read_bytes())
    files = {"run.json": as_json(run), "similarities.npy": as_npy(np.float32(values))}
    write_results("out", name, b"PNG", files | {"metrics.json": as_json(verdict)})
    return folder


def test_curves_are_compared_in_pairs(capsys):
    """Two models that find the same trajectories hard differ more surely than two that do not."""
    vocs = np.linspace(0, 1, 8).tolist()
    values = noise(0, 1)
    first = leave_with("a", values, vocs, 0.5)
    same = leave_with("b", values, [voc - 0.2 for voc in vocs], 0.75)
    other = leave_with("c", values, [voc - 0.2 for voc in vocs[::-1]], 0.75)
    assert compare(first, same, other) == 0
    table = read_table()[1]
    row, probe = table["curves right"], table["probe accuracy"]
    assert row["b - a"] == pytest.approx(-0.2) == row["c - a"]
    for name, related in (("b - a", 0.75), ("c - a", -0.75)):  # 1 and -1, of eight
        width = 0.1 * np.sqrt(2 - 2 * related)
        assert row[f"{name} high"] - row[name] == pytest.approx(width)
    assert probe["b - a"] == 0.25  # nothing says which trajectories: as if independent
    assert probe["b - a low"] == pytest.approx(0.25 - np.hypot(0.1, 0.1))
    assert "curves run right" in table


def test_a_number_that_one_run_does_not_have(capsys):
    assert compare(leave("a", noise(0, 1)), leave_with("b", noise(1, 1), [None] * 8, 0.5)) == 0
    with open("out/both.csv", newline="", encoding="utf-8") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    assert rows["curves right"]["a"] == rows["curves right"]["b - a"] == ""
    assert float(rows["curves right"]["b"]) == 0
    (line,) = (li for li in capsys.readouterr().err.splitlines() if li.startswith("curves right"))
    assert line.split()[2] == "-"


def test_how_behaviours_differ_is_no_correlation_of_curves():
    """Two runs that agree on which behaviour rises, and on nothing else."""

    def parts(vocs):
        entries = [
            {"trajectory": str(i), "behaviour": "ab"[i // 2], "right": voc, "best_wrong": None}
            for i, voc in enumerate(vocs)
        ]
        table = Table(np.zeros((4, 1)), [entry_of(str(i), "a") for i in range(4)], [], "cosine")
        number = Number({"value": 0.0, "low": -1.0, "high": 1.0})
        found = with_parts({"curves right": number}, {"trajectories": entries}, table)
        return found["curves right"].parts

    first, second = parts([0.9, 0.7, -0.7, -0.9]), parts([0.9, 0.7, -0.9, -0.7])
    assert correlation_of(first, second) == pytest.approx(0)


def test_numbers_of_many_behaviours_are_counted(capsys):
    groups = [{"name": f"g{i}", "kendall": interval(0.5)} for i in range(12)]
    verdict = {"ratings": {"groups": groups, "mean": {"kendall": interval(0.5)}}}
    folders = [leave("a", noise(0, 1)), leave("b", noise(1, 1))]
    for folder in folders:
        Path(folder, "metrics.json").write_bytes(as_json(verdict))
    assert compare(*folders) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "... and 4 more numbers of behaviours" in lines  # 2 AUCs and 12, less 10
    assert sum(line.startswith("ratings kendall") for line in lines) == 1
    assert len([name for name in read_table()[1] if name.startswith("ratings g")]) == 12


@pytest.mark.parametrize("content", [b"[", b"[]", b'{"curves": {"trajectories": 3}}', b"\xff"])
def test_damaged_metrics(content, capsys):
    first, second = leave("a", noise(0, 1)), leave("b", noise(1, 1))
    Path("out/b/metrics.json").write_bytes(content)
    assert compare(first, second) == 2
    assert "out/b/metrics.json: damaged, run the evaluator again" in capsys.readouterr().err


def test_a_deleted_file_is_left_out_and_said(capsys):
    first, second = leave("a", noise(0, 1)), leave_with("b", noise(1, 1), [0.5] * 8, 0.5)
    Path("out/b/metrics.json").unlink()
    assert compare(first, second) == 0
    assert "out/b/metrics.json: deleted since the run: what it held is" in capsys.readouterr().err
    assert "curves right" not in read_table()[1]
    assert compare_results.main([second]) == 0 and Path("out/b/report.html").is_file()


def test_the_picture_has_the_difference():
    values, change, plain = np.zeros((8, 2)), np.array([[1, -1]]), {"groups": [None] * 8}
    first = leave("a", values, prompts=[("x", None), ("y", None)], **plain)
    second = leave("b", values + change, prompts=[("x", None), ("y", None)], **plain)
    assert compare(first, second) == 0
    width = iio.imread("out/both.png").shape[1]
    second = leave("b", values + change, prompts=[("p", None), ("q", None)], **plain)
    assert compare(first, second) == 0
    assert width > 1.3 * iio.imread("out/both.png").shape[1]


def test_differences_are_of_the_same_rows_and_columns():
    rows = [entry_of(name, name) for name in ("run", "jump")]
    columns = [entry_of(name, name) for name in ("run", "jump", "fly")]
    first = Table(np.arange(6.0).reshape(2, 3), rows, columns, "cosine")
    second = first.take([1, 0], [2, 0])
    change = difference(first, second)
    assert change.values.tolist() == [[0, 0], [0, 0]]
    assert [column.name for column in change.columns] == ["run", "fly"]
    assert difference(first, second._replace(columns=[entry_of("x", "x")] * 2)) is None
    assert difference(first, second._replace(rows=[Entry("x"), Entry("y")])) is None
    red = difference_panel(change._replace(values=np.array([[1.0, -1], [0, 0]])), "b - a")
    as_png(red)
    mesh = next(c for c in red.axes[0].collections if hasattr(c, "get_facecolors"))
    assert mesh.get_clim() == (-1, 1)
    as_png(difference_panel(change, "equal"))
