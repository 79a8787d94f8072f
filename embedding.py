"""Frames through a model: batches, in order, on a device."""

from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import OutOfMemoryError  # noqa: F401, for callers

from similarity import cosine_similarity
from videos import Clip, VideoError, read_clips

PROMPT_BATCH = 256


class DeviceError(Exception):
    """A device that this machine does not have; the message is meant for the user."""


class Embedded(NamedTuple):
    """One video's embedding, float32 [D], and the clip that it came from, without its frames."""

    embedding: np.ndarray
    clip: Clip


def choose_device(name: str) -> torch.device:
    """The device of a name: "cpu", "cuda", "cuda:N", "mps", or "auto" for the best there is.
    Raises DeviceError if this machine does not have it."""
    if name == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"no such device: {name}; auto, cpu, cuda, cuda:N and mps are") from None
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("--device mps: this machine or this build of PyTorch has no MPS")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError("--device cuda: PyTorch finds no CUDA device here: use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"--device {name}: there are {torch.cuda.device_count()} CUDA devices")
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The type that a video network calculates in: "float32", "bfloat16", "float16", or "auto" for
    a 16-bit type on GPUs that are fast at it (NVIDIA's from Volta on), else float32."""
    if name != "auto":
        return getattr(torch, name)
    generation = torch.cuda.get_device_capability(device)[0] if device.type == "cuda" else 0
    if generation >= 8:
        return torch.bfloat16
    return torch.float16 if generation == 7 else torch.float32


def default_batch_size(device: torch.device) -> int:
    """Clips at a time: a CPU is fastest with one."""
    return 1 if device.type == "cpu" else 8


def embed_trajectories(
    model, paths: list[str | Path], batch_size: int | None = None
) -> Iterator[Embedded | VideoError]:
    """Yields, for each path in turn, the video's embedding, or the error if it cannot be used.
    No more is in memory than a batch of videos and the few that are decoded ahead of it."""
    batch_size = batch_size or default_batch_size(model.device)
    prepared = prepare_clips(model, paths)
    for shape, run in groupby(prepared, lambda item: getattr(item[2], "shape", None)):
        while batch := list(islice(run, batch_size)):
            if shape is None:
                yield from (error for *_, error in batch)
                continue
            # Weights and what adds up stay in float32; matrices are multiplied at the precision.
            lower = model.precision != torch.float32
            with torch.autocast(model.device.type, model.precision, enabled=lower):
                embeddings = model.embed_videos(torch.stack([video for *_, video in batch]))
            for (path, clip, _), embedding in zip(batch, embeddings):
                if np.isfinite(embedding).all():
                    yield Embedded(embedding, clip)
                else:
                    name = str(model.precision).removeprefix("torch.")
                    yield VideoError(f"{path}: too much for {name}: give --precision float32")


def prepare_clips(model, paths):
    """Yields (path, clip without frames, what the network eats), or (path, None, VideoError)."""
    clips = read_clips(paths, model.n_frames, model.resize, model.size)
    for path, clip in zip(paths, clips):
        if isinstance(clip, VideoError):
            yield path, None, clip
            continue
        try:
            yield path, clip._replace(frames=None), model.prepare(clip.frames)
        except ValueError as error:
            yield path, None, VideoError(f"{path}: {error}")


def embed_prompts(model, prompts: list[str]) -> np.ndarray:
    """The prompts' embeddings, float32 [P, D], a bounded number of them at a time."""
    parts = [prompts[i : i + PROMPT_BATCH] for i in range(0, len(prompts), PROMPT_BATCH)]
    return np.concatenate([model.embed_texts(part) for part in parts])


def normalized(frames: np.ndarray, mean: tuple, std: tuple) -> torch.Tensor:
    """uint8 [T, H, W, 3] -> float32 [T, 3, H, W]: in [0, 1], less a mean, over a standard
    deviation for each colour."""
    video = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    return (video - mean) / std


def similarity(model, paths: list[str | Path], prompts: list[str]) -> np.ndarray:
    """Cosine similarities of videos and prompts, float32 [N, P]. Raises VideoError for the first
    video that cannot be used, ValueError if there is no video or a path stands alone."""
    if isinstance(paths, str | Path) or not len(paths):
        raise ValueError("expected a list of at least one path")
    embeddings = []
    for embedded in embed_trajectories(model, paths):
        if isinstance(embedded, VideoError):
            raise embedded
        embeddings.append(embedded.embedding)
    return cosine_similarity(np.stack(embeddings), embed_prompts(model, prompts))
