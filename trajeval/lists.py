"""Writes trajectory lists and prompt lists, which `inputs.py` reads; what they can hold."""

import os
from contextlib import suppress
from glob import glob, has_magic
from pathlib import Path

from trajeval.files import as_posix
from trajeval.inputs import BASELINE
from trajeval.results import replace_files


def write_lists(lists: dict[Path, list[str]]) -> None:
    """Writes the lines of each list to its path; all are written before the first replaces an old
    one. Raises UserError, with status 1."""
    contents = {path: "".join(f"{line}\n" for line in lines) for path, lines in lists.items()}
    replace_files("", {str(path): content.encode() for path, content in contents.items()})


def list_entry(video: str | Path, folder: str) -> str:
    """The line that means an existing video in a trajectory list that lies in `folder`, which is
    its os.path.realpath.

    It is relative to that folder, so that both can be moved together, unless the current folder,
    where entries are looked up first, has something else at that path. Raises ValueError for a path
    that no line can hold.
    """
    video = os.path.abspath(video)
    entry = as_posix(video)
    with suppress(ValueError):  # on another drive of Windows nothing is relative
        relative = as_posix(os.path.relpath(video, folder))
        if relative.startswith(("#", "[", "~")) or relative[0].isspace():
            relative = f"./{relative}"  # as it is, it would not be read as this path
        if not is_taken(relative, video):
            entry = relative
    if entry != entry.rstrip() or wrong_line(entry):
        raise ValueError(f"the path {entry!r} cannot be a line of a list: rename the video")
    return entry


def is_taken(entry: str, video: str) -> bool:
    """Whether a list's entry means something else than the video, from the current folder."""
    if os.path.lexists(entry):
        return not (os.path.exists(entry) and os.path.samefile(entry, video))
    return has_magic(entry) and bool(glob(entry, recursive=True))


def wrong_prompt(text: str) -> str | None:
    """Why a text, without its surrounding spaces, cannot be a line of a prompt list."""
    if wrong := wrong_line(text):
        return wrong
    if text.startswith("#"):
        return "begins with #, as a comment in a list does"
    if text.startswith("[") and text.endswith("]"):
        return "is in brackets, as the name of a group in a list is"
    return None


def wrong_group(name: str) -> str | None:
    """Why a name, without its surrounding spaces, cannot be that of a group with a label."""
    if name == BASELINE:
        return "is the name of the group of neutral prompts"
    return wrong_line(name)


def wrong_line(text: str) -> str | None:
    """Why a text cannot be a line of a list."""
    if not text.strip():
        return "is empty"
    if "\n" in text or "\r" in text:
        return "has a line break in it"
    if "\0" in text:
        return "has a null character in it"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode (half of a surrogate pair)"
    return None
