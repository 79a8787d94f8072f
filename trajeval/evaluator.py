"""The run that all evaluators share: it calls the stages in their order.

Start-up matters: what is heavy to import is imported when the inputs have been checked.
"""

import importlib
import os
import platform
import signal
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version

from trajeval.arguments import check_inputs, escape_output, parse_arguments
from trajeval.terminal import UserError

PACKAGES = ("torch", "numpy", "av", "matplotlib")  # whose versions run.json names
PROGRESS_EVERY = 10  # seconds between progress lines where standard error is no terminal


def main(model_class, description: str, argv: list[str] | None = None) -> int:
    """Runs an evaluator's command line; returns the exit status.

    0: done; 1: some videos could not be used, or none, or the results could not be written; 2:
    nothing was done, as something was wrong with the arguments, the lists or the weights; 130:
    interrupted.
    """
    escape_output()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # schedulers: clean up as on Ctrl-C
    try:
        args = parse_arguments(model_class, description, argv)
        try:
            prompts, trajectories = check_inputs(model_class, args)
        except UserError as error:
            tell(error)
            tell(f"{len(error.problems)} to put right; nothing was run")
            return 2
        return run(model_class, args, prompts, trajectories)
    except KeyboardInterrupt:
        tell("\ninterrupted; nothing was written")
        return 130


def run(model_class, args, prompts, trajectories) -> int:
    """From checked inputs to files on disk; returns the exit status."""
    started, seconds = datetime.now(UTC), {}
    warn_of_repeats(args.trajectories_path, trajectories)
    with timed(seconds, "loading"):
        from trajeval.cache import Cache
        from trajeval.embedding import embed_prompts, embed_trajectories
        from trajeval.readings import warnings

        cache = Cache(args.cache_dir, int(args.cache_size * 1e9))
        try:
            model = model_class.from_arguments(args, cache)
        except UserError as error:
            tell(error)
            return 2
    if args.verbose:
        tell(f"{model.description}, on {model.device} in {model.precision}")
        tell(", ".join(f"{name} {value}" for name, value in model.preparation.items()))

    # What draws takes seconds to import: beside the videos, which mostly run outside of Python.
    threading.Thread(target=importlib.import_module, args=("trajeval.report",), daemon=True).start()

    texts = [prompt.text for prompt in prompts]
    paths = [trajectory.path for trajectory in trajectories]
    answers = []
    try:
        with timed(seconds, "prompts"):
            text_embeddings, readings = embed_prompts(model, texts, cache)
        text_warnings = warnings(texts, readings)
        for prompt, messages in zip(prompts, text_warnings):
            for message in messages:
                tell(f'warning: {args.prompts_path}:{prompt.line}: "{prompt.text}": {message}')
        with timed(seconds, "videos"):
            embedded = embed_trajectories(model, paths, args.batch_size, cache)
            for answer, path in zip(with_progress(embedded, len(paths)), paths):
                tell_of_video(path, answer, args.verbose)
                answers.append(answer)
    except UserError as error:
        tell(f"{error}; nothing was written" if error.status == 1 else error)
        return error.status
    usable = [(t, a) for t, a in zip(trajectories, answers) if not isinstance(a, Exception)]
    errors = [answer for answer in answers if isinstance(answer, Exception)]
    if not usable:
        tell("none of the videos could be used; nothing was written")
        return 1

    with timed(seconds, "figure"):
        import numpy as np

        from trajeval.report import report
        from trajeval.results import as_json, as_npz, write_results
        from trajeval.similarity import table_of
        from trajeval.table import Entry

        video_embeddings = np.stack([answer.embedding for _, answer in usable])
        table = table_of(
            video_embeddings,
            text_embeddings,
            [Entry(trajectory.path.as_posix(), trajectory.group) for trajectory, _ in usable],
            [Entry(prompt.text, prompt.group) for prompt in prompts],
            similarity=args.similarity,
            alpha=args.alpha,
            normalize=args.normalize,
            softmax=args.softmax,
            ensemble=args.ensemble,
        )
        short, *_ = model.description.split(",")
        title = f"{args.experiment_id}\n{model.description}, {model.n_frames} frames"
        if table.label != "cosine similarity":
            title += f"\n{table.label}"
        found = report(table, title, short)

    record = {
        "experiment": args.experiment_id,
        "started": started.isoformat(timespec="seconds"),
        "arguments": vars(args),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in (*PACKAGES, *model.packages)},
        **describe_model(model),
        "similarity": table.label,
        "metrics": found.verdict and found.verdict["metrics"],
        "prompts": [
            {"text": prompt.text, "group": prompt.group, "warnings": messages}
            for prompt, messages in zip(prompts, text_warnings)
        ],
        "columns": [{"prompt": column.name, "group": column.group} for column in table.columns],
        "trajectories": [
            {"path": trajectory.path.as_posix(), "group": trajectory.group, **describe_clip(answer)}
            for trajectory, answer in zip(trajectories, answers)
        ],
        "seconds": {stage: round(duration, 3) for stage, duration in seconds.items()},
    }
    files = found.files
    files["run.json"] = as_json(record)
    files["embeddings.npz"] = as_npz(
        trajectories=[row.name for row in table.rows],
        videos=video_embeddings,
        prompts=texts,
        texts=text_embeddings,
    )
    try:
        written = write_results(args.output_dir, args.experiment_id, found.picture, files)
    except UserError as error:
        tell(error)
        return error.status
    if args.verbose:
        tell(f"prompts {list(text_embeddings.shape)}, similarities {list(table.values.shape)}")
        tell(", ".join(f"{stage} {duration:.2f} s" for stage, duration in seconds.items()))
    if errors:
        tell(f"left out, as they could not be used ({len(errors)} of {len(answers)}):")
        for error in errors:
            tell(f"  {error}")
    for line in found.lines:
        tell(line)
    print(written, flush=True)
    cache.prune()
    if cache.problem:
        tell(f"warning: embeddings could not be kept for the next run: {cache.problem}")
    return 1 if errors else 0


def warn_of_repeats(list_path, trajectories) -> None:
    """Says which files stand in the list more than once; they are evaluated as often."""
    lines = {}
    for trajectory in trajectories:
        first = lines.setdefault(os.path.realpath(trajectory.path), trajectory)
        if first is not trajectory:
            tell(
                f"warning: {list_path}:{trajectory.line}: {trajectory.path} is the same file as "
                f"in line {first.line}"
            )


def tell_of_video(path, answer, verbose) -> None:
    """What is to be said of one video at once."""
    if isinstance(answer, Exception):
        tell(f"error: {answer}")
        return
    if answer.warning:
        tell(f"warning: {path}: {answer.warning}")
    if verbose:
        tell(
            f"{path}: {answer.length} frames of {answer.size[0]}x{answer.size[1]}, "
            f"sampled {' '.join(map(str, answer.indices))}"
        )


def describe_model(model) -> dict:
    """What run.json says of the network and how it got its frames."""
    return {
        "model": model.name,
        "description": model.description,
        "weights": [{"path": path, "sha256": digest} for path, digest in model.weights.items()],
        "device": model.device,
        "precision": model.precision,
        "n_frames": model.n_frames,
        **model.preparation,
    }


def describe_clip(answer) -> dict:
    """What run.json says of one video."""
    if isinstance(answer, Exception):
        return {"error": str(answer)}
    return {
        "length": answer.length,
        "width": answer.size[0],
        "height": answer.size[1],
        "frames": answer.indices,
        "warning": answer.warning,
    }


def with_progress(answers, total):
    """Passes the videos' answers on and shows how far they are, on standard error."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        rate = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"
        yield from tqdm(answers, total=total, unit=" videos", bar_format=rate, file=sys.stderr)
        return
    start = told = time.monotonic()
    for n, answer in enumerate(answers, 1):
        yield answer
        now = time.monotonic()
        if n == total or now - told >= PROGRESS_EVERY:
            told = now
            tell(f"{n} of {total} videos, {n / (now - start):.2f} videos/s")


@contextmanager
def timed(timings, stage):
    start = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - start


def tell(message) -> None:
    """One line for the user, on standard error, around a progress bar if there is one."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(str(message), file=sys.stderr)
    else:
        print(message, file=sys.stderr)
