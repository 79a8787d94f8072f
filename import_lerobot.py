"""Turns a LeRobot data set into a trajectory list and a prompt list.

    uv run --extra lerobot import_lerobot.py DATASET -o FOLDER

DATASET is a folder, or a name on the Hugging Face Hub, of which only the files needed are
downloaded. Each task is a group in both lists: its episodes in one, its text as the prompt in the
other, which is how the evaluators know the right answers. An episode with several tasks is in the
group of each: it has several labels.

The formats are v2.1, with a video file for each episode, and v3.0
(https://huggingface.co/docs/lerobot/lerobot-dataset-v3), in which an episode is a part of a file:
`FILE#t=START,END`, the frames with START <= time < END, in seconds from the first frame. Both are
half a frame early (episodes that meet at 2 s, at 10 frames a second, meet at 1.95 s in the list):
the times in the table and those in the file are rounded differently, and halfway between two frames
no rounding gives a frame to the wrong episode.
"""

import os
import re
import shlex
from glob import escape
from pathlib import Path

from trajeval.terminal import (
    UserError,
    answer,
    exit_on_interrupt,
    first_few,
    plural,
    printable,
    run_command,
    run_script,
    tell,
)

if __name__ == "__main__":
    exit_on_interrupt()

from trajeval.lerobot import Episode, fetch, read_data_set, read_episodes, shown
from trajeval.lists import list_entry, wrong_group, wrong_prompt
from trajeval.options import Option, path, whole
from trajeval.parsing import Parser, parse_options
from trajeval.results import replace_files, wrong_folder
from trajeval.rows import MAX_BYTES


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status.

    0: the lists are written; 1: they could not be written; 2: something is wrong with the arguments
    or the data set, all of it is named, and nothing was written.
    """
    return run_command(import_data_set, argv)


def import_data_set(argv: list[str] | None) -> int:
    args, problems = parse_arguments(argv)
    wrong: list[str] = []
    if args.dataset and (not problems or os.path.isdir(args.dataset)):  # else no download
        try:
            lists, note = make_lists(args)
        except UserError as error:
            wrong = error.problems
        except KeyboardInterrupt:
            raise KeyboardInterrupt("nothing was written") from None
    if n := len(problems) + len(wrong):
        shown = first_few(wrong, "problems in the data set")
        raise UserError(*problems, *shown, f"{plural(n, 'problem')} found; nothing was written")
    names = [f"{args.name}_trajectories.txt", f"{args.name}_prompts.txt"]
    replace_files(args.output_dir, dict(zip(names, lists)))
    tell(note)
    trajectories, prompts = (os.path.join(args.output_dir, name) for name in names)
    answer(shlex.join(["-t", trajectories, "-p", prompts]))
    return 0


# --- the command line


def episode_range(text: str) -> tuple[int, int | None]:
    """0:50 -> (0, 50); 7 -> (7, 8); 3: -> (3, None)"""
    if not (match := re.fullmatch(r"(\d{0,9})(?:(:)(\d{0,9}))?", text, re.ASCII)) or text in (
        "",
        ":",
    ):
        raise ValueError("takes FIRST:END, such as 0:50 (which is 0 to 49), 3: or :5, or one index")
    first, colon, end = match.groups()
    start = int(first or 0)
    stop = (int(end) if end else None) if colon else start + 1
    if stop is not None and start >= stop:
        raise ValueError("selects no episode: FIRST must be below END")
    return start, stop


OPTIONS = [
    Option(
        *("-o, --output-dir", "folder for NAME_trajectories.txt and NAME_prompts.txt", "FOLDER"),
        path,
    ),
    Option("--camera", "the camera to take; only needed where there are several", "KEY"),
    Option(
        "--episodes",
        "the episodes to take, by their indices: 0:50 (which is 0 to 49), 3:, :5 or 7",
        "FIRST:END",
        episode_range,
        shown="all",
    ),
    Option(
        "--max-per-task",
        "take the first N episodes of each task",
        "N",
        whole(1, 10**9),
        shown="all",
    ),
]


def parse_arguments(argv):
    """The arguments, with the lists' common `name`, and what is wrong with them."""
    parser = Parser("Turns a LeRobot data set into lists for the evaluators: a group per task.")
    parser.add_argument(
        "dataset",
        metavar="DATASET",
        help="its folder, or its name on the Hugging Face Hub: OWNER/NAME (formats v2.1 and v3.0)",
    )
    args, problems = parse_options(parser, OPTIONS, argv)
    try:
        path(args.dataset)
    except ValueError as error:
        problems.append(f"DATASET {error}")
        args.dataset = None
    args.name = os.path.basename(os.path.abspath(args.dataset or "data set"))
    if not args.name or not args.name.isprintable() or len(os.fsencode(args.name)) > 200:
        problems.append(
            f"{printable(args.dataset)}: the lists are named after the folder, which takes a name "
            "of printable characters and at most 200 bytes: rename it"
        )
    elif args.output_dir is None:
        if not any(problem.startswith("--output-dir") for problem in problems):
            problems.append("-o FOLDER is missing: the folder for the lists")
    else:
        folder = Path(args.output_dir)
        problems += wrong_folder("--output-dir", folder) or [
            f"{folder / f'{args.name}_{kind}.txt'}: a folder is in the place of a list"
            for kind in ("trajectories", "prompts")
            if (folder / f"{args.name}_{kind}.txt").is_dir()
        ]
    return args, problems


# --- the lists


def make_lists(args) -> tuple[list[bytes], str]:
    """The trajectory list, the prompt list, and how much is in them. Raises UserError, with
    all that is wrong with the data set."""
    data = read_data_set(args.dataset, args.camera)
    episodes = select(read_episodes(data), args.episodes)
    groups = group_by_task(episodes, args.max_per_task)
    videos: dict[str, list[int]] = {}  # path from the root -> the episodes in it
    chosen = {episode.index: episode for group in groups.values() for episode in group}
    for episode in chosen.values():
        videos.setdefault(episode.video, []).append(episode.index)
    problems = [
        f"{data.root}: the task {shown(task)} {wrong} ({numbered([e.index for e in group])}): "
        "rename it in the data set, or take other episodes"
        for task, group in groups.items()
        if (wrong := wrong_group(task) or wrong_prompt(task))
    ]
    if not problems:  # else they are downloaded in vain
        fetch(args.dataset, [escape(video) for video in videos], data.root.name)
    entries, folder = {}, os.path.realpath(args.output_dir or "")
    for video, indices in videos.items():
        try:
            entries[video] = entry_of(os.path.join(data.root, video), folder)
        except ValueError as error:
            path_shown = printable(str(data.root / video))
            problems.append(f"{path_shown}: {error} ({numbered(indices)})")
    if problems:
        raise UserError(*problems)
    trajectories, prompts = [], []
    for task, group in groups.items():
        trajectories += [f"[{task}]", *(entries[e.video] + e.part for e in group)]
        prompts += [f"[{task}]", task]
    lists = [("\n".join(lines) + "\n").encode() for lines in (trajectories, prompts)]
    for kind, content in zip(("trajectory", "prompt"), lists):
        if len(content) > MAX_BYTES[kind]:
            raise UserError(
                f"the {kind} list would be larger than {MAX_BYTES[kind] >> 20} MB: take fewer "
                "episodes, with --episodes or --max-per-task"
            )
    return lists, f"{plural(len(chosen), 'episode')} of {plural(len(groups), 'task')}"


def select(episodes: list[Episode], chosen: tuple[int, int | None] | None) -> list[Episode]:
    """The episodes whose indices are in a range. Raises UserError."""
    start, stop = chosen or (0, None)
    first, last = episodes[0].index, episodes[-1].index
    if start > last or (stop or 0) > last + 1:
        raise UserError(
            f"--episodes: {start if stop is None else stop - 1} is not an episode: the data set "
            f"has {first} to {last}"
        )
    selected = [e for e in episodes if start <= e.index and (stop is None or e.index < stop)]
    if not selected:
        raise UserError("--episodes: the data set has no episode with these indices")
    return selected


def group_by_task(episodes: list[Episode], max_per_task: int | None) -> dict[str, list[Episode]]:
    """The first episodes of each task. An episode without a task belongs to ""."""
    groups: dict[str, list[Episode]] = {}
    for episode in episodes:
        for task in dict.fromkeys(task.strip() for task in episode.tasks or ("",)):
            group = groups.setdefault(task, [])
            if len(group) < (max_per_task or len(episodes)):
                group.append(episode)
    return groups


def entry_of(video: str, folder: str) -> str:
    """The line that means a video, in a list in a folder. Raises ValueError."""
    if not os.path.isfile(video):
        raise ValueError("a folder, not a video" if os.path.isdir(video) else "no such file")
    if not os.access(video, os.R_OK):
        raise ValueError("no permission to read it")
    return list_entry(video, folder)


def numbered(indices: list[int]) -> str:
    more = len(indices) - 1
    return f"episode {indices[0]}" + (f" and {more} more" if more else "")


if __name__ == "__main__":
    run_script(main)
