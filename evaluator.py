"""The command line and the run that all evaluators share: it calls the stages in their order.

Start-up matters: what is heavy to import is imported when the inputs have been checked.
"""

import argparse
import io
import os
import platform
import re
import signal
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version

from inputs import InputError, read_prompts, read_trajectories, short_names

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
PACKAGES = ("torch", "numpy", "av", "seaborn", "matplotlib")  # whose versions run.json names
PROGRESS_EVERY = 10  # seconds between progress lines where standard error is no terminal


def main(model_class, description: str, argv: list[str] | None = None) -> int:
    """Runs an evaluator's command line; returns the exit status.

    0: done; 1: some videos could not be used, or none, or the results could not be written; 2:
    nothing was done, as something was wrong with the arguments, the lists or the weights; 130:
    interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # schedulers: clean up as on Ctrl-C
    try:
        args = parse_arguments(model_class, description, argv)
        try:
            prompts, trajectories = check_inputs(model_class, args)
        except InputError as error:
            tell(error)
            tell(f"{len(error.problems)} to put right; nothing was run")
            return 2
        return run(model_class, args, prompts, trajectories)
    except KeyboardInterrupt:
        tell("\ninterrupted; nothing was written")
        return 130


def parse_arguments(model_class, description, argv):
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "-t",
        "--trajectories-path",
        metavar="FILE",
        help="trajectory list: a video file, folder or glob pattern a line",
    )
    parser.add_argument("-p", "--prompts-path", metavar="FILE", help="prompt list: a prompt a line")
    parser.add_argument(
        "-e", "--experiment-id", metavar="NAME", help="what the results are called: NAME.png, NAME/"
    )
    parser.add_argument(
        "-o",
        "--output-dir",
        metavar="DIR",
        default="evaluation_results",
        help="folder for the results (default: evaluation_results)",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="tell what was sampled from which video, shapes, device and times",
    )
    parser.add_argument(
        "--n-frames",
        metavar="N",
        help=f"frames sampled from each video (default: {model_class.n_frames})",
    )
    parser.add_argument(
        "--batch-size",
        metavar="N",
        help="videos embedded at a time (default: 1 on a CPU, 8 on a GPU)",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:N or mps (default: auto, the best there is)",
    )
    parser.add_argument(
        "--precision",
        default="auto",
        help="auto, float32, bfloat16 or float16, for the videos (default: auto, 16 bits on a GPU "
        "that is fast at it, else float32)",
    )
    model_class.add_arguments(parser)
    return parser.parse_args(argv)


def check_inputs(model_class, args):
    """The prompts and the trajectories; raises InputError with all that is wrong with the
    arguments and the lists."""
    from results import check_destination

    problems = model_class.check_arguments(args)
    if args.batch_size is not None:
        args.batch_size = whole_number(args, "batch_size", 1, 4096, problems)
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d|:[1-9]\d)?", args.device, re.ASCII):
        problems.append(f"--device {args.device}: takes auto, cpu, cuda, cuda:N or mps")
    if args.precision not in PRECISIONS:
        problems.append(f"--precision {args.precision}: takes {', '.join(PRECISIONS)}")
    if args.experiment_id is None:
        problems.append("-e NAME is missing: what shall the results be called?")
    else:
        problems += check_destination(args.output_dir, args.experiment_id)
    lists = []
    for path, read, missing in (
        (args.prompts_path, read_prompts, "-p FILE is missing: the list of prompts, one a line"),
        (
            args.trajectories_path,
            read_trajectories,
            "-t FILE is missing: the list of trajectories, one a line",
        ),
    ):
        try:
            if path is None:
                raise InputError([missing])
            lists.append(read(path))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    prompts, trajectories = lists
    return prompts, trajectories


def whole_number(args, name, low, high, problems, even=False):
    """The argument `name` as a whole number; what is wrong with it is added to the problems."""
    text = str(getattr(args, name))
    number = int(text) if re.fullmatch(r"-?\d{1,9}", text, re.ASCII) else None
    if number is None or not low <= number <= high or (even and number % 2):
        kind = "an even number" if even else "a whole number"
        option = "--" + name.replace("_", "-")
        problems.append(f"{option} {text}: takes {kind} from {low} to {high}")
    return number


def run(model_class, args, prompts, trajectories) -> int:
    """From checked inputs to files on disk; returns the exit status."""
    started, seconds = datetime.now(UTC), {}
    warn_of_repeats(args.trajectories_path, trajectories)
    with timed(seconds, "loading"):
        from embedding import DeviceError, OutOfMemoryError, embed_prompts, embed_trajectories
        from weights import WeightsError

        try:
            model = model_class.from_arguments(args)
        except (WeightsError, DeviceError) as error:
            tell(error)
            return 2
    if args.verbose:
        described = describe_model(model)
        tell(f"{model.description}, on {model.device} in {described['precision']}")
        tell(", ".join(f"{name} {value}" for name, value in model.preparation.items()))

    texts = [prompt.text for prompt in prompts]
    text_warnings = model.check_texts(texts)
    for prompt, messages in zip(prompts, text_warnings):
        for message in messages:
            tell(f'warning: {args.prompts_path}:{prompt.line}: "{prompt.text}": {message}')
    with timed(seconds, "prompts"):
        text_embeddings = embed_prompts(model, texts)

    paths = [trajectory.path for trajectory in trajectories]
    answers = []
    try:
        with timed(seconds, "videos"):
            embedded = embed_trajectories(model, paths, args.batch_size)
            for answer, path in zip(with_progress(embedded, len(paths)), paths):
                report(path, answer, model, args.verbose)
                answers.append(answer)
    except OutOfMemoryError:
        tell(f"{model.device} is out of memory: give a smaller --batch-size; nothing was written")
        return 1
    usable = [(p, a) for p, a in zip(paths, answers) if not isinstance(a, Exception)]
    errors = [answer for answer in answers if isinstance(answer, Exception)]
    if not usable:
        tell("none of the videos could be used; nothing was written")
        return 1
    usable_paths = [path for path, _ in usable]

    with timed(seconds, "figure"):
        from figures import as_png, heatmap
        from similarity import cosine_similarity

        similarities = cosine_similarity(
            [answer.embedding for _, answer in usable], text_embeddings
        )
        title = f"{args.experiment_id}\n{model.description}, {model.n_frames} frames"
        picture = as_png(heatmap(similarities, short_names(usable_paths), texts, title))

    from results import write_results

    record = {
        "experiment": args.experiment_id,
        "started": started.isoformat(timespec="seconds"),
        "arguments": vars(args),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in (*PACKAGES, *model.packages)},
        **describe_model(model),
        "prompts": [
            {"text": prompt.text, "group": prompt.group, "warnings": messages}
            for prompt, messages in zip(prompts, text_warnings)
        ],
        "trajectories": [
            {"path": trajectory.path.as_posix(), "group": trajectory.group, **describe_clip(answer)}
            for trajectory, answer in zip(trajectories, answers)
        ],
        "seconds": {stage: round(duration, 3) for stage, duration in seconds.items()},
    }
    names = [path.as_posix() for path in usable_paths]
    try:
        written = write_results(
            args.output_dir, args.experiment_id, similarities, names, texts, picture, record
        )
    except OSError as error:
        tell(f"the results could not be written to {args.output_dir}: {error}")
        return 1
    if args.verbose:
        tell(f"prompts {list(text_embeddings.shape)}, similarities {list(similarities.shape)}")
        tell(", ".join(f"{stage} {duration:.2f} s" for stage, duration in seconds.items()))
    if errors:
        tell(f"left out, as they could not be used ({len(errors)} of {len(answers)}):")
        for error in errors:
            tell(f"  {error}")
    print(written)
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


def report(path, answer, model, verbose) -> None:
    """What is to be said of one video at once."""
    if isinstance(answer, Exception):
        tell(f"error: {answer}")
        return
    clip = answer.clip
    if clip.warning:
        tell(f"warning: {clip.warning}")
    if verbose:
        tell(
            f"{path}: {clip.length} frames of {clip.size[0]}x{clip.size[1]}, "
            f"sampled {' '.join(map(str, clip.indices))}"
        )


def describe_model(model) -> dict:
    """What run.json says of the network and how it got its frames."""
    return {
        "model": model.name,
        "weights": [{"path": path, "sha256": digest} for path, digest in model.weights.items()],
        "device": str(model.device),
        "precision": str(model.precision).removeprefix("torch."),
        "n_frames": model.n_frames,
        **model.preparation,
    }


def describe_clip(answer) -> dict:
    """What run.json says of one video."""
    if isinstance(answer, Exception):
        return {"error": str(answer)}
    clip = answer.clip
    return {
        "length": clip.length,
        "width": clip.size[0],
        "height": clip.size[1],
        "frames": clip.indices.tolist(),
        "warning": clip.warning,
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
