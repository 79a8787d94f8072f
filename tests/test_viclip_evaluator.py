"""ViCLIP from the command line and from Python."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import hub
import imageio.v3 as iio
import numpy as np
import pytest
import recipe
import runs
import torch
import torch.nn.functional as F
from conftest import write
from runs import PROMPTS, ROOT, TRAJECTORIES, read_numbers

from trajeval.batches import normalized
from trajeval.terminal import UserError
from trajeval.videos import read_clip
from trajeval.weights import sha256
from viclip import ViCLIP, interpolate_time
from viclip_evaluator import CHECKPOINT, MEAN, STD, ViCLIPModel

evaluate = partial(runs.evaluate, "viclip_evaluator.py")
evaluate_here = partial(runs.evaluate_here, ViCLIPModel)


def small(weights):
    """Arguments of a run that is quick: B/16 and two frames."""
    quick = ["--model-size", "b", "--n-frames", "2", "--interpolate-time", "--device", "cpu"]
    return ["--model-checkpoint-path", weights, *quick]


def test_a_run_leaves_the_heatmap_and_its_numbers(project, viclip_weights):
    done = evaluate("--model-checkpoint-path", viclip_weights, "--model-size", "b", "-v")
    assert (done.returncode, done.stdout) == (0, "out/exp.png\n"), done.stderr
    assert "ViCLIP-B/16, b16.pth, on cpu in float32" in done.stderr
    assert iio.imread("out/exp.png").std() > 10
    header, names, numbers = read_numbers("out/exp")
    assert header == ["trajectory", *PROMPTS]
    assert names == [path.as_posix() for path in TRAJECTORIES]
    assert numbers.shape == (3, 3) and np.isfinite(numbers).all() and np.ptp(numbers) > 0
    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    assert run["model"] == "viclip" and run["n_frames"] == 8 and run["precision"] == "float32"
    assert run["weights"] == [{"path": str(viclip_weights), "sha256": sha256(viclip_weights)}]
    assert run["versions"]["open_clip_torch"]


def test_order_and_batch_size_change_nothing(project, viclip_weights):
    assert evaluate_here(*small(viclip_weights)) == 0
    before = read_numbers("out/exp")
    Path("trajectories.txt").write_text("\n".join(map(str, TRAJECTORIES[::-1])))
    assert evaluate_here(*small(viclip_weights), "--batch-size", 2, "--no-cache") == 0
    after = read_numbers("out/exp")
    assert after[1] == before[1][::-1]
    assert after[2] == pytest.approx(before[2][::-1], abs=1e-5)


def test_weights_replaced_between_hashing_and_loading(viclip_weights, tmp_path):
    path = shutil.copy(viclip_weights, tmp_path / "w.pth")
    model = ViCLIPModel(path, "b", device="cpu")
    _ = model.weights
    os.utime(path)  # as a training job that writes the same file again
    with pytest.raises(UserError, match=r"w\.pth changed while it was being loaded: run again"):
        _ = model.network


def test_similarity_is_that_of_the_bare_network(viclip_weights):
    state = torch.load(viclip_weights, weights_only=True)["model"]
    key = "vision_encoder.temporal_positional_embedding"
    net = ViCLIP("b", n_frames=2)
    net.load_state_dict(state | {key: interpolate_time(state[key], 2)})
    frames = np.stack([read_clip(path, 2, "crop", 224).frames for path in TRAJECTORIES])
    video = torch.from_numpy(frames).permute(0, 1, 4, 2, 3) / 255
    video = (video - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
        [0.229, 0.224, 0.225]
    )[:, None, None]
    with torch.inference_mode():
        expected = F.normalize(net.encode_video(video)) @ F.normalize(net.encode_text(PROMPTS)).T
    model = ViCLIPModel.load(
        viclip_weights, "b", device="cpu", n_frames=2, interpolate_time=True, resize="crop"
    )
    assert model.similarity(TRAJECTORIES, PROMPTS) == pytest.approx(expected.numpy(), abs=1e-5)


def test_pixels_are_not_clipped():
    frames = torch.tensor([0, 128, 255], dtype=torch.uint8).expand(2, 1, 224, 224, 3)
    video = normalized(frames, MEAN, STD)
    assert video.shape == (2, 1, 3, 224, 224) and video.dtype == torch.float32
    expected = [-0.485 / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert video[1, 0, :, 0, 0].tolist() == pytest.approx(expected)


def test_a_second_run_needs_neither_torch_nor_a_decoder(project, viclip_weights):
    Path("prompts.txt").write_text("a dog\n" + "very " * 40 + "fast dog\n")
    assert evaluate_here(*small(viclip_weights)) == 0
    before = Path("out/exp/similarities.csv").read_bytes()
    for name in ("torch", "av", "open_clip"):
        write(project / f"shadow/{name}.py", f"raise RuntimeError('{name} was imported')")
    shutil.rmtree("out")
    shadow = {"PYTHONPATH": str(project / "shadow")}
    done = evaluate(*small(viclip_weights), **shadow)
    assert (done.returncode, done.stdout) == (0, "out/exp.png\n"), done.stderr
    assert Path("out/exp/similarities.csv").read_bytes() == before
    assert "longer than the model's 32 tokens; cut off: " in done.stderr
    done = evaluate(*small(viclip_weights), "--no-cache", **shadow)
    assert "torch was imported" in done.stderr


def test_a_wrong_number_of_frames_is_reported_whatever_is_kept(project, viclip_weights, capsys):
    assert evaluate_here(*small(viclip_weights)) == 0
    plain = [argument for argument in small(viclip_weights) if argument != "--interpolate-time"]
    assert evaluate_here(*plain) == 2
    assert "was trained with 8 frames, and --n-frames asks for 2" in capsys.readouterr().err


def test_cut_prompts_are_reported(project, viclip_weights, capsys):
    Path("prompts.txt").write_text("a dog\n" + "very " * 40 + "fast dog\n")
    assert evaluate_here(*small(viclip_weights)) == 0
    said = capsys.readouterr().err
    assert "warning: prompts.txt:2: " in said
    assert f"longer than the model's 32 tokens; cut off: {'very ' * 10}fast dog" in said


def test_everything_wrong_is_named_before_torch(project):
    Path("torch.py").write_text("raise RuntimeError('torch was imported')")
    wrong = ["--n-frames", "0", "--resize", "half", "--precision", "int8"]
    weights = ["--model-size", "xl", "--model-checkpoint-path", "no.pth"]
    done = evaluate(*wrong, *weights, PYTHONPATH=str(project))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "--n-frames 0: takes a whole number from 1 to 1024",
        "--precision int8: takes auto, float32, tf32, bfloat16, float16",
        "--model-size xl: takes l, b",
        "--resize half: takes stretch, crop",
        "no.pth does not exist.",
        "5 problems found; nothing was run",
    ]


def test_help_imports_nothing_heavy(project):
    for name in ("torch", "numpy", "av", "open_clip", "huggingface_hub"):
        Path(f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')")
    done = evaluate("--help", PYTHONPATH=str(project))
    assert (done.returncode, done.stderr) == (0, "")
    assert "--interpolate-time" in done.stdout


def test_weights_that_do_not_fit(viclip_weights, tmp_path):
    with pytest.raises(UserError, match="holds ViCLIP-B/16: use --model-size b"):
        ViCLIPModel.load(viclip_weights)
    with pytest.raises(UserError, match="trained with 8 frames, and --n-frames asks for 4"):
        ViCLIPModel.load(viclip_weights, "b", n_frames=4)
    state = torch.load(viclip_weights, weights_only=True)["model"]
    other = {key.replace("vision_encoder", "visual"): value for key, value in state.items()}
    torch.save({"model": other}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"does not fit ViCLIP.*\n.*missing: vision_encoder"):
        ViCLIPModel.load(tmp_path / "other.pth", "b")
    (tmp_path / "cut.pth").write_bytes(viclip_weights.read_bytes()[:1_000_000])
    with pytest.raises(UserError, match="damaged or cut short"):
        ViCLIPModel.load(tmp_path / "cut.pth", "b")


def test_no_weights_and_no_network(project):
    done = evaluate(HF_HUB_OFFLINE="1", HF_HOME=str(project / "hub"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "licence CC-BY-NC-SA-4.0" in done.stderr.splitlines()[0]
    assert "HF_HUB_OFFLINE forbids downloads" in done.stderr
    assert "get it with:  hf download OpenGVLab/ViCLIP ViClip-InternVid-10M-FLT.pth" in done.stderr
    assert "Traceback" not in done.stderr and not Path("out").exists()


def test_weights_of_the_hub(project, tmp_path):
    """Downloaded once, and checked."""
    folder = tmp_path / "served/OpenGVLab/ViCLIP"
    folder.mkdir(parents=True)
    torch.save({"model": {"temp": torch.zeros(100_000)}}, folder / CHECKPOINT)
    with hub.serve(tmp_path / "served") as (address, requests):
        environment = {"HF_ENDPOINT": address, "HF_HOME": str(project / "hub")}
        done = evaluate(**environment)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("licence CC-BY-NC-SA-4.0") == 1
        assert f"{CHECKPOINT} does not fit ViCLIP" in done.stderr
        assert "Traceback" not in done.stderr
        n_requests = len(requests)
        done = evaluate(**environment)
        assert "licence" not in done.stderr and len(requests) == n_requests


def test_size_b_has_no_default_weights(project, capsys):
    assert evaluate_here("--model-size", "b") == 2
    said = capsys.readouterr().err
    assert "--model-size b: there are no published weights, give --model-checkpoint-path" in said


def test_constructing_reads_nothing():
    model = ViCLIPModel("none.pth", "b", device="cpu")
    assert model.description == "ViCLIP-B/16, none.pth" and model.n_frames == 8
    assert model.preparation["resize"] == "stretch" and "interpolate_time" not in model.preparation
    with pytest.raises(UserError, match="--model-size b: there are no published weights"):
        _ = ViCLIPModel(model_size="b").weights
    assert ViCLIPModel().description == f"ViCLIP-L/14, {CHECKPOINT}"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_loading_takes_little_more_than_the_weights(tmp_path):
    """L/14 is 1.71 GB; memory is counted from after the import of torch."""
    keys = recipe.VICLIP_FACTS["l14"]["keys"]
    state = {key: torch.full(shape, 0.01) for key, shape in keys.items()}
    n_bytes = sum(value.nbytes for value in state.values())
    torch.save({"model": state}, tmp_path / "l14.pth")
    del state
    program = """
import re, sys
import torch
def peak():  # of this process; getrusage includes the one that started it
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak()
from viclip_evaluator import ViCLIPModel
ViCLIPModel.load(sys.argv[1], device="cpu")
print(peak() - before)
"""
    command = [sys.executable, "-c", program, tmp_path / "l14.pth"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert 0.9 * n_bytes < int(done.stdout) < 1.3 * n_bytes, done.stderr
