"""Clips and prompts through a model, except those whose embeddings the cache has.

torch and the video decoder are imported where they are needed: with everything in the cache,
neither is.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import numpy as np

from trajeval.batches import Embedded, embed_fresh, room_for
from trajeval.cache import NO_CACHE, Cache
from trajeval.contents import Contents
from trajeval.devices import float32_products
from trajeval.readings import Reading
from trajeval.similarity import cosine_similarity
from trajeval.sources import Source, source_of

VERSION = 3  # to be raised when frames or prompts are prepared or embedded in another way
PROMPT_BATCH = 256
# The fields that the cache keeps: the content is part of the key.
KEPT = dict(list(Embedded.__annotations__.items())[:-2])


def embed_trajectories(
    model, videos: Sequence, batch_size: int | None = None, cache: Cache = NO_CACHE
) -> Generator[Embedded | Exception, None, None]:
    """Yields, for each video in turn (see videos.read_clip), its Embedded, or the videos.VideoError
    if it cannot be used. No more is in memory than the batches at work and the few videos decoded
    ahead of them. Closing the iterator ends its threads. Raises UserError."""
    sources = [source_of(video, f"video {i}") for i, video in enumerate(videos)]
    contents = Contents(cache)
    hashes = [contents.of(source) for source in sources]
    of_model = video_key(model)
    keys = [of_model | source_key(*pair) for pair in zip(sources, hashes)]
    kept = [cache.get("videos", key, KEPT) if key["content"] else None for key in keys]
    missing = [source for source, entry in zip(sources, kept) if entry is None]
    with closing(embed_fresh(model, missing, batch_size)) as fresh:
        for source, content, key, entry in zip(sources, hashes, keys, kept):
            if entry is not None:
                yield Embedded(**entry, content=content, kept=True)
                continue
            answer = next(fresh)
            # The content that was hashed is what was decoded, if it is still the same after that.
            if isinstance(answer, Embedded) and content and contents.of(source) == content:
                entry = {name: getattr(answer, name) for name in KEPT}
                cache.put("videos", key, entry)
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
    kept = enumerate(cache.get("prompts", key, fields) for key in keys)
    entries = {i: entry for i, entry in kept if entry is not None}
    missing = [i for i in range(len(prompts)) if i not in entries]
    for start in range(0, len(missing), PROMPT_BATCH):
        part = missing[start : start + PROMPT_BATCH]
        texts = [prompts[i] for i in part]
        with room_for("the prompts", model.device), float32_products(model.device, "float32"):
            embeddings = model.embed_texts(texts)
        for i, embedding, reading in zip(part, embeddings, model.read_texts(texts)):
            entries[i] = {"embedding": embedding, **reading._asdict()}
            cache.put("prompts", keys[i], entries[i])
    found = [entries[i] for i in range(len(prompts))]
    readings = [Reading(entry["tokens"], entry["unseen"]) for entry in found]
    return np.stack([entry["embedding"] for entry in found]), readings


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


def source_key(source: Source, content: str | None) -> dict:
    """Everything about a source that its embedding depends on. content: see Contents.of."""
    part = {"start": source.start, "end": source.end, "fps": source.fps}
    return {"content": content} | {name: at for name, at in part.items() if at is not None}


def embed_videos(model, videos: Sequence) -> np.ndarray:
    """The embeddings of a list of videos, float32 [N, D]. Raises videos.VideoError for the first
    that cannot be used, ValueError unless it is a list with at least one."""
    check_list(videos, "video")
    embeddings = []
    with closing(embed_trajectories(model, videos)) as answers:
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
            embeddings.append(answer.embedding)
    return np.stack(embeddings)


def similarity(model, videos: Sequence, prompts: list[str]) -> np.ndarray:
    """Cosine similarities of videos and prompts, float32 [N, P]. Raises as embed_videos does."""
    check_list(videos, "video")
    check_list(prompts, "prompt")
    return cosine_similarity(embed_videos(model, videos), embed_prompts(model, prompts)[0])


def check_list(values, noun: str) -> None:
    if isinstance(values, str | bytes | Path) or not len(values):
        raise ValueError(f"expected a list of at least one {noun}, got {values!r}")
