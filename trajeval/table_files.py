"""Tables of a run as files: CSV, or Parquet where they are large."""

from collections.abc import Callable, Iterator

from trajeval.curves import Curves
from trajeval.metrics import answers_and_margins
from trajeval.results import as_csv
from trajeval.rising import best_times_of_labels
from trajeval.streams import Content, parquet
from trajeval.table import (
    Entry,
    Grouped,
    Table,
    group_scores,
    groups_of,
    is_right,
)

ROWS = 20_000  # that are computed and written at a time


def similarities(table: Table) -> dict[str, Content]:
    """A row for each trajectory, with its groups and its rating, a column for each prompt, by their
    full names."""
    kinds = [(column.name, "float32") for column in table.columns]
    return of_trajectories("similarities", table, kinds, lambda part: list(part.values.T))


def scores(table: Table, curves: Curves | None = None) -> dict[str, Content]:
    """A row for each trajectory: its groups and rating, its score for each prompt group, the group
    that scores highest; with a label, whether it is right (1 or 0), with one label, its margin;
    with curves, when the one of its first label is highest."""
    groups, _ = groups_of(table.columns)
    names = [group.name for group in groups]
    kinds = [(f"score {name}", "number") for name in names]
    kinds += [("answer", "text"), ("right", "integer"), ("margin", "number")]
    times = iter(best_times_of_labels(table, curves)) if curves else None

    def columns(part: Table) -> list:
        values, right = group_scores(part), is_right(part.rows, groups)  # [n, G]
        found = answers_and_margins(values, right)
        return [
            *values.T,
            [names[answer] for answer in found.groups],
            [None if hit is None else int(hit) for hit in found.hits],
            [None if margin is None else round(margin, 12) for margin in found.margins],
            *([[next(times) for _ in part.rows]] if times else []),
        ]

    return of_trajectories(
        "scores", table, kinds + [("best time", "number")] * bool(times), columns
    )


def of_trajectories(
    name: str, table: Table, kinds: list[tuple[str, str]], columns: Callable[[Table], list]
) -> dict[str, Content]:
    """A table of trajectories, by its file's name. kinds: of the columns that `columns` makes of
    some rows, lists or arrays: their names, and what streams.parquet calls them."""
    about = kinds_of_rows(table.rows)

    def blocks() -> Iterator[list]:
        for start in range(0, len(table.rows), ROWS):
            part = table.take(rows=slice(start, start + ROWS))
            yield [*columns_of_rows(part.rows)[: len(about)], *columns(part)]

    if table.is_large:
        return {f"{name}.parquet": parquet([*about, *kinds], blocks)}
    cells = (row for block in blocks() for row in zip(*block))
    return {f"{name}.csv": as_csv([name for name, _ in (*about, *kinds)], cells)}


def kinds_of_rows(rows: list[Entry]) -> list[tuple[str, str]]:
    """The columns that say what a row is; with a rating where any row has one."""
    ratings = {type(row.rating) for row in rows} - {type(None)}
    about = [("trajectory", "text"), ("group", "text")]
    return about + [("rating", "text" if str in ratings else "number")] * bool(ratings)


def columns_of_rows(rows: list[Entry]) -> list[list]:
    names, groups = [row.name for row in rows], ["; ".join(row.groups) for row in rows]
    return [names, groups, [row.rating for row in rows]]


def group_means(groups: Grouped) -> dict[str, Content]:
    """A row for each group of trajectories with each group of prompts."""
    table, deviations, counts = groups
    header = ["trajectory_group", "prompt_group", "mean", "std", "count"]
    cells = (
        [row.name, column.name, table.values[i, j], deviations[i, j], counts[i, j]]
        for i, row in enumerate(table.rows)
        for j, column in enumerate(table.columns)
    )
    return {"groups.csv": as_csv(header, cells)}
