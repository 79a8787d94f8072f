"""Reads prompt lists and trajectory lists: what their rows mean, and where the videos are."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from trajeval.files import real_paths
from trajeval.finding import find_parts, places_of
from trajeval.rows import Row, is_table, read_list
from trajeval.sources import Source, fragment
from trajeval.terminal import UserError, printable

BASELINE = "baseline"  # the group of prompts that describe only what all trajectories share


class Prompt(NamedTuple):
    text: str
    group: str | None
    line: int


class Trajectory(NamedTuple):
    """groups: in the order of the list, none in a list without. start, end: the part of the video,
    in seconds, None for its own. rating: how good it is: a number, or one of csv_lists.RATINGS."""

    path: Path
    groups: tuple[str, ...]
    line: int
    start: float | None = None
    end: float | None = None
    rating: float | str | None = None

    @property
    def name(self) -> str:
        """PATH, or PATH#t=START,END for a part."""
        return self.path.as_posix() + fragment(self.start, self.end)

    @property
    def source(self) -> Source:
        return Source(self.path, self.start, self.end)


def read_prompts(path: str | Path, notes: list[str] | None = None) -> list[Prompt]:
    """The prompts of a list, in order. notes: gets what is ignored. Raises UserError."""
    rows, problems = read_list(Path(path), "prompt", notes)
    if problems:
        raise UserError(*problems)
    return [Prompt(row.text, row.group, row.line) for row in rows]


def read_trajectories(path: str | Path, notes: list[str] | None = None) -> list[Trajectory]:
    """The trajectories of a list, in order. An entry is a file, a folder (the videos in it, sorted;
    without any, its images are the frames of one) or a glob pattern (the files that match, sorted),
    looked up in the current folder, then in the list's own, then beside the scripts; #t=START,END
    after it means this part of each. notes: gets what is ignored. Raises UserError, which names
    every entry that is wrong."""
    path = Path(path)
    rows, problems = read_list(path, "trajectory", notes)
    column = ": column path" if is_table(path) else ""
    places = places_of(path.parent)
    trajectories = []
    for row in rows:
        try:
            found, *part = find_parts(row.text, places)
            part = part_of(row, part)
        except OSError as error:
            problems.append(f"{path}:{row.line}{column}: {error.strerror}: {printable(row.text)}")
        except ValueError as error:
            problems.append(f"{path}:{row.line}{column}: {error}")
        else:
            groups = (row.group,) if row.group else ()
            trajectories += [
                Trajectory(video, groups, row.line, *part, row.rating) for video in found
            ]
    trajectories = with_all_groups(path, trajectories, problems)
    problems += mixed_ratings(path, trajectories)
    if problems:
        raise UserError(*problems)
    return trajectories


def part_of(row: Row, part: list[float | None]) -> list[float | None]:
    """The start and the end of a row: of its columns, or of its path. Raises ValueError if both
    have one."""
    columns = [row.start, row.end]
    if part != [None, None] != columns:
        raise ValueError("has a part, #t=START,END, and so have the columns start and end: use one")
    return columns if part == [None, None] else part


def with_all_groups(
    path: Path, trajectories: list[Trajectory], problems: list[str]
) -> list[Trajectory]:
    """The trajectories of a list with each in all of its groups: the same part of a file in another
    group is the same trajectory, in the same group it is repeated. Ratings that differ are added to
    the problems."""
    real_path = real_paths()
    merged: list[Trajectory] = []
    first_places: dict[tuple, int] = {}  # a part of a file -> where it is in merged
    others: dict[int, tuple[list[int], Counter]] = {}  # there -> all its places, its groups so far
    for trajectory in trajectories:
        part = real_path(trajectory.path), trajectory.start, trajectory.end
        place = first_places.setdefault(part, len(merged))
        if place == len(merged):
            merged.append(trajectory)
            continue
        first = merged[place]
        if trajectory.rating != first.rating:
            problems.append(
                f"{path}:{trajectory.line}: column rating: {shown_rating(trajectory.rating)}, but "
                f"{shown_rating(first.rating)} in line {first.line}: the same video has one rating"
            )
        places, counts = others.setdefault(place, ([place], Counter([first.groups])))
        n = counts[trajectory.groups]
        counts[trajectory.groups] += 1
        if n == len(places):
            places.append(len(merged))
            merged.append(trajectory)
        else:
            earlier = merged[places[n]]
            merged[places[n]] = earlier._replace(groups=earlier.groups + trajectory.groups)
    return merged


def mixed_ratings(path: Path, trajectories: list[Trajectory]) -> list[str]:
    """What is wrong if some ratings are numbers and others words: the lines of the rarer kind."""
    kinds: dict[type, dict[int, float | str]] = {}
    for one in trajectories:
        if one.rating is not None:
            kinds.setdefault(type(one.rating), {})[one.line] = one.rating
    if len(kinds) < 2:
        return []
    frequent, rare = sorted(kinds.values(), key=len, reverse=True)
    first, usual = next(iter(frequent.items()))
    return [
        f"{path}:{line}: column rating: is {rating}, but {usual} in line {first}: use numbers or "
        "words, not both"
        for line, rating in rare.items()
    ]


def shown_rating(rating: float | str | None) -> str:
    return "is empty" if rating is None else f"is {rating}"
