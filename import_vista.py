"""Converts ViSTa problem sets into prompt lists and trajectory lists.

    uv run import_vista.py TASK.yaml... -o FOLDER

A problem set is one question with several answers (see `trajeval/vista.py`). In both lists a label
is the name of a group, which is how the evaluators know the right answers.
"""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from trajeval.terminal import (
    UserError,
    answer,
    exit_on_interrupt,
    first_few,
    plural,
    run_command,
    run_script,
    tell,
)

if __name__ == "__main__":
    exit_on_interrupt()

from trajeval.inputs import BASELINE
from trajeval.lists import list_entry, write_lists
from trajeval.options import Option, path
from trajeval.parsing import Parser, parse_options
from trajeval.results import wrong_folder
from trajeval.vista import ProblemSet, data_of, read_problem_set

OPTIONS = [
    Option(
        "-o, --output-dir",
        "folder for TASK_prompts.txt and TASK_trajectories.txt; of problem sets in several "
        "folders, those below the one that all share are mirrored in it",
        "DIR",
        path,
    ),
    Option(
        "--video-dir",
        "folder that the paths in TASK_data.json start from",
        "DIR",
        path,
        shown="that of TASK_data.json, then the current folder",
    ),
]


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status.

    0: the lists were written; 1: one could not be written; 2: something is wrong with the arguments
    or the problem sets, and nothing was written; 130: interrupted.
    """
    return run_command(convert, argv)


def convert(argv: list[str] | None) -> int:
    args, problems = parse_arguments(argv)
    notes: list[str] = []
    lists: dict[Path, list[str]] = {}
    commands = []
    for task, folder in find_tasks(args.tasks, args.output_dir, problems, notes).items():
        prompt_list = folder / f"{task.stem}_prompts.txt"
        trajectory_list = folder / f"{task.stem}_trajectories.txt"
        if prompt_list in lists:
            problems.append(f"{task}: would overwrite {prompt_list} of another set: rename it")
        lists |= {prompt_list: [], trajectory_list: []}
        try:
            found = read_problem_set(task, args.video_dir)
            lists[prompt_list] = prompt_lines(found)
            lists[trajectory_list] = trajectory_lines(found, task, folder, notes)
        except UserError as error:
            problems += error.problems
        commands.append(shlex.join(["-t", str(trajectory_list), "-p", str(prompt_list)]))
    problems += check_destination(lists)
    if problems:
        count = f"{plural(len(problems), 'problem')} found; nothing was written"
        raise UserError(*first_few(problems, "problems"), count)
    write_lists(lists)
    for note in notes:
        tell(note)
    answer("\n".join(commands))
    return 0


def parse_arguments(argv):
    """The arguments, as paths, and what is wrong with them."""
    parser = Parser("Converts ViSTa problem sets into lists for the evaluators: a group per label.")
    parser.add_argument(
        "tasks",
        metavar="TASK.yaml",
        nargs="+",
        help="problem set, with TASK_data.json beside it; or a folder: all sets in and below it",
    )
    args, problems = parse_options(parser, OPTIONS, argv)
    for text in args.tasks:
        try:
            path(text)
        except ValueError as error:
            problems.append(f"TASK.yaml {text!r}: {error}")
    args.tasks = [Path(text) for text in args.tasks if text.strip() and "\0" not in text]
    if args.output_dir is None and not any(p.startswith("--output-dir") for p in problems):
        problems.append("-o DIR is missing: the folder for the lists")
    args.output_dir = Path(args.output_dir or "")
    if args.video_dir is not None:
        args.video_dir = Path(args.video_dir)
        if not os.path.isdir(args.video_dir):
            problems.append(f"--video-dir {args.video_dir}: no such folder")
    return args, problems


def find_tasks(
    given: list[Path], output_dir: Path, problems: list[str], notes: list[str]
) -> dict[Path, Path]:
    """The problem sets that files and folders stand for -> the folder for the lists of each."""
    tasks: dict[str, Path] = {}  # by absolute path: a set may be named twice
    tops = []
    for place in given:
        found = [place]
        if os.path.isdir(place):
            found = list(sets_below(place, problems, notes))
            if not found:
                problems.append(
                    f"{place}: no problem set in or below this folder (TASK.yaml with "
                    "TASK_data.json beside it)"
                )
        tops.append(os.path.abspath(place if os.path.isdir(place) else place.parent))
        tasks |= {os.path.abspath(task): task for task in found}
    top = os.path.commonpath(tops) if tops else ""
    return {
        task: output_dir / os.path.relpath(os.path.dirname(whole), top)
        for whole, task in tasks.items()
    }


def sets_below(folder: Path, problems: list[str], notes: list[str]) -> Iterator[Path]:
    """The problem sets in a folder and in those below it, sorted."""
    for place, folders, files in os.walk(
        folder, onerror=lambda error: problems.append(f"{error.filename}: {error.strerror}")
    ):
        folders.sort()
        for name in sorted(files):
            task = Path(place, name)
            if task.suffix != ".yaml":
                continue
            if data_of(task).name in files:
                yield task
            else:
                notes.append(f"{task}: skipped as a template: no {data_of(task).name} beside it")


def prompt_lines(found: ProblemSet) -> list[str]:
    lines = [line for label, prompt in found.prompts.items() for line in (f"[{label}]", prompt)]
    return lines if found.baseline is None else [*lines, f"[{BASELINE}]", found.baseline]


def trajectory_lines(found: ProblemSet, task: Path, folder: Path, notes: list[str]) -> list[str]:
    """The lines of the trajectory list in a folder. Raises UserError."""
    groups: dict[str, list[str]] = {label: [] for label in found.prompts}
    problems, real_folder = [], os.path.realpath(folder)
    for number, (video, labels) in enumerate(found.videos, 1):
        try:
            entry = list_entry(video, real_folder)
        except ValueError as error:
            problems.append(f"{data_of(task)}: entry {number}: {error}")
            continue
        for label in labels:  # an entry in several groups has several labels
            groups[label].append(entry)
    if problems:
        raise UserError(*problems)
    for label, entries in groups.items():
        if not entries:
            notes.append(
                f"{data_of(task)}: no video has the label {label!r}: its prompt is kept as a wrong "
                "answer"
            )
    return [
        line for label, entries in groups.items() if entries for line in (f"[{label}]", *entries)
    ]


def check_destination(lists: dict[Path, list[str]]) -> list[str]:
    """What is wrong with where the lists are to be written; nothing is created."""
    wrong = [problem for path in lists for problem in wrong_folder("--output-dir", path.parent)]
    return list(dict.fromkeys(wrong)) or [
        f"{path}: a folder has the name of this list: rename it"
        for path in lists
        if os.path.isdir(path)
    ]


if __name__ == "__main__":
    run_script(main)
