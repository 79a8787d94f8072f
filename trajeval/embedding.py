"""Clips and prompts through a model, except those whose embeddings the cache has.

torch and the video decoder are imported where they are needed: with everything in the cache,
neither is.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from importlib.metadata import version
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trajeval.cache import NO_CACHE, Cache
from trajeval.devices import default_batch_size, float32_products, split_work, torch_type
from trajeval.readings import Reading
from trajeval.similarity import cosine_similarity
from trajeval.terminal import UserError

VERSION = 3  # to be raised when frames or prompts are prepared or embedded in another way
PROMPT_BATCH = 256


class Embedded(NamedTuple):
    """One video's embedding, float32 [D], and what videos.Clip says of its frames.

    content: the BLAKE2b hash of the file, in hexadecimal digits; None if it changed meanwhile.
    kept: whether it came from the cache.
    """

    embedding: np.ndarray
    indices: list[int]
    length: int
    size: list[int]
    warning: str | None
    content: str | None = None
    kept: bool = False


# What the cache keeps of it: the content is part of the key.
KEPT = {
    name: kind for name, kind in Embedded.__annotations__.items() if name not in ("content", "kept")
}


def embed_trajectories(
    model, paths: list[str | Path], batch_size: int | None = None, cache: Cache = NO_CACHE
) -> Iterator[Embedded | Exception]:
    """Yields, for each path in turn, the video's Embedded, or the videos.VideoError if it cannot be
    used. No more is in memory than the batches at work and the few videos decoded ahead of them.
    Closing the iterator ends its threads. Raises UserError."""
    key = video_key(model)
    contents = [content_of(path, cache) for path in paths]
    kept = [
        content and cache.get("videos", key | {"content": content}, KEPT) for content in contents
    ]
    missing = [path for path, entry in zip(paths, kept) if entry is None]
    with closing(embed_fresh(model, missing, batch_size)) as fresh:
        for path, content, entry in zip(paths, contents, kept):
            if entry is not None:
                yield Embedded(**entry, content=content, kept=True)
                continue
            answer = next(fresh)
            # The content that was hashed is what was decoded, if it is still the same after that.
            if isinstance(answer, Embedded) and content and content_of(path, cache) == content:
                entry = {name: getattr(answer, name) for name in KEPT}
                cache.put("videos", key | {"content": content}, entry)
                answer = answer._replace(content=content)
            yield answer


def embed_prompts(
    model, prompts: list[str], cache: Cache = NO_CACHE
) -> tuple[np.ndarray, list[Reading]]:
    """The prompts' embeddings, float32 [P, D], and how the network reads each. They are computed
    in float32, whatever the precision of the videos. Raises UserError."""
    key = model_key(model)
    keys = [key | {"prompt": prompt} for prompt in prompts]
    fields = {"embedding": np.ndarray, **Reading.__annotations__}
    kept = [cache.get("prompts", key, fields) for key in keys]
    missing = [i for i, entry in enumerate(kept) if entry is None]
    for start in range(0, len(missing), PROMPT_BATCH):
        part = missing[start : start + PROMPT_BATCH]
        texts = [prompts[i] for i in part]
        with room_for("the prompts", model.device), float32_products(model.device, "float32"):
            embeddings = model.embed_texts(texts)
        for i, embedding, reading in zip(part, embeddings, model.read_texts(texts)):
            kept[i] = {"embedding": embedding, **reading._asdict()}
            cache.put("prompts", keys[i], kept[i])
    embeddings = np.stack([entry.pop("embedding") for entry in kept])
    return embeddings, [Reading(**entry) for entry in kept]


def model_key(model) -> dict:
    """Everything about a model that its embeddings depend on."""
    return {
        "version": VERSION,
        "model": model.name,
        "architecture": model.architecture,
        "weights": list(model.weights.values()),
        "packages": {package: version(package) for package in model.packages},
    }


def video_key(model) -> dict:
    """Everything that a video's embedding depends on, except the video's content."""
    return model_key(model) | {
        "decoder": version("av"),
        "n_frames": model.n_frames,
        "precision": model.precision,
        "device": model.device.partition(":")[0],  # a GPU's float32 is not quite a CPU's
        **model.preparation,
    }


def content_of(path, cache) -> str | None:
    """The hash of a file's content; None if the file cannot be read."""
    try:
        return cache.digest(path, "blake2b")
    except (OSError, ValueError):
        return None  # reading the video will say what is wrong with it


def infer(embed, *inputs) -> np.ndarray:
    """A network's embeddings of tensors, NumPy float32 [N, D]."""
    import torch

    with torch.inference_mode():
        return embed(*inputs).float().cpu().numpy()


def embed_fresh(model, paths, batch_size):
    """Yields each path's Embedded or VideoError, decoded and computed now."""
    from trajeval.videos import read_clips

    with room_for("the network", model.device):
        _ = model.video_network  # loaded here, before several threads ask for it
    batch_size = batch_size or default_batch_size(model.device)
    n_batches, n_threads = split_work(model.device)
    pool, working = threads_of(model, n_batches, n_threads), deque()
    with (
        float32_products(model.device, model.precision),
        closing(read_clips(paths, model.n_frames, model.resize, model.size)) as clips,
    ):
        try:
            for _, alike in groupby(zip(paths, clips), shape_of):
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
    """Threads for some batches at a time, each with its settings: how many cores it uses, and on
    CUDA a stream of its own, so that the copies of one batch run beside the kernels of another."""
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
    """What comes of some (path, clip) of one shape, or of some (path, VideoError); None if memory
    ran out."""
    if shape_of(batch[0]) is None:
        return [error for _, error in batch]
    try:
        return embed_clips(model, batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return None  # not in the except block, where the error still holds the batch's tensors


def embed_clips(model, batch):
    """What comes of some (path, clip) of one shape."""
    import torch

    from trajeval.videos import VideoError

    frames = torch.from_numpy(np.stack([clip.frames for _, clip in batch]))
    if model.device.startswith("cuda"):
        frames = frames.pin_memory()  # so that it is copied beside other work
    kind, dtype = torch.device(model.device).type, torch_type(model.precision)
    try:
        # Weights and sums stay in float32; matrices are multiplied at the precision.
        with torch.autocast(kind, dtype, enabled=dtype != torch.float32):
            frames = frames.to(model.device, non_blocking=True)
            embeddings = infer(model.embed_clips, frames)
    except ValueError as error:  # about the shape, which is the same for all
        return [VideoError(f"{path}: {error}") for path, _ in batch]
    answers = []
    for (path, clip), embedding in zip(batch, embeddings):
        if np.isfinite(embedding).all():
            indices, size = clip.indices.tolist(), list(clip.size)
            answers.append(Embedded(embedding, indices, clip.length, size, clip.warning))
        elif dtype == torch.float32:
            answers.append(VideoError(f"{path}: its embedding has NaN or infinite values"))
        else:
            problem = f"overflowed in {model.precision}: use --precision float32"
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
    advice = "" if device == "cpu" else ": use --device cpu"
    return UserError(f"not enough memory on {device} for {what}{advice}", status=1)


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device or the CPU's allocator ran out; PyTorch has no one type for it."""
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def normalized(frames, mean: tuple, std: tuple):
    """Tensors, uint8 [B, T, H, W, 3] -> float32 [B, T, 3, H, W]: scaled to [0, 1], less a mean,
    over a standard deviation for each colour."""
    import torch

    video = frames.movedim(4, 2).float() / 255
    mean, std = (torch.tensor(values, device=video.device).view(3, 1, 1) for values in (mean, std))
    return (video - mean) / std


def similarity(model, paths: list[str | Path], prompts: list[str]) -> np.ndarray:
    """Cosine similarities of videos and prompts, float32 [N, P]. Raises videos.VideoError for the
    first video that cannot be used, ValueError unless both are lists with at least one entry."""
    for values, noun in ((paths, "path"), (prompts, "prompt")):
        if isinstance(values, str | bytes | Path) or not len(values):
            raise ValueError(f"expected a list of at least one {noun}, got {values!r}")
    embeddings = []
    with closing(embed_trajectories(model, paths)) as answers:
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
            embeddings.append(answer.embedding)
    return cosine_similarity(np.stack(embeddings), embed_prompts(model, prompts)[0])
