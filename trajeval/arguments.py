"""The command line: each option in one place, and all problems with it reported at once.

Start-up matters: nothing here imports anything heavy.
"""

import argparse
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from trajeval.cache import default_folder
from trajeval.inputs import BASELINE, Prompt, Trajectory, read_prompts, read_trajectories
from trajeval.results import check_destination, wrong_folder
from trajeval.terminal import UserError, first_few, plural

BASELINE_SIMILARITIES = ("projection", "goal-baseline")


@dataclass(frozen=True)
class Option:
    """An option of the command line.

    flags: as in "-e, --experiment-id"; the last one, without its dashes, names the attribute.
    metavar: what it takes, None for a switch. parse: the text given -> the value; raises ValueError
    with what it takes. default: the value where it is not given. shown: the default in words,
    where it is not simply the value. optional: the text that stands for the option without a value.
    """

    flags: str
    help: str
    metavar: str | None = None
    parse: Callable[[str], Any] = str
    default: Any = None
    shown: str | None = None
    optional: str | None = None

    @property
    def flag(self) -> str:
        return self.flags.split(", ")[-1]

    @property
    def name(self) -> str:
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def default_shown(self) -> str:
        return self.shown or ("" if self.default is None else str(self.default))


# --- what the values of options may be


def whole(low: int, high: int, even: bool = False) -> Callable[[str], int]:
    kind = "an even number" if even else "a whole number"

    def parse(text: str) -> int:
        number = int(text) if re.fullmatch(r"-?\d{1,9}", text, re.ASCII) else None
        if number is None or not low <= number <= high or (even and number % 2):
            raise ValueError(f"takes {kind} from {low} to {high}")
        return number

    return parse


def number(allowed: Callable[[float], bool], what: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and allowed(value)):
            raise ValueError(f"takes a number {what}")
        return value

    return parse


def choice(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"takes {', '.join(names)}")
        return text

    return parse


def path(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("takes a path")
    return text


def device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d|:[1-9]\d)?", text, re.ASCII):
        raise ValueError("takes auto, cpu, cuda, cuda:N or mps")
    return text


# --- the options that all evaluators share

OUTPUT_DIR = Option(
    "-o, --output-dir", "folder for the results", "DIR", path, "evaluation_results"
)


def shared_options(model_class) -> list[Option]:
    return [
        Option("-t, --trajectories-path", "trajectory list", "FILE", path),
        Option("-p, --prompts-path", "prompt list", "FILE", path),
        Option("-e, --experiment-id", "name of the results: NAME.png and the folder NAME", "NAME"),
        OUTPUT_DIR,
        Option("-v, --verbose", "show the sampled frames, shapes, device, times and all warnings"),
        Option(
            *("--n-frames", "frames sampled from each video", "N"),
            whole(2 if model_class.even_frames else 1, 1024, model_class.even_frames),
            model_class.n_frames,
        ),
        Option(
            *("--batch-size", "videos embedded together; halved when memory runs out", "N"),
            whole(1, 4096),
            shown="1 on a CPU, 8 on a GPU",
        ),
        Option("--device", "auto, cpu, cuda, cuda:N or mps", "DEVICE", device, "auto"),
        Option(
            "--precision",
            "of the video network: auto (16 bits on a GPU that is fast at it, else float32), "
            "float32, tf32 (float32 with TF32 products, NVIDIA from Ampere on), bfloat16 or "
            "float16",
            "TYPE",
            choice("auto", "float32", "tf32", "bfloat16", "float16"),
            "auto",
        ),
        Option(
            "--cache-dir",
            "folder that keeps embeddings for later runs",
            "DIR",
            path,
            shown="trajectory-heatmaps in your folder for caches",
        ),
        Option(
            "--cache-size",
            "its largest size; the least recently used embeddings are removed first",
            "GB",
            number(lambda gb: 0 < gb <= 1e6, "above 0, up to 1000000"),
            2.0,
            "2",
        ),
        Option("--no-cache", "compute everything now and keep nothing"),
        Option("--max-per-group", "use the first N of each trajectory group", "N", whole(1, 10**9)),
        Option(
            "--similarity",
            "cosine; projection or goal-baseline, which weigh what sets a prompt apart from the "
            f"[{BASELINE}] prompts",
            "HOW",
            choice("cosine", *BASELINE_SIMILARITIES),
            "cosine",
        ),
        Option(
            "--alpha",
            "weight of the baseline direction, 0 to 1",
            "A",
            number(lambda a: 0 <= a <= 1, "from 0 to 1"),
            shown="0.5",
        ),
        Option(
            "--normalize",
            "prompt: standardize each prompt over the trajectories; vista: the same after a "
            "softmax over the prompts, as ViSTa does",
            "HOW",
            choice("prompt", "vista"),
            shown="off",
        ),
        Option(
            "--softmax",
            "softmax over the prompts of each trajectory; the temperature may be left out (0.01)",
            "TEMPERATURE",
            number(lambda t: t > 0, "above 0"),
            shown="off",
            optional="0.01",
        ),
        Option(
            "--ensemble",
            "how the prompts of a group are combined: mean-similarity or mean-embedding",
            "HOW",
            choice("mean-similarity", "mean-embedding"),
            "mean-similarity",
        ),
        Option(
            "--vmin",
            "value at the lower end of the heatmap's colours",
            "VALUE",
            number(lambda _: True, "such as -0.1"),
            shown="the lowest similarity",
        ),
        Option(
            "--vmax",
            "value at the upper end of the heatmap's colours",
            "VALUE",
            number(lambda _: True, "such as 0.3"),
            shown="the highest similarity",
        ),
    ]


# --- parsing


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations, whose errors are UserErrors."""

    def __init__(self, description: str):
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help shows all options")


def parse_options(
    parser: argparse.ArgumentParser, options: list[Option], argv: list[str] | None
) -> tuple[argparse.Namespace, list[str]]:
    """The values of options, and a message for each one that is wrong (its value is then None).
    What the parser itself takes, such as positional arguments, may be added to it before."""
    for option in options:
        text = option.help.replace("%", "%%")
        if option.default_shown:
            text += f" (default: {option.default_shown})"
        kinds: dict[str, Any] = {"help": text}
        if option.metavar is None:
            kinds["action"] = "store_true"
        else:
            kinds["metavar"] = option.metavar
        if option.optional is not None:
            kinds |= {"nargs": "?", "const": option.optional}
        parser.add_argument(*option.flags.split(", "), **kinds)
    args, unknown = parser.parse_known_args(argv)
    problems = [unknown_argument(text, parser) for text in unknown]
    for option in options:
        text = getattr(args, option.name)
        if option.metavar is None:
            continue
        if text is None:
            setattr(args, option.name, option.default)
            continue
        setattr(args, option.name, None)
        try:
            if not isinstance(text, str):  # what argparse makes of "--alpha --"
                raise ValueError("takes a value")
            setattr(args, option.name, option.parse(text))
        except ValueError as error:
            problems.append(f"{option.flag} {text if isinstance(text, str) else ''}: {error}")
    return args, problems


def unknown_argument(text: str, parser: argparse.ArgumentParser) -> str:
    if not text.startswith("-"):
        return f'unexpected argument "{text}": put names with spaces in quotes'
    flag = text.partition("=")[0]
    flags = [flag for action in parser._actions for flag in action.option_strings]
    found = get_close_matches(flag, flags, n=1, cutoff=0.5)
    return f"unknown option {flag}" + (f": did you mean {found[0]}?" if found else "")


# --- checking


def check_inputs(
    model_class, description: str, argv: list[str] | None
) -> tuple[argparse.Namespace, list[Prompt], list[Trajectory]]:
    """The arguments, the prompts and the trajectories of a command line. Raises UserError with
    everything that is wrong with them."""
    options = [*shared_options(model_class), *model_class.options]
    args, problems = parse_options(Parser(description), options, argv)
    problems += model_class.check(args)
    problems += check_combinations(args)
    if args.experiment_id is None:
        problems.append("-e NAME is missing: the name of the results")
    else:
        problems += check_destination(args.output_dir or "", args.experiment_id)
    prompts, wrong_prompts = read_or_problems(args.prompts_path, read_prompts, "-p FILE: prompts")
    trajectories, wrong_trajectories = read_or_problems(
        args.trajectories_path, read_trajectories, "-t FILE: trajectories"
    )
    problems += first_few(wrong_prompts, "problems in the prompt list", args.verbose)
    problems += first_few(wrong_trajectories, "problems in the trajectory list", args.verbose)
    problems += check_groups(args, prompts, trajectories)
    if problems:
        n = len(problems)
        raise UserError(*problems, f"{plural(n, 'problem')} found; nothing was run")
    if args.max_per_group:
        trajectories = first_of_groups(trajectories, args.max_per_group)
    return args, prompts, trajectories


def read_or_problems(list_path, read, what) -> tuple[list, list[str]]:
    """The entries of a list, and what is wrong with it."""
    if list_path is None:
        flag, _, kind = what.partition(": ")
        return [], [f"{flag} is missing: the list of {kind}, one on each line"]
    try:
        return read(list_path), []
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
        args.cache_dir = str(default_folder())
    if args.alpha is None:
        args.alpha = 0.5
    elif args.similarity == "cosine":
        problems.append("--alpha: requires --similarity projection or goal-baseline")
    if args.softmax is not None and args.normalize == "vista":
        problems.append("--softmax: cannot be combined with --normalize vista, which has its own")
    if args.vmin is not None and args.vmax is not None and args.vmin >= args.vmax:
        problems.append(f"--vmin {args.vmin:g}: must be below --vmax {args.vmax:g}")
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
    if args.max_per_group is not None and trajectories and trajectories[0].group is None:
        problems.append(f"{args.trajectories_path}: --max-per-group needs trajectory groups")
    if args.normalize and len(trajectories) == 1:
        problems.append(
            f"{args.trajectories_path}: --normalize {args.normalize} needs two trajectories or more"
        )
    for trajectory in trajectories:
        if trajectory.group == BASELINE:
            problems.append(
                f"{args.trajectories_path}:{trajectory.line}: [{BASELINE}] is reserved for prompts: "
                "rename the trajectory group"
            )
            break
    return problems


def first_of_groups(trajectories: list[Trajectory], n: int) -> list[Trajectory]:
    """The first n trajectories of each group, in order."""
    kept, counts = [], {}
    for trajectory in trajectories:
        counts[trajectory.group] = counts.get(trajectory.group, 0) + 1
        if counts[trajectory.group] <= n:
            kept.append(trajectory)
    return kept
