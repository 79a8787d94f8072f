"""Which rows of several runs are the same trajectory with the same labels."""

from collections import Counter

from trajeval.curves import Control
from trajeval.results import Results
from trajeval.terminal import printable

NAMED = 3  # differences between two runs that are named; the rest are counted


def in_one_order(runs: list[Results], folders: list[str]) -> tuple[list[Results], list[str]]:
    """The runs with their rows in the order of the first, and messages about what differs, of which
    there must be none for that."""
    by_content = all(content for run in runs for content in run.contents)
    keys = [keys_of(run, by_content) for run in runs]
    problems = []
    for i in range(1, len(runs)):
        problems += differences(keys[0], keys[i], folders[0], folders[i])
    if problems:
        return runs, problems
    return [in_order(run, list(own), list(keys[0])) for run, own in zip(runs, keys)], []


def keys_of(run, by_content):
    """Key -> path of each row, in order. A key is the video's content (or its path, where contents
    are not known), its labels, sorted, and how many such rows come before it."""
    names = {name for column in run.table.columns for name in column.groups}
    seen, keys = Counter(), {}
    for row, content in zip(run.table.rows, run.contents):
        key = (content if by_content else row.name, tuple(sorted(names & set(row.groups))))
        keys[*key, seen[key]] = row.name
        seen[key] += 1
    return keys


def differences(first, other, first_folder, folder):
    """Messages about trajectories and labels of a run that are not those of the first run."""
    problems = set()
    for keys, others, here, there in (
        (first, other, first_folder, folder),
        (other, first, folder, first_folder),
    ):
        videos, paths = {video for video, *_ in others}, set(others.values())
        relabelled = {video for video, labels, _ in others.keys() - keys.keys() if labels}
        for key in keys.keys() - others.keys():
            (video, labels, _), path = key, keys[key]
            shown, place = printable(path), f"in {here}, but not in {there}"
            if (video, labels, 0) in others:
                problems.add(f"{shown} is listed more often in {here} than in {there}")
            elif video in relabelled and not labels:
                continue  # told from the other side, with its label
            elif video in videos and not labels:
                problems.add(f"{shown} has no label in {here}, but one in {there}")
            elif video in videos:
                problems.add(f"{shown} is labelled {printable(', '.join(labels))} {place}")
            elif path in paths:
                problems.add(f"{shown} is {place}: another video has this path there")
            else:
                problems.add(f"{shown} is {place}")
    found = sorted(problems)
    if len(found) > NAMED:
        found[NAMED:] = [f"... and {len(found) - NAMED} more between {first_folder} and {folder}"]
    return found


def in_order(run, keys, wanted):
    """A run with its rows in the order of the wanted keys."""
    places = {key: i for i, key in enumerate(keys)}
    order = [places[key] for key in wanted]
    return run._replace(
        table=run.table.take(order),
        contents=[run.contents[i] for i in order],
        curves=run.curves and run.curves.take(order),
        controls=run.controls
        and {
            name: Control(one.table.take(order), one.curves and one.curves.take(order))
            for name, one in run.controls.items()
        },
    )
