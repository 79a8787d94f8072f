"""That the benchmarks run; how fast anything is, is no matter for a test."""

import functools
import subprocess
import sys

import pytest
import torch
from runs import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import gpu
import networks
import run


@pytest.mark.slow
def test_all_benchmarks_run():
    command = [sys.executable, "benchmarks/run.py", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    header, _, *rows = done.stdout.splitlines()
    assert [cell.strip() for cell in header.split("|")[1:4]] == ["what", "ours", "baseline"]
    told = "\n".join(row.split("|")[1] for row in rows)
    for what in (
        "S3D float32: channels last",
        "ViCLIP-B float32",
        "judge, --question true: 12 prompts, over one prompt",
        "200 frames of 480x480",
        "10 parts",
    ):
        assert what in told
    for what in (
        "peak memory",
        "cores busy",
        "all prompts kept",
        "the demo, all kept",
        "--help",
        "import s3dg",
    ):
        assert what in told
    for row in rows:  # the differences from the plain networks are no matter of speed
        assert "difference" not in row or row.split("|")[6].strip() == "yes"


@pytest.mark.slow
def test_many_trajectories_are_measured(tmp_path):
    command = [sys.executable, "benchmarks/large.py", "--each", "10", "--keep", tmp_path, "60"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("| 60 | ")
    assert len((tmp_path / "60/out/large/similarities.csv").read_text().splitlines()) == 61


def small_s3d(precision, device):
    model = networks.s3d(precision, device)
    model.n_frames, model.size = 4, 64
    return model


def small_viclip(precision, device):
    model = networks.viclip("b", precision, device)
    encoder, model.n_frames = model.network.vision_encoder, 2
    encoder.transformer.resblocks = encoder.transformer.resblocks[:1]
    time = encoder.temporal_positional_embedding
    time.data = time[:, :2]
    return model


def small_clip(precision, device):
    model = gpu.random_clip_model(precision, device)
    model.n_frames = 1
    return model


SMALL = (
    gpu.Subject("S3D", small_s3d, gpu.plain_s3d),
    gpu.Subject("ViCLIP", small_viclip, gpu.plain_viclip),
    gpu.Subject("CLIP", small_clip, gpu.plain_clip),
)


@pytest.mark.slow
def test_what_is_measured_on_a_gpu(tmp_path, monkeypatch):
    """Small networks on the CPU, which has no TF32."""
    monkeypatch.setattr(gpu, "n_cores", lambda: 2)
    monkeypatch.setattr(gpu, "split_work", lambda device: (1, 1))
    rows = list(gpu.measure(tmp_path, "cpu", SMALL, ("float32", "bfloat16"), (2,), 4, 1))
    told = {row.what: row for row in rows}
    assert len(told) == len(rows) == 2 + 3 * (2 + 1 + 2 + 1)
    for name in ("S3D", "ViCLIP", "CLIP"):
        assert told[f"{name} float32, 2 at a time"].ratio > 0
        assert told[f"{name} bfloat16, 2 at a time"].aim == ">= 5"
        assert told[f"{name} bfloat16 from files, decoded by 2 cores"].ours.endswith("clips/s")
    assert "cannot be imported" in told["32 frames of a video, decoded by torchcodec"].ours


@pytest.mark.slow
def test_a_batch_that_does_not_fit_ends_the_larger_ones(tmp_path, monkeypatch):
    def at_a_time(model, clip, batches, threads, batch_size):
        return functools.partial(fail_above_1, batch_size), batch_size

    def fail_above_1(batch_size):
        if batch_size > 1:
            raise MemoryError

    monkeypatch.setattr(gpu, "n_cores", lambda: 1)
    monkeypatch.setattr(gpu, "at_a_time", at_a_time)
    rows = gpu.measure(tmp_path, "cpu", SMALL[2:], ("float32", "bfloat16"), (1, 2, 4), 4, 1)
    told = {row.what: row.ours for row in rows}
    assert told["CLIP, 2 at a time"] == "not enough memory"
    assert "CLIP bfloat16, 1 at a time: of the rate of matrix products" in told
    assert not any("4 at a time" in what for what in told)


def test_without_a_gpu_there_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["run.py", "--gpu"])
    assert run.main() == 1
    assert capsys.readouterr().err == "run.py --gpu: PyTorch finds no CUDA GPU here\n"
