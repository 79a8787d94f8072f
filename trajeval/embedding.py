"""Clips and prompts through a model, except those whose results the cache has.

torch and the video decoder are imported where they are needed: with everything in the cache,
neither is.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trajeval.batches import Fresh, embed_fresh, room_for
from trajeval.cache import NO_CACHE, Cache
from trajeval.contents import Contents
from trajeval.devices import float32_products
from trajeval.readings import Reading
from trajeval.scoring import is_judge, score_fresh
from trajeval.similarity import cosine_similarity
from trajeval.sources import Source, source_of
from trajeval.views import WHOLE, View

VERSION = 3  # to be raised when frames or prompts are prepared or embedded in another way
PROMPT_BATCH = 256


class Embedded(NamedTuple):
    """What a model made of one video, and what clips.Clip says of its whole.

    views: for each view float32 [R, D], the embeddings of its R clips; of a Judge [R, P], their
    scores for `prompts`. ends, end_times: of the points of its curve, as in clips.Shots; empty
    without. content: the file's BLAKE2b hash in hexadecimal, None if it changed meanwhile. kept:
    whether all of it came from the cache; partly: whether some did."""

    views: dict[View, np.ndarray]
    indices: list[int]
    length: int
    size: list[int]
    fps: float | None
    warning: str | None
    ends: Sequence[int] = ()
    end_times: Sequence[float] = ()
    prompts: Sequence[str] = ()
    content: str | None = None
    kept: bool = False
    partly: bool = False

    @property
    def embedding(self) -> np.ndarray:
        """Of the whole, float32 [D]; of a Judge the scores [P]."""
        return self.views[WHOLE][0]


# What the cache keeps besides the values: of the whole, of all, and of views with points.
FACTS = {name: Embedded.__annotations__[name] for name in Embedded._fields[1:6]}
WARNING = {"warning": str | None}
POINTS = WARNING | {"ends": list[int], "end_times": list[float]}
# The values: float32 [R, D], or [D] of a view without points; a Judge's float32 [P, R].
EMBEDDING: dict = {"embedding": np.ndarray}
SCORES: dict = {"prompts": list[str], "scores": np.ndarray}


class Shelf:
    """The results of one video, those that the cache has and those that are added. key: everything
    that they all depend on. prompts: those of a Judge, else None. missing: of each view that lacks
    something the prompts that it lacks, or [None]."""

    def __init__(
        self, cache: Cache, key: dict, views: Sequence[View], prompts: Sequence[str] | None
    ):
        self.cache, self.key, self.views, self.prompts = cache, key, views, prompts
        kept = {view: self.kept(view) for view in views}
        self.entries = {view: entry for view, entry in kept.items() if entry}
        lacking = {view: self.lacking(view) for view in views}
        self.missing = {view: prompts for view, prompts in lacking.items() if prompts}

    def kept(self, view: View) -> dict | None:
        """What the cache has of a view; a Judge's scores of all prompts are in one entry."""
        if not self.key["content"]:
            return None
        fields = EMBEDDING if self.prompts is None else SCORES
        return self.cache.get("videos", self.key | view.key, fields | facts_of(view))

    def lacking(self, view: View) -> list:
        entry = self.entries.get(view)
        if self.prompts is None:
            return [] if entry else [None]
        known = set(entry["prompts"]) if entry else ()
        return [prompt for prompt in self.prompts if prompt not in known]

    def add(self, fresh: Fresh, keep: bool) -> None:
        """Adds what was missing. keep: whether to put it into the cache."""
        for view, prompts in self.missing.items():
            values, footage = fresh.values[view], fresh.footage
            shots = footage.views[view]
            known = {
                "indices": footage.indices[shots.places[0]].tolist(),
                **{"length": footage.length, "size": list(footage.size)},
                **{"fps": footage.fps, "warning": shots.warning},
                **{"ends": shots.ends.tolist(), "end_times": shots.end_times.tolist()},
            }
            entry = {name: known[name] for name in facts_of(view)}
            if self.prompts is None:
                entry["embedding"] = values if view.how else values[0]
            else:
                entry |= with_scores(self.entries.get(view), prompts, values)
            self.entries[view] = entry
            if keep:
                self.cache.put("videos", self.key | view.key, entry)

    def all(self, **others) -> Embedded:
        """All results together. others: the fields that they do not have."""
        values, facts, warnings = {}, {}, []
        for view in self.views:
            entry = self.entries[view]
            if self.prompts is None:
                values[view] = np.atleast_2d(entry["embedding"])
            else:
                rows = dict(zip(entry["prompts"], entry["scores"]))
                values[view] = np.stack([rows[prompt] for prompt in self.prompts], 1)
            facts |= {name: entry[name] for name in facts_of(view)}
            warnings.append(facts["warning"])
        facts["warning"] = warnings[0]
        if warnings[0] is None and any(warnings):  # of frames that the whole is not made of
            facts["warning"] = f"its curves and controls: {next(filter(None, warnings))}"
        return Embedded(values, **facts, prompts=self.prompts or (), **others)


def with_scores(entry: dict | None, prompts: list[str], values: np.ndarray) -> dict:
    """A Judge's prompts and scores of a view, those of an entry and new ones. values: float32
    [R, P]."""
    if entry is None:
        return {"prompts": prompts, "scores": np.ascontiguousarray(values.T)}
    scores = np.concatenate([entry["scores"], values.T])
    return {"prompts": entry["prompts"] + prompts, "scores": scores}


def facts_of(view: View) -> dict:
    """What is kept of a view besides its array: name -> type."""
    return FACTS if view == WHOLE else POINTS if view.how else WARNING


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
    contents = Contents(cache)
    hashes = [contents.of(source) for source in sources]
    of_model = video_key(model)
    keys = [of_model | source_key(*pair) for pair in zip(sources, hashes)]
    asked = prompts or [None] * len(sources)
    shelves = [Shelf(cache, key, views, own) for key, own in zip(keys, asked)]
    missing = [(source, shelf.missing) for source, shelf in zip(sources, shelves) if shelf.missing]
    with closing((compute or compute_here)(model, missing, batch_size)) as fresh:
        for source, content, shelf in zip(sources, hashes, shelves):
            if not shelf.missing:
                yield shelf.all(content=content, kept=True)
                continue
            answer = next(fresh)
            if isinstance(answer, Exception):
                yield answer
                continue
            # The content that was hashed is what was decoded, if it is still the same after that.
            same = content if content and contents.of(source) == content else None
            partly = bool(shelf.entries)
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
