"""Frames and prompts through a model, unless a cache holds what would come of it.

torch and what decodes videos are imported where they are needed: with everything in the cache,
neither is.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trajeval.cache import NO_CACHE, Cache
from trajeval.devices import default_batch_size, split_work
from trajeval.readings import Reading
from trajeval.similarity import cosine_similarity
from trajeval.terminal import UserError

VERSION = 2  # to be raised when frames or prompts are prepared or embedded in another way
PROMPT_BATCH = 256


class Embedded(NamedTuple):
    """One video's embedding, float32 [D], and what videos.Clip says of the frames behind it."""

    embedding: np.ndarray
    indices: list[int]
    length: int
    size: list[int]
    warning: str | None


def embed_trajectories(
    model, paths: list[str | Path], batch_size: int | None = None, cache: Cache = NO_CACHE
) -> Iterator[Embedded | Exception]:
    """Yields, for each path in turn, the video's Embedded, or the videos.VideoError if it cannot be
    used. No more is in memory than the batches at work and the few videos decoded ahead of them.
    Raises UserError."""
    key = video_key(model)
    contents = [content_of(path, cache) for path in paths]
    kept = [
        content and cache.get("videos", key | {"content": content}, Embedded.__annotations__)
        for content in contents
    ]
    fresh = embed_fresh(model, [p for p, entry in zip(paths, kept) if entry is None], batch_size)
    for path, content, entry in zip(paths, contents, kept):
        if entry is not None:
            yield Embedded(**entry)
            continue
        answer = next(fresh)
        # Only what has not changed between the look at its content and the end of its decoding.
        if content and isinstance(answer, Embedded) and content_of(path, cache) == content:
            cache.put("videos", key | {"content": content}, answer._asdict())
        yield answer


def embed_prompts(
    model, prompts: list[str], cache: Cache = NO_CACHE
) -> tuple[np.ndarray, list[Reading]]:
    """The prompts' embeddings, float32 [P, D], and how the network reads each. Raises UserError."""
    key = model_key(model)
    keys = [key | {"prompt": prompt} for prompt in prompts]
    fields = {"embedding": np.ndarray, **Reading.__annotations__}
    kept = [cache.get("prompts", key, fields) for key in keys]
    missing = [i for i, entry in enumerate(kept) if entry is None]
    for start in range(0, len(missing), PROMPT_BATCH):
        part = missing[start : start + PROMPT_BATCH]
        texts = [prompts[i] for i in part]
        with room_for("the prompts", model.device):
            embeddings = model.embed_texts(texts)
        for i, embedding, reading in zip(part, embeddings, model.read_texts(texts)):
            kept[i] = {"embedding": embedding, **reading._asdict()}
            cache.put("prompts", keys[i], kept[i])
    embeddings = np.stack([entry.pop("embedding") for entry in kept])
    return embeddings, [Reading(**entry) for entry in kept]


def model_key(model) -> dict:
    """All of a model that its embeddings depend on."""
    return {
        "version": VERSION,
        "model": model.name,
        "architecture": model.architecture,
        "weights": list(model.weights.values()),
        "packages": {package: version(package) for package in model.packages},
    }


def video_key(model) -> dict:
    """All that a video's embedding depends on but the video's content."""
    return model_key(model) | {
        "decoder": version("av"),
        "n_frames": model.n_frames,
        "precision": model.precision,
        "device": model.device.partition(":")[0],  # a GPU's float32 is not quite a CPU's
        **model.preparation,
    }


def content_of(path, cache) -> str | None:
    """The hash of a file's content; None if nothing is kept or the file cannot be read."""
    if cache.folder is None:
        return None
    try:
        return cache.digest(path, "blake2b")
    except (OSError, ValueError):
        return None  # reading the video will say what is wrong with it


def infer(embed, *inputs) -> np.ndarray:
    """What a network answers to tensors, NumPy float32 [N, D]."""
    import torch

    with torch.inference_mode():
        return embed(*inputs).float().cpu().numpy()


def embed_fresh(model, paths, batch_size):
    """Yields each path's Embedded or VideoError, decoded and calculated now."""
    from trajeval.videos import read_clips

    with room_for("the network", model.device):
        _ = model.video_network  # loaded here, before several threads ask for it
    batch_size = batch_size or default_batch_size(model.device)
    n_batches, n_threads = split_work(model.device)
    clips = zip(paths, read_clips(paths, model.n_frames, model.resize, model.size))
    pool = threads_of(model, n_batches, n_threads)
    working = deque()
    try:
        for _, alike in groupby(clips, shape_of):
            while batch := list(islice(alike, batch_size)):
                working.append(pool.submit(embed_batch, model, batch))
                if len(working) > n_batches:
                    answers, fitting = working.popleft().result()
                    batch_size = min(batch_size, fitting or batch_size)
                    yield from answers
        for batch in working:
            yield from batch.result()[0]
    finally:
        pool.shutdown(cancel_futures=True)


def shape_of(item):
    """The shape of a clip's frames; None for a VideoError."""
    _, clip = item
    return None if isinstance(clip, Exception) else clip.frames.shape


def threads_of(model, n_batches, n_threads) -> ThreadPoolExecutor:
    """Threads for some batches at a time. What holds for all batches of one: how many cores they
    use, or their own queue on a GPU, so that the copies of one go on beside the calculations of
    another."""
    import torch

    def prepare():
        torch.set_num_threads(n_threads)
        if model.device.startswith("cuda"):
            torch.cuda.synchronize(model.device)  # the weights have come
            torch.cuda.set_stream(torch.cuda.Stream(model.device))

    return ThreadPoolExecutor(n_batches, initializer=prepare)


def embed_batch(model, batch):
    """What comes of some (path, clip) of one shape, or of some (path, VideoError). If memory runs
    out, each half goes by itself; then the second value says how many found room at a time."""
    import torch

    if shape_of(batch[0]) is None:
        return [error for _, error in batch], None
    try:
        return embed_clips(model, batch), None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Out here the error holds on to nothing any more.
    if len(batch) == 1:
        raise no_room("one clip", model.device)
    if model.device.startswith("cuda"):
        torch.cuda.empty_cache()
    half = len(batch) // 2
    first, fitting = embed_batch(model, batch[:half])
    second, _ = embed_batch(model, batch[half:])
    return first + second, fitting or half


def embed_clips(model, batch):
    """What comes of some (path, clip) of one shape."""
    import torch

    from trajeval.videos import VideoError

    frames = torch.from_numpy(np.stack([clip.frames for _, clip in batch]))
    if model.device.startswith("cuda"):
        frames = frames.pin_memory()  # so that it is copied beside other work
    lower = model.precision != "float32"
    type_, dtype = torch.device(model.device).type, getattr(torch, model.precision)
    try:
        # Weights and what adds up stay in float32; matrices are multiplied at the precision.
        with torch.autocast(type_, dtype, enabled=lower):
            frames = frames.to(model.device, non_blocking=True)
            embeddings = infer(model.embed_videos, frames)
    except ValueError as error:  # about the shape, which is the same for all
        return [VideoError(f"{path}: {error}") for path, _ in batch]
    answers = []
    for (path, clip), embedding in zip(batch, embeddings):
        if np.isfinite(embedding).all():
            indices, size = clip.indices.tolist(), list(clip.size)
            answers.append(Embedded(embedding, indices, clip.length, size, clip.warning))
        else:
            problem = f"too much for {model.precision}: give --precision float32"
            answers.append(VideoError(f"{path}: {problem}"))
    return answers


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
    return UserError(
        f"{device} has no room for {what}" + ("" if device == "cpu" else ": use --device cpu"),
        status=1,
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device or the CPU's allocator had no room; PyTorch has no one type for it."""
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def normalized(frames, mean: tuple, std: tuple):
    """Tensors, uint8 [B, T, H, W, 3] -> float32 [B, T, 3, H, W]: in [0, 1], less a mean, over a
    standard deviation for each colour."""
    import torch

    video = frames.movedim(4, 2).float() / 255
    mean, std = (torch.tensor(values, device=video.device).view(3, 1, 1) for values in (mean, std))
    return (video - mean) / std


def similarity(model, paths: list[str | Path], prompts: list[str]) -> np.ndarray:
    """Cosine similarities of videos and prompts, float32 [N, P]. Raises videos.VideoError for the
    first video that cannot be used, ValueError if there is no video or a path stands alone."""
    if isinstance(paths, str | Path) or not len(paths):
        raise ValueError("expected a list of at least one path")
    embeddings = []
    for answer in embed_trajectories(model, paths):
        if isinstance(answer, Exception):
            raise answer
        embeddings.append(answer.embedding)
    return cosine_similarity(np.stack(embeddings), embed_prompts(model, prompts)[0])
