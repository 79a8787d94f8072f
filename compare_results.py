"""Which of several runs over the same trajectories tells them apart best?

    uv run compare_results.py evaluation_results/A evaluation_results/B [...] -e NAME

Several models, or several lists of prompts: writes evaluation_results/NAME.png, their heatmaps side
by side and what differs from the first; NAME.html, their scores for the same clips; and, where the
trajectories are labelled, evaluation_results/NAME.csv: the numbers of each, and how much higher
than the first's they are, with paired 95 % intervals.

    uv run compare_results.py evaluation_results/A

makes evaluation_results/A/report.html again.
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

from trajeval.options import OUTPUT_DIR, Option
from trajeval.parsing import Parser, parse_options
from trajeval.results import as_csv, read_results, replace_files, wrong_folder, wrong_name

OPTIONS = [
    Option("-e, --experiment-id", "name of the comparison: NAME.png, .html and .csv", "NAME"),
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
    if len(args.results) == 1:
        return make_page_again(args.results[0], problems)
    runs = read_runs(args.results, problems)
    # Slow to import, so once there is something to compare.
    from trajeval.comparison import as_text, compare
    from trajeval.page_files import comparison_page
    from trajeval.panels import draw

    name, folder = args.experiment_id, args.output_dir
    names = unique_names(runs, args.results)
    table = compare(runs, names, args.results)
    files = {
        f"{name}.png": draw(runs, names),
        f"{name}.html": comparison_page(name, runs, args.results, names, table, folder),
        f"{name}.csv": as_csv(table[0], table[1:]) if table else None,
    }
    tell(as_text(table, names) if table else "nothing is labelled, so there are no metrics")
    replace_files(folder, files)
    answer(Path(folder) / f"{name}.png")
    return 0


def make_page_again(folder, problems):
    from trajeval.page_files import PAGE, page_again

    refuse(problems)
    replace_files(folder, page_again(folder))
    answer(Path(folder) / PAGE)
    return 0


def parse_arguments(argv):
    """The arguments, and what is wrong with them."""
    parser = Parser(__doc__)
    parser.add_argument(
        "results",
        nargs="+",
        metavar="FOLDER",
        help="results of a run; of one, its page is made again",
    )
    args, problems = parse_options(parser, OPTIONS, argv)
    if len(args.results) == 1:
        if args.experiment_id is not None:
            problems.append("-e NAME: one folder's page stays in it; give two folders or more")
    elif args.experiment_id is None:
        problems.append("-e NAME is missing: the name of the comparison")
    elif args.output_dir is not None:
        problems += wrong_places(args.output_dir, args.experiment_id)
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
    for path in (folder / f"{name}{suffix}" for suffix in (".png", ".html", ".csv")):
        if path.is_dir():
            problems.append(f"{path}: a folder has the name of a result")
    return problems


def unique_names(runs, folders):
    """The experiments' names, or their folders where two are the same."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


if __name__ == "__main__":
    run_script(main)
