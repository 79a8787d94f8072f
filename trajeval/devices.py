"""Which device, which precision, and how much at once.

torch is imported only where something other than the CPU may be there: a run whose embeddings are
all kept needs none of it.
"""

import ctypes
import os
import sys

from trajeval.terminal import UserError

MAX_CLIPS = 4  # at a time on a CPU: each takes some 200 MB


def choose_device(name: str) -> str:
    """The device of a name: "cpu", "cuda", "cuda:N", "mps", or "auto" for the best there is.
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
        raise UserError(f"no such device: {name}; auto, cpu, cuda, cuda:N and mps are") from None
    if device.type == "mps" and not has_mps:
        raise UserError("--device mps: this machine or this build of PyTorch has no MPS")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no CUDA device here: use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {name}: there are {torch.cuda.device_count()} CUDA devices")
    return name


def may_have_gpu() -> bool:
    """Whether PyTorch might find one: without a driver's library it cannot."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
        return True
    except OSError:
        return os.path.exists("/dev/kfd")  # AMD's


def choose_precision(name: str, device: str) -> str:
    """The type that a video network calculates in: "float32", "bfloat16", "float16", or "auto" for
    a 16-bit type on GPUs that are fast at it (NVIDIA's from Volta on), else float32."""
    if name != "auto":
        return name
    if not device.startswith("cuda"):
        return "float32"
    import torch

    generation = torch.cuda.get_device_capability(device)[0]
    return "bfloat16" if generation >= 8 else "float16" if generation == 7 else "float32"


def default_batch_size(device: str) -> int:
    """Clips that the network is given together: a CPU is fastest with one."""
    return 1 if device == "cpu" else 8


def split_work(device: str) -> tuple[int, int]:
    """How many batches go through a network at a time, and the threads that each may use.

    On a CPU as many as cores, since clips wait for each other less than threads of one clip do,
    until memory forbids; a GPU calculates one while the next is copied to it.
    """
    if device != "cpu":
        return 2, 1
    batches = min(n_cores(), MAX_CLIPS)
    return batches, n_cores() // batches


def n_cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
