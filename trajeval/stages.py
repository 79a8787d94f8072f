"""The stages of a run, in the order in which `evaluator.py` and `sets.py` call them. Those before
the report take any number of problem sets: videos and prompts that several sets share are embedded
once.

Start-up matters: what is heavy to import is imported once the inputs have been checked.
"""

import time
from argparse import Namespace
from array import array
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

from trajeval import messages
from trajeval.arguments import Inputs
from trajeval.cache import Cache
from trajeval.devices import are_several, devices_of
from trajeval.inputs import BASELINE, Trajectory
from trajeval.running import Going, shown, written
from trajeval.terminal import UserError, printable, tell, tell_all, telling_few

if TYPE_CHECKING:  # NumPy is imported where it is needed
    import numpy as np

    from trajeval.answers import Answers


class Embeddings(NamedTuple):
    """Of one problem set. texts: float32 [P, D], None of a Judge. warnings: the messages about each
    prompt. videos: of each trajectory."""

    texts: "np.ndarray | None"
    warnings: list[list[str]]
    videos: "Answers"


class Clock:
    """When a run started, and the seconds that each of its stages took."""

    def __init__(self, seconds: dict[str, float] | None = None):
        self.started, self.seconds = datetime.now(UTC), dict(seconds or {})

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 3)


def load(model_class, args) -> tuple:
    """The model, of which nothing is loaded yet, and the cache. Raises UserError."""
    cache = Cache(args.cache_dir, int(args.cache_size * 1e9))
    problem = cache.check()
    if args.cache_dir is None and not args.no_cache:
        problem = "this user has no home folder; --cache-dir names another"
    tell_all(messages.of_cache(problem), "warnings")
    first, *_ = devices_of(args.device)  # of several: it embeds the prompts
    model = model_class.from_arguments(Namespace(**vars(args) | {"device": first}), cache)
    tell_all(messages.of_model(model, args.verbose), "lines", verbose=True)
    return model, cache


def embed(sets: list[Inputs], model, cache: Cache, args, clock: Clock) -> list[Embeddings]:
    """The embeddings of each set's prompts and videos. Raises UserError."""
    repeats = (line for inputs in sets for line in messages.of_repeats(inputs))
    tell_all(repeats, "repeated files", args.verbose)
    # What draws takes a second to import: beside the videos, which mostly run outside Python.
    with imported_meanwhile("trajeval.evaluation"):
        with clock.timed("prompts"):
            texts = embed_prompts(sets, model, cache, args.verbose)
        with clock.timed("videos"):
            videos = embed_videos(sets, model, cache, args, clock)
    return [Embeddings(*of_prompts, found) for of_prompts, found in zip(texts, videos)]


def embed_prompts(sets: list[Inputs], model, cache: Cache, verbose: bool) -> list[tuple]:
    """For each set its prompts' embeddings, float32 [P, D], None of a Judge, and what is to be said
    of each prompt."""
    from trajeval import embedding, readings
    from trajeval.scoring import is_judge

    words = list(dict.fromkeys(prompt.text for inputs in sets for prompt in inputs.prompts))
    places = {text: i for i, text in enumerate(words)}
    if is_judge(model):
        texts, found = None, embedding.read_prompts(model, words, cache)
    else:
        texts, found = embedding.embed_prompts(model, words, cache)
    embedded, lines = [], []
    for inputs in sets:
        own = [places[prompt.text] for prompt in inputs.prompts]
        warnings = readings.warnings([words[i] for i in own], [found[i] for i in own])
        lines += messages.of_prompts(inputs.args.prompts_path, inputs.prompts, warnings)
        embedded.append((None if texts is None else texts[own], warnings))
    tell_all(lines, "warnings about prompts", verbose)
    return embedded


def embed_videos(
    sets: list[Inputs], model, cache: Cache, args, clock: Clock | None = None
) -> "list[Answers]":
    """For each set what `Embeddings.videos` has, but only of the videos in --shard. clock: None
    for --shard, which writes nothing but the cache."""
    from trajeval.answers import Answers
    from trajeval.embedding import embed_trajectories

    videos, numbers = different_videos(sets)
    prompts = prompts_of_videos(model, sets, numbers)
    own, of_all = args.shard or (1, 1)
    chosen = range(own - 1, len(videos), of_all)
    videos = [videos[number] for number in chosen]
    sources = [one.source._replace(fps=args.fps) for one in videos]
    views = views_for(model, args)
    start, answers = time.monotonic(), Answers()
    going = Going("embedding" if prompts is None else "scoring", len(videos))
    embedded = embed_trajectories(
        *(model, sources, args.batch_size, cache, views),
        prompts=None if prompts is None else [prompts[number] for number in chosen],
        compute=compute_for(args, going),
    )
    with (
        closing(embedded),
        shown(going),
        written(going, args, model, clock),
        telling_few("errors", args.verbose) as tell_error,
        telling_few("warnings about videos", args.verbose) as tell_warning,
    ):
        for trajectory, found in zip(videos, embedded):
            answers.add(found)
            going.add(trajectory.name, found)
            if isinstance(found, Exception):
                tell_error(printable(f"error: {found}", 1000))
            elif found.warning:
                tell_warning(f"warning: {printable(trajectory.name)}: {found.warning}")
            if args.verbose and not isinstance(found, Exception):
                tell(messages.of_video(trajectory.name, found))
    shard = f"shard {own} of {of_all}: " if args.shard else ""
    tell(shard + messages.of_videos(answers, views, time.monotonic() - start))
    return [
        answers.of(array("q", (chosen.index(number) for number in of_set if number in chosen)))
        for of_set in numbers
    ]


def different_videos(sets: list[Inputs]) -> tuple[list[Trajectory], list[array]]:
    """The different parts of files in all sets, and for the trajectories of each set their numbers
    among those."""
    found, videos, numbers = {}, [], []
    for inputs in sets:
        own = array("q")
        for one in inputs.trajectories:
            number = found.setdefault(one.part, len(found))
            own.append(number)
            if number == len(videos):
                videos.append(one)
        numbers.append(own)
    return videos, numbers


def compute_for(args, going: Going):
    """What computes: this process, or, where --ray or --device ask for it, several devices or
    machines."""

    def compute(model, missing, batch_size):
        from trajeval.embedding import compute_here

        going.due = (going.due or 0) + len(missing)
        if args.ray is None and not are_several(args.device):
            return compute_here(model, missing, batch_size)
        from trajeval.cluster import compute_on_ray  # which the cache may spare us

        return compute_on_ray(model, missing, batch_size, args, going.has_workers)

    return compute


def views_for(model, args) -> list:
    """The views that the options ask for, of a model's videos."""
    from trajeval.batches import by_frame
    from trajeval.views import views_of

    most = 2 * model.n_frames if by_frame(model) else None
    return views_of(args.curves, args.curve_points, args.window, args.controls, most)


def prompts_of_videos(model, sets: list[Inputs], numbers: list[array]) -> list | None:
    """For a Judge the prompts that each of different_videos is scored with, in any set; else
    None."""
    from trajeval.scoring import is_judge

    if not is_judge(model):
        return None
    wanted: dict[int, tuple[str, ...]] = {}
    for inputs, own in zip(sets, numbers):
        texts = [one.text for one in inputs.prompts if one.group != BASELINE]
        joined: dict[tuple, tuple] = {}  # the few different ones, each once
        for number in own:
            before = wanted.get(number, ())
            if before not in joined:
                joined[before] = tuple(dict.fromkeys((*before, *texts)))
            wanted[number] = joined[before]
    return [wanted[number] for number in range(len(wanted))]


@contextmanager
def imported_meanwhile(module: str) -> Iterator[None]:
    """Imports a module beside what the block does; the thread ends with the block. If that fails,
    the import that needs the module says why."""

    def attempt():
        with suppress(Exception):
            import_module(module)

    thread = Thread(target=attempt)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@contextmanager
def consequence(text: str) -> Iterator[None]:
    """Says what an interrupt or a failure within the block means for the results."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(text) from None
    except UserError as error:
        if error.status == 1:
            raise UserError(f"{error}; {text}", status=1) from None
        raise
