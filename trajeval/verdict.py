"""The verdict on labelled similarities: metrics.json, a table for the terminal, one sentence."""

from collections import Counter
from difflib import get_close_matches

import numpy as np

from trajeval.areas import areas_of, auc
from trajeval.behaviours import APART, behaviours, sensitivity
from trajeval.intervals import MOST_TAKES
from trajeval.metrics import best_wrong, confusion, has_one, margins, measure
from trajeval.table import (
    LOWEST,
    Entry,
    Table,
    group_scores,
    groups_of,
    has_groups,
    is_right,
)
from trajeval.terminal import SHOWN, first_few, plural, printable

SEED = 0  # of the random scores that chance is measured with
WIDTH, PROMPT_WIDTH = 40, 32  # of a name, a prompt in the terminal's tables
TITLES = {  # of the metrics on the terminal; metrics.json has all
    "mean_auc": "mean AUC",
    "top1": "top-1 accuracy",
    "top3": "top-3 accuracy",
    "macro_f1": "macro F1",
    "mean_average_precision": "mean average precision",
    "trajectory_to_prompt_mean_reciprocal_rank": "reciprocal rank of the prompt",
    "prompt_to_trajectory_recall_at_1": "trajectory first for its prompt",
}


def judge(table: Table, model_name: str) -> dict | None:
    """The content of metrics.json, or None if there is nothing to judge: no trajectory group has
    the name of a prompt group, or there is only one prompt group.

    A trajectory's score for a prompt group is that of `table.group_scores`; its labels are the
    prompt groups with the names of its own groups. `not_judged` has the groups of trajectories
    without one; `n_several_labels`, if any has, is the count of those with several; `n_margins`, if
    only the lowest margins are listed, of those that there are.
    """
    if not (has_groups(table.rows) and has_groups(table.columns)):
        return None
    groups, columns = groups_of(table.columns)
    names = [group.name for group in groups]
    rows, right = labelled_rows(table, names)
    if len(names) < 2 or not len(rows):
        return None
    labelled = table.take(rows) if len(rows) < len(table.rows) else table
    prompts = auc(labelled.values, columns, right)  # [P]
    scores = group_scores(labelled)  # [n, G]
    areas = areas_of(scores, right)
    n_several = int((~has_one(right)).sum())
    found = {
        "n_trajectories": len(rows),
        "n_unlabelled": len(table.rows) - len(rows),
        **({"n_several_labels": n_several} if n_several else {}),
        "not_judged": not_judged(table),
        "prompt_groups": names,
        "metrics": measure(scores, right, SEED, areas),
        "behaviours": behaviours(scores, right, names, areas),
        **lowest_margins(labelled, scores, right, names),
        "prompts": [
            {"prompt": c.name, "group": c.group, "auc": None if np.isnan(area) else float(area)}
            for c, area in zip(table.columns, prompts)
        ],
        "sensitivity": sensitivity(prompts, columns, [c.name for c in table.columns], names),
        "confusion": confusion(scores, right).tolist(),
    }
    return found | {"sentence": sentence(found["behaviours"], model_name)}


def labelled_rows(table: Table, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The rows with a group of one of the names, int64 [n], and which names those are, bool
    [n, G]."""
    right = is_right(table.rows, [Entry(name, (name,)) for name in names])
    rows = np.flatnonzero(right.any(1))
    return rows, right[rows]


def lowest_margins(labelled: Table, scores, right, names) -> dict:
    """`margins`: by how much the right group of each trajectory with one label scores above the
    best wrong one, lowest first; of many trajectories the LOWEST, and `n_margins` of all."""
    others, apart = best_wrong(scores, right), margins(scores, right)
    order = np.argsort(apart, kind="stable")[: np.count_nonzero(~np.isnan(apart))]  # NaN is last
    kept = order[:LOWEST] if labelled.is_large else order
    found = [
        {
            "trajectory": labelled.rows[i].name,
            "behaviour": names[right[i].argmax()],
            "margin": float(apart[i]),
            "best_wrong": names[others[i]],
        }
        for i in kept
    ]
    return {"margins": found} | ({"n_margins": len(order)} if len(kept) < len(order) else {})


def not_judged(table: Table) -> list[dict]:
    """The groups of trajectories without a prompt group of their name: `group`, `count`, and
    `similar`, a prompt group whose name is almost the same, or None (looked for as far as the
    terminal shows it: it takes time)."""
    if not (has_groups(table.rows) and has_groups(table.columns)):
        return []
    names = dict.fromkeys(name for column in table.columns for name in column.groups)
    folded = {name.casefold(): name for name in reversed(names)}
    missing = Counter(name for row in table.rows for name in row.groups if name not in names)
    found = []
    for i, (group, count) in enumerate(missing.items()):
        close = get_close_matches(group.casefold(), folded, 1) if i < SHOWN else []
        similar = folded[close[0]] if close else None
        found.append({"group": group, "count": count, "similar": similar})
    return found


def summary(table: Table, verdict: dict | None) -> list[str]:
    """The lines for the terminal: the verdict without its sentence, or why there is none although
    there are groups."""
    if verdict:
        return as_text(verdict).splitlines()
    lines = list(describe_not_judged(not_judged(table)))
    names = {name for column in table.columns for name in column.groups}
    if has_groups(table.rows) and not names:
        lines.append(
            "not judged: the trajectories are in groups, the prompts are not: put each prompt in "
            "the group of the trajectories that it describes"
        )
    elif names and not has_groups(table.rows):
        lines.append(
            "not judged: the prompts are in groups, the trajectories are not: put each trajectory "
            "in the group of the prompts that describe it"
        )
    elif len(names) == 1:
        lines.append("not judged: a verdict needs two groups of prompts or more")
    return lines


def describe_not_judged(groups: list[dict]) -> list[str]:
    """A line for each group, as `not_judged` gives them; of many, the first and a count."""
    lines = []
    for group in groups:
        count = f"{group['count']} trajector{'y' if group['count'] == 1 else 'ies'}"
        line = f'not judged: "{printable(group["group"])}" ({count}): no prompts of that name'
        if group["similar"]:
            line += f'; did you mean "{printable(group["similar"])}"?'
        lines.append(line)
    return first_few(lines, "groups that are not judged")


def sentence(found: list[dict], model_name: str) -> str:
    """The verdict in one sentence; `found` is a result of metrics.behaviours."""
    if len(found) < 2:
        only = found[0]["name"]
        return f'{model_name}: only "{only}" has trajectories, so there is nothing to tell apart.'
    judged = [behaviour for behaviour in found if behaviour["auc"] is not None]
    if not judged:
        return f"{model_name}: every trajectory has every label, so there is nothing to tell apart."
    areas = [behaviour["auc"] for behaviour in judged]
    n_apart, n_sure = (sum(area[key] > APART for area in areas) for key in ("value", "low"))
    text = f"{model_name} tells {n_apart} of {len(found)} behaviours apart (AUC above {APART})"
    if n_apart == 1:
        text += f", {'surely' if n_sure else 'not surely'} (interval above {APART})"
    elif n_apart:
        how_many = "all" if n_sure == n_apart else n_sure or "none"
        text += f", {how_many} of them surely (interval above {APART})"
    return f"{text}{what_would_settle(judged)}; {worst_of(judged)}."


def what_would_settle(judged: list[dict]) -> str:
    """How many trajectories of each behaviour would take APART out of the intervals of AUCs, if
    these stay; nothing if it is in none."""
    unsure = [b for b in judged if b["auc"]["low"] <= APART <= b["auc"]["high"]]
    if not unsure:
        return ""
    if len(unsure) == len(judged):
        which = "all"
    elif all(b["auc"]["low"] > APART for b in judged if b not in unsure):
        which = "the others"
    else:
        which = "the unsure one" if len(unsure) == 1 else f"the {len(unsure)} unsure ones"
    takes = [behaviour["takes"] for behaviour in unsure if behaviour["takes"]]
    if not takes:
        return f"; more than {MOST_TAKES} takes each would be needed to settle {which}"
    if len(takes) < len(unsure):
        few = f"{len(takes)} of {which}" if which != "all" else f"{len(takes)}"
        return f"; {max(takes)} takes each would settle {few}, more than {MOST_TAKES} the rest"
    return f"; {max(takes)} takes each would settle {which}"


def worst_of(judged: list[dict]) -> str:
    """What is worst among behaviours that have an AUC, or that nothing is wrong."""
    worst = min(judged, key=goodness)
    area, name = worst["auc"]["value"], worst["name"]
    if worst["taken_for"]:
        other = worst["taken_for"][0]
        return (
            f'worst: "{name}", taken for "{other["name"]}" in {other["count"]} of {worst["count"]}'
        )
    if area == 1:
        return "no mistakes"
    return f'worst: "{name}", AUC {f"{area:.2f}" if area < 0.995 else "above 0.99"}'


def goodness(behaviour: dict) -> tuple[float, float]:
    """AUC, then accuracy, which none of its trajectories may have."""
    accuracy = behaviour["accuracy"]
    return behaviour["auc"]["value"], accuracy["value"] if accuracy else 1


def as_text(verdict: dict) -> str:
    """The most important parts of metrics.json but the sentence, for the terminal."""
    lines = [f"{'':34}value   95 % interval   chance  majority baseline"]
    for name, title in TITLES.items():
        if not (metric := verdict["metrics"].get(name)):
            continue
        lines.append(
            f"{title:34}{metric['value']:5.2f}   {between(metric)}   "
            f"   {metric['chance']:4.2f}    {metric['majority']:4.2f}"
        )
    lines += ["", *behaviour_lines(verdict["behaviours"])]
    if phrasings := phrasing_lines(verdict["sensitivity"]):
        lines += ["", *phrasings]
    if n_several := verdict.get("n_several_labels"):
        have = "has" if n_several == 1 else "have"
        lines += [
            "",
            f"{n_several} of {verdict['n_trajectories']} trajectories {have} several labels: "
            "not in accuracy, macro F1, margins and the confusion matrix",
        ]
    if missing := describe_not_judged(verdict["not_judged"]):
        lines += ["", *missing]
    return "\n".join(lines)


def behaviour_lines(found: list[dict]) -> list[str]:
    """A line for each behaviour, below a header; `found` is a result of metrics.behaviours."""
    names = [printable(behaviour["name"], WIDTH) for behaviour in found]
    width = max(len("behaviour"), *map(len, names))
    lines = [
        f"{'behaviour':{width}}  correct        95 % interval   AUC   95 % interval   taken for"
    ]
    for name, behaviour in zip(names, found):
        accuracy, count = behaviour["accuracy"], behaviour["count"]
        correct = f"{round(accuracy['value'] * count)} of {count}" if accuracy else "-"
        cells = f"{correct:13}  {between(accuracy):12}    {area_cell(behaviour['auc'])}"
        others = ", ".join(
            f"{printable(other['name'], WIDTH)} {other['count']}"
            for other in behaviour["taken_for"]
        )
        lines.append(f"{name:{width}}  {cells}    {others}".rstrip())
    return lines


def between(interval: dict | None) -> str:
    return f"{interval['low']:4.2f} to {interval['high']:4.2f}" if interval else ""


def area_cell(area: dict | None) -> str:
    return f"{area['value']:4.2f}  {between(area)}" if area else f"   -{'':14}"


def phrasing_lines(found: dict[str, dict]) -> list[str]:
    """A line for each behaviour of several phrasings: the best and the worst, and how many have no
    such; `found` is a result of metrics.sensitivity."""
    several = {
        name: of for name, of in found.items() if of["best"]["prompt"] != of["worst"]["prompt"]
    }
    rows = [
        [printable(name, WIDTH), *phrasing_cells(of["best"]), *phrasing_cells(of["worst"])]
        for name, of in several.items()
        if of["best"]["auc"] > of["worst"]["auc"]
    ]
    lines = []
    if rows:
        table = [["behaviour", "AUC", "best phrasing", "AUC", "worst phrasing"], *rows]
        first, _, third, *_ = (max(map(len, column)) for column in zip(*table))
        lines = [f"{a:{first}}  {b:4}  {c:{third}}  {d:4}  {e}" for a, b, c, d, e in table]
    if n_equal := len(several) - len(rows):
        of_all = plural(len(several), "behaviour")
        lines.append(f"{n_equal} of {of_all}: every phrasing has the same AUC")
    return lines


def phrasing_cells(phrasing: dict) -> tuple[str, str]:
    return f"{phrasing['auc']:4.2f}", printable(phrasing["prompt"], PROMPT_WIDTH)
