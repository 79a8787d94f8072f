"""LeRobot data sets: their episodes, as videos and parts of videos, with their tasks.

The formats are v2.1, with a video file for each episode, and v3.0
(https://huggingface.co/docs/lerobot/lerobot-dataset-v3), in which a file holds many. Which file
holds an episode is in its `videos/...` columns; the `data/...` columns are of other files.
"""

import json
import math
import os
import re
import string
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath
from sys import intern
from typing import Any, NamedTuple

from trajeval.download import from_hub
from trajeval.files import open_regular
from trajeval.terminal import UserError, printable

FORMATS = {  # codebase_version -> what the path of a video is made of, besides the camera
    "v2.1": ("episode_chunk", "episode_index"),
    "v3.0": ("chunk_index", "file_index"),
}
HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


class DataSet(NamedTuple):
    """What meta/info.json says. name: as the user gave it; root: the folder; n_episodes: 0 if not
    given; video_path: a template with the camera filled in; chunk_size: episodes in one (v2.1)."""

    name: str
    root: Path
    version: str
    fps: float
    camera: str
    n_episodes: int
    video_path: str
    chunk_size: int


class Episode(NamedTuple):
    """video: its path from the root, with "/"; part: "" or "#t=START,END"."""

    index: int
    tasks: tuple[str, ...]
    video: str
    part: str


Row = tuple[str, tuple]  # where it is, and its values; None for a missing one


def fetch(dataset: str, patterns: list[str], revision: str | None = None) -> Path:
    """The folder of a data set. Of one on the Hub, the files that match the patterns are downloaded
    into the Hub's cache; the folder's name is then the revision. Raises UserError."""
    if os.path.isdir(dataset):
        return Path(dataset)
    if os.path.lexists(dataset):
        raise UserError(f"{dataset}: not a folder: give the one that holds meta/ and videos/")
    if not HUB_NAME.fullmatch(dataset):
        raise UserError(f"{dataset}: no such folder, nor a name on the Hub, which is OWNER/NAME")
    from huggingface_hub import snapshot_download

    get = partial(
        snapshot_download, repo_type="dataset", revision=revision, allow_patterns=patterns
    )
    what = f"{dataset}: no such folder, and the data set of that name on the Hub"
    return Path(from_hub(get, dataset, what=what))


def read_data_set(dataset: str, camera: str | None) -> DataSet:
    """Reads meta/info.json. Raises UserError."""
    root = fetch(dataset, ["meta/info.json"])
    file = root / "meta/info.json"
    if not os.path.lexists(file):
        raise UserError(f"{dataset}: not a LeRobot data set: it has no meta/info.json")
    info = as_json(read_file(file))
    if info is None:
        raise UserError(f"{file}: not a JSON object: it is damaged")
    version = info.get("codebase_version")
    if not isinstance(version, str) or version not in FORMATS:
        raise UserError(
            f"{file}: codebase_version is {shown(version)}; {' and '.join(FORMATS)} can be read: "
            "convert it with LeRobot"
        )
    problems = []
    fps: Any = info.get("fps")
    chunk_size = info.get("chunks_size", 1000)
    if type(fps) not in (int, float) or not 0 < fps <= 10_000:
        problems.append(f"{file}: fps is {shown(fps)}, not a number above 0")
    if version == "v2.1" and (type(chunk_size) is not int or chunk_size < 1):
        problems.append(f"{file}: chunks_size is {shown(chunk_size)}, not a number of episodes")
    template = ""
    try:
        camera = choose_camera(info.get("features"), camera)
        template = fill_in_camera(info.get("video_path"), version, camera)
    except ValueError as error:
        problems.append(f"{file}: {error}")
    if problems:
        raise UserError(*problems)
    n = info["total_episodes"] if type(info.get("total_episodes")) is int else 0
    return DataSet(dataset, root, version, fps, str(camera), n, template, chunk_size)


def choose_camera(features: Any, wanted: str | None) -> str:
    """The key of the camera to take. Raises ValueError."""
    if not isinstance(features, dict):
        raise ValueError(f"features is {shown(features)}, not an object")
    kinds = {key: of.get("dtype") for key, of in features.items() if isinstance(of, dict)}
    cameras = [key for key, kind in kinds.items() if kind == "video"]
    images = [key for key, kind in kinds.items() if kind == "image"]
    if not cameras:
        stills = f", only images ({listed(images)}): convert them with LeRobot" if images else ""
        raise ValueError(f'has no feature of the dtype "video"{stills}')
    if wanted is None and len(cameras) > 1:
        raise ValueError(f"has {len(cameras)} cameras: choose one with --camera: {listed(cameras)}")
    if wanted is not None and wanted not in cameras:
        raise ValueError(f"--camera {printable(wanted)}: not one of its cameras: {listed(cameras)}")
    return wanted or cameras[0]


def fill_in_camera(template: Any, version: str, camera: str) -> str:
    """The template of a video's path, in which only numbers are left to fill in. As it comes from a
    stranger, it may name nothing else nor lead out of the data set. Raises ValueError."""
    fields = FORMATS[version]
    if not isinstance(template, str):
        raise ValueError(f"video_path is {shown(template)}, not a path")
    wrong = f"video_path {shown(template)}"
    filled, used = "", set()
    try:
        for text, field, form, conversion in string.Formatter().parse(template):
            filled += text.replace("{", "{{").replace("}", "}}")
            if field == "video_key" and not form and not conversion:
                filled += camera.replace("{", "{{").replace("}", "}}")
            elif field in fields and re.fullmatch(r"(0?\d)?d?", form or "") and not conversion:
                filled += f"{{{field}:{form}}}"
                used.add(field)
            elif field is not None:
                raise ValueError(f"has the field {printable(field)!r}")
    except ValueError as error:
        raise ValueError(f"{wrong}: {error}: not a template of {version}") from None
    if fields[-1] not in used:
        raise ValueError(f"{wrong}: does not name {{{fields[-1]}}}")
    example = filled.format(**dict.fromkeys(fields, 0))
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(example).anchor or ".." in kind(example).parts or "\0" in example:
            raise ValueError(f"{wrong} with the camera {shown(camera)}: leads out of the data set")
    return filled


# --- the episodes


COLUMNS = {"episode_index": "an index", "tasks": "a list of texts"}
CAMERA_COLUMNS = {  # of v3.0; each name begins with videos/CAMERA/
    **dict.fromkeys(("chunk_index", "file_index"), "an index"),
    **dict.fromkeys(("from_timestamp", "to_timestamp"), "a time in seconds"),
}
CHECKS: dict[str, Callable[[Any], bool]] = {
    "an index": lambda value: type(value) is int and value >= 0,
    "a list of texts": lambda value: type(value) is list and all(type(t) is str for t in value),
    "a time in seconds": lambda value: type(value) in (int, float) and 0 <= value < math.inf,
}


def read_episodes(data: DataSet) -> list[Episode]:
    """The episodes of a data set, by their indices. Raises UserError, with all that is wrong."""
    read, camera_columns = read_jsonl, {}
    if data.version == "v3.0":
        read = read_parquet
        camera_columns = {f"videos/{data.camera}/{k}": v for k, v in CAMERA_COLUMNS.items()}
    columns = COLUMNS | camera_columns
    episodes: dict[int, Episode] = {}
    problems: list[str] = []
    for where, row in read(data, list(columns), problems):
        try:
            episode = make_episode(data, columns, row)
        except ValueError as error:
            problems.append(f"{where}: {error}")
            continue
        if episode.index in episodes:
            problems.append(f"{where}: the episode {episode.index} is there twice")
        episodes[episode.index] = episode
    if problems:
        raise UserError(*problems)
    if not episodes:
        raise UserError(f"{data.root}: the data set has no episodes")
    if len(episodes) < data.n_episodes:
        raise UserError(
            f"{data.root}: meta/info.json counts {data.n_episodes} episodes, the table has only "
            f"{len(episodes)}: a part of it is missing"
        )
    return [episodes[index] for index in sorted(episodes)]


def make_episode(data: DataSet, columns: dict[str, str], row: tuple) -> Episode:
    """An episode from its row of the table. Raises ValueError."""
    if wrong := [
        f"has no {name}" if value is None else f"{name} is {shown(value)}, not {kind}"
        for (name, kind), value in zip(columns.items(), row)
        if not CHECKS[kind](value)
    ]:
        raise ValueError(", ".join(wrong))
    index, tasks, *place = row
    tasks = tuple(map(intern, tasks))  # of a million episodes, equal texts are one object
    if data.version == "v2.1":
        video = data.video_path.format(episode_chunk=index // data.chunk_size, episode_index=index)
        return Episode(index, tasks, video, "")
    chunk, file, start, end = place
    half = 0.5 / data.fps  # a frame's length
    if end - start < half:
        raise ValueError(f"the episode {index} has no frame: it is from {start} to {end} seconds")
    part = f"#t={as_seconds(max(start - half, 0))},{as_seconds(end - half)}"
    video = data.video_path.format(chunk_index=chunk, file_index=file)
    return Episode(index, tasks, intern(video), part)


def as_seconds(time: float) -> str:
    return f"{time:.6f}".rstrip("0").rstrip(".")


def read_jsonl(data: DataSet, columns: list[str], problems: list[str]) -> Iterator[Row]:
    """The rows of v2.1's table. What is wrong with a line is added to the problems."""
    name = "meta/episodes.jsonl"
    file = fetch(data.name, [name], data.root.name) / name
    for number, line in enumerate(read_file(file, 1 << 28).split("\n"), 1):
        if line.strip():
            if (row := as_json(line)) is None:
                problems.append(f"{file}:{number}: not a JSON object: it is damaged")
            else:
                yield f"{file}:{number}", tuple(map(row.get, columns))


def read_parquet(data: DataSet, columns: list[str], problems: list[str]) -> Iterator[Row]:
    """The rows of v3.0's table, which may be in several files. What is wrong with a file is added
    to the problems."""
    try:
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise UserError(
            'the package "pyarrow", which reads the format v3.0, is not installed: run '
            "`uv run --extra lerobot import_lerobot.py ...`, or `pip install pyarrow`"
        ) from None
    root = fetch(data.name, ["meta/episodes/*"], data.root.name)
    if not (files := sorted(root.glob("meta/episodes/chunk-*/file-*.parquet"))):
        raise UserError(f"{root}: no files meta/episodes/chunk-*/file-*.parquet")
    for file in files:
        try:
            with open_regular(file) as opened:
                table = ParquetFile(opened)
                missing = [name for name in columns if name not in table.schema_arrow.names]
                if missing:
                    problems.append(f"{file}: has no column {listed(missing)}")
                    continue
                # Arrow's threads may abort the process while it ends.
                batches = table.iter_batches(columns=columns, use_threads=False)
                rows = (zip(*(batch[name].to_pylist() for name in columns)) for batch in batches)
                for n, row in enumerate(chain.from_iterable(rows), 1):
                    yield f"{file}: row {n}", row
        except Exception as error:  # a damaged file can raise anything
            wrong = "damaged, or not a Parquet file: download it again"
            if isinstance(error, OSError) and error.errno:
                wrong = f"cannot be read: {error.strerror}"
            problems.append(f"{file}: {wrong}")


def read_file(file: Path, limit: int = 1 << 24) -> str:
    """The text of a file in UTF-8, of at most so many bytes. Raises UserError."""
    try:
        with open_regular(file) as opened:
            content = opened.read(limit + 1)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    if len(content) > limit:
        raise UserError(f"{file}: larger than {limit >> 20} MB")
    try:
        return content.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError:
        raise UserError(f"{file}: not UTF-8: it is damaged") from None


def as_json(text: str) -> dict | None:
    """A JSON object, or None if the text is not one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def shown(value: Any) -> str:
    return "missing" if value is None else printable(repr(value), 80)


def listed(names: list[str]) -> str:
    return ", ".join(map(printable, names))
