"""What the page says of a run in words and tables, which need no script."""

from pathlib import PurePath
from typing import NamedTuple

from trajeval.excerpt import described
from trajeval.page_data import Run, name_on_page, used
from trajeval.table import has_groups
from trajeval.terminal import plural
from trajeval.verdict import TITLES, summary

# The entries of run.json that are not how frames are prepared.
KNOWN = {
    *("experiment", "started", "arguments", "versions", "model", "description", "weights"),
    *("device", "precision", "n_frames", "fingerprint", "similarity", "metrics", "prompts"),
    *("columns", "trajectories", "n_trajectories", "seconds", "files"),
}
UNBOUNDED = "median_rank"  # a metric that does not lie between 0 and 1


class RunText(NamedTuple):
    """sentence: the verdict, or why there is none. metrics, more: rows of name and value, the main
    ones and the others. phrasings: behaviour -> its prompts with their AUC, best first;
    equal_phrasings: where these AUCs are all the same. notes: what is to be known of the
    verdict. warnings, skipped: messages. part: which of the trajectories are shown, None if all
    are."""

    name: str
    model: str
    sentence: str
    size: str
    verdict: dict
    metrics: list[tuple[str, dict]]
    more: list[tuple[str, dict]]
    phrasings: dict[str, list[dict]]
    equal_phrasings: dict[str, list[dict]]
    settings: list[tuple[str, str]]
    notes: list[str]
    warnings: list[str]
    skipped: list[str]
    part: str | None


def run_text(run: Run) -> RunText:
    record, table, verdict = run.record, run.table, run.verdict or {}
    metrics = verdict.get("metrics", {})
    n_rows, n_columns = table.values.shape
    differing, equal = phrasings(verdict.get("prompts", []))
    return RunText(
        name=str(record["experiment"]),
        model=str(record["description"]),
        sentence=verdict.get("sentence") or no_verdict(run),
        size=f"{n_rows:,} {'trajectory' if n_rows == 1 else 'trajectories'} by "
        f"{plural(n_columns, 'prompt')}",
        verdict=verdict,
        metrics=[(title, metrics[name]) for name, title in TITLES.items() if name in metrics],
        more=[
            (metric_title(name), metric | {"bounded": UNBOUNDED not in name})
            for name, metric in metrics.items()
            if name not in TITLES
        ],
        phrasings=differing,
        equal_phrasings=equal,
        settings=settings(record),
        notes=notes(verdict),
        warnings=warnings(run),
        skipped=[
            str(one["error"]).replace(one["path"], name_on_page(one))
            for one in record["trajectories"]
            if "error" in one
        ],
        part=part_of(run),
    )


def part_of(run: Run) -> str | None:
    """Which trajectories are shown, None if all are."""
    if len(run.rows) == len(run.table.rows):
        return None
    text = f"Shown are {described(run.table, len(run.rows), 'trajectories')}"
    of_all = ["group means"] * has_groups(run.table.rows)
    of_all += ["confusion"] * ("confusion" in (run.verdict or {}))
    text += f"; {' and '.join(of_all)} are of all" if of_all else ""
    return f"{text}. The tables beside the page have all."


def metric_title(name: str) -> str:
    return TITLES.get(name, name.replace("_", " "))


def no_verdict(run: Run) -> str:
    lines = [line.removeprefix("not judged: ") for line in summary(run.table, None)]
    if lines:
        return f"No verdict: {'; '.join(lines)}."
    return (
        "No verdict: it needs groups of trajectories and groups of prompts with the same names, "
        "which say what each trajectory shows."
    )


def phrasings(prompts: list[dict]) -> tuple[dict[str, list[dict]], dict[str, list[dict]]]:
    """Behaviour -> its prompts, best first, where there are several: those whose AUCs differ, and
    those whose AUCs are all the same."""
    groups: dict[str, list[dict]] = {}
    for prompt in prompts:
        if prompt["auc"] is not None:
            groups.setdefault(prompt["group"], []).append(prompt)
    differing, equal = {}, {}
    for name, members in groups.items():
        if len(members) > 1:
            members.sort(key=lambda prompt: -prompt["auc"])
            same = members[0]["auc"] == members[-1]["auc"]
            (equal if same else differing)[name] = members
    return differing, equal


def settings(record: dict) -> list[tuple[str, str]]:
    """What the numbers depend on, by name: nothing of the machine but what it computed in, and not
    when, so that the same results have the same page. Results of older versions lack some."""
    arguments = record.get("arguments", {})
    frames = [f"{record['n_frames']} of each clip"] if "n_frames" in record else []
    frames += [
        f"{name} {value}"
        for name, value in sorted(record.items())
        if name not in KNOWN and value is not None
    ]
    weights = [
        f"{PurePath(one['path']).name} ({one['sha256'][:12]}…)" for one in record.get("weights", [])
    ]
    lists = [arguments.get(f"{kind}_path") for kind in ("trajectories", "prompts")]
    found = {
        "model": record["description"],
        "weights": ", ".join(weights),
        "frames": ", ".join(frames),
        "values": record["similarity"],
        "ensemble": chosen(arguments, "ensemble", "mean-similarity"),
        "first of each group": chosen(arguments, "max_per_group", None),
        "lists": ", ".join(PurePath(path).name for path in lists if path),
        "computed on": " in ".join(record[key] for key in ("device", "precision") if key in record),
        "with": ", ".join(f"{name} {n}" for name, n in record.get("versions", {}).items()),
    }
    return [(name, str(value)) for name, value in found.items() if value]


def chosen(arguments: dict, name: str, default) -> str | None:
    value = arguments.get(name)
    return None if value == default else value


def notes(verdict: dict) -> list[str]:
    if "behaviours" not in verdict:
        return []
    found = []
    if n_several := verdict.get("n_several_labels"):
        found.append(
            f"{n_several} of {verdict['n_trajectories']} trajectories have several labels, and are "
            "not in accuracy, macro F1, margins and the confusion matrix."
        )
    if verdict["n_unlabelled"]:
        found.append(f"{verdict['n_unlabelled']} trajectories without a label are not judged.")
    for group in verdict["not_judged"]:
        similar = f'; did you mean "{group["similar"]}"?' if group["similar"] else "."
        found.append(f'Not judged: "{group["group"]}": no prompts of that name{similar}')
    return found


def warnings(run: Run) -> list[str]:
    found = list(run.table.warnings)
    found += [
        f'"{prompt["text"]}": {message}'
        for prompt in run.record.get("prompts", [])
        for message in prompt["warnings"]
    ]
    entries = used(run.record, run.shown)
    found += [f"{name_on_page(one)}: {one['warning']}" for one in entries if one.get("warning")]
    return found


def reasons(groups: list[dict]) -> list[tuple[str, list[str]]]:
    """Why numbers of groups are missing or weak, each reason with the groups that have it."""
    found: dict[str, list[str]] = {}
    for group in groups:
        if why := group.get("why"):
            found.setdefault(why, []).append(group["name"])
    return list(found.items())
