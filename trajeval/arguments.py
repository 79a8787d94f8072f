"""The command line that all evaluators share: its options, and everything that is wrong with them.

Start-up matters: nothing here waits for anything heavy to be imported.
"""

import argparse
import io
import math
import re
import sys
from pathlib import Path

from trajeval.cache import default_folder
from trajeval.inputs import BASELINE, read_prompts, read_trajectories
from trajeval.results import check_destination, wrong_folder
from trajeval.terminal import UserError

BASELINE_SIMILARITIES = ("projection", "goal-baseline")
CHOICES = {
    "similarity": ("cosine", *BASELINE_SIMILARITIES),
    "normalize": ("prompt", "vista"),
    "ensemble": ("mean-similarity", "mean-embedding"),
}
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


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
    add_output_dir(parser)
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="tell what was sampled from which video, shapes, device and times",
    )
    parser.add_argument(
        "--n-frames",
        metavar="N",
        default=model_class.n_frames,
        help="frames sampled from each video (default: %(default)s)",
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
    parser.add_argument(
        "--cache-dir",
        metavar="DIR",
        help="folder where embeddings are kept for later runs (default: trajectory-heatmaps in "
        "your folder for caches)",
    )
    parser.add_argument(
        "--cache-size",
        metavar="GB",
        default="2",
        help="what it may hold; what was used longest ago goes first (default: %(default)s)",
    )
    parser.add_argument(
        "--no-cache", action="store_true", help="compute everything now, and keep nothing"
    )
    add_similarity_arguments(parser)
    model_class.add_arguments(parser)
    return parser.parse_args(argv)


def add_output_dir(parser):
    parser.add_argument(
        "-o",
        "--output-dir",
        metavar="DIR",
        default="evaluation_results",
        help="folder for the results (default: evaluation_results)",
    )


def add_similarity_arguments(parser):
    add = parser.add_argument
    add("--max-per-group", metavar="N", help="use the first N of each group of trajectories")
    add(
        "--similarity",
        default="cosine",
        help="cosine; projection or goal-baseline, which count what tells a prompt from the "
        "[baseline] prompts (default: cosine)",
    )
    add("--alpha", metavar="A", help="how much of it, from 0 to 1 (default: 0.5)")
    add(
        "--normalize",
        metavar="HOW",
        help="prompt: each prompt to mean 0 and standard deviation 1 over the trajectories; vista: "
        "that, after a softmax over prompts at temperature 1 (default: not)",
    )
    add(
        "--softmax",
        metavar="TEMPERATURE",
        nargs="?",
        const="0.01",
        help="softmax over the prompts of each trajectory (default: not; temperature 0.01)",
    )
    add(
        "--ensemble",
        metavar="HOW",
        default="mean-similarity",
        help="how the prompts of a group stand together: mean-similarity or mean-embedding "
        "(default: mean-similarity)",
    )


def check_inputs(model_class, args):
    """The prompts and the trajectories; raises UserError with all that is wrong with the
    arguments and the lists."""
    problems = model_class.check_arguments(args)
    if args.batch_size is not None:
        args.batch_size = whole_number(args, "batch_size", 1, 4096, problems)
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d|:[1-9]\d)?", args.device, re.ASCII):
        problems.append(f"--device {args.device}: takes auto, cpu, cuda, cuda:N or mps")
    problems += check_cache(args)
    problems += check_similarity_arguments(args)
    if args.precision not in PRECISIONS:
        problems.append(f"--precision {args.precision}: takes {', '.join(PRECISIONS)}")
    if args.experiment_id is None:
        problems.append("-e NAME is missing: what shall the results be called?")
    else:
        problems += check_destination(args.output_dir, args.experiment_id)
    lists = {}
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
                raise UserError(missing)
            lists[read] = read(path)
        except UserError as error:
            problems += error.problems
    problems += check_groups(args, lists.get(read_prompts, []), lists.get(read_trajectories, []))
    if problems:
        raise UserError(*problems)
    prompts, trajectories = lists[read_prompts], lists[read_trajectories]
    if args.max_per_group:
        trajectories = first_of_groups(trajectories, args.max_per_group)
    return prompts, trajectories


def check_cache(args) -> list[str]:
    """What is wrong with where embeddings shall be kept; the folder is filled in, or None."""
    problems = []
    args.cache_size = number_in(args, "cache_size", None, lambda gb: gb > 0, "above 0", problems)
    if args.no_cache and args.cache_dir:
        problems.append("--cache-dir: has no meaning with --no-cache")
    elif args.cache_dir:
        problems += wrong_folder("--cache-dir", Path(args.cache_dir))
    elif not args.no_cache:
        args.cache_dir = str(default_folder())
    return problems


def check_similarity_arguments(args) -> list[str]:
    """What is wrong with how similarities shall be computed; numbers are filled in."""
    problems = []
    for name in ("similarity", "normalize", "ensemble"):
        value, choices = getattr(args, name), CHOICES[name]
        if value is not None and value not in choices:
            problems.append(f"--{name} {value}: takes {', '.join(choices)}")
    if args.max_per_group is not None:
        args.max_per_group = whole_number(args, "max_per_group", 1, 10**9, problems)
    if args.alpha is not None and args.similarity == "cosine":
        problems.append("--alpha: has no meaning with --similarity cosine")
    args.alpha = number_in(args, "alpha", "0.5", lambda a: 0 <= a <= 1, "0 to 1", problems)
    if args.softmax is not None:
        if args.normalize == "vista":
            problems.append("--softmax: --normalize vista has one of its own")
        args.softmax = number_in(args, "softmax", None, lambda t: t > 0, "above 0", problems)
    return problems


def escape_output() -> None:
    """Lets standard output and error take names in any encoding: what one lacks is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def number_in(args, name, default, is_right, what, problems):
    """The argument `name` as a number; what is wrong with it is added to the problems."""
    text = default if getattr(args, name) is None else getattr(args, name)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and is_right(number)):
        problems.append(f"--{name.replace('_', '-')} {text}: takes a number, {what}")
    return number


def check_groups(args, prompts, trajectories) -> list[str]:
    """What the arguments ask of the lists' groups and these do not give; a list that could not be
    read is empty here, and has been told of."""
    problems = []
    groups = {prompt.group for prompt in prompts}
    if groups == {BASELINE}:
        problems.append(f"{args.prompts_path}: holds [{BASELINE}] only, and nothing to compare")
    if prompts and args.similarity in BASELINE_SIMILARITIES and BASELINE not in groups:
        problems.append(
            f"{args.prompts_path}: --similarity {args.similarity} needs a group [{BASELINE}] with "
            "a neutral description"
        )
    if args.ensemble == "mean-embedding" and None in groups:
        problems.append(f"{args.prompts_path}: --ensemble mean-embedding needs groups of prompts")
    if args.max_per_group is not None and trajectories and trajectories[0].group is None:
        problems.append(f"{args.trajectories_path}: --max-per-group needs groups of trajectories")
    for trajectory in trajectories:
        if trajectory.group == BASELINE:
            problems.append(
                f"{args.trajectories_path}:{trajectory.line}: [{BASELINE}] is a group of prompts; "
                "a group of trajectories needs another name"
            )
            break
    return problems


def first_of_groups(trajectories, n):
    """The first n trajectories of each group, in order."""
    kept, counts = [], {}
    for trajectory in trajectories:
        counts[trajectory.group] = counts.get(trajectory.group, 0) + 1
        if counts[trajectory.group] <= n:
            kept.append(trajectory)
    return kept


def whole_number(args, name, low, high, problems, even=False):
    """The argument `name` as a whole number; what is wrong with it is added to the problems."""
    text = str(getattr(args, name))
    number = int(text) if re.fullmatch(r"-?\d{1,9}", text, re.ASCII) else None
    if number is None or not low <= number <= high or (even and number % 2):
        kind = "an even number" if even else "a whole number"
        option = "--" + name.replace("_", "-")
        problems.append(f"{option} {text}: takes {kind} from {low} to {high}")
    return number
