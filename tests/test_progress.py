"""The progress of a LeRobot data set's episodes, for its visualizer."""

import json
import os
import shutil
from argparse import Namespace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import refused, write

import import_lerobot
from s3d_evaluator import S3DModel
from trajeval import progress
from trajeval.arguments import check_arguments, read_inputs
from trajeval.curves import Curves
from trajeval.evaluator import main
from trajeval.inputs import read_prompts, read_trajectories
from trajeval.progress import check_lists, check_option, episodes_of, export, progress_of
from trajeval.results import read_results
from trajeval.table import Entry, Table, entry_of
from trajeval.terminal import UserError

SAMPLES = Path(__file__).parent / "lerobot"
LENGTHS = [20, 21, 25, 29, 12, 14, 26, 29, 16]

pytestmark = pytest.mark.usefixtures("in_empty_folder")


def imported(name="v3.0", *options):
    """The lists of a data set, which is a copy in the current folder."""
    if not Path(name).exists():
        shutil.copytree(SAMPLES / name, name)
    assert import_lerobot.main([name, "-o", "lists", *options]) == 0
    return (
        read_trajectories(f"lists/{name}_trajectories.txt"),
        read_prompts(f"lists/{name}_prompts.txt"),
    )


def arguments(**changes):
    given = {
        "curves": "prefix",
        "problem_sets": None,
        "export_progress": "p.parquet",
        "trajectories_path": "t.txt",
    }
    return Namespace(**given | changes)


def curves_of(trajectories, prompts, how_long):
    """Curves of 5 points, highest at the end for each trajectory's own prompts."""
    rows = [Entry(one.name, one.groups) for one in trajectories]
    columns = [entry_of(prompt.text, prompt.group) for prompt in prompts]
    ends = [-(-np.arange(1, 6) * n // 5) - 1 for n in how_long]
    own = [[column.group in row.groups for column in columns] for row in rows]
    values = np.array(own)[:, None] * np.array([0.1, 0.4, 0.2, 0.3, 0.5])[:, None]
    curves = Curves("prefix", np.array(ends), np.array(ends) / 10, values.astype(np.float32))
    return Table(curves.values[:, -1], rows, columns, "cosine"), curves


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_every_frame_of_every_episode(version):
    trajectories, prompts = imported(version)
    indices = episodes_of(trajectories)
    assert sorted(indices) == list(range(9)) != indices  # by their tasks
    lengths = [LENGTHS[i] for i in indices]
    args = (trajectories, lengths, *curves_of(trajectories, prompts, lengths))
    assert export("out/p.parquet", *args) == "out/p.parquet: the progress of 9 episodes"
    table = pq.read_table("out/p.parquet")
    assert table.schema.names == ["episode_index", "frame_index", "progress"]
    assert [str(kind) for kind in table.schema.types] == ["int64", "int64", "float"]
    episode, frame, values = (table[name].to_numpy() for name in table.schema.names)
    assert episode.tolist() == np.repeat(np.arange(9), LENGTHS).tolist()
    assert frame.tolist() == [i for n in LENGTHS for i in range(n)]
    first = values[:20]
    assert first[:4].tolist() == [0] * 4 and first[[7, 19]].tolist() == [0.75, 1]
    assert (np.diff(first[3:8]) > 0).all() and values.min() == 0 and values.max() == 1


def test_the_progress_of_a_part_is_counted_from_its_first_frame():
    whole = progress_of(np.array([3, 7, 11]), np.array([1.0, 3.0, 2.0]), 12)
    part = progress_of(np.array([3, 7, 11]) + 100, np.array([1.0, 3.0, 2.0]), 12)
    assert np.array_equal(whole, part)
    assert whole[[0, 3, 5, 7, 9, 11]].tolist() == [0, 0, 0.5, 1, 0.75, 0.5]
    assert progress_of(np.array([0, 0, 0]), np.array([2.0, 2.0, 2.0]), 1).tolist() == [1]
    assert progress_of(np.array([1, 3]), np.array([2.0, 2.0]), 4).tolist() == [1] * 4


def test_an_episode_with_several_tasks_has_the_progress_of_the_first():
    trajectories, prompts = imported()
    both = trajectories[0]._replace(groups=(prompts[1].group, prompts[0].group))
    table, curves = curves_of([both], prompts, [20])
    values = curves.values.copy()
    values[:, :, 0] = 0
    export("p.parquet", [both], [20], table, curves._replace(values=values))
    assert pq.read_table("p.parquet")["progress"].to_pylist()[7] == 0.75


def test_several_cameras():
    imported()
    info = json.loads(Path("v3.0/meta/info.json").read_text())
    key = "observation.images.cam0"
    info["features"]["observation.images.other"] = info["features"][key]
    write("v3.0/meta/info.json", json.dumps(info))
    trajectories, _ = imported("v3.0", "--camera", key)
    assert sorted(episodes_of(trajectories)) == list(range(9))
    shutil.move(f"v3.0/videos/{key}", "v3.0/videos/moved")
    info["video_path"] = "videos/moved/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    write("v3.0/meta/info.json", json.dumps(info))
    trajectories, _ = imported("v3.0", "--camera", key)
    message = refused(episodes_of, trajectories)  # whose camera is unknown; one has no columns
    assert "has no column" in message and "observation.images.other" in message


def test_trajectories_that_are_no_episodes():
    trajectories, _ = imported("v3.0")
    v21, _ = imported("v2.1")
    write("a.mp4")
    stranger = trajectories[0]._replace(path=Path("a.mp4"), start=None, end=None)
    assert "a.mp4: not in a LeRobot data set: no folder above it has meta/info.json" in refused(
        episodes_of, [stranger, trajectories[0]]
    )
    assert "of several data sets: " in refused(episodes_of, [trajectories[0], v21[1]])
    other = trajectories[0]._replace(end=1.0)
    message = refused(episodes_of, [other, *trajectories[1:]])
    assert f"{other.name}: not an episode of {os.path.abspath('v3.0')}" in message
    assert "the episode 0 is there 2 times" in refused(episodes_of, [trajectories[0]] * 2)
    Path("v3.0/meta/info.json").write_text("{")
    assert "damaged" in refused(episodes_of, trajectories)


def test_everything_wrong_is_told_before_anything_runs(monkeypatch):
    assert check_option(arguments(export_progress=None, curves=None)) == []
    assert check_option(arguments()) == []
    Path("folder").mkdir()
    write("file")
    problems = check_option(arguments(curves=None, problem_sets="x", export_progress="folder"))
    assert problems == [
        "--export-progress: requires --curves prefix or --curves window",
        "--export-progress: cannot be combined with --problem-sets: it is of one data set",
        "--export-progress folder: a folder, not a file",
    ]
    [problem] = check_option(arguments(export_progress="trajectories.txt"))
    assert problem == "--export-progress trajectories.txt: the name has to end in .parquet"
    assert "is a file, not a folder" in check_option(arguments(export_progress="file/p.parquet"))[0]
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    assert check_option(arguments()) == [
        '--export-progress: the package "pyarrow" is not installed: run with '
        "`uv run --extra lerobot`, or `pip install pyarrow`"
    ]


def test_every_episode_needs_a_prompt():
    trajectories, prompts = imported()
    assert check_lists(arguments(), prompts, trajectories) == []
    assert check_lists(arguments(), prompts, []) == []
    few = [prompt for prompt in prompts if prompt.group != trajectories[0].groups[0]]
    problems = check_lists(arguments(), few, trajectories)
    assert len(problems) == 3 and problems[0].startswith(
        f"t.txt:{trajectories[0].line}: --export-progress needs a group of prompts for each"
    )
    write("a.mp4")
    stranger = trajectories[0]._replace(path=Path("a.mp4"))
    [problem] = check_lists(arguments(), prompts, [stranger])
    assert problem.startswith("--export-progress: ") and "not in a LeRobot data set" in problem
    assert check_lists(arguments(export_progress=None), prompts, [stranger]) == []


def test_only_what_is_used_needs_to_be_an_episode():
    """--max-per-group leaves the others out."""
    trajectories, _ = imported()
    write("a.mp4")
    group = trajectories[0].groups[0]
    write("t.txt", f"[{group}]\n{trajectories[0].name}\na.mp4\n")
    run = ["-t", "t.txt", "-p", "lists/v3.0_prompts.txt", "-e", "exp", "--curves", "prefix"]
    for most, n_wrong in (("1", 0), ("2", 1)):
        options = ["--export-progress", "p.parquet", "--max-per-group", most]
        _, wrong = read_inputs(check_arguments(S3DModel, "", [*run, *options])[0], [])
        assert len([problem for found in wrong.values() for problem in found]) == n_wrong, wrong


def test_a_place_that_cannot_be_written_to():
    trajectories, prompts = imported()
    given = curves_of(trajectories, prompts, LENGTHS)
    write("file")
    message = refused(export, "file/p.parquet", trajectories, LENGTHS, *given)
    assert "could not be written" in message


def full(folder, files):
    raise UserError("p: could not be written: No space left on device", status=1)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_a_run_with_an_evaluator(version, small_weights, capsys, monkeypatch):
    """Curves, controls and progress of a data set; then again, from the cache, in wrong places."""
    imported(version)
    lists = ["-t", f"lists/{version}_trajectories.txt", "-p", f"lists/{version}_prompts.txt"]
    options = ["--curves", "prefix", "--curve-points", "3", "--controls", "--n-frames", "2"]
    options += ["--model-checkpoint-path", str(small_weights / "weights.pth"), "--size", "64"]
    options += ["--dict-path", str(small_weights / "s3d_dict.npy")]
    run = [*lists, *options, "-e", "exp", "-o", "out"]
    file = f"{version}/sarm_progress.parquet"
    capsys.readouterr()
    assert main(S3DModel, "", [*run, "--export-progress", file]) == 0
    out, err = capsys.readouterr()
    assert out == "out/exp.png\n"
    assert err.splitlines()[-1] == f"{file}: the progress of 9 episodes"
    assert "value-order correlation (prefix)" in err and "still, the middle frame" in err
    table = pq.read_table(file)
    assert len(table) == sum(LENGTHS)
    found = read_results("out/exp")
    verdict = json.loads(Path("out/exp/metrics.json").read_text())
    assert verdict["curves"]["points"] == 3 and verdict["controls"]["meaning"] in err
    assert verdict["controls"]["still"]["voc"] is None
    assert found.curves.values.shape == (9, 3, 3)
    assert np.diff(found.curves.frames[0]).tolist() == [7, 6]
    assert found.controls["reversed"].curves.values.shape == (9, 3, 3)
    own = [column.group for column in found.table.columns].index(found.table.rows[0].group)
    wanted = progress_of(found.curves.frames[0], found.curves.values[0, :, own], LENGTHS[0])
    assert table["progress"].to_numpy()[:20] == pytest.approx(wanted, abs=1e-6)
    assert main(S3DModel, "", [*run, "--export-progress", "out/exp.png/p.parquet"]) == 2
    assert "out/exp.png is a file, not a folder" in capsys.readouterr()[1]
    monkeypatch.setattr(progress, "replace_files", full)
    assert main(S3DModel, "", [*run, "--export-progress", "p.parquet"]) == 1
    assert "out/exp.png and its folder are written" in capsys.readouterr()[1]
