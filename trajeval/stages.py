"""The stages of a run, in the order in which `evaluator.py` and `sets.py` call them. Those before
the report take any number of problem sets: videos and prompts that several sets share are embedded
once.

Start-up matters: what is heavy to import is imported once the inputs have been checked.
"""

import time
from argparse import Namespace
from collections.abc import Hashable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

from trajeval import messages
from trajeval.arguments import Inputs
from trajeval.cache import Cache
from trajeval.devices import are_several, devices_of
from trajeval.inputs import BASELINE
from trajeval.terminal import UserError, printable, progress, tell, tell_all, telling_few

if TYPE_CHECKING:  # NumPy is imported where it is needed
    import numpy as np

    from trajeval.report import Report
    from trajeval.table import Table


class Embeddings(NamedTuple):
    """Of one problem set. texts: float32 [P, D], None of a Judge. warnings: the messages about each
    prompt. videos: for each trajectory its embedding.Embedded, or the VideoError if it cannot be
    used."""

    texts: "np.ndarray | None"
    warnings: list[list[str]]
    videos: list


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
    with imported_meanwhile("trajeval.report"):
        with clock.timed("prompts"):
            texts = embed_prompts(sets, model, cache, args.verbose)
        with clock.timed("videos"):
            videos = embed_videos(sets, model, cache, args)
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


def embed_videos(sets: list[Inputs], model, cache: Cache, args) -> list[list]:
    """For each set what `Embeddings.videos` has, but only of the videos in --shard."""
    from trajeval.embedding import embed_trajectories

    parts = [[one.part for one in inputs.trajectories] for inputs in sets]
    videos = {
        part: one for inputs, own in zip(sets, parts) for part, one in zip(own, inputs.trajectories)
    }
    own, of_all = args.shard or (1, 1)
    videos = dict(list(videos.items())[own - 1 :: of_all])
    sources = [one.source._replace(fps=args.fps) for one in videos.values()]
    views, prompts = views_for(model, args), prompts_of_parts(model, sets, parts)
    start, answers = time.monotonic(), {}
    embedded = embed_trajectories(
        *(model, sources, args.batch_size, cache, views),
        prompts=None if prompts is None else [prompts[part] for part in videos],
        compute=compute_for(args),
    )
    with (
        closing(embedded),
        progress("embedding" if prompts is None else "scoring", len(videos), "videos") as advance,
        telling_few("errors", args.verbose) as tell_error,
        telling_few("warnings about videos", args.verbose) as tell_warning,
    ):
        for (part, trajectory), found in zip(videos.items(), embedded):
            answers[part] = found
            advance(1)
            if isinstance(found, Exception):
                tell_error(printable(f"error: {found}", 1000))
            elif found.warning:
                tell_warning(f"warning: {printable(trajectory.name)}: {found.warning}")
            if args.verbose and not isinstance(found, Exception):
                tell(messages.of_video(trajectory.name, found))
    shard = f"shard {own} of {of_all}: " if args.shard else ""
    tell(shard + messages.of_videos(list(answers.values()), views, time.monotonic() - start))
    return [[answers[part] for part in own if part in answers] for own in parts]


def compute_for(args):
    """Where --ray or --device ask for it, what computes on several devices or machines."""
    if args.ray is None and not are_several(args.device):
        return None

    def compute(model, missing, batch_size):
        from trajeval.cluster import compute_on_ray  # which the cache may spare us

        yield from compute_on_ray(model, missing, batch_size, args)

    return compute


def views_for(model, args) -> list:
    """The views that the options ask for, of a model's videos."""
    from trajeval.batches import by_frame
    from trajeval.views import views_of

    most = 2 * model.n_frames if by_frame(model) else None
    return views_of(args.curves, args.curve_points, args.window, args.controls, most)


def prompts_of_parts(
    model, sets: list[Inputs], parts: list[list]
) -> dict[Hashable, list[str]] | None:
    """For a Judge the prompts that each video is scored with, in any set; else None."""
    from trajeval.scoring import is_judge

    if not is_judge(model):
        return None
    wanted: dict[Hashable, dict[str, None]] = {}
    for inputs, own in zip(sets, parts):
        texts = dict.fromkeys(one.text for one in inputs.prompts if one.group != BASELINE)
        for part in own:
            wanted.setdefault(part, {}).update(texts)
    return {part: list(texts) for part, texts in wanted.items()}


def evaluate(inputs: Inputs, model, embedded: Embeddings, clock: Clock) -> tuple["Table", "Report"]:
    """The similarities of a set, and everything that is to be written of them. Raises UserError,
    with status 1, if none of its videos could be used."""
    from trajeval.page import page_of
    from trajeval.page_data import Run, baseline_of
    from trajeval.record import record_of
    from trajeval.report import report
    from trajeval.results import as_json, as_npz
    from trajeval.tables import compare

    args = inputs.args
    if all(isinstance(found, Exception) for found in embedded.videos):
        raise UserError("none of the videos could be used", status=1)
    with clock.timed("report"):
        videos, table, curves, controls = compare(inputs, model, embedded)
        title = messages.title(args.experiment_id, model, table.label)
        made = report(
            *(table, title, model.short_name),
            curves=curves,
            controls=controls,
            embeddings=videos,
            cache=model.cache,
            success_above=args.success_above,
            max_false_positives=args.max_false_positives,
            vmin=args.vmin,
            vmax=args.vmax,
        )
    if args.plots:
        from trajeval.plots import draw_plots  # seaborn takes a second to import

        pairs = zip(inputs.trajectories, embedded.videos)
        sources = [one.source for one, found in pairs if not isinstance(found, Exception)]
        with clock.timed("plots"):
            made.files.update(draw_plots(table, made.verdict, curves, sources, args))
    record = record_of(inputs, model, embedded, table, made.verdict, clock)
    names, words = [row.name for row in table.rows], [prompt.text for prompt in inputs.prompts]
    made.files["run.json"] = as_json(record)
    if videos is not None:
        made.files["embeddings.npz"] = as_npz(
            trajectories=names, videos=videos, prompts=words, texts=embedded.texts
        )
    groups = [prompt.group for prompt in inputs.prompts]
    baseline = baseline_of(table.label, groups, videos, embedded.texts)
    with clock.timed("page"):
        run = Run(record, table, made.verdict, curves, baseline)
        folder = Path(args.output_dir, args.experiment_id)
        made.files["report.html"] = page_of(run, folder, model.cache)
    return table, made


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
