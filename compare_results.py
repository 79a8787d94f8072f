"""Which of several runs over the same trajectories tells them apart best?

    uv run compare_results.py evaluation_results/A evaluation_results/B [...] -e NAME

Several models, or several lists of prompts: writes evaluation_results/NAME.png, their heatmaps side
by side, NAME.html, their scores for the same clips, and, where the trajectories are labelled,
evaluation_results/NAME.csv: the metrics of each, and how much higher than the first's they are,
with a 95 % interval (paired bootstrap).

    uv run compare_results.py evaluation_results/A

makes evaluation_results/A/report.html again.
"""

from trajeval.terminal import (
    UserError,
    answer,
    exit_on_interrupt,
    plural,
    printable,
    run_command,
    run_script,
    tell,
)

if __name__ == "__main__":
    exit_on_interrupt()

from collections import Counter
from pathlib import Path

from trajeval.arguments import Parser, parse_options
from trajeval.options import OUTPUT_DIR, Option
from trajeval.results import as_csv, read_results, replace_files, wrong_folder, wrong_name

OPTIONS = [
    Option("-e, --experiment-id", "name of the comparison: NAME.png, .html and .csv", "NAME"),
    OUTPUT_DIR,
]
NAMED = 3  # differences between two runs that are named; the rest are counted


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
    names = unique_names(runs, args.results)
    picture, table = f"{args.experiment_id}.png", compare(runs, names)
    files = {
        picture: draw(runs, names),
        f"{args.experiment_id}.html": draw_page(args, runs, names, table),
        f"{args.experiment_id}.csv": as_csv(table[0], table[1:]) if table else None,
    }
    tell(as_text(table, names) if table else "nothing is labelled, so there are no metrics")
    replace_files(args.output_dir, files)
    answer(Path(args.output_dir) / picture)
    return 0


def make_page_again(folder, problems):
    from trajeval.page_files import PAGE, page_again

    refuse(problems)
    replace_files(folder, page_again(folder))
    answer(Path(folder) / PAGE)
    return 0


def draw_page(args, runs, names, table):
    from trajeval.page_files import comparison_page

    name, place = args.experiment_id, args.output_dir
    return comparison_page(name, runs, args.results, names, table, place)


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
    runs = []
    for folder in folders:
        try:
            runs.append(read_results(folder))
        except UserError as error:
            problems += error.problems
    refuse(problems)
    by_content = all(content for run in runs for content in run.contents)
    keys = [keys_of(run, by_content) for run in runs]
    for i in range(1, len(runs)):
        problems += differences(keys[0], keys[i], folders[0], folders[i])
    refuse(problems)
    return [in_order(run, list(own), list(keys[0])) for run, own in zip(runs, keys)]


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


def keys_of(run, by_content):
    """Key -> path of each row, in order. A key is the video's content (or its path, where contents
    are not known), its labels, sorted, and how many such rows come before it."""
    names = {name for column in run.table.columns for name in column.groups}
    seen, keys = Counter(), {}
    for row, content in zip(run.table.rows, run.contents):
        key = (content if by_content else row.name, tuple(sorted(names & set(row.groups))))
        keys[*key, seen[key]] = row.name
        seen[key] += 1
    return keys


def differences(first, other, first_folder, folder):
    """Messages about trajectories and labels of a run that are not those of the first run."""
    problems = set()
    for keys, others, here, there in (
        (first, other, first_folder, folder),
        (other, first, folder, first_folder),
    ):
        videos, paths = {video for video, *_ in others}, set(others.values())
        for key in keys.keys() - others.keys():
            (video, labels, _), path = key, keys[key]
            shown, place = printable(path), f"in {here}, but not in {there}"
            if video in videos and not labels:
                problems.add(f"{shown} has no label in {here}, but one in {there}")
            elif video in videos:
                problems.add(f"{shown} is labelled {printable(', '.join(labels))} {place}")
            elif path in paths:
                problems.add(f"{shown} is {place}: another video has this path there")
            else:
                problems.add(f"{shown} is {place}")
    found = sorted(problems)
    if len(found) > NAMED:
        found[NAMED:] = [f"... and {len(found) - NAMED} more between {first_folder} and {folder}"]
    return found


def in_order(run, keys, wanted):
    """A run with its rows in the order of the wanted keys."""
    places = {key: i for i, key in enumerate(keys)}
    order = [places[key] for key in wanted]
    return run._replace(table=run.table.take(order), contents=[run.contents[i] for i in order])


def unique_names(runs, folders):
    """The experiments' names, or their folders where two are the same."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def draw(runs, names):
    """The heatmaps side by side, as a PNG file: of groups where there are any."""
    from trajeval.figures import as_png, side_by_side
    from trajeval.names import with_short_names
    from trajeval.report import group_heatmap
    from trajeval.table import grouped, in_order_of_rows

    pictures = []
    for run, name in zip(runs, names):
        groups = in_order_of_rows(grouped(with_short_names(run.table)))
        figure = group_heatmap(groups, f"{name}\n{run.model}", with_deviations=False)
        pictures.append(as_png(figure))
    return side_by_side(pictures)


def compare(runs, names):
    """The table of metrics, its header first; None if nothing is labelled."""
    import numpy as np

    from trajeval.metrics import bootstrap, differences, interval, resamples
    from trajeval.verdict import SEED

    scored = [labelled_scores(run.table) for run in runs]
    if None in scored:
        return None
    header = ["metric"]
    for name in names:
        header += [name, f"{name} low", f"{name} high"]
    for name in names[1:]:
        difference = f"{name} - {names[0]}"
        header += [difference, f"{difference} low", f"{difference} high"]
    weights = resamples(len(scored[0][1]), np.random.default_rng(SEED))
    drawn = [bootstrap(scores, right, weights) for scores, right in scored]
    compared = [differences(drawn[0], others) for others in drawn[1:]]
    table = [header]
    for metric in drawn[0]:
        values = [interval(*found[metric]) for found in drawn]
        values += [found[metric] for found in compared]
        table.append([metric, *(v[key] for v in values for key in ("value", "low", "high"))])
    return table


def labelled_scores(table):
    """The scores and the labels of what is labelled, float64 and bool [n, G], None if nothing is.
    The groups that have trajectories come first, in the order of these: the same in all runs."""
    from trajeval.table import group_scores, has_groups
    from trajeval.verdict import labelled_rows

    names = list(dict.fromkeys(column.group for column in table.columns))
    if not has_groups(table.columns) or len(names) < 2:
        return None
    rows, right = labelled_rows(table, names)
    if not len(rows):
        return None
    present = dict.fromkeys(name for i in rows for name in sorted(table.rows[i].groups))
    order = [names.index(name) for name in present if name in names]
    order += [i for i in range(len(names)) if i not in order]
    return group_scores(table.take(rows))[:, order], right[:, order]


def as_text(table, names):
    """The table for the terminal: value and interval in one column."""
    header = [printable(name, 32) for name in names]
    header += [f"{printable(name, 20)} - {printable(names[0], 20)}" for name in names[1:]]
    widths = [max(20, len(title)) for title in header]
    lines = [" " * 42 + "  ".join(f"{title:>{w}}" for title, w in zip(header, widths))]
    for metric, *numbers in table[1:]:
        triples = zip(numbers[::3], numbers[1::3], numbers[2::3])
        cells = (f"{value:.2f} ({low:.2f}, {high:.2f})" for value, low, high in triples)
        lines.append(f"{metric:42}" + "  ".join(f"{c:>{w}}" for c, w in zip(cells, widths)))
    return "\n".join(lines)


if __name__ == "__main__":
    run_script(main)
