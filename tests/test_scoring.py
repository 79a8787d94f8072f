"""A judge, which scores a video with a prompt, from the command line and from Python; and curves
and controls of all models from there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from conftest import refused
from make_videos import write_video
from PIL import Image
from runs import ROOT, example, read_numbers

import trajeval.evaluation
from reward import SimilarityReward
from trajeval.cache import Cache
from trajeval.evaluator import main
from trajeval.model import Judge
from trajeval.options import Option, number
from trajeval.readings import Reading
from trajeval.similarity import similarity_table
from trajeval.table import entry_of
from trajeval.videos import VideoError
from trajeval.views import ORDERS, WHOLE, View, views_of

EXAMPLE = ROOT / "examples/colour_evaluator.py"
CHANNELS = {"red": 0, "green": 1, "blue": 2}


class Toy(Judge):
    """Scores how much of a prompt's colour the frames have, later ones counting more."""

    name, description, score_label = "toy", "Toy judge, of colours", "log p(True)"
    n_frames, resize, size = 4, "crop", 32
    video_network = text_network = None
    options = (Option("--fault", "what goes wrong", "N", number(lambda _: True, "any"), 0.0),)
    scored: ClassVar[list] = []  # the prompts of each clip that was scored

    def __init__(self, *, fault: float = 0.0, **settings):
        super().__init__(**settings)
        self.fault = fault

    def find_files(self):
        return []

    def score(self, frames, times, prompts):
        assert torch.is_inference_mode_enabled() and frames.shape[1:] == (32, 32, 3)
        assert times.shape == (4,) and times.dtype == np.float64
        self.scored.append(list(prompts))
        if self.fault and frames.float().mean() < 20:
            if self.fault == 1:
                raise ValueError("frames are too dark")
            if self.fault == 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return np.full(len(prompts), self.fault * np.nan, np.float32)
        weights = torch.arange(1, 5) / 10
        colours = (frames.float().mean((1, 2)) / 255 * weights[:, None]).sum(0).numpy()
        return np.array([colours[CHANNELS[p.split()[-1]]] - 1 for p in prompts], np.float32)

    def read_texts(self, prompts):
        return [Reading([len(prompt)], []) for prompt in prompts]


@pytest.fixture
def lists(in_empty_folder):
    """Videos of 20 frames that become red, green or blue; two lists."""
    Toy.scored.clear()
    for name, channel in CHANNELS.items():
        frames = np.full((20, 32, 32, 3), 30, np.uint8)
        frames[..., channel] = np.linspace(30, 250, 20)[:, None, None]
        write_video(Path(f"{name}.mov"), frames, codec="png", pix_fmt="rgb24", fps=10)
    Path("t.txt").write_text("\n".join(f"[{name}]\n{name}.mov" for name in CHANNELS))
    Path("p.txt").write_text("\n".join(f"[{n}]\nit is {n}\nall {n}" for n in CHANNELS))


def run(model_class, *arguments):
    listed = [] if "-t" in arguments else ["-t", "t.txt", "-p", "p.txt"]
    return main(model_class, "", [*listed, "-e", "mine", "-o", "out", *map(str, arguments)])


@pytest.fixture
def reported(monkeypatch):
    """What the report was made of, in a dictionary."""
    found, report = {}, trajeval.evaluation.report

    def recording(table, *arguments, **settings):
        found.update(settings, table=table)
        return report(table, *arguments, **settings)

    monkeypatch.setattr(trajeval.evaluation, "report", recording)
    return found


# A judge


def test_a_run_of_a_judge(lists, reported, capsys):
    for kept in (False, True):
        assert run(Toy) == 0
        err = capsys.readouterr().err
        assert ("3 videos: 3 from the cache\n" in err) == kept
        header, names, values = read_numbers("out/mine")
        assert names == [f"{name}.mov" for name in CHANNELS] and len(header) == 7
        assert values.argmax(1).tolist() == [0, 2, 4]
        assert reported["table"].label == "log p(True)" and reported["controls"] is None
    assert len(Toy.scored) == 3, "the second run scores nothing"
    assert not Path("out/mine/embeddings.npz").exists()
    assert (values == reported["table"].values).all() and values.max() < 0
    record = json.loads(Path("out/mine/run.json").read_text())
    assert record["similarity"] == "log p(True)" and record["model"] == "toy"
    assert Path("out/mine/metrics.json").exists()


def test_a_new_prompt_is_scored_alone(lists, puts, capsys):
    options = ["--curves", "prefix", "--curve-points", 3, "--cache-dir", "kept"]
    assert run(Toy, *options) == 0
    with open("p.txt", "a") as file:
        file.write("\nvery blue")
    Toy.scored.clear()
    assert run(Toy, *options) == 0
    assert Toy.scored == [["very blue"]] * 9, "three points, of which the last is the whole"
    assert "3 computed" in (err := capsys.readouterr().err) and "3 of them partly" in err
    Toy.scored.clear()
    assert run(Toy, *options) == 0 and not Toy.scored
    kinds = [put[0] for put in puts]
    assert kinds.count("videos") == 2 * 3 * 2, "videos and views, each replaced once"


def test_curves_and_controls_of_a_judge(lists, reported):
    assert run(Toy, "--curves", "prefix", "--curve-points", 4, "--controls") == 0
    curves, controls = reported["curves"], reported["controls"]
    judge = Toy(device="cpu")
    expected = judge.similarity(
        [f"{name}.mov#t=0,{end}" for name in CHANNELS for end in (0.5, 1, 1.5, 2)],
        [column.name for column in reported["table"].columns],
    )
    assert (curves.values == expected.reshape(3, 4, 6)).all()
    assert (curves.values[:, -1] == reported["table"].values).all()
    right = curves.values[range(3), :, [0, 2, 4]]
    assert (np.diff(right) > 0).all(), "it becomes what it is"
    assert (np.diff(controls["reversed"].curves.values[range(3), :, [0, 2, 4]]) < 0).all()
    assert list(controls) == list(ORDERS) and controls["still"].curves is None
    assert all(control.table.label == "log p(True)" for control in controls.values())


def test_rescaled_scores_and_a_baseline(lists, reported):
    with open("p.txt", "a") as file:
        file.write("\n[baseline]\nsomething red")
    assert run(Toy, "--softmax", "0.1", "--controls") == 0
    assert reported["table"].label == "log p(True), softmax at temperature 0.1"
    assert np.allclose(reported["table"].values.sum(1), 1)
    assert np.allclose(reported["controls"]["still"].table.values.sum(1), 1)
    assert "something red" not in {prompt for scored in Toy.scored for prompt in scored}


@pytest.mark.parametrize(
    ("option", "value"), [("--similarity", "projection"), ("--ensemble", "mean-embedding")]
)
def test_what_needs_embeddings(lists, capsys, option, value):
    assert run(Toy, option, value) == 2
    assert f"{option} {value}: this model gives scores, no embeddings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (1, "frames are too dark"),
        (2, "not enough memory on cpu for this clip"),
        (3, "its scores have NaN or infinite values"),
    ],
)
def test_what_goes_wrong_is_the_videos_error(lists, capsys, fault, message):
    write_video(Path("dark.mov"), np.zeros((4, 32, 32, 3), np.uint8), codec="png", pix_fmt="rgb24")
    Path("bad.mov").write_text("no video")
    with open("t.txt", "a") as file:
        file.write("\n[dark]\ndark.mov\nbad.mov")
    for _ in range(2):  # no error is kept
        assert run(Toy, "--fault", fault) == 1
        err = capsys.readouterr().err
        assert f"error: dark.mov: {message}" in err and "bad.mov: is not a video" in err
        assert len(read_numbers("out/mine")[1]) == 3
    assert run(Toy) == 1 and len(read_numbers("out/mine")[1]) == 4


def test_problem_sets_of_a_judge(lists, capsys):
    """Each video is scored with the prompts of its own sets, in any order."""
    Path("sets").mkdir()
    for name, prompts in (("a", ["is red", "is green"]), ("b", ["so blue", "is green"])):
        Path(f"sets/{name}_prompts.txt").write_text("\n".join(prompts))
        Path(f"sets/{name}_trajectories.txt").write_text("../red.mov\n../blue.mov")
    Path("sets/c_trajectories.txt").write_text("../green.mov")
    Path("sets/c_prompts.txt").write_text("so blue\nis red")
    arguments = ["--problem-sets", "sets", "-e", "mine", "-o", "out", "--no-cache"]
    assert main(Toy, "", arguments) == 0, capsys.readouterr().err
    assert Toy.scored == [["is red", "is green", "so blue"]] * 2 + [["so blue", "is red"]]
    header, _, values = read_numbers("out/mine/b")
    assert header[1:] == ["so blue", "is green"] and values[1].argmax() == 0


def test_from_python(lists):
    judge = Toy.load(device="cpu", cache=Cache("cache"))
    scores = judge.similarity(["red.mov", "blue.mov#t=0,1"], ["is red", "is blue"])
    assert scores.shape == (2, 2) and scores.dtype == np.float32
    with pytest.raises(VideoError, match=r"none\.mov"):
        judge.similarity(["red.mov", "none.mov"], ["is red"])
    with pytest.raises(ValueError, match="list of at least one prompt"):
        judge.similarity(["red.mov"], "is red")
    with pytest.raises(ValueError, match="a judge has no embeddings"):
        SimilarityReward(judge, "is red")


# Curves and controls of a model with embeddings


@pytest.fixture(scope="module")
def colour():
    return example().ColourModel


@pytest.mark.parametrize(
    "how",
    [
        [],
        ["--ensemble", "mean-embedding"],
        ["--similarity", "goal-baseline", "--alpha", "0.7"],
        ["--normalize", "prompt", "--softmax"],
    ],
    ids=" ".join,
)
def test_curves_are_of_the_tables_similarities(lists, colour, reported, how):
    """Before they are normalized."""
    with open("p.txt", "a") as file:
        file.write("\n[baseline]\nall grey")
    assert run(colour, "--curves", "prefix", "--curve-points", 5, "--controls", *how) == 0
    table, curves, controls = (reported[name] for name in ("table", "curves", "controls"))
    assert curves.how == "prefix" and curves.frames.tolist() == [[3, 7, 11, 15, 19]] * 3
    assert curves.times[0].tolist() == pytest.approx([0.3, 0.7, 1.1, 1.5, 1.9])
    assert curves.values.dtype == np.float32
    model = colour(device="cpu")
    columns = [entry_of(f"{words} {name}", name) for name in CHANNELS for words in ("it is", "all")]
    columns.append(entry_of("all grey", "baseline"))
    texts = model.embed_prompts([column.name for column in columns])
    settings = {"similarity": "cosine"}
    if "goal-baseline" in how:
        settings = {"similarity": "goal-baseline", "alpha": 0.7}
    if "mean-embedding" in how:
        settings = {"ensemble": "mean-embedding"}
    for i, end in enumerate((0.4, 0.8, 1.2, 1.6, 2)):
        videos = model.embed_videos([f"{name}.mov#t=0,{end}" for name in CHANNELS])
        plain = similarity_table(videos, texts, table.rows, columns, **settings)
        assert [column.name for column in plain.columns] == [c.name for c in table.columns]
        assert (curves.values[:, i] == plain.values).all()
    same = (curves.values[:, -1] == table.values).all()
    assert same == ("--normalize" not in how)
    for name, control in controls.items():
        assert control.table.rows == table.rows and control.table.columns == table.columns
        assert control.table.label == table.label
        assert (control.curves is None) == (name == "still")
    assert np.abs(controls["reversed"].table.values - table.values).max() < 1e-4, "a mean colour"


def test_windows_from_the_command_line(lists, colour, reported):
    assert run(colour, "--curves", "window", "--window", 0.5, "--curve-points", 4) == 0
    curves = reported["curves"]
    assert curves.how == "window" and reported["controls"] is None
    model = colour(device="cpu")
    parts = [f"red.mov#t={start},{start + 0.5}" for start in (0, 0.5, 1, 1.5)]
    prompts = [column.name for column in reported["table"].columns]
    assert (curves.values[0] == model.similarity(parts, prompts)).all()


def test_folders_arrays_and_parts(lists, colour, reported, capsys):
    Path("f").mkdir()
    for i in range(6):
        Image.new("RGB", (32, 32), (40 * i, 0, 0)).save(f"f/{i}.png")
    np.save("a.npy", np.full((1, 32, 32, 3), 99, np.uint8))
    Path("bad.mp4").write_text("no video")
    Path("t.txt").write_text("f/\na.npy\nred.mov#t=1,1.5\nbad.mp4\nred.mov")
    window = ["--curves", "window", "--window", 0.2, "--curve-points", 3]
    assert run(colour, "--curves", "prefix", "--curve-points", 3) == 1
    assert np.isnan(reported["curves"].times[:2]).all()
    assert reported["curves"].frames.tolist() == [[1, 3, 5], [0, 0, 0], [11, 13, 14], [6, 13, 19]]
    assert reported["curves"].times[2].tolist() == pytest.approx([0.1, 0.3, 0.4])
    capsys.readouterr()
    assert run(colour, *window) == 1
    err = capsys.readouterr().err
    for name in ("f", "a.npy"):
        assert f"error: {name}: has no times, which --curves window needs: give its frames" in err
    assert [row.name for row in reported["table"].rows] == ["red.mov#t=1,1.5", "red.mov"]
    assert run(colour, *window, "--fps", 10) == 1 and len(reported["table"].rows) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--curves", "window"], "--curves window: needs --window SECONDS"),
        (["--window", 1], "--window: requires --curves window"),
        (["--curves", "prefix", "--window", 1], "--window: requires --curves window"),
        (["--curve-points", 9], "--curve-points: requires --curves"),
        (["--curves", "prefix", "--curve-points", 1], "takes a whole number from 2 to 200"),
        (["--curves", "suffix"], "--curves suffix: takes prefix, window"),
        (["--curves", "window", "--window", 0], "takes a number above 0"),
    ],
)
def test_options_that_do_not_go_together(lists, colour, arguments, message):
    assert message in refused(evaluate, colour, *arguments)


def evaluate(model_class, *arguments):
    """As `run`, but a UserError is raised."""
    from trajeval.evaluator import start

    return start(model_class, "", ["-t", "t.txt", "-p", "p.txt", "-e", "x", *map(str, arguments)])


def test_a_run_says_what_it_embeds_and_what_was_kept(lists, colour, capsys):
    assert run(colour) == 0
    assert "3 videos: 3 computed (" in capsys.readouterr().err
    views = ["--curves", "prefix", "--curve-points", 4, "--controls"]
    assert run(colour, *views) == 0
    err = capsys.readouterr().err
    assert "3 videos, each with 4 points and controls: 3 computed (" in err
    assert "videos/s), 3 of them partly from the cache" in err
    assert run(colour, *views) == 0
    assert "points and controls: 3 from the cache\n" in capsys.readouterr().err
    assert run(colour) == 0
    assert "3 videos: 3 from the cache\n" in capsys.readouterr().err


def test_kept_curves_need_no_torch(lists, colour):
    views = ["--curves", "prefix", "--controls"]
    assert run(colour, *views, "--device", "cpu") == 0
    code = f"""
import runpy, sys
sys.argv = ["colour_evaluator.py", "-t", "t.txt", "-p", "p.txt", "-e", "again", *{views}]
try:
    runpy.run_path({str(EXAMPLE)!r}, run_name="__main__")
except SystemExit as done:
    assert not done.code, done.code
print([name for name in ("torch", "av.container") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
    assert "3 from the cache" in done.stderr


def test_problem_sets_have_curves_too(lists, colour, reported):
    Path("sets").mkdir()
    for kind in "tp":
        name = {"t": "trajectories", "p": "prompts"}[kind]
        text = Path(f"{kind}.txt").read_text()
        for channel in CHANNELS:
            text = text.replace(f"{channel}.mov", f"../{channel}.mov")
        Path(f"sets/x_{name}.txt").write_text(text)
    arguments = ["--problem-sets", "sets", "-e", "all", "-o", "out", "--curves", "prefix"]
    assert main(colour, "", arguments) == 0
    assert reported["curves"].values.shape == (3, 15, 6)


def test_other_views_are_another_fingerprint(lists, colour):
    prints = set()
    for views in ([], ["--controls"], ["--curves", "prefix"]):
        assert run(colour, *views) == 0
        prints.add(json.loads(Path("out/mine/run.json").read_text())["fingerprint"])
    assert len(prints) == 3


def test_views_of_a_model_by_frame(colour):
    from clip_evaluator import ClipModel
    from trajeval.stages import views_for

    class Arguments:
        curves, curve_points, window, controls = "prefix", 15, None, False

    assert views_for(colour(device="cpu"), Arguments) == [WHOLE, View(None, "prefix", 15)]
    few = views_of("prefix", 15, None, False, 64)
    assert views_for(ClipModel(device="cpu"), Arguments) == few
