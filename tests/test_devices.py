"""Which device, which precision, how much at once."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from runs import ROOT

from trajeval import devices
from trajeval.devices import (
    choose_device,
    choose_precision,
    default_batch_size,
    float32_products,
    split_work,
    torch_type,
)
from trajeval.terminal import UserError


def test_devices():
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda", "mps")
    with pytest.raises(UserError, match="--device gpu: takes auto, cpu, cuda"):
        choose_device("gpu")
    with pytest.raises(UserError, match="cuda"):
        choose_device(f"cuda:{torch.cuda.device_count()}")


@pytest.mark.parametrize(
    ("has_cuda", "has_mps", "expected"),
    [(True, False, "cuda"), (False, True, "mps"), (True, True, "cuda"), (False, False, "cpu")],
)
def test_auto_takes_the_best_device(monkeypatch, has_cuda, has_mps, expected):
    monkeypatch.setattr(devices, "may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    assert choose_device("auto") == expected
    assert choose_device("cpu") == "cpu"
    for name, is_there in (("cuda:1", has_cuda), ("mps", has_mps)):
        if is_there:
            assert choose_device(name) == name
        else:
            with pytest.raises(UserError, match=f"--device {name[:3]}"):
                choose_device(name)
    with pytest.raises(UserError, match="--device cuda"):
        choose_device("cuda:2")


def test_the_cpu_is_chosen_without_torch(tmp_path):
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')")
    program = """
from trajeval import devices
devices.may_have_gpu = lambda: False
for name in ("cpu", "auto"):
    device = devices.choose_device(name)
    devices.choose_precision("auto", device), devices.split_work(device)
    print(device, devices.default_batch_size(device))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("cpu 1\ncpu 1\n", "")


@pytest.mark.parametrize(
    ("device", "capability", "expected"),
    [
        ("cpu", None, "float32"),
        ("mps", None, "float32"),
        ("cuda", (6, 1), "float32"),
        ("cuda", (7, 0), "float16"),
        ("cuda:1", (8, 6), "bfloat16"),
        ("cuda", (9, 0), "bfloat16"),
    ],
)
def test_automatic_precision(monkeypatch, device, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_precision("auto", device) == expected
    assert choose_precision("float32", device) == "float32"


@pytest.mark.parametrize(
    ("device", "capability"), [("cpu", None), ("mps", None), ("cuda", (7, 5)), ("cuda:1", (8, 0))]
)
def test_tf32_only_where_there_is_tf32(monkeypatch, device, capability):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    if device == "cuda:1":
        assert choose_precision("tf32", device) == "tf32"
    else:
        with pytest.raises(UserError, match=f"--precision tf32: {device} has no TF32"):
            choose_precision("tf32", device)


def test_types():
    """TF32 rounds the factors of products; what is stored is float32."""
    names = ("float32", "tf32", "bfloat16", "float16")
    types = [torch.float32, torch.float32, torch.bfloat16, torch.float16]
    assert [torch_type(name) for name in names] == types


@pytest.mark.parametrize(
    ("name", "before", "exact", "rounded", "has_conv"),
    [
        ("fp32_precision", ("none", "tf32"), "ieee", "tf32", True),  # PyTorch 2.9
        ("allow_tf32", (False, True), False, True, False),  # PyTorch 2.6
    ],
)
def test_float32_is_float32_on_cuda(monkeypatch, name, before, exact, rounded, has_conv):
    matmul, convolution = (SimpleNamespace(**{name: value}) for value in before)
    cudnn = SimpleNamespace(conv=convolution) if has_conv else convolution
    cuda = SimpleNamespace(matmul=matmul)
    monkeypatch.setattr(torch, "backends", SimpleNamespace(cuda=cuda, cudnn=cudnn))
    for precision in ("float32", "tf32", "bfloat16"):
        expected = rounded if precision == "tf32" else exact
        with pytest.raises(ZeroDivisionError), float32_products("cuda:1", precision):
            assert [getattr(matmul, name), getattr(convolution, name)] == [expected] * 2
            raise ZeroDivisionError
        assert (getattr(matmul, name), getattr(convolution, name)) == before


def test_float32_on_a_cpu_is_left_as_it_is():
    a, b = torch.randn(2, 64, 64).unbind()
    expected = a @ b
    for precision in ("float32", "tf32"):
        with float32_products("cpu", precision):
            assert torch.equal(a @ b, expected)
            assert torch.backends.mkldnn.matmul.fp32_precision in ("none", "ieee")
    assert torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(("cores", "expected"), [(1, (1, 1)), (2, (2, 1)), (4, (4, 1))])
def test_every_core_has_one_thread(monkeypatch, cores, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores), raising=False)
    assert split_work("cpu") == expected


@pytest.mark.parametrize("cores", [6, 8, 64, 100])
def test_memory_bounds_the_clips_at_a_time(monkeypatch, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores), raising=False)
    n_batches, n_threads = split_work("cpu")
    assert n_batches <= devices.MAX_CLIPS and cores / 2 < n_batches * n_threads <= cores


def test_a_gpu_has_one_batch_ahead():
    assert split_work("cuda")[0] == split_work("cuda:1")[0] == 2
    assert split_work("mps") == (1, 1)  # PyTorch is not safe with several threads there
    assert default_batch_size("cuda:1") > default_batch_size("cpu") == 1
