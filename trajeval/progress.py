"""The progress of each frame of a LeRobot data set's episodes, for its visualizer:
`--export-progress FILE.parquet`.

The columns are episode_index and frame_index, int64, and progress, float32: what LeRobot's own
reward models write, and https://github.com/huggingface/lerobot-dataset-visualizer reads from
sarm_progress.parquet beside the data set's folders.
"""

import io
import os
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from trajeval.inputs import Prompt, Trajectory
from trajeval.lerobot import as_json, read_data_set, read_episodes, read_file
from trajeval.results import replace_files, wrong_folder
from trajeval.sources import split_part
from trajeval.terminal import UserError, plural, printable

if TYPE_CHECKING:  # NumPy is imported where it is needed
    import numpy as np

    from trajeval.curves import Curves
    from trajeval.table import Table

FLAG = "--export-progress"
INFO = "meta/info.json"
Place = tuple[str, float | None, float | None]  # a video's path, and where a part starts and ends


def check_option(args: Namespace) -> list[str]:
    """What is wrong with the option, before any list is read."""
    if args.export_progress is None:
        return []
    problems = []
    if args.curves is None:
        problems.append(f"{FLAG}: requires --curves prefix or --curves window")
    if args.problem_sets is not None:
        problems.append(f"{FLAG}: cannot be combined with --problem-sets: it is of one data set")
    if find_spec("pyarrow") is None:
        problems.append(
            f'{FLAG}: the package "pyarrow" is not installed: run with `uv run --extra lerobot`, '
            "or `pip install pyarrow`"
        )
    file = Path(args.export_progress)
    if file.is_dir():
        return [*problems, f"{FLAG} {file}: a folder, not a file"]
    if file.suffix != ".parquet":  # a list, or a picture, would be replaced
        problems.append(f"{FLAG} {file}: the name has to end in .parquet")
    return problems + wrong_folder(FLAG, file.parent)


def check_lists(args: Namespace, prompts: list[Prompt], trajectories: list[Trajectory]) -> list:
    """What the lists need for the option that they have not. A list that could not be read is empty
    here."""
    if (
        args.export_progress is None
        or args.problem_sets is not None  # refused
        or not prompts
        or not trajectories
        or find_spec("pyarrow") is None
    ):
        return []
    known = {prompt.group for prompt in prompts} - {None}
    problems = [
        f"{args.trajectories_path}:{one.line}: {FLAG} needs a group of prompts for each "
        f"trajectory: {printable(one.name)} has none"
        for one in trajectories
        if known.isdisjoint(one.groups)
    ]
    try:
        episodes_of(trajectories)
    except UserError as error:
        problems += [f"{FLAG}: {problem}" for problem in error.problems]
    return problems


def episodes_of(trajectories: Sequence[Trajectory]) -> list[int]:
    """The index of the episode that each trajectory is, in the one data set that all are from.
    Raises UserError, with all that is wrong."""
    videos = {path: os.path.abspath(path) for path in {one.path: None for one in trajectories}}
    folders = {video: os.path.dirname(video) for video in videos.values()}
    roots = {folder: root_of(f"{folder}/_") for folder in dict.fromkeys(folders.values())}
    problems = [
        f"{printable(video)}: not in a LeRobot data set: no folder above it has {INFO}"
        for video, folder in folders.items()
        if roots[folder] is None
    ]
    found = {root for root in roots.values() if root}
    if len(found) > 1:
        shown = " and ".join(sorted(printable(str(root)) for root in found)[:2])
        problems.append(f"the trajectories are of several data sets: {shown}")
    if problems:
        raise UserError(*problems)
    [root] = found
    episodes = places_in(root, {part for folder in roots for part in Path(folder).parts})
    indices = []
    for one in trajectories:
        index = episodes.get((videos[one.path], one.start, one.end))
        if index is None:
            problems.append(
                f"{printable(one.name)}: not an episode of {root}: import_lerobot.py writes lists "
                "of them"
            )
        else:
            indices.append(index)
    problems += [
        f"the episode {index} is there {n} times: take one camera"
        for index, n in Counter(indices).items()
        if n > 1
    ]
    if problems:
        raise UserError(*problems)
    return indices


def root_of(video: str) -> Path | None:
    """The folder of the data set that a video is in, None of another video."""
    for folder in Path(os.path.abspath(video)).parents:
        if (folder / INFO).is_file():
            return folder
    return None


def places_in(root: Path, folders: set[str]) -> dict[Place, int]:
    """Where the episodes of a data set are, of each of its cameras that has videos in folders of
    these names, which is where LeRobot puts a camera's name, or else of all. Raises UserError."""
    features = (as_json(read_file(root / INFO)) or {}).get("features")
    features = features if isinstance(features, dict) else {}
    cameras = [
        name for name, of in features.items() if isinstance(of, dict) and of.get("dtype") == "video"
    ]
    found: dict[Place, int] = {}
    used = [name for name in cameras if name in folders]
    for camera in used or cameras or [None]:  # without any, what is wrong is told
        for episode in read_episodes(read_data_set(str(root), camera)):
            _, start, end = split_part(f"_{episode.part}") if episode.part else ("", None, None)
            found[os.path.abspath(root / episode.video), start, end] = episode.index
    return found


def progress_of(frames: "np.ndarray", values: "np.ndarray", length: int) -> "np.ndarray":
    """The progress of each frame of an episode: the curve at its points, from 0, its lowest, to 1,
    its highest, and on straight lines between them; before the first point, as there. A constant
    curve is 1, as TOPReward has it.

    frames: int [K], ascending, the last one is the episode's last; values: float [K]; length: how
    many frames the episode has. float32 [length]
    """
    import numpy as np

    from trajeval.curves import normalised, points_of

    points = points_of(frames)
    places = frames[points] - frames[-1] + length - 1  # from the episode's first frame
    return np.interp(np.arange(length), places, normalised(values[points])).astype(np.float32)


def as_parquet(indices: list[int], progress: "list[np.ndarray]") -> bytes:
    """The table of the episodes with these indices. progress: float32 [length] of each."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    lengths = [len(of) for of in progress]
    columns = {
        "episode_index": np.repeat(np.array(indices, np.int64), lengths),
        "frame_index": np.concatenate([np.arange(n, dtype=np.int64) for n in lengths]),
        "progress": np.concatenate(progress),
    }
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


def export(
    file: str, trajectories: list[Trajectory], lengths: list[int], table: "Table", curves: "Curves"
) -> str:
    """Writes the progress of trajectories, the rows of a table with its curves, for the prompts of
    the first of each one's labels; returns what was done. lengths: how many frames each has. Raises
    UserError, with status 1."""
    from trajeval.curves import group_curves

    groups, values = group_curves(table, curves.values)  # [N, K, G]
    names = [group.name for group in groups]
    progress = []
    for i, one in enumerate(trajectories):
        label = next(names.index(name) for name in one.groups if name in names)
        progress.append(progress_of(curves.frames[i], values[i, :, label], lengths[i]))
    indices = episodes_of(trajectories)
    in_order = sorted(range(len(indices)), key=indices.__getitem__)
    content = as_parquet([indices[i] for i in in_order], [progress[i] for i in in_order])
    path = Path(file)
    replace_files(path.parent, {path.name: content})
    return f"{path}: the progress of {plural(len(indices), 'episode')}"
