"""The command line of an evaluator: everything that is wrong with it, found at once.

Start-up matters: nothing here imports anything heavy.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from trajeval.cache import default_folder
from trajeval.devices import are_several
from trajeval.finding import Finder
from trajeval.inputs import (
    BASELINE,
    LARGE_ROWS,
    Prompt,
    Trajectory,
    is_large,
    read_prompts,
    read_trajectories,
)
from trajeval.model import Judge
from trajeval.options import BASELINE_SIMILARITIES, shared_options
from trajeval.parsing import Parser, parse_options
from trajeval.progress import check_lists, check_option
from trajeval.results import check_destination, wrong_folder
from trajeval.terminal import UserError, first_few, plural, tell_all

MOST_CURVES = 3e9  # bytes of memory for curves: with the rest of such a run it is some 4 GB


class Inputs(NamedTuple):
    """A problem set: what is evaluated together. args: the options; they name the two lists and the
    place of the results."""

    args: argparse.Namespace
    prompts: list[Prompt]
    trajectories: list[Trajectory]


def check_arguments(
    model_class, description: str, argv: list[str] | None
) -> tuple[argparse.Namespace, list[str]]:
    """The options of a command line, and what is wrong with them."""
    options = [*shared_options(model_class), *model_class.options]
    args, problems = parse_options(Parser(description), options, argv)
    if args.problem_sets is not None and (args.trajectories_path or args.prompts_path):
        problems.append("--problem-sets: cannot be combined with -t or -p")
    problems += model_class.check(args)
    problems += check_combinations(args) + check_views(args) + check_judge(model_class, args)
    problems += check_option(args) + check_workers(args)
    if args.experiment_id is None:
        if not args.shard:
            problems.append("-e NAME is missing: the name of the results")
    elif args.output_dir is not None:
        problems += check_destination(args.output_dir, args.experiment_id)
    return args, problems


def check_inputs(args: argparse.Namespace, problems: list[str]) -> Inputs:
    """The lists that the options name. Raises UserError with everything that is wrong with them and
    with the options, whose problems are given."""
    notes: list[str] = []
    inputs, wrong = read_inputs(args, notes)
    n = len(problems) + sum(map(len, wrong.values()))
    if n:
        count = f"{plural(n, 'problem')} found; nothing was run"
        raise UserError(*problems, *first_few_of_each(wrong, args.verbose), count)
    if args.verbose:
        tell_all(notes, "notes", verbose=True)
    return inputs


def read_inputs(
    args: argparse.Namespace, notes: list[str], finders: dict[Path, Finder] | None = None
) -> tuple[Inputs, dict[str, list[str]]]:
    """The lists that the options name, and what is wrong with them by kind of problem. notes: gets
    what is ignored in them; finders: as read_trajectories takes them."""
    prompts, wrong_prompts = read_or_problems(
        args.prompts_path, read_prompts, notes, "-p FILE: prompts"
    )
    trajectories, wrong_trajectories = read_or_problems(
        args.trajectories_path,
        partial(read_trajectories, finders=finders),
        notes,
        "-t FILE: trajectories",
    )
    wrong = {"problems": check_groups(args, prompts, trajectories)}
    if args.max_per_group:
        trajectories = first_of_groups(trajectories, args.max_per_group)
    wrong["problems"] += check_size(args, trajectories)
    wrong["problems"] += check_memory(args, len(prompts), len(trajectories))
    wrong |= {
        "problems with --export-progress": check_lists(args, prompts, trajectories),
        "problems in the prompt list": wrong_prompts,
        "problems in the trajectory list": wrong_trajectories,
    }
    return Inputs(args, prompts, trajectories), wrong


def first_few_of_each(wrong: dict[str, list[str]], verbose: bool) -> list[str]:
    """What to show of the problems of each kind."""
    return [line for kind, found in wrong.items() for line in first_few(found, kind, verbose)]


def read_or_problems(list_path, read, notes, what) -> tuple[list, list[str]]:
    """The entries of a list, and what is wrong with it."""
    if list_path is None:
        flag, _, kind = what.partition(": ")
        return [], [f"{flag} is missing: the list of {kind}, one on each line"]
    try:
        return read(list_path, notes), []
    except UserError as error:
        return [], error.problems


def check_combinations(args) -> list[str]:
    """Which options do not go together. Fills in the cache's folder, or None, and alpha."""
    problems = []
    if args.no_cache and args.cache_dir:
        problems.append("--cache-dir: cannot be combined with --no-cache")
    elif args.cache_dir:
        problems += wrong_folder("--cache-dir", Path(args.cache_dir))
    elif not args.no_cache:
        folder = default_folder()
        args.cache_dir = None if folder is None else str(folder)
    if args.shard and args.cache_dir is None:
        why = "--no-cache" if args.no_cache else "this user has no home folder for it"
        problems.append(f"--shard: needs a cache, --cache-dir DIR ({why})")
    if args.alpha is None:
        args.alpha = 0.5
    elif args.similarity == "cosine":
        problems.append("--alpha: requires --similarity projection or goal-baseline")
    if args.softmax is not None and args.normalize == "vista":
        problems.append("--softmax: cannot be combined with --normalize vista, which has its own")
    if args.vmin is not None and args.vmax is not None and args.vmin >= args.vmax:
        problems.append(f"--vmin {args.vmin:g}: must be below --vmax {args.vmax:g}")
    return problems


def check_views(args) -> list[str]:
    """Which options of curves do not go together. Fills in the number of points."""
    problems = []
    if args.curves == "window" and args.window is None:
        problems.append("--curves window: needs --window SECONDS")
    if args.window is not None and args.curves != "window":
        problems.append("--window: requires --curves window")
    if args.curve_points is None:
        args.curve_points = 15
    elif args.curves is None:
        problems.append("--curve-points: requires --curves")
    return problems


def check_memory(args, n_prompts: int, n_trajectories: int) -> list[str]:
    """Curves are in memory as a whole, those of two controls beside them: float32, and as much
    again while they are written. A shard writes none."""
    if args.curves is None or args.shard:
        return []
    n_values = n_trajectories * args.curve_points * n_prompts
    size = 4 * n_values * (4 if args.controls else 2)
    if size <= MOST_CURVES:
        return []
    times = f"{n_trajectories:,} trajectories x {args.curve_points} points x {n_prompts:,} prompts"
    return [
        f"--curves: {times} would take {size / 1e9:.1f} GB of memory, more than "
        f"{MOST_CURVES / 1e9:g} GB: use fewer --curve-points, prompts or trajectories "
        "(--max-per-group); --shard embeds them all and makes no curves"
    ]


def check_workers(args) -> list[str]:
    """What --ray, and --device with several devices, cannot do without or with."""
    given = f"--ray {args.ray}" if args.ray else f"--device {args.device}"
    if args.ray is None and not are_several(args.device or ""):
        return []
    problems = []
    if find_spec("ray") is None:
        problems.append(
            f'{given}: the package "ray" is not installed: run with `uv run --extra ray`, or '
            "`pip install ray`"
        )
    if getattr(args, "device_map", None):
        problems.append(f"{given}: cannot be combined with --device-map")
    return problems


def check_judge(model_class, args) -> list[str]:
    """What a model.Judge cannot do, as it has no embeddings."""
    if not issubclass(model_class, Judge):
        return []
    problems = []
    if args.similarity in BASELINE_SIMILARITIES:
        problems.append(f"--similarity {args.similarity}: this model gives scores, no embeddings")
    if args.ensemble == "mean-embedding":
        problems.append("--ensemble mean-embedding: this model gives scores, no embeddings")
    return problems


def check_groups(args, prompts: list[Prompt], trajectories: list[Trajectory]) -> list[str]:
    """What the arguments need of the lists' groups that is missing. A list that could not be read
    is empty here."""
    problems = []
    groups = {prompt.group for prompt in prompts}
    if groups == {BASELINE}:
        problems.append(f"{args.prompts_path}: only has [{BASELINE}], so nothing to compare")
    if prompts and args.similarity in BASELINE_SIMILARITIES and BASELINE not in groups:
        problems.append(
            f"{args.prompts_path}: --similarity {args.similarity} needs a group [{BASELINE}] with "
            "a neutral description"
        )
    if args.ensemble == "mean-embedding" and None in groups:
        problems.append(f"{args.prompts_path}: --ensemble mean-embedding needs prompt groups")
    if args.max_per_group is not None and trajectories and not trajectories[0].groups:
        problems.append(f"{args.trajectories_path}: --max-per-group needs trajectory groups")
    if args.normalize and len(trajectories) == 1:
        problems.append(
            f"{args.trajectories_path}: --normalize {args.normalize} needs two trajectories or more"
        )
    kinds = {type(one.rating) for one in trajectories if one.rating is not None}
    if args.success_above is not None and trajectories and kinds != {float}:
        problems.append(
            f"{args.trajectories_path}: --success-above needs ratings that are numbers, in a "
            "column rating of a .csv list"
        )
    for trajectory in trajectories:
        if BASELINE in trajectory.groups:
            problems.append(
                f"{args.trajectories_path}:{trajectory.line}: [{BASELINE}] is reserved for "
                "prompts: rename the trajectory group"
            )
            break
    return problems


def check_size(args, trajectories: Sequence) -> list[str]:
    """What tables of many trajectories need."""
    if args.shard or not is_large(trajectories) or find_spec("pyarrow"):
        return []
    return [
        f"{args.trajectories_path}: has more than {LARGE_ROWS:,} trajectories, whose tables are "
        'Parquet files, and the package "pyarrow" is not installed: run with `uv run --extra '
        "large`, or `pip install pyarrow`"
    ]


def first_of_groups(trajectories: list[Trajectory], n: int) -> list[Trajectory]:
    """The first n trajectories of each group, in order. A group may keep more: those that are among
    the first of another group too."""
    kept, counts = [], Counter()
    for trajectory in trajectories:
        counts.update(trajectory.groups)
        if any(counts[name] <= n for name in trajectory.groups):
            kept.append(trajectory)
    return kept
