"""Clips through a network, in batches.

torch and the video decoder are imported where they are needed.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from itertools import groupby, islice
from typing import NamedTuple

import numpy as np

from trajeval.devices import default_batch_size, float32_products, split_work, torch_type
from trajeval.terminal import UserError


class Embedded(NamedTuple):
    """One video's embedding, float32 [D], and what videos.Clip says of its frames.

    content: the file's BLAKE2b hash in hexadecimal, None if it changed meanwhile. kept: whether it
    came from the cache."""

    embedding: np.ndarray
    indices: list[int]
    length: int
    size: list[int]
    fps: float | None
    warning: str | None
    content: str | None = None
    kept: bool = False


def embed_fresh(model, sources, batch_size):
    """Yields each source's Embedded or VideoError, decoded and computed now."""
    from trajeval.videos import read_clips

    with room_for("the network", model.device):
        _ = model.video_network  # loaded here, before several threads ask for it
    batch_size = batch_size or default_batch_size(model.device)
    n_batches, n_threads = split_work(model.device)
    pool, working = threads_of(model, n_batches, n_threads), deque()
    with (
        float32_products(model.device, model.precision),
        closing(read_clips(sources, model.n_frames, model.resize, model.size)) as clips,
    ):
        try:
            for _, alike in groupby(zip(sources, clips), shape_of):
                while batch := list(islice(alike, batch_size)):
                    working.append((batch, pool.submit(embed_batch, model, batch)))
                    if len(working) > n_batches:
                        answers, batch_size = oldest(model, pool, working, batch_size)
                        yield from answers
            while working:
                yield from oldest(model, pool, working, batch_size)[0]
        finally:
            pool.shutdown(cancel_futures=True)


def shape_of(item):
    """The shape of a clip's frames; None for a VideoError."""
    _, clip = item
    return None if isinstance(clip, Exception) else clip.frames.shape


def threads_of(model, n_batches, n_threads) -> ThreadPoolExecutor:
    """Threads for some batches at a time, each set to use some cores, and on CUDA to have its own
    stream, so that the copies of one batch run beside the kernels of another."""
    import torch

    def prepare():
        torch.set_num_threads(n_threads)
        if model.device.startswith("cuda"):
            torch.cuda.synchronize(model.device)  # the weights have arrived
            torch.cuda.set_stream(torch.cuda.Stream(model.device))

    return ThreadPoolExecutor(n_batches, initializer=prepare)


def oldest(model, pool, working, batch_size):
    """The answers of the batch that is at work for longest, and the batch size for those to come.
    If memory ran out, waits for the others and computes it again, alone and in smaller parts."""
    batch, future = working.popleft()
    answers = future.result()
    if answers is None:
        wait([other for _, other in working])
        size = max(1, len(batch) // 2)
        answers, fitting = pool.submit(embed_alone, model, batch, size).result()
        batch_size = min(batch_size, fitting)
    return answers, batch_size


def embed_alone(model, batch, size):
    """The answers for a batch, `size` clips at a time or as many as fit; and how many those are.
    Raises UserError if not even one does."""
    if model.device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
    answers = []
    for start in range(0, len(batch), size):
        part = embed_batch(model, batch[start : start + size])
        if part is None:
            if size == 1:
                raise no_room("one clip", model.device)
            return embed_alone(model, batch, size // 2)
        answers += part
    return answers, size


def embed_batch(model, batch):
    """The answers for (source, clip)s of one shape, or (source, VideoError)s; None if out of
    memory."""
    if shape_of(batch[0]) is None:
        return [error for _, error in batch]
    try:
        return embed_clips(model, batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return None  # not in the except block, where the error still holds the batch's tensors


def embed_clips(model, batch):
    """The answers for (source, clip)s of one shape."""
    import torch

    from trajeval.videos import VideoError

    frames = torch.from_numpy(np.stack([clip.frames for _, clip in batch]))
    times = np.stack([clip.times for _, clip in batch])
    if model.device.startswith("cuda"):
        frames = frames.pin_memory()  # so that it is copied beside other work
    kind, dtype = torch.device(model.device).type, torch_type(model.precision)
    try:
        # Weights and sums stay in float32; matrices are multiplied at the precision.
        with torch.autocast(kind, dtype, enabled=dtype != torch.float32):
            frames = frames.to(model.device, non_blocking=True)
            embeddings = infer(model.embed_clips, frames, times)
    except ValueError as error:  # about the shape, which is the same for all
        return [VideoError(f"{source.name}: {error}") for source, _ in batch]
    answers = []
    for (source, clip), embedding in zip(batch, embeddings):
        if np.isfinite(embedding).all():
            indices, size = clip.indices.tolist(), list(clip.size)
            answers.append(Embedded(embedding, indices, clip.length, size, clip.fps, clip.warning))
            continue
        problem = "its embedding has NaN or infinite values"
        if dtype != torch.float32:
            problem = f"overflowed in {model.precision}: use --precision float32"
        answers.append(VideoError(f"{source.name}: {problem}"))
    return answers


def infer(embed, *inputs) -> np.ndarray:
    """A network's embeddings of what it takes, NumPy float32 [N, D]."""
    import torch

    with torch.inference_mode():
        return embed(*inputs).float().cpu().numpy()


def normalized(frames, mean: tuple, std: tuple):
    """Tensors, uint8 [B, T, H, W, 3] -> float32 [B, T, 3, H, W]: scaled to [0, 1], less a mean,
    over a standard deviation for each colour."""
    import torch

    video = frames.movedim(4, 2).float() / 255
    shift, scale = (
        torch.tensor(values, device=video.device).view(3, 1, 1) for values in (mean, std)
    )
    return (video - shift) / scale


@contextmanager
def room_for(what, device):
    """Raises UserError if memory runs out within."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise no_room(what, device) from None


def no_room(what, device) -> UserError:
    advice = "" if device == "cpu" else ": use --device cpu"
    return UserError(f"not enough memory on {device} for {what}{advice}", status=1)


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device or the CPU's allocator ran out; PyTorch has no one type for it."""
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)
