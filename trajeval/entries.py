"""What run.json says of each trajectory; where these are too many, trajectories.parquet says it."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from trajeval.csv_lists import RATINGS
from trajeval.files import open_regular

if TYPE_CHECKING:  # NumPy is imported where it is needed
    from trajeval.streams import Content

FILE = "trajectories.parquet"
KINDS = {  # see streams.parquet
    **dict.fromkeys(("path", "file", "error", "content", "warning"), "text"),
    **dict.fromkeys(("start", "end", "fps"), "number"),
    **dict.fromkeys(("length", "width", "height"), "integer"),
    **{"groups": "texts", "frames": "integers"},
}
AT_ONCE = 20_000


def as_parquet(entries: Callable[[], Iterable[dict]], rating: str) -> "Content":
    """The table of entries, as record.entries_of makes them. rating: what ratings are, "text" or
    "number"."""
    from trajeval.streams import parquet

    kinds = KINDS | {"rating": rating}

    def blocks() -> Iterator[list]:
        left = iter(entries())
        while some := list(islice(left, AT_ONCE)):
            yield [[entry.get(name) for entry in some] for name in kinds]

    return parquet(list(kinds.items()), blocks)


def entries_in(folder: Path, run: dict) -> Iterator[dict]:
    """The entries of a run's trajectories, without what they do not have. run: the content of
    run.json. Raises what a damaged file raises, and ImportError without PyArrow."""
    if "n_trajectories" not in run:
        yield from run["trajectories"]
        return
    from pyarrow.parquet import ParquetFile

    with open_regular(folder / FILE) as file:
        for batch in ParquetFile(file).iter_batches(AT_ONCE):
            for entry in batch.to_pylist():
                yield {name: value for name, value in entry.items() if value is not None}


def content_in(entry: dict) -> str | None:
    """What identifies a video of a run by its content; None if that is unknown."""
    content, part = entry.get("content"), (entry.get("start"), entry.get("end"))
    return content if not content or part == (None, None) else f"{content} {part}"


def groups_in(entry: dict) -> tuple[str, ...]:
    """The groups of an entry in run.json; before 0.2.0 a trajectory had a single `group`, as a
    prompt has. Raises whatever a damaged entry raises."""
    groups = entry["groups"] if "groups" in entry else [entry["group"]]
    if not isinstance(groups, list) or not all(isinstance(name, str | None) for name in groups):
        raise ValueError("in a list with groups every entry needs one, a text")
    return tuple(name for name in groups if name is not None)


def rating_in(entry: dict) -> float | str | None:
    """The rating of a trajectory in run.json. Raises ValueError for what is none."""
    rating = entry.get("rating")
    if isinstance(rating, int | float) and math.isfinite(rating):
        return float(rating)
    if rating is not None and rating not in RATINGS:
        raise ValueError(f"a rating is {rating}")
    return rating
