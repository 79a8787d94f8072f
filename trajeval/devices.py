"""Which device, which precision, and how much at a time.

torch is imported only where something other than the CPU may be there: a run that finds all
embeddings in the cache does not need it.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from trajeval.terminal import UserError

MAX_CLIPS = 4  # at a time on a CPU: each takes some 200 MB
_limits: dict[str, int] = {}  # of this process, where several share a machine


def choose_device(name: str) -> str:
    """The device of a name: "cpu", "cuda", "cuda:N", "mps", or "auto" for the best one there is.
    Raises UserError if this machine does not have it."""
    if name == "cpu" or (name == "auto" and not may_have_gpu()):
        return "cpu"
    import torch

    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device {name}: takes auto, cpu, cuda, cuda:N or mps") from None
    if device.type == "mps" and not has_mps:
        raise UserError("--device mps: this machine or this build of PyTorch has no MPS")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no CUDA device here: use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {name}: there are {torch.cuda.device_count()} CUDA devices")
    return name


def devices_of(name: str) -> list[str]:
    """The devices of a name, as choose_device has them; or several, of "cuda:0,cuda:1" or
    "cuda:all". Raises UserError."""
    if name != "cuda:all":
        return [choose_device(one) for one in name.split(",")]
    choose_device("cuda")
    import torch

    return [f"cuda:{i}" for i in range(torch.cuda.device_count())]


def are_several(name: str) -> bool:
    """Whether a name is one of several devices."""
    return "," in name or name == "cuda:all"


def may_have_gpu() -> bool:
    """Whether PyTorch might find a GPU: without a driver's library it cannot."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
        return True
    except OSError:
        return os.path.exists("/dev/kfd")  # AMD's


def choose_precision(name: str, device: str) -> str:
    """The precision that a video network computes in: "float32", "tf32" (float32 whose products
    may be rounded to TF32), "bfloat16", "float16", or "auto" for a 16-bit type on GPUs that are
    fast at it (NVIDIA's from Volta on), else float32. Raises UserError for "tf32" on a device
    without it."""
    if name not in ("auto", "tf32"):
        return name
    generation = 0
    if device.startswith("cuda"):
        import torch

        generation = torch.cuda.get_device_capability(device)[0]
    if name == "tf32":
        if generation < 8:
            raise UserError(
                f"--precision tf32: {device} has no TF32, which NVIDIA GPUs have from Ampere on: "
                "use --precision float32"
            )
        return name
    return "bfloat16" if generation >= 8 else "float16" if generation == 7 else "float32"


def torch_type(precision: str):
    """The torch.dtype of what is computed at a precision; TF32 is a way to multiply float32."""
    import torch

    return getattr(torch, "float32" if precision == "tf32" else precision)


@contextmanager
def float32_products(device: str, precision: str) -> Iterator[None]:
    """Within the block, products and convolutions of float32 on a CUDA device are computed in
    float32, or in TF32 if that is the precision; PyTorch's default is TF32 for convolutions.
    Restores the settings, which hold for the whole process."""
    if not device.startswith("cuda"):
        yield
        return
    import torch

    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    if hasattr(cudnn, "conv"):  # PyTorch 2.9 and later, where the two ways must not be mixed
        settings, name, values = (cuda.matmul, cudnn.conv), "fp32_precision", ("ieee", "tf32")
    else:
        settings, name, values = (cuda.matmul, cudnn), "allow_tf32", (False, True)
    before = [getattr(setting, name) for setting in settings]
    try:
        for setting in settings:
            setattr(setting, name, values[precision == "tf32"])
        yield
    finally:
        for setting, value in zip(settings, before):
            setattr(setting, name, value)


def default_batch_size(device: str) -> int:
    """Clips that the network is given together: a CPU is fastest with one."""
    return 1 if device == "cpu" else 8


def split_work(device: str) -> tuple[int, int]:
    """How many batches go through a network at a time, and the threads that each may use.

    On a CPU as many as cores, since clips wait for each other less than threads of one clip do,
    until memory forbids. CUDA computes one while the next is copied to it. On an Apple GPU one:
    PyTorch is not safe with several threads there.
    """
    if device != "cpu":
        return (2 if device.startswith("cuda") else 1), 1
    return split_cores(n_cores(), _limits.get("batches", MAX_CLIPS))


def split_cores(cores: int, most: int = MAX_CLIPS) -> tuple[int, int]:
    """How many batches at a time some cores of a machine compute, at most so many, and how many
    cores each has."""
    batches = max(1, min(cores, most))
    return batches, cores // batches


def limit_to(cores: int, batches: int | None) -> None:
    """From now on this process uses so many cores, for so many batches at a time on a CPU: where
    several processes share a machine. None: as many as one process alone."""
    _limits.update(cores=cores, batches=batches or MAX_CLIPS)


def n_cores() -> int:
    """How many cores this process may use."""
    if "cores" in _limits:
        return _limits["cores"]
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
