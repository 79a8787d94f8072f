"""What runs in the processes that share the embedding of a run: see cluster.py."""

import inspect
import os
from argparse import Namespace
from contextlib import closing
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from trajeval.batches import is_error
from trajeval.cache import Cache
from trajeval.contents import Contents
from trajeval.devices import limit_to
from trajeval.embedding import compute_here
from trajeval.videos import VideoError


class Place(NamedTuple):
    """Where a worker runs. node: Ray's id; host: the name of another machine than the driver's, or
    None. batches: how many at a time, None: as the device says. gpus: that Ray is to give it."""

    node: str
    host: str | None
    device: str
    cores: int
    batches: int | None = None
    gpus: int = 0


class Recipe(NamedTuple):
    """How a worker makes the model: its class, by folders, module and name, and the options."""

    folders: str
    module: str
    name: str
    args: Namespace


class Worker:
    """What runs in an actor."""

    def __init__(self, place: Place, recipe: Recipe):
        self.place, self.recipe = place, recipe

    def load(self) -> list[str]:
        """Loads the model; returns the hashes of its files. Raises UserError."""
        place, (_, module, name, args) = self.place, self.recipe
        limit_to(place.cores, place.batches)
        args = Namespace(**vars(args) | {"device": place.device})
        self.cache = Cache(args.cache_dir, int(args.cache_size * 1e9))
        self.model = attrgetter(name)(import_module(module)).from_arguments(args, self.cache)
        _ = self.model.video_network
        return list(self.model.weights.values())

    def embed(self, requests: list[tuple], contents: list[str | None], batch_size: int | None):
        """Yields the Fresh of each request, or its VideoError. contents: the hash of each where the
        work comes from, None if the file is the same one."""
        known, host = Contents(self.cache), self.place.host
        with closing(compute_here(self.model, requests, batch_size)) as computed:
            for (source, _), content, found in zip(requests, contents, computed):
                if is_error(found):
                    yield VideoError(f"{found} (on {host})") if host else found
                elif content and known.of(source) != content:
                    yield VideoError(f"{source.name}: on {host} it is another file than here")
                else:
                    yield found


def recipe_of(model, args) -> Recipe:
    """How workers make a model that was made from these options."""
    cls = type(model)
    file = Path(inspect.getfile(cls)).absolute()
    module = file.stem if cls.__module__ == "__main__" else cls.__module__
    folders = [Path(__file__).parent.parent, file.parent]
    args = Namespace(**vars(args) | {"precision": model.precision})
    return Recipe(os.pathsep.join(map(str, folders)), module, cls.__qualname__, args)
