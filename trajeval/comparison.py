"""The numbers of several runs on the same trajectories, and their differences from the first's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trajeval.behaviours import behaviour_aucs
from trajeval.files import open_regular
from trajeval.intervals import as_interval, correlation_of, difference_limits, shrunk
from trajeval.metrics import Metric, all_metrics
from trajeval.results import Results
from trajeval.table import Table, group_scores, has_groups, number_groups
from trajeval.terminal import UserError, first_few, printable
from trajeval.verdict import labelled_rows

BLOCKS = ("curves", "controls", "ratings", "success", "probe")  # of metrics.json, compared as well
OF_GROUPS = {  # the blocks with numbers of groups -> their numbers of all groups
    "curves": ("right", "best wrong", "difference"),
    "ratings": ("kendall", "spearman", "ranking accuracy"),
    "success": (),
}
ENDS = ("value", "low", "high")
MARK = "*"  # of a difference whose interval excludes 0
WIDTH = 48  # of a number's name on the terminal


class Number(NamedTuple):
    """A number of a run. interval: `value`, `low`, `high`. parts: [U], what the same trajectories
    gave to it; None where metrics.json does not say."""

    interval: dict[str, float]
    parts: np.ndarray | None = None


def compare(runs: list[Results], names: list[str], folders: list[str]) -> list[list] | None:
    """A table, its header first: for each number its value and interval in each run, then the
    difference of each run from the first, with an interval; None where a run does not have it.
    Returns None if nothing is labelled and no run has another number.

    runs: with their rows in one order.
    """
    found = [labelled_numbers(run) | other_numbers(run, f) for run, f in zip(runs, folders)]
    rows = dict.fromkeys(name for numbers in found for name in numbers)
    if not rows:
        return None
    header = ["metric"]
    for name in [*names, *(f"{name} - {names[0]}" for name in names[1:])]:
        header += [name, f"{name} low", f"{name} high"]
    return [header, *([row, *cells([of.get(row) for of in found])] for row in rows)]


def cells(numbers: list[Number | None]) -> list[float | None]:
    """The cells of a row: the number of each run, and how much higher it is than the first's."""
    intervals = [number.interval if number else None for number in numbers]
    first, *others = numbers
    intervals += [change(first, other) if first and other else None for other in others]
    return [interval[end] if interval else None for interval in intervals for end in ENDS]


def change(first: Number, second: Number) -> dict[str, float]:
    """Second less first; as if they were independent where nothing is known of what they share,
    which is careful: the same trajectories are mostly hard for both."""
    related = 0.0
    if first.parts is not None and second.parts is not None:
        related = shrunk(correlation_of(first.parts, second.parts), len(first.parts))
    value = second.interval["value"] - first.interval["value"]
    return as_interval(value, difference_limits(first.interval, second.interval, related))


def labelled_numbers(run: Results) -> dict[str, Number]:
    """The metrics of what is labelled, and the AUC of each behaviour; nothing if nothing is."""
    labelled = labelled_scores(run.table)
    if labelled is None:
        return {}
    scores, right, names = labelled
    found: dict[str, Metric] = dict(all_metrics(scores, right))
    found |= {f"AUC of {names[g]}": area for g, area in behaviour_aucs(scores, right).items()}
    return {
        name: Number(as_interval(metric.value, metric.limits()), metric.parts)
        for name, metric in found.items()
    }


def labelled_scores(table: Table) -> tuple[np.ndarray, np.ndarray, list[str]] | None:
    """The scores and the labels of what is labelled, float64 and bool [n, G], and the names of the
    groups; None if nothing is labelled. The groups that have trajectories come first, in the order
    of these: the same in all runs."""
    names = list(dict.fromkeys(name for column in table.columns for name in column.groups))
    if not has_groups(table.columns) or len(names) < 2:
        return None
    rows, right = labelled_rows(table, names)
    if not len(rows):
        return None
    present = dict.fromkeys(name for i in rows for name in sorted(table.rows[i].groups))
    order = [names.index(name) for name in present if name in names]
    order += [i for i in range(len(names)) if i not in order]
    return group_scores(table.take(rows))[:, order], right[:, order], [names[i] for i in order]


def other_numbers(run: Results, folder: str) -> dict[str, Number]:
    """The numbers of the other blocks of metrics.json, named by where they are in it; those of
    curves with what each trajectory gave to them."""
    path = Path(folder, "metrics.json")
    try:
        with open_regular(path) as file:
            verdict = json.loads(file.read().decode("utf-8"))
        found = {
            name: Number({end: float(of[end]) for end in ENDS})
            for block in BLOCKS
            for name, of in intervals_in(verdict.get(block), block)
        }
        return found | with_parts(found, verdict.get("curves"), run.table)
    except FileNotFoundError:  # there are no labels, or the file was deleted
        return {}
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"{path}: damaged, run the evaluator again") from None


def intervals_in(content: Any, name: str) -> Iterator[tuple[str, dict]]:
    """The name and the interval of each number in nested dictionaries and lists of such."""
    if isinstance(content, dict) and set(ENDS) <= content.keys():
        yield name, content
    elif isinstance(content, dict):
        for key, inner in content.items():
            place = name if key in ("groups", "mean") else f"{name} {key.replace('_', ' ')}"
            yield from intervals_in(inner, place)
    elif isinstance(content, list):
        for inner in content:
            if isinstance(inner, dict) and "name" in inner:
                yield from intervals_in(inner, f"{name} {inner['name']}")


def with_parts(found: dict[str, Number], curves: dict | None, table: Table) -> dict[str, Number]:
    """The numbers of curves with the value-order correlation of each trajectory, in the order of
    the rows, less the mean of its behaviour: how behaviours differ is no error of a mean over them.
    An undefined correlation counts as 0. Nothing of a large table, of which not all are listed."""
    if not curves or "n_trajectories" in curves:
        return {}
    of_rows: dict[str, dict[str, dict]] = {}
    for entry in curves["trajectories"]:
        of_rows.setdefault(entry["trajectory"], {})[entry["behaviour"]] = entry
    entries = [
        entry
        for row in table.rows
        for _, entry in sorted(of_rows.get(row.name, {}).items(), key=lambda item: item[0])
    ]
    places, numbers = number_groups([entry["behaviour"] for entry in entries])
    more = {}
    for which in ("right", "best_wrong"):
        parts = np.array([entry[which] or 0 for entry in entries], np.float64)
        for number in range(len(places)):
            parts[numbers == number] -= parts[numbers == number].mean()
        for number, place in enumerate([*places, None]):
            name = " ".join(filter(None, ("curves", place, which.replace("_", " "))))
            if name in found:
                own = parts if place is None else parts[numbers == number]
                more[name] = found[name]._replace(parts=own)
    return more


def as_text(table: list[list], names: list[str]) -> str:
    """The table for the terminal: value and interval in one column; of many behaviours the first,
    as the table on disk has all."""
    header = [printable(name, 32) for name in names]
    header += [f"{printable(name, 20)} - {printable(names[0], 20)}" for name in names[1:]]
    widths = [max(22, len(title)) for title in header]
    title = " " * WIDTH + "  ".join(f"{title:>{w}}" for title, w in zip(header, widths))
    lines: dict[bool, list[str]] = {False: [], True: []}
    for metric, *numbers in table[1:]:
        triples = list(zip(numbers[::3], numbers[1::3], numbers[2::3]))
        shown = [cell(*triple) for triple in triples]
        for i in range(len(names), len(triples)):
            _, low, high = triples[i]
            shown[i] += MARK if low is not None and not low <= 0 <= high else " "
        row = "  ".join(f"{text:>{w}}" for text, w in zip(shown, widths))
        lines[is_of_behaviour(metric)].append(
            f"{printable(metric, WIDTH - 2):{WIDTH}}{row}".rstrip()
        )
    found = [title, *lines[False], *first_few(lines[True], "numbers of behaviours")]
    if any(line.endswith(MARK) or f"{MARK} " in line for line in found[1:]):
        found.append(f"{MARK} the 95 % interval of the difference excludes 0")
    return "\n".join(found)


def is_of_behaviour(metric: str) -> bool:
    """Whether a number is of one behaviour, by its name in the table."""
    block, _, rest = metric.partition(" ")
    return metric.startswith("AUC of ") or (block in OF_GROUPS and rest not in OF_GROUPS[block])


def cell(value: float | None, low: float | None, high: float | None) -> str:
    return "-" if value is None else f"{value:z.2f} ({low:z.2f}, {high:z.2f})"
