"""What a trajectory is read from: a file, a part of one, a folder of frames, or an array.

A part is written as a temporal media fragment, FILE#t=START,END (https://www.w3.org/TR/media-frags/,
normal play time): the frames with START <= time < END, from the first frame's time on.
"""

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trajeval.files import is_folder
from trajeval.terminal import UserError, printable

if TYPE_CHECKING:
    import numpy as np

# What a folder of frames may hold. GIF is a video.
IMAGE_SUFFIXES = (
    *(".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
SECONDS = re.compile(r"(?:(?:(\d{1,9}):)?([0-5]\d):)?(\d{1,12}(?:\.\d{0,30})?)", re.ASCII)


class Source(NamedTuple):
    """What a trajectory is read from.

    origin: the path of a video, an array file or a folder of frames; or an array, uint8
    [T, H, W, 3], RGB. start, end: of the part, in seconds from the first frame; None: from the
    start, to the end. fps: how many frames of a folder or an array make a second; a video has its
    own times. label: what messages call an array.
    """

    origin: "str | os.PathLike[str] | np.ndarray"
    start: float | None = None
    end: float | None = None
    fps: float | None = None
    label: str = "the array"

    @property
    def name(self) -> str:
        """As a list names it: PATH, or PATH#t=START,END."""
        path = self.path
        return (self.label if path is None else path) + fragment(self.start, self.end)

    @property
    def path(self) -> str | None:
        """The path as text, None for an array."""
        return os.fsdecode(self.origin) if isinstance(self.origin, str | os.PathLike) else None

    @property
    def is_part(self) -> bool:
        return self.start is not None or self.end is not None


def source_of(video: Any, label: str = "the array") -> Source:
    """The source that a path, with or without #t=START,END, an array or a Source means. A file
    whose name ends in #t=START,END is found first. Raises UserError for a part that is none,
    TypeError for what is neither."""
    if isinstance(video, Source):
        return video
    if isinstance(video, str | bytes | os.PathLike):
        text = os.fsdecode(video)
        if "#t=" not in text or os.path.lexists(text):
            return Source(text)
        try:
            return Source(*split_part(text))
        except ValueError as error:
            raise UserError(f"{printable(text)}: {error}") from None
    if hasattr(video, "dtype") and hasattr(video, "shape"):
        return Source(video, label=label)
    raise TypeError(f"expected a path or an array, got {type(video).__name__}")


def split_part(text: str) -> tuple[str, float | None, float | None]:
    """FILE#t=START,END -> FILE, START and END in seconds, None for what is left out; for a text
    without #t= both are. Raises ValueError, which says what is wrong with the part."""
    path, mark, times = text.rpartition("#t=")
    if not mark:
        return text, None, None
    before, _, after = times.removeprefix("npt:").partition(",")
    start, end = (seconds(part) if part.strip() else None for part in (before, after))
    if start is None and end is None:
        raise ValueError("#t= needs START,END in seconds, such as #t=1.5,2, #t=5 or #t=,5")
    if end is not None and end <= (start or 0):
        raise ValueError(f"#t={times}: END must be after START")
    return path, start, end


def seconds(text: str) -> float:
    """12, 1.5 or 1:02:03.5 -> seconds. Raises ValueError."""
    match = SECONDS.fullmatch(text.strip())
    if not match:
        raise ValueError(f'"{printable(text)}" is not a time: write seconds, such as 1.5')
    hours, minutes, rest = match.groups(default="0")
    if hours == minutes == "0":
        return float(rest)
    # Decimal, so that 00:01.1 is 1.1 and not the sum of two roundings.
    return float(3600 * int(hours) + 60 * int(minutes) + Decimal(rest))


def fragment(start: float | None, end: float | None) -> str:
    """#t=START,END as it is read back; nothing for a whole video."""
    if start is None and end is None:
        return ""
    return f"#t={'' if start is None else plain(start)}{'' if end is None else ',' + plain(end)}"


def plain(number: float) -> str:
    """The shortest decimal that is read back as this number, without an exponent."""
    text = repr(float(number))
    if "e" in text:
        text = f"{Decimal(text):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def frames_in(folder: str | Path) -> list[str]:
    """The names of the images in a folder in the order of their numbers: frame_2 before frame_10.
    Hidden files do not count. An empty list if there are none. Raises ValueError for images whose
    order is unknown, OSError."""
    with os.scandir(folder or ".") as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.lower().endswith(IMAGE_SUFFIXES)
            and not entry.name.startswith(".")
            and not is_folder(entry)
        ]
    by_place: dict[tuple, str] = {}
    for name in sorted(names):
        place = place_of(name)
        if len(place) == 1:
            raise ValueError(
                f"the image {printable(name)} has no number in its name, so its place is unknown"
            )
        if (other := by_place.setdefault(place, name)) != name:
            raise ValueError(
                f"the images {printable(other)} and {printable(name)} have the same number"
            )
    return [by_place[place] for place in sorted(by_place)]


def place_of(name: str) -> tuple:
    """By what the frames of a folder are sorted: texts and numbers in turn, without the suffix."""
    parts = re.split(r"(\d+)", os.path.splitext(name)[0], flags=re.ASCII)
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts))
