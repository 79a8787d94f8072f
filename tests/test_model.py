"""What a model is, by the example that CONTRIBUTING.md shows: one file, run from the command line
and from Python."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import runs
from make_videos import write_video
from runs import ROOT, read_numbers

from trajeval.cache import Cache
from trajeval.evaluator import main
from trajeval.model import Judge, Model
from trajeval.terminal import UserError

EXAMPLE = ROOT / "examples/colour_evaluator.py"
COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255), "grey": (128, 128, 128)}


@pytest.fixture(scope="module")
def example():
    return runs.example()


@pytest.fixture
def lists(tmp_path, in_empty_folder):
    for name, colour in COLOURS.items():
        write_video(Path(f"{name}.mp4"), np.full((6, 64, 96, 3), colour, np.uint8))
    Path("t.txt").write_text("\n".join(f"[{name}]\n{name}.mp4" for name in COLOURS))
    Path("p.txt").write_text("\n".join(f"[{name}]\nit is all {name}" for name in COLOURS))


def run(*arguments):
    command = [sys.executable, "colour_evaluator.py", "-t", "t.txt", "-p", "p.txt", "-e", "mine"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment)


def test_a_model_takes_one_file_of_at_most_80_lines(lists):
    shutil.copy(EXAMPLE, "colour_evaluator.py")
    code = EXAMPLE.read_text(encoding="utf-8")
    assert len(code.splitlines()) <= 80
    assert f"```python\n{code}```\n" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for kept in (False, True):
        done = run("--n-frames", "4", "--sharpness", "2")
        assert (done.returncode, done.stdout) == (0, "evaluation_results/mine.png\n"), done.stderr
        assert ("3 from the cache" in done.stderr) == kept
    header, names, numbers = read_numbers("evaluation_results/mine")
    assert header[1:] == [f"it is all {name}" for name in COLOURS]
    assert names == [f"{name}.mp4" for name in COLOURS]
    assert (numbers.argmax(1) == range(3)).all()
    record = json.loads(Path("evaluation_results/mine/run.json").read_text(encoding="utf-8"))
    assert record["model"] == "colour" and record["weights"] == []
    assert record["n_frames"] == 4 and record["sharpness"] == 2


def test_its_own_options_are_checked_with_the_others(lists):
    shutil.copy(EXAMPLE, "colour_evaluator.py")
    done = run("--sharpness", "0", "--n-frames", "0")
    assert done.returncode == 2
    assert "--sharpness 0: takes a number above 0" in done.stderr
    assert "--n-frames 0: takes a whole number from 1 to 1024" in done.stderr
    help_text = run("--help").stdout
    assert "--sharpness N" in help_text and "(default: 4.0)" in " ".join(help_text.split())


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--precision", "tf32", "--precision tf32: cpu has no TF32, which NVIDIA GPUs have from"),
        ("--device", "cuda:99", "--device cuda"),
    ],
)
def test_what_this_machine_lacks_is_named_first(lists, capsys, option, value, message):
    """Before weights are looked for, and so before they are downloaded."""
    arguments = ["-t", "t.txt", "-p", "p.txt", "-e", "mine", "--device", "cpu", option, value]
    assert main(Weights, "", arguments) == 2
    assert message in capsys.readouterr().err


def test_from_python(example, lists):
    model = example.ColourModel(device="cpu", n_frames=2, sharpness=1)
    assert model.n_frames == 2 and example.ColourModel.n_frames == 8
    assert model.preparation == {"resize": "crop", "size": 64, "sharpness": 1}
    values = model.similarity([f"{name}.mp4" for name in COLOURS], ["red", "blue", "grey"])
    assert (values.argmax(1) == range(3)).all()


@pytest.mark.parametrize("wrong", [[], "red", b"red"])
def test_similarity_wants_lists(example, lists, wrong):
    """A string would be compared letter by letter."""
    model = example.ColourModel(device="cpu")
    with pytest.raises(ValueError, match="expected a list of at least one prompt"):
        model.similarity(["red.mp4"], wrong)
    with pytest.raises(ValueError, match="expected a list of at least one video"):
        model.similarity(wrong, ["red"])
    with pytest.raises(ValueError, match="expected a list of at least one video"):
        model.embed_videos(wrong)
    with pytest.raises(ValueError, match="expected a list of at least one prompt"):
        model.embed_prompts(wrong)


def test_what_is_missing_is_named():
    class Incomplete(Model):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Incomplete()


def test_a_judge_scores_and_has_no_embeddings():
    class Incomplete(Judge):
        name, description, n_frames = "judge", "Judge", 1
        score_label = "log p(True)"
        video_network = text_network = read_texts = None

        def find_files(self):
            return []

    with pytest.raises(TypeError, match="abstract method '?score"):
        Incomplete()

    class Complete(Incomplete):
        def score(self, frames, times, prompts):
            return np.zeros(len(prompts), np.float32)

    assert Complete().embed_clips is None and isinstance(Complete(), Model)


class Weights(Model):
    """A model of one file of weights, which it reads as text."""

    name, description, n_frames = "weights", "Weights, w.txt", 1
    video_network = embed_clips = embed_texts = read_texts = None

    def find_files(self):
        return [Path("w.txt")]

    @property
    def text_network(self):
        with self.loading():
            return Path("w.txt").read_text()


def test_weights_are_hashed_when_they_are_needed(in_empty_folder):
    model = Weights(device="cpu")
    assert model.warnings == [] and model.short_name == "Weights"
    with pytest.raises(UserError, match=r"w\.txt does not exist"):
        _ = model.weights
    Path("w.txt").write_text("1")
    digest = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    assert model.weights == {"w.txt": digest} and Weights.load(device="cpu").text_network == "1"


@pytest.mark.parametrize("change", ["rewritten", "gone"])
def test_weights_that_change_after_they_were_hashed(in_empty_folder, change):
    """Kept embeddings would be of other weights than their key says."""
    Path("w.txt").write_text("1")
    model = Weights(device="cpu", cache=Cache("cache"))
    _ = model.weights
    with (
        pytest.raises(UserError, match=r"w\.txt changed while it was being loaded"),
        model.loading(),
    ):
        if change == "gone":
            Path("w.txt").unlink()
        else:
            Path("w.txt").write_text("2")
