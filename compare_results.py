"""Which of several runs over the same trajectories tells them apart best?

    uv run compare_results.py evaluation_results/A evaluation_results/B [...] -e NAME

Several models, or several lists of prompts: writes evaluation_results/NAME.png, their heatmaps side
by side and what differs from the first, and, where the trajectories are labelled,
evaluation_results/NAME.csv: the numbers of each, and how much higher than the first's they are,
with paired 95 % intervals.
"""

from trajeval.terminal import (
    UserError,
    answer,
    exit_on_interrupt,
    plural,
    run_command,
    run_script,
    tell,
)

if __name__ == "__main__":
    exit_on_interrupt()

from pathlib import Path

from trajeval.arguments import Parser, parse_options
from trajeval.options import OUTPUT_DIR, Option
from trajeval.results import as_csv, read_results, replace_files, wrong_folder, wrong_name

OPTIONS = [
    Option("-e, --experiment-id", "name of the comparison: NAME.png and NAME.csv", "NAME"),
    OUTPUT_DIR,
]


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status.

    0: done; 1: the comparison could not be written; 2: something is wrong with the arguments or the
    results, and nothing was written; 130: interrupted.
    """
    return run_command(run, argv)


def run(argv):
    args, problems = parse_arguments(argv)
    runs = read_runs(args.results, problems)
    names = unique_names(runs, args.results)
    picture, table = f"{args.experiment_id}.png", compare(runs, names, args.results)
    files = {
        picture: draw(runs, names),
        f"{args.experiment_id}.csv": as_csv(table[0], table[1:]) if table else None,
    }
    tell(describe(table, names))
    replace_files(args.output_dir, files)
    answer(Path(args.output_dir) / picture)
    return 0


def parse_arguments(argv):
    """The arguments, and what is wrong with them."""
    parser = Parser(__doc__)
    parser.add_argument(
        "results", nargs="+", metavar="FOLDER", help="results of a run, two or more"
    )
    args, problems = parse_options(parser, OPTIONS, argv)
    if args.experiment_id is None:
        problems.append("-e NAME is missing: the name of the comparison")
    elif args.output_dir is not None:
        problems += wrong_places(args.output_dir, args.experiment_id)
    if len(args.results) < 2:
        problems.append("give two folders of results or more")
    return args, problems


def read_runs(folders, problems):
    """The results, all with their rows in the order of the first. Raises UserError with everything
    that is wrong."""
    from trajeval.pairing import in_one_order

    runs = []
    for folder in folders:
        try:
            runs.append(read_results(folder))
        except UserError as error:
            problems += error.problems
    refuse(problems)
    runs, problems = in_one_order(runs, folders)
    refuse(problems)
    return runs


def refuse(problems):
    if problems:
        count = plural(len(problems), "problem")
        raise UserError(*problems, f"{count} found; nothing was written")


def wrong_places(output_dir, name):
    """What is wrong with where the comparison should go."""
    if problem := wrong_name(name):
        return [f"--experiment-id {name!r}: {problem}"]
    if problems := wrong_folder("--output-dir", output_dir):
        return problems
    folder = Path(output_dir)
    if (folder / name / "run.json").exists():
        problems.append(f"--experiment-id {name}: the name of a run, which has its own picture")
    for path in (folder / f"{name}.png", folder / f"{name}.csv"):
        if path.is_dir():
            problems.append(f"{path}: a folder has the name of a result")
    return problems


def unique_names(runs, folders):
    """The experiments' names, or their folders where two are the same."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def draw(runs, names):
    from trajeval.panels import draw

    return draw(runs, names)


def compare(runs, names, folders):
    from trajeval.comparison import compare

    return compare(runs, names, folders)


def describe(table, names):
    from trajeval.comparison import as_text

    return as_text(table, names) if table else "nothing is labelled, so there are no metrics"


if __name__ == "__main__":
    run_script(main)
