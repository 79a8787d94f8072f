"""Which of several runs over the same trajectories tells them apart best?

    uv run compare_results.py evaluation_results/A evaluation_results/B [...] -e NAME

Several models, or several lists of prompts: writes evaluation_results/NAME.png, their heatmaps side
by side, and, where the trajectories are labelled, evaluation_results/NAME.csv: the metrics of each,
and how much higher than the first's they are, with a 95 % interval (paired bootstrap).
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from trajeval.arguments import add_output_dir, escape_output
from trajeval.results import (
    as_csv,
    read_results,
    replace_files,
    wrong_folder,
    wrong_name,
)
from trajeval.terminal import UserError


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0; 1 if nothing could be written; 2 if something was wrong with the
    arguments or the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", help="folders of runs, two or more")
    parser.add_argument("-e", "--experiment-id", metavar="NAME", help="NAME.png and NAME.csv")
    add_output_dir(parser)
    args = parser.parse_args(argv)
    escape_output()
    runs, problems = [], []
    if args.experiment_id is None:
        problems.append("-e NAME is missing: what shall the comparison be called?")
    else:
        problems += wrong_places(Path(args.output_dir), args.experiment_id)
    if len(args.results) < 2:
        problems.append("give two folders of results or more")
    for folder in args.results:
        try:
            runs.append(read_results(folder))
        except UserError as error:
            problems.append(str(error))
    if not problems:
        problems = differing(runs, args.results)
    if problems:
        print(*problems, sep="\n", file=sys.stderr)
        return 2

    runs = [in_order_of(run, runs[0]) for run in runs]
    names = unique_names(runs, args.results)
    files = {f"{args.experiment_id}.png": picture(runs, names), f"{args.experiment_id}.csv": None}
    if table := compare(runs, names):
        files[f"{args.experiment_id}.csv"] = as_csv(table[0], table[1:])
        print(as_text(table), file=sys.stderr)
    else:
        print("nothing is labelled, so there are no metrics to compare", file=sys.stderr)
    try:
        replace_files(args.output_dir, files)
    except OSError as error:
        print(f"could not write to {args.output_dir}: {error}", file=sys.stderr)
        return 1
    print(Path(args.output_dir) / f"{args.experiment_id}.png")
    return 0


def wrong_places(folder, name):
    """What is wrong with where the comparison should go."""
    if problem := wrong_name(name):
        return [f"--experiment-id {name!r}: {problem}"]
    if problems := wrong_folder("--output-dir", folder):
        return problems
    if (folder / name / "run.json").exists():
        problems.append(f"--experiment-id {name}: a run is called so, and has its own picture")
    for path in (folder / f"{name}.png", folder / f"{name}.csv"):
        if path.is_dir():
            problems.append(f"{path}: a folder is in the place of a result")
    return problems


def keys_of(run):
    """What stands for each row, in order: its path, its label (None where no group of prompts bears
    the trajectory's group's name), and how many such rows stand before it."""
    names = {group for _, group in run.prompts} - {None}
    seen, keys = Counter(), []
    for path, group in run.trajectories:
        key = (path, group if group in names else None)
        keys.append((*key, seen[key]))
        seen[key] += 1
    return keys


def differing(runs, folders):
    """Messages, by name, about trajectories and labels that are not those of the first run."""
    problems, first = [], set(keys_of(runs[0]))
    for run, folder in zip(runs[1:], folders[1:]):
        keys = set(keys_of(run))
        here, there = {path for path, *_ in keys}, {path for path, *_ in first}
        for path, label, _ in first - keys:
            if path not in here:
                problems.append(f"{folder} has no trajectory {path}, which {folders[0]} has")
            else:
                problems.append(f"{path} is labelled {label} in {folders[0]}, and not in {folder}")
        for path, label, _ in keys - first:
            if path not in there:
                problems.append(f"{folder} has the trajectory {path}, which {folders[0]} has not")
            else:
                problems.append(f"{path} is labelled {label} in {folder}, and not in {folders[0]}")
    return sorted(set(problems))


def in_order_of(run, first):
    """A run with its rows in the order of the first run's."""
    places = {key: i for i, key in enumerate(keys_of(run))}
    order = [places[key] for key in keys_of(first)]
    return run._replace(
        similarities=run.similarities[order], trajectories=[run.trajectories[i] for i in order]
    )


def unique_names(runs, folders):
    """The experiments' names, or their folders where two are the same."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def picture(runs, names):
    """The heatmaps side by side, as a PNG file: of groups where there are any."""
    from trajeval.figures import as_png, heatmap, side_by_side
    from trajeval.inputs import short_names
    from trajeval.report import MEANS, Entry, groups_of
    from trajeval.similarity import group_statistics

    pictures = []
    for run, name in zip(runs, names):
        shown = short_names([Path(path) for path, _ in run.trajectories])
        rows = groups_of([Entry(p, s, g) for (p, g), s in zip(run.trajectories, shown)])
        columns = groups_of([Entry(p, p, g) for p, g in run.prompts])
        means, *_ = group_statistics(run.similarities, rows.members, columns.members)
        title = f"{name}\n{run.model}"
        pictures.append(
            as_png(heatmap(means, rows.names, columns.names, title, run.label, note=MEANS))
        )
    return side_by_side(pictures)


def compare(runs, names):
    """The table of metrics, its header first; None if nothing is labelled."""
    import numpy as np

    from trajeval.metrics import bootstrap, differences, interval, resamples
    from trajeval.similarity import number_groups
    from trajeval.verdict import SEED, labelled_rows, scores_of

    scored = []
    for run in runs:
        present, columns = number_groups([group for _, group in run.prompts])
        if None in present or len(present) < 2:
            return None
        rows, labels = labelled_rows([group for _, group in run.trajectories], present)
        if not rows:
            return None
        scores = scores_of(run.similarities[rows], columns)
        # the same groups in the same places in every run, those of one run only behind
        right = list(dict.fromkeys(present[label] for label in labels))
        order = [present.index(group) for group in right]
        order += [i for i in range(len(present)) if i not in order]
        scored.append((scores[:, order], np.argsort(order)[labels]))
    header = ["metric"]
    for name in names:
        header += [name, f"{name} low", f"{name} high"]
    for name in names[1:]:
        difference = f"{name} - {names[0]}"
        header += [difference, f"{difference} low", f"{difference} high"]
    weights = resamples(len(scored[0][1]), np.random.default_rng(SEED))
    drawn = [bootstrap(scores, labels, weights) for scores, labels in scored]
    compared = [differences(drawn[0], others) for others in drawn[1:]]
    table = [header]
    for metric in drawn[0]:
        figures = [interval(*found[metric]) for found in drawn]
        figures += [found[metric] for found in compared]
        table.append(
            [metric, *(figure[key] for figure in figures for key in ("value", "low", "high"))]
        )
    return table


def as_text(table):
    """The table for the terminal: value and interval in one column."""
    header = [title[:32] for title in table[0][1::3]]
    lines = [" " * 42 + "  ".join(f"{title:>20}" for title in header)]
    for metric, *numbers in table[1:]:
        triples = zip(numbers[::3], numbers[1::3], numbers[2::3])
        cells = (f"{value:.2f} ({low:.2f}, {high:.2f})" for value, low, high in triples)
        lines.append(f"{metric:42}" + "  ".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
