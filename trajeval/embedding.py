"""Clips and prompts through a model, except those whose results the cache has.

torch and the video decoder are imported where they are needed: with everything in the cache,
neither is.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import numpy as np

from trajeval.batches import embed_fresh, room_for
from trajeval.cache import NO_CACHE, Cache
from trajeval.contents import Contents
from trajeval.devices import float32_products
from trajeval.readings import Reading
from trajeval.scoring import is_judge, score_fresh
from trajeval.shelf import Embedded, Shelf
from trajeval.similarity import cosine_similarity
from trajeval.sources import Source, source_of
from trajeval.views import WHOLE, View

VERSION = 3  # to be raised when frames or prompts are prepared or embedded in another way
PROMPT_BATCH = 256


def embed_trajectories(
    model,
    videos: Sequence,
    batch_size: int | None = None,
    cache: Cache = NO_CACHE,
    views: Sequence[View] = (WHOLE,),
    prompts: Sequence[Sequence[str]] | None = None,
    compute: Callable[..., Generator] | None = None,
) -> Generator[Embedded | Exception, None, None]:
    """Yields, for each video in turn (see videos.read_clip), its Embedded, or the videos.VideoError
    if it cannot be used. views: the whole first. prompts: of each video, for a Judge. compute: what
    is called as compute_here, which is the default. No more is in
    memory than the batches at work and the few videos decoded ahead of them. Closing the iterator
    ends its threads. Raises UserError."""
    sources = [source_of(video, f"video {i}") for i, video in enumerate(videos)]
    contents, of_model = Contents(cache), video_key(model)
    hashes = [contents.of(source) for source in sources]

    def shelf_of(i: int) -> Shelf:
        key = of_model | source_key(sources[i], hashes[i])
        return Shelf(cache, key, views, prompts[i] if prompts else None)

    # What the cache has is looked up now, to know what to compute, and read when its turn has come.
    missing = {i: found for i in range(len(sources)) if (found := shelf_of(i).missing)}
    requests = [(sources[i], found) for i, found in missing.items()]
    with closing((compute or compute_here)(model, requests, batch_size)) as fresh:
        for i, (source, content) in enumerate(zip(sources, hashes)):
            shelf = shelf_of(i)
            if i not in missing and not shelf.missing:
                yield shelf.all(content=content, kept=True)
                continue
            if i in missing:
                shelf.missing = missing.pop(i)
                answer = next(fresh)
            else:  # removed from the cache meanwhile
                with closing(compute_here(model, [(source, shelf.missing)], batch_size)) as alone:
                    answer = next(alone)
            if isinstance(answer, Exception):
                yield answer
                continue
            # The content that was hashed is what was decoded, if it is still the same after that.
            same = content if content and contents.of(source) == content else None
            n_wanted = len(views) * (len(prompts[i]) if prompts else 1)
            partly = sum(map(len, shelf.missing.values())) < n_wanted
            shelf.add(answer, keep=same is not None)
            yield shelf.all(content=same, partly=partly)


def compute_here(model, requests: list[tuple], batch_size: int | None) -> Generator:
    """Yields the Fresh of each (source, what is missing of each view), as Shelf has it, or its
    VideoError, computed in this process. Raises UserError."""
    if is_judge(model):
        return score_fresh(model, requests)
    return embed_fresh(model, requests, batch_size)


def embed_prompts(
    model, prompts: list[str], cache: Cache = NO_CACHE
) -> tuple[np.ndarray, list[Reading]]:
    """The prompts' embeddings, float32 [P, D], and how the network reads each. They are computed
    in float32, whatever the precision of the videos. Raises UserError."""

    def compute(texts):
        with room_for("the prompts", model.device), float32_products(model.device, "float32"):
            embeddings = model.embed_texts(texts)
        readings = model.read_texts(texts)
        return [{"embedding": e, **r._asdict()} for e, r in zip(embeddings, readings)]

    fields = {"embedding": np.ndarray, **Reading.__annotations__}
    found = prompt_entries(model, prompts, cache, fields, compute)
    readings = [Reading(entry["tokens"], entry["unseen"]) for entry in found]
    return np.stack([entry["embedding"] for entry in found]), readings


def read_prompts(model, prompts: list[str], cache: Cache = NO_CACHE) -> list[Reading]:
    """How a Judge reads each prompt. Raises UserError."""

    def compute(texts):
        return [reading._asdict() for reading in model.read_texts(texts)]

    found = prompt_entries(model, prompts, cache, Reading.__annotations__, compute)
    return [Reading(**entry) for entry in found]


def prompt_entries(model, prompts: list[str], cache: Cache, fields: dict, compute) -> list[dict]:
    """What the cache has of each prompt; what it lacks is computed."""
    key = model_key(model)
    keys = [key | {"prompt": prompt} for prompt in prompts]
    kept = enumerate(cache.get("prompts", key, fields) for key in keys)
    entries = {i: entry for i, entry in kept if entry is not None}
    missing = [i for i in range(len(prompts)) if i not in entries]
    for start in range(0, len(missing), PROMPT_BATCH):
        part = missing[start : start + PROMPT_BATCH]
        for i, entry in zip(part, compute([prompts[i] for i in part])):
            entries[i] = entry
            cache.put("prompts", keys[i], entry)
    return [entries[i] for i in range(len(prompts))]


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
    return of_wholes(embed_trajectories(model, videos))


def of_wholes(answers: Generator) -> np.ndarray:
    """What embed_trajectories gives for the whole of each video, [N, D]. Raises VideoError."""
    found = []
    with closing(answers):
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
            found.append(answer.embedding)
    return np.stack(found)


def similarity(model, videos: Sequence, prompts: list[str]) -> np.ndarray:
    """Cosine similarities of videos and prompts, or a Judge's scores, float32 [N, P]. Raises as
    embed_videos does."""
    check_list(videos, "video")
    check_list(prompts, "prompt")
    if is_judge(model):
        return of_wholes(embed_trajectories(model, videos, prompts=[prompts] * len(videos)))
    return cosine_similarity(embed_videos(model, videos), embed_prompts(model, prompts)[0])


def check_list(values, noun: str) -> None:
    if isinstance(values, str | bytes | Path) or not len(values):
        raise ValueError(f"expected a list of at least one {noun}, got {values!r}")
