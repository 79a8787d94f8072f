"""The run that all evaluators share: it calls the stages in their order.

Start-up matters: what is heavy to import is imported once the inputs have been checked.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from threading import Thread

from trajeval import messages
from trajeval.arguments import check_inputs
from trajeval.cache import Cache
from trajeval.terminal import (
    UserError,
    answer,
    printable,
    progress,
    run_command,
    tell,
    tell_all,
    telling_few,
)


def main(model_class, description: str, argv: list[str] | None = None) -> int:
    """Runs an evaluator's command line; returns the exit status.

    0: done; 1: some videos, or all, could not be used, or the results could not be written; 2: the
    arguments, the lists or the weights are wrong and nothing was run; 130: interrupted.
    """
    return run_command(lambda: run(model_class, *check_inputs(model_class, description, argv)))


def run(model_class, args, prompts, trajectories) -> int:
    """From checked inputs to files on disk; returns the exit status. Raises UserError."""
    started, seconds = datetime.now(UTC), {}
    with nothing_written():
        repeats = messages.of_repeats(args.trajectories_path, trajectories)
        tell_all(repeats, "repeated files", args.verbose)
        # What draws takes a second to import: beside the videos, which mostly run outside Python.
        with imported_meanwhile("trajeval.report"):
            with timed(seconds, "loading"):
                cache = Cache(args.cache_dir, int(args.cache_size * 1e9))
                problem = cache.check()
                tell_all(messages.of_cache(problem), "warnings")
                model = model_class.from_arguments(args, cache)
                tell_all(messages.of_model(model, args.verbose), "lines", verbose=True)
            with timed(seconds, "prompts"):
                texts, warnings = embed_prompts(args, model, prompts, cache)
            with timed(seconds, "videos"):
                answers = embed_videos(args, model, trajectories, cache)
        with timed(seconds, "report"):
            from trajeval.record import record_of
            from trajeval.report import report
            from trajeval.results import as_json, as_npz, write_results

            videos, table = compare(args, trajectories, answers, prompts, texts)
            title = messages.title(args.experiment_id, model, table.label)
            made = report(table, title, model.short_name, vmin=args.vmin, vmax=args.vmax)
        record = record_of(
            *(args, model, table, made.verdict, started, seconds),
            *(prompts, warnings, trajectories, answers),
        )
        names, words = [row.name for row in table.rows], [prompt.text for prompt in prompts]
        made.files["run.json"] = as_json(record)
        made.files["embeddings.npz"] = as_npz(
            trajectories=names, videos=videos, prompts=words, texts=texts
        )
    picture = write_results(args.output_dir, args.experiment_id, made.picture, made.files)
    with suppress(KeyboardInterrupt):  # everything is written
        tell_all(messages.of_results(args, table, made, answers, seconds), "lines", verbose=True)
        answer(picture)
        cache.prune()
        if not problem:  # else it was told at the start
            tell_all(messages.of_cache(cache.problem), "warnings")
    return 1 if len(table.rows) < len(trajectories) else 0


def embed_prompts(args, model, prompts, cache):
    """The prompts' embeddings, float32 [P, D], and what is to be said of each."""
    from trajeval import embedding, readings

    words = [prompt.text for prompt in prompts]
    texts, found = embedding.embed_prompts(model, words, cache)
    warnings = readings.warnings(words, found)
    lines = messages.of_prompts(args.prompts_path, prompts, warnings)
    tell_all(lines, "warnings about prompts", args.verbose)
    return texts, warnings


def embed_videos(args, model, trajectories, cache) -> list:
    """For each trajectory, its embedding.Embedded, or the VideoError if it cannot be used. Raises
    UserError if none can."""
    from trajeval.embedding import embed_trajectories

    answers = []
    start, paths = time.monotonic(), [trajectory.path for trajectory in trajectories]
    with (
        closing(embed_trajectories(model, paths, args.batch_size, cache)) as embedded,
        progress("embedding", len(paths), "videos") as advance,
        telling_few("errors", args.verbose) as tell_error,
        telling_few("warnings about videos", args.verbose) as tell_warning,
    ):
        for path, found in zip(paths, embedded):
            answers.append(found)
            advance(1)
            if isinstance(found, Exception):
                tell_error(printable(f"error: {found}", 1000))
            elif found.warning:
                tell_warning(f"warning: {printable(str(path))}: {found.warning}")
            if args.verbose and not isinstance(found, Exception):
                tell(messages.of_video(path, found))
    tell(messages.of_videos(answers, time.monotonic() - start))
    if all(isinstance(found, Exception) for found in answers):
        raise UserError("none of the videos could be used", status=1)
    return answers


def compare(args, trajectories, answers, prompts, texts):
    """The embeddings of the videos that could be used, float32 [N, D], and the table of their
    similarities with the prompts, as the arguments ask for it."""
    import numpy as np

    from trajeval.similarity import table_of
    from trajeval.table import Entry

    usable = [(t, a) for t, a in zip(trajectories, answers) if not isinstance(a, Exception)]
    videos = np.stack([found.embedding for _, found in usable])
    rows = [Entry(trajectory.path.as_posix(), trajectory.group) for trajectory, _ in usable]
    columns = [Entry(prompt.text, prompt.group) for prompt in prompts]
    table = table_of(
        *(videos, texts, rows, columns),
        similarity=args.similarity,
        alpha=args.alpha,
        normalize=args.normalize,
        softmax=args.softmax,
        ensemble=args.ensemble,
    )
    return videos, table


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
def nothing_written() -> Iterator[None]:
    """Says what an interrupt or a failure within the block means for the results."""
    consequence = "nothing was written"
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(consequence) from None
    except UserError as error:
        if error.status == 1:
            raise UserError(f"{error}; {consequence}", status=1) from None
        raise


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - start, 3)
