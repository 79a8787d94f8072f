"""A folder of problem sets: found, checked and run, with a summary of all.

A problem set is a pair of lists, X_trajectories and X_prompts, each .txt or .csv, in one folder.
Its results are those of a run called X, in the same folder below OUTPUT/NAME.
"""

import json
import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from trajeval import messages
from trajeval.arguments import Inputs, read_inputs
from trajeval.contents import Contents
from trajeval.finding import Finder
from trajeval.results import (
    check_destination,
    read_results,
    replace_files,
    write_results,
    wrong_name,
)
from trajeval.stages import Clock, consequence, embed, load
from trajeval.swap import FILES, PLOTS
from trajeval.terminal import (
    UserError,
    answer,
    first_few,
    plural,
    printable,
    progress,
    tell,
    tell_all,
)

KINDS = ("trajectories", "prompts")
SUFFIXES = (".txt", ".csv")
SUMMARY = "summary.csv"


# --- finding and checking


def check_sets(args: Namespace, problems: list[str]) -> tuple[dict[str, Inputs], bool]:
    """The problem sets that can be run, by their names, such as sub/X, and whether there are
    others: what is wrong with those is shown, and they are skipped. Raises UserError with
    everything that is wrong if there are problems with the options, which are given, or if no set
    can be run."""
    pairs, unread = find_pairs(Path(args.problem_sets))
    clashing = names_that_clash(pairs)
    sets: dict[str, Inputs] = {}
    notes: list[str] = []
    finders: dict[Path, Finder] = {}
    of_sets: dict[str, list[str]] = {}
    for name, pair in pairs.items():
        of_sets[name] = wrong_pair(Path(args.problem_sets, name), pair)
        if not of_sets[name]:
            set_args = arguments_of(args, name, pair)
            sets[name], wrong = read_inputs(set_args, notes, finders)
            of_sets[name] = [problem for found in wrong.values() for problem in found]
            of_sets[name] += [] if problems or args.shard else check_place(set_args, name, clashing)
    wrong_sets = {name: found for name, found in of_sets.items() if found}
    good = {name: inputs for name, inputs in sets.items() if not of_sets[name]}
    found = unread + [problem for found in wrong_sets.values() for problem in found]
    shown = first_few(list(dict.fromkeys(found)), "problems in the problem sets", args.verbose)
    if not pairs and not unread:
        shown = [
            f"--problem-sets {args.problem_sets}: no problem set in or below this folder "
            "(X_trajectories.txt and X_prompts.txt, or .csv)"
        ]
    if problems or not good:
        n = len(problems) + max(len(found), len(shown))
        raise UserError(*problems, *shown, f"{plural(n, 'problem')} found; nothing was run")
    tell_all(shown, "lines", verbose=True)
    skipped = [
        f"skipped: {printable(name)} ({plural(len(found), 'problem')})"
        for name, found in wrong_sets.items()
    ]
    tell_all(skipped, "problem sets that are skipped", args.verbose)
    if args.verbose:
        tell_all(notes, "notes", verbose=True)
    return good, bool(found)


def find_pairs(top: Path) -> tuple[dict[str, dict[str, list[Path]]], list[str]]:
    """The lists in and below a folder: set -> kind -> paths, and what is wrong beyond single
    sets."""
    if not os.path.isdir(top):
        return {}, [f"--problem-sets {top}: no such folder"]
    pairs: dict[str, dict[str, list[Path]]] = {}
    problems: list[str] = []
    for folder, files in folders_below(top, problems):
        for file in sorted(files):
            stem, suffix = os.path.splitext(file)
            name, _, kind = stem.rpartition("_")
            if kind not in KINDS or suffix.lower() not in SUFFIXES or file.startswith("."):
                continue
            path = Path(folder, file)
            if not name.strip():
                problems.append(
                    f"{printable(str(path))}: a problem set needs a name before _{kind}"
                )
                continue
            key = Path(os.path.relpath(folder, top), name).as_posix()
            pairs.setdefault(key, {kind: [] for kind in KINDS})[kind].append(path)
    return pairs, problems


def folders_below(top: Path, problems: list[str]) -> Iterator[tuple[str, list[str]]]:
    """A folder and those below it, each once, however many links lead to it, with the names of
    their files. Hidden folders are skipped."""
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(
        top,
        followlinks=True,
        onerror=lambda error: problems.append(
            f"{printable(str(error.filename))}: {error.strerror}"
        ),
    ):
        found = os.stat(folder)
        if (found.st_dev, found.st_ino) in seen:
            folders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield folder, files


def wrong_pair(path: Path, pair: dict[str, list[Path]]) -> list[str]:
    """Why the lists of a set are no pair."""
    first = printable(str(next(path for paths in pair.values() for path in paths)))
    if wrong := wrong_name(path.name):
        return [f"{first}: the name of the set {path.name!r}: {wrong}"]
    problems = []
    for kind, paths in pair.items():
        if not paths:
            problems.append(f"{first}: no {path.name}_{kind}.txt or .csv beside it: half a pair")
        elif len(paths) > 1:
            names = printable(" and ".join(path.name for path in paths))
            folder = printable(str(path.parent))
            problems.append(f"{folder}: {names} are of the same set: keep one of them")
    return problems


def arguments_of(args: Namespace, name: str, pair: dict[str, list[Path]]) -> Namespace:
    """The options of a run over one set."""
    folder, own = os.path.split(name)
    place = Path(args.output_dir or "", args.experiment_id or "", folder)
    trajectories, prompts = (str(pair[kind][0]) for kind in KINDS)
    return Namespace(
        **vars(args)
        | {"trajectories_path": trajectories, "prompts_path": prompts}
        | {"output_dir": str(place), "experiment_id": own}
    )


def check_place(args: Namespace, name: str, clashing: set[str]) -> list[str]:
    """What is wrong with the place of a set's results."""
    if name in clashing:
        return [
            f"{args.trajectories_path}: the results would be where those of another set or "
            f"{SUMMARY} are: rename the set"
        ]
    return check_destination(args.output_dir, args.experiment_id)


def names_that_clash(names) -> set[str]:
    """The sets whose results would have paths of each other's, such as x.png of x, and the folder
    of a set called x.png."""
    owners: dict[str, set[str]] = {SUMMARY: set()}
    for name in names:
        for path in (f"{name}.png", *(f"{name}/{file}" for file in (*FILES, PLOTS))):
            owners.setdefault(path, set()).add(name)
    clashing = [of_path for of_path in owners.values() if len(of_path) > 1]
    for name in names:
        for folder in (name, *map(str, PurePosixPath(name).parents)):
            if folder in owners:
                clashing.append(owners[folder] | {name})
    return {name for of_path in clashing for name in of_path}


# --- running


def run(model_class, args: Namespace, sets: dict[str, Inputs], has_wrong: bool) -> int:
    """From checked problem sets to files on disk; returns the exit status. Raises UserError."""
    clock = Clock()
    with consequence("nothing was written"):
        with clock.timed("loading"):
            model, cache = load(model_class, args)
        was_problem = cache.problem
        contents = Contents(cache)
        rows = {name: row_if_unchanged(name, sets[name], model, contents) for name in sets}
        due = {name: sets[name] for name, row in rows.items() if row is None}
        if len(due) < len(sets):
            tell(f"unchanged: {len(sets) - len(due)} of {plural(len(sets), 'problem set')}")
        embedded = embed(list(due.values()), model, cache, args, clock) if due else []
    status = int(has_wrong)
    with progress("evaluating", len(due), "problem sets") as advance:
        for n_done, ((name, inputs), found) in enumerate(zip(due.items(), embedded)):
            with consequence(
                f"{n_done} of {plural(len(due), 'problem set')} written, no {SUMMARY}"
            ):
                rows[name] = row_if_written(name, inputs, model, found, clock)
            status = max(status, rows[name] is None or len(found.videos.failed) > 0)
            advance(1)
    write_summary(args, [row for row in rows.values() if row is not None])
    with suppress(KeyboardInterrupt):  # everything is written
        cache.prune()
        if not was_problem:  # else it was told at the start
            tell_all(messages.of_cache(cache.problem), "warnings")
    return int(status)


def row_if_unchanged(name: str, inputs: Inputs, model, contents: Contents):
    """The summary's row of results that are there, whole, and of the same inputs, else None."""
    from trajeval.record import fingerprint
    from trajeval.summary import row_of

    folder = Path(inputs.args.output_dir, inputs.args.experiment_id)
    if not os.path.isfile(folder / "run.json"):
        return None
    hashes = [contents.of(trajectory.source) for trajectory in inputs.trajectories]
    try:
        found = read_results(folder)
        if None in hashes or found.fingerprint != fingerprint(inputs, model, hashes):
            return None
        if found.missing:
            return None
        metrics = folder / "metrics.json"
        verdict = json.loads(metrics.read_bytes()) if metrics.exists() else None
    except (UserError, OSError, ValueError):  # damaged, or gone meanwhile
        return None
    return row_of(name, found.table, verdict)


def row_if_written(name: str, inputs: Inputs, model, embedded, clock: Clock):
    """Evaluates a set and writes its results; the summary's row, or None if that failed, which is
    shown."""
    from trajeval.evaluation import evaluate
    from trajeval.summary import row_of

    args = inputs.args
    own_clock = Clock(clock.seconds)
    try:
        table, made = evaluate(inputs, model, embedded, own_clock)
        write_results(args.output_dir, args.experiment_id, made.picture, made.files)
    except UserError as error:
        tell(f"error: {printable(name)}: {error}")
        return None
    if args.verbose:
        tell(f"{printable(name)}:")
        lines = messages.of_results(args, table, made, embedded.videos, own_clock.seconds)
        tell_all(lines, "lines", verbose=True)
    return row_of(name, table, made.verdict)


def write_summary(args: Namespace, rows: list) -> None:
    """Writes summary.csv, shows the folders and the path."""
    from trajeval.summary import as_lines, as_table, folders_of

    if not rows:
        raise UserError("no problem set could be evaluated", status=1)
    folders = folders_of(rows)
    folder = Path(args.output_dir, args.experiment_id)
    replace_files(folder, {SUMMARY: as_table(rows, folders)})
    with suppress(KeyboardInterrupt):
        tell_all(as_lines(folders), "lines", verbose=True)
        answer(folder / SUMMARY)
