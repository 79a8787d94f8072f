"""Clips through a network, in batches.

torch and the video decoder are imported where they are needed.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from itertools import groupby, islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trajeval.devices import default_batch_size, float32_products, split_work, torch_type
from trajeval.terminal import UserError
from trajeval.views import View

if TYPE_CHECKING:  # decoding is imported where it is needed
    from trajeval.clips import Footage


class Fresh(NamedTuple):
    """What was computed now. values: for each view of one video float32 [R, D], of its R clips.
    footage: what they were computed of, without the frames."""

    values: dict[View, np.ndarray]
    footage: "Footage"


class Part(NamedTuple):
    """What a network is given at a time: a clip of a video, or some of its frames. name: the
    video's. frames: uint8 [F, H, W, 3]; places: int64 [T], those of them; times: float64 [T]."""

    name: str
    frames: np.ndarray
    places: np.ndarray
    times: np.ndarray


def embed_fresh(model, requests, batch_size):
    """Yields the Fresh of each (source, views), or its VideoError, decoded and computed now."""
    from trajeval.videos import read_views

    with room_for("the network", model.device):
        _ = model.video_network  # loaded here, before several threads ask for it
    sources, views = zip(*requests) if requests else ((), ())
    settings = model.n_frames, model.resize, model.size
    due: deque = deque()  # (footage, how many parts) of the videos that are at work

    def parts(footages):
        for source, footage in zip(sources, footages):
            found = [footage] if is_error(footage) else parts_of(model, source.name, footage)
            due.append((footage, len(found)))
            yield from found

    with (
        closing(read_views(sources, views, *settings)) as footages,
        closing(embed_parts(model, parts(footages), batch_size)) as embedded,
    ):
        answers = []
        for answer in embedded:
            answers.append(answer)
            if len(answers) == due[0][1]:
                yield fresh_of(model, due.popleft()[0], answers)
                answers = []


def parts_of(model, name: str, footage: "Footage") -> list[Part]:
    """What a network is given of one video: each different clip once; or, if it embeds frame by
    frame, each frame once, as many at a time as a clip has."""
    if by_frame(model):
        places = np.arange(len(footage.frames))
        starts = range(0, len(places), model.n_frames)
        split = (places[start : start + model.n_frames] for start in starts)
        return [Part(name, footage.frames, some, np.zeros(len(some))) for some in split]
    return [Part(name, footage.frames, *clip) for clip in different_clips(footage)[0]]


def different_clips(footage: "Footage") -> tuple[list[tuple], dict[View, list[int]]]:
    """The places and times of each different clip of a video; which of them each view is made of.
    Points of a short video repeat; the last prefix is the whole."""
    clips: dict[bytes, tuple] = {}
    made_of: dict[View, list[int]] = {}
    for view, shots in footage.views.items():
        keys = [
            np.concatenate([footage.indices[places], times]).tobytes()
            for places, times in zip(shots.places, shots.times)
        ]
        for key, *clip in zip(keys, shots.places, shots.times):
            clips.setdefault(key, tuple(clip))
        numbers = {key: i for i, key in enumerate(clips)}
        made_of[view] = [numbers[key] for key in keys]
    return list(clips.values()), made_of


def fresh_of(model, footage, answers):
    """The Fresh of a video from the answers for its parts, or the first VideoError of them."""
    if errors := [answer for answer in answers if is_error(answer)]:
        return errors[0]
    if by_frame(model):
        import torch

        frames = torch.from_numpy(np.concatenate(answers))  # [F, D]
        values = {
            view: mean_of_frames(frames[shots.places]).numpy()
            for view, shots in footage.views.items()
        }
    else:
        values = {
            view: np.stack([answers[i] for i in numbers])
            for view, numbers in different_clips(footage)[1].items()
        }
    return Fresh(values, footage._replace(frames=None))


def embed_parts(model, parts: Iterator, batch_size):
    """Yields the answer for each Part: its embedding float32 [D], or those of its frames [T, D], or
    a VideoError; the VideoErrors among the parts are their own answers."""
    batch_size = batch_size or default_batch_size(model.device)
    n_batches, n_threads = split_work(model.device)
    pool, working = threads_of(model, n_batches, n_threads), deque()
    with float32_products(model.device, model.precision):
        try:
            for _, alike in groupby(parts, lambda part: shape_of(model, part)):
                while batch := list(islice(alike, batch_size)):
                    working.append((batch, pool.submit(embed_batch, model, batch)))
                    if len(working) > n_batches:
                        answers, batch_size = oldest(model, pool, working, batch_size)
                        yield from answers
            while working:
                yield from oldest(model, pool, working, batch_size)[0]
        finally:
            pool.shutdown(cancel_futures=True)


def by_frame(model) -> bool:
    """Whether it is a model.FrameModel."""
    return hasattr(model, "embed_frames")


def is_error(found) -> bool:
    return isinstance(found, Exception)


def shape_of(model, part):
    """The shape that the parts of a batch share; None for a VideoError."""
    if is_error(part):
        return None
    shape = part.frames.shape[1:]
    return shape if by_frame(model) else (len(part.places), *shape)


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
    """The answers for Parts of one shape, or VideoErrors; None if out of memory."""
    if is_error(batch[0]):
        return batch
    try:
        return embed_alike(model, batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return None  # not in the except block, where the error still holds the batch's tensors


def embed_alike(model, batch):
    """The answers for Parts of one shape."""
    import torch

    from trajeval.videos import VideoError

    frames = [part.frames[part.places] for part in batch]
    frames = torch.from_numpy(np.concatenate(frames) if by_frame(model) else np.stack(frames))
    if model.device.startswith("cuda"):
        frames = frames.pin_memory()  # so that it is copied beside other work
    kind, dtype = torch.device(model.device).type, torch_type(model.precision)
    try:
        # Weights and sums stay in float32; matrices are multiplied at the precision.
        with torch.autocast(kind, dtype, enabled=dtype != torch.float32):
            frames = frames.to(model.device, non_blocking=True)
            if by_frame(model):
                embeddings = infer(model.embed_frames, frames)
                ends = np.cumsum([len(part.places) for part in batch])
                embeddings = np.split(embeddings, ends[:-1])
            else:
                times = np.stack([part.times for part in batch])
                embeddings = infer(model.embed_clips, frames, times)
    except ValueError as error:  # about the shape, which is the same for all
        return [VideoError(f"{part.name}: {error}") for part in batch]
    problem = not_finite(model, "its embedding has")
    return [
        embedding if np.isfinite(embedding).all() else VideoError(f"{part.name}: {problem}")
        for part, embedding in zip(batch, embeddings)
    ]


def not_finite(model, what: str) -> str:
    """What is wrong with values that are NaN or infinite."""
    if model.precision in ("float16", "bfloat16"):
        return f"overflowed in {model.precision}: use --precision float32"
    return f"{what} NaN or infinite values"


def infer(embed, *inputs) -> np.ndarray:
    """A network's embeddings of what it takes, NumPy float32 [N, D]."""
    import torch

    with torch.inference_mode():
        return embed(*inputs).float().cpu().numpy()


def normalized(frames, mean: tuple, std: tuple):
    """Tensors, uint8 [..., H, W, 3] -> float32 [..., 3, H, W]: scaled to [0, 1], less a mean, over
    a standard deviation for each colour."""
    import torch

    video = frames.movedim(-1, -3).float() / 255
    shift, scale = (
        torch.tensor(values, device=video.device).view(3, 1, 1) for values in (mean, std)
    )
    return (video - shift) / scale


def mean_of_frames(embeddings):
    """Tensors, the embeddings of frames [..., T, D] -> those of clips, float32 [..., D]: each
    normalized, then averaged, and normalized again."""
    import torch.nn.functional as F

    return F.normalize(F.normalize(embeddings.float(), dim=-1).mean(-2), dim=-1)


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
