"""Writes prompt lists and trajectory lists that read (see `inputs.py`) as they were meant."""

import os
from collections.abc import Iterable
from contextlib import suppress
from glob import glob
from pathlib import Path

from trajeval.files import replacing
from trajeval.results import wrong_folder
from trajeval.terminal import UserError


def wrong_line(text: str) -> str | None:
    """Why a text cannot be on a line of a list, such as "is empty"."""
    if not text.strip():
        return "is empty"
    if "\n" in text or "\r" in text:
        return "contains a line break"
    if "\0" in text:
        return "contains a null character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "contains half of a surrogate pair, which UTF-8 cannot encode"
    return None


def wrong_prompt(text: str) -> str | None:
    """Why a text, without spaces around it, cannot be a prompt in a list, and what to do."""
    if wrong := wrong_line(text):
        return f"{wrong}: write it as one line of text"
    if text.startswith("#"):
        return "begins with #, which marks a comment in a list: reword it"
    if text.startswith("[") and text.endswith("]"):
        return "is in brackets, which open a group in a list: reword it"
    return None


def entry_for(video: str | Path, folder: Path) -> str:
    """The line for a video in a trajectory list that is in `folder`.

    It is relative to that folder, so that both can be moved together, unless the current folder,
    where entries are looked up first, has something else of that name. Raises ValueError.
    """
    video = os.path.abspath(video)
    entry = Path(video).as_posix()
    with suppress(ValueError):  # on another drive of Windows nothing is relative
        relative = Path(os.path.relpath(video, os.path.realpath(folder))).as_posix()
        if relative.startswith(("#", "[", "~")) or relative[0].isspace():
            relative = f"./{relative}"  # else a list would not take it for this path
        if not _is_taken(relative, video):
            entry = relative
    if entry != entry.rstrip() or wrong_line(entry):
        raise ValueError(f"the path {entry!r} cannot be written in a list: rename the video")
    return entry


def _is_taken(entry: str, video: str) -> bool:
    """Whether an entry leads to something else than the video, from the current folder."""
    if os.path.lexists(entry):
        return not (os.path.exists(entry) and os.path.samefile(entry, video))
    return bool(glob(entry, recursive=True))


def check_lists(option: str, paths: Iterable[Path]) -> list[str]:
    """What is wrong with where lists are to be written, by an option's name; nothing is created."""
    problems = []
    for path in paths:
        problems += wrong_folder(option, path.parent)
        if os.path.isdir(path):
            problems.append(f"{path}: is a folder, and a list of that name is to be written")
    return list(dict.fromkeys(problems))


def write_lists(lists: dict[Path, list[str]]) -> None:
    """Writes the lines of each list to its path, one list after the other, each as a whole. Raises
    UserError, with status 1."""
    for path, lines in lists.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write("".join(f"{line}\n" for line in lines).encode())
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror}", status=1) from None
