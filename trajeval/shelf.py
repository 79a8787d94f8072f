"""What the cache has of one video, and what is added to it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trajeval.batches import Fresh
from trajeval.cache import Cache
from trajeval.views import WHOLE, View


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
    new = [i for i, prompt in enumerate(prompts) if prompt not in entry["prompts"]]
    scores = np.concatenate([entry["scores"], values.T[new]])
    return {"prompts": entry["prompts"] + [prompts[i] for i in new], "scores": scores}


def facts_of(view: View) -> dict:
    """What is kept of a view besides its array: name -> type."""
    return FACTS if view == WHOLE else POINTS if view.how else WARNING
