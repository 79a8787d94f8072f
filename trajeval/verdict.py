"""From labelled similarities to what is said of them: metrics.json, a table and one sentence."""

import numpy as np

from trajeval.metrics import (
    APART,
    MIN_COUNT,
    N_RESAMPLES,
    auc,
    behaviours,
    confusion,
    margins,
    measure,
    sensitivity,
    wrong_scores,
)
from trajeval.similarity import membership, number_groups

SEED = 0
NAMES = {  # of the figures on the terminal; metrics.json has all
    "top1": "top-1 accuracy",
    "top3": "top-3 accuracy",
    "macro_f1": "macro F1",
    "mean_average_precision": "mean average precision",
    "trajectory_to_prompt_mean_reciprocal_rank": "reciprocal rank of the prompt",
    "prompt_to_trajectory_recall_at_1": "trajectory first for its prompt",
}


def judge(
    similarities: np.ndarray,
    trajectories: list[str],
    trajectory_groups: list[str],
    prompts: list[str],
    prompt_groups: list[str],
    model_name: str,
) -> dict | None:
    """What metrics.json holds, or None if there is nothing to judge: no trajectory group bears a
    prompt group's name, or there is one prompt group only.

    similarities: float [N, P]; the groups of its rows and columns, by name. A trajectory's score
    for a prompt group is the mean over the group's prompts.
    """
    names, columns = number_groups(prompt_groups)
    if len(names) < 2 or not set(names) & set(trajectory_groups):
        return None
    rows, labels = labelled_rows(trajectory_groups, names)
    labelled = np.asarray(similarities, np.float64)[rows]
    scores = scores_of(labelled, columns)  # [n, G]
    areas = auc(labelled, columns, labels)  # [P]
    best_wrong, apart = wrong_scores(scores, labels).argmax(1), margins(scores, labels)
    found = {
        "n_trajectories": len(rows),
        "n_unlabelled": len(trajectories) - len(rows),
        "prompt_groups": names,
        "bootstrap": {"resamples": N_RESAMPLES, "seed": SEED},
        "figures": measure(scores, labels, SEED),
        "behaviours": behaviours(scores, labels, names, SEED),
        "margins": [
            {
                "trajectory": trajectories[rows[i]],
                "behaviour": names[labels[i]],
                "margin": float(apart[i]),
                "best_wrong": names[best_wrong[i]],
            }
            for i in np.argsort(apart, kind="stable")
        ],
        "prompts": [
            {"prompt": prompt, "group": group, "auc": None if np.isnan(area) else float(area)}
            for prompt, group, area in zip(prompts, prompt_groups, areas)
        ],
        "sensitivity": sensitivity(areas, columns, prompts, names),
        "confusion": confusion(scores, labels).tolist(),
    }
    return found | {"sentence": sentence(found["behaviours"], model_name)}


def labelled_rows(trajectory_groups: list, names: list[str]) -> tuple[list[int], np.ndarray]:
    """Which trajectories bear a prompt group's name, and which of the names, int [n]."""
    rows = [i for i, group in enumerate(trajectory_groups) if group in names]
    return rows, np.array([names.index(trajectory_groups[i]) for i in rows])


def scores_of(similarities: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The mean over each group's prompts. [N, P], columns' groups int [P] -> float64 [N, G].
    Rounded, so that scores which are equal but for the order of a sum are equal."""
    of_group = membership(columns)
    return np.round(np.asarray(similarities, np.float64) @ (of_group / of_group.sum(0)), 12)


def sentence(found: list[dict], model_name: str) -> str:
    """The verdict in one sentence; `found` as metrics.behaviours gives it."""
    if len(found) < 2:
        only = found[0]["name"]
        return f'{model_name}: only "{only}" has trajectories, so there is nothing to tell apart.'
    n_apart = sum(behaviour["auc"] > APART for behaviour in found)
    worst = min(found, key=lambda behaviour: (behaviour["auc"], behaviour["accuracy"]["value"]))
    text = (
        f"{model_name} tells {n_apart} of {len(found)} behaviours apart (AUC above {APART}); "
        f'worst: "{worst["name"]}"'
    )
    if worst["taken_for"]:
        other = worst["taken_for"][0]
        return f'{text}, taken for "{other["name"]}" in {other["count"]} of {worst["count"]}.'
    return f"{text}, AUC {worst['auc']:.2f}."


def table(found: dict) -> str:
    """The most important of metrics.json, for the terminal."""
    lines = [f"{'':34}value   95 % interval   chance  commonest"]
    for name, title in NAMES.items():
        figure = found["figures"][name]
        lines.append(
            f"{title:34}{figure['value']:5.2f}   {figure['low']:4.2f} to {figure['high']:4.2f}   "
            f"   {figure['chance']:4.2f}       {figure['commonest']:4.2f}"
        )
    width = max(len("behaviour"), *(len(behaviour["name"]) for behaviour in found["behaviours"]))
    width = min(width, 40)
    lines += ["", f"{'behaviour':{width}}  right          95 % interval   AUC   taken for"]
    for behaviour in found["behaviours"]:
        accuracy, count = behaviour["accuracy"], behaviour["count"]
        right = f"{round(accuracy['value'] * count)} of {count}"
        area = "   -" if behaviour["auc"] is None else f"{behaviour['auc']:4.2f}"
        others = ", ".join(f"{other['name']} {other['count']}" for other in behaviour["taken_for"])
        lines.append(
            f"{behaviour['name'][:width]:{width}}  {right:13}  "
            f"{accuracy['low']:4.2f} to {accuracy['high']:4.2f}    {area}  {others}".rstrip()
        )
    small = [group["name"] for group in found["behaviours"] if group["count"] < MIN_COUNT]
    if small:
        which = "every behaviour" if len(small) == len(found["behaviours"]) else ", ".join(small)
        lines += ["", f"fewer than {MIN_COUNT} trajectories, so the interval says little: {which}"]
    return "\n".join([*lines, "", found["sentence"]])
