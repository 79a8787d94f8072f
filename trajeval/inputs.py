"""Reads prompt lists and trajectory lists: what their rows mean, and where the videos are."""

import gc
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from trajeval.finding import Finder
from trajeval.rows import Row, is_table, read_list
from trajeval.sources import Source, fragment
from trajeval.terminal import UserError, printable

LARGE_ROWS = 100_000
BASELINE = "baseline"  # the group of prompts that describe only what all trajectories share


class Prompt(NamedTuple):
    text: str
    group: str | None
    line: int


class Trajectory(NamedTuple):
    """path: with slashes. groups: in the order of the list, none in a list without. start, end: the
    part of the video, in seconds, None for its own. rating: how good it is: a number, or one of
    csv_lists.RATINGS. file: where links on the path lead, None if that is the path.

    A list may have a million of them: equal paths and groups are one object.
    """

    path: str
    groups: tuple[str, ...]
    line: int
    start: float | None = None
    end: float | None = None
    rating: float | str | None = None
    file: str | None = None

    @property
    def name(self) -> str:
        """PATH, or PATH#t=START,END for a part."""
        return self.path + fragment(self.start, self.end)

    @property
    def part(self) -> Hashable:
        """What it shows: of the same part of the same file equal, whatever the paths are."""
        file = self.file or self.path
        return file if self.start is self.end is None else (file, self.start, self.end)

    @property
    def source(self) -> Source:
        return Source(self.path, self.start, self.end)


def is_large(trajectories: Sequence) -> bool:
    """Whether they are too many for tables of text."""
    return len(trajectories) > LARGE_ROWS


def read_prompts(path: str | Path, notes: list[str] | None = None) -> list[Prompt]:
    """The prompts of a list, in order. notes: gets what is ignored. Raises UserError."""
    problems: list[str] = []
    rows = read_list(Path(path), "prompt", problems, notes)
    prompts = [Prompt(row.text, row.group, row.line) for row in rows]
    if problems:
        raise UserError(*problems)
    return prompts


def read_trajectories(
    path: str | Path, notes: list[str] | None = None, finders: dict[Path, Finder] | None = None
) -> list[Trajectory]:
    """The trajectories of a list, in order. An entry is a file, a folder (the videos in it, sorted;
    without any, its images are the frames of one) or a glob pattern (the files that match, sorted),
    looked up in the current folder, then in the list's own, then beside the scripts; #t=START,END
    after it means this part of each. notes: gets what is ignored. finders: what lists in the same
    folders looked up. Raises UserError, which names every entry that is wrong."""
    path, finders = Path(path), {} if finders is None else finders
    if path.parent not in finders:
        finders[path.parent] = Finder(path.parent)
    wrong_rows: list[str] = []
    wrong_entries: list[str] = []
    wrong_ratings: list[str] = []
    with uncollected():
        rows = read_list(path, "trajectory", wrong_rows, notes)
        found = find_all(path, finders[path.parent], rows, wrong_entries)
        trajectories = with_all_groups(path, found, wrong_ratings)
    wrong_ratings += mixed_ratings(path, trajectories)
    if problems := wrong_rows + wrong_entries + wrong_ratings:
        raise UserError(*problems)
    return trajectories


@contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's garbage collector, which would look through more and more trajectories and
    find nothing: a fifth of the time of a million."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def find_all(
    path: Path, finder: Finder, rows: Iterable[Row], problems: list[str]
) -> Iterator[Trajectory]:
    """The trajectories that the rows of a list mean, each in the group of its row. Those that mean
    none are added to the problems."""
    column = ": column path" if is_table(path) else ""
    groups: dict[str | None, tuple[str, ...]] = {None: ()}
    for row in rows:
        try:
            found, *part = finder.find(row.text)
            start, end = part_of(row, part)
        except OSError as error:
            problems.append(f"{path}:{row.line}{column}: {error.strerror}: {printable(row.text)}")
            continue
        except ValueError as error:
            problems.append(f"{path}:{row.line}{column}: {error}")
            continue
        own = groups.get(row.group)
        if own is None:
            own = groups[row.group] = (str(row.group),)
        for video in found:
            file = finder.files.get(video)
            yield Trajectory(video, own, row.line, start, end, row.rating, file)


def part_of(row: Row, part: list[float | None]) -> list[float | None]:
    """The start and the end of a row: of its columns, or of its path. Raises ValueError if both
    have one."""
    columns = [row.start, row.end]
    if part != [None, None] != columns:
        raise ValueError("has a part, #t=START,END, and so have the columns start and end: use one")
    return columns if part == [None, None] else part


def with_all_groups(
    path: Path, trajectories: Iterable[Trajectory], problems: list[str]
) -> list[Trajectory]:
    """The trajectories of a list with each in all of its groups: the same part of a file in another
    group is the same trajectory, in the same group it is repeated. Ratings that differ are added to
    the problems."""
    merged: list[Trajectory] = []
    first_places: dict[Hashable, int] = {}  # a part of a file -> where it is in merged
    repeats: dict[int, list[int]] = {}  # there -> all its places, if there are several
    joined: dict[tuple[str, ...], tuple[str, ...]] = {}  # groups -> the object for equal ones
    for one in trajectories:
        place = first_places.setdefault(one.part, len(merged))
        if place == len(merged):
            merged.append(one)
            continue
        first = merged[place]
        if one.rating != first.rating:
            problems.append(
                f"{path}:{one.line}: column rating: {shown_rating(one.rating)}, but "
                f"{shown_rating(first.rating)} in line {first.line}: the same video has one rating"
            )
        places = repeats.get(place) or [place]
        n = len(places)
        if one.groups:  # the first so many places have its group
            [group] = one.groups
            n = bisect_left(places, True, key=lambda there: group not in merged[there].groups)
        if n == len(places):
            places.append(len(merged))
            repeats[place] = places
            merged.append(one)
        else:
            groups = merged[places[n]].groups + one.groups
            merged[places[n]] = merged[places[n]]._replace(groups=joined.setdefault(groups, groups))
    return merged


def mixed_ratings(path: Path, trajectories: list[Trajectory]) -> list[str]:
    """What is wrong if some ratings are numbers and others words: the lines of the rarer kind."""
    if len({type(one.rating) for one in trajectories if one.rating is not None}) < 2:
        return []
    kinds: dict[type, dict[int, float | str]] = {}
    for one in trajectories:
        if one.rating is not None:
            kinds.setdefault(type(one.rating), {})[one.line] = one.rating
    frequent, rare = sorted(kinds.values(), key=len, reverse=True)
    first, usual = next(iter(frequent.items()))
    return [
        f"{path}:{line}: column rating: is {rating}, but {usual} in line {first}: use numbers or "
        "words, not both"
        for line, rating in rare.items()
    ]


def shown_rating(rating: float | str | None) -> str:
    return "is empty" if rating is None else f"is {rating}"
