"""The metrics against those of ViSTa's own evaluation code (golden values), on four problem sets
and three models; `minecraft/actions` has videos with several labels, written "a,b"."""

import csv
import json

import numpy as np
import pytest
import recipe

from trajeval.metrics import answers, has_one, measure, ranked_trajectories, ranks_of_right

TASKS = json.loads((recipe.GOLDEN / "vista_tasks.json").read_text())
FOUND = json.loads((recipe.GOLDEN / "vista.json").read_text())
MINECRAFT = json.loads((recipe.GOLDEN / "vista_minecraft.json").read_text())
ONE_LABEL = [task for task in TASKS if task != "minecraft/actions"]
RESCALINGS = ["score", "score_label", "score_video", "score_video_label"]


def read(name):
    with open(recipe.GOLDEN / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def scores_of(name, column):
    """(task, model) -> video -> its score for each label, in the order of the task's labels. ViSTa
    has no score for a set of one video that is rescaled over its videos."""
    found = {}
    for row in read(name):
        if row[column]:
            videos = found.setdefault((row["task"], row["model"]), {})
            scores = videos.setdefault(row["video"], np.zeros(len(TASKS[row["task"]])))
            scores[TASKS[row["task"]].index(row["label"])] = float(row[column])
    return found


TRUE = {(row["task"], row["video"]): row["true_label"] for row in read("vista_scores.csv")}


def right_of(task, videos, names=None):
    """Which names are right for each video; without names, which labels of the task are, of which
    a video may have several."""
    truth = [TRUE[task, video] for video in videos]
    if names is not None:
        return np.array([[name == label for name in names] for label in truth])
    return np.array([[name in label.split(",") for name in TASKS[task]] for label in truth])


def agree(scores, right, expected):
    found = measure(scores, right)
    assert found["top1"]["value"] == pytest.approx(expected["accuracy"], abs=1e-9)
    assert found["macro_f1"]["value"] == pytest.approx(expected["macro_f1"], abs=1e-9)


@pytest.mark.parametrize("rescaling", RESCALINGS)
def test_predictions_accuracy_and_macro_f1(rescaling):
    """Where several labels share the highest score, ViSTa's choice is left to chance, and ours is
    wrong."""
    predictions = {}
    for row in read("vista_predictions.csv"):
        if row["scores"] == rescaling:
            predictions[row["task"], row["model"], row["video"]] = row["label"], row["tied"] == "1"
    n_compared = 0
    for (task, model), videos in scores_of("vista_rescaled.csv", rescaling).items():
        if task not in ONE_LABEL:
            continue
        scores, right = np.array(list(videos.values())), right_of(task, videos)
        theirs, tied = zip(*(predictions[task, model, video] for video in videos))
        ours = [TASKS[task][i] for i in answers(scores, right)]
        is_right = ranks_of_right(scores, right) == 1
        for i, is_tied in enumerate(tied):
            assert not is_right[i] if is_tied else ours[i] == theirs[i]
        if not any(tied):
            agree(scores, right, FOUND["per_task"][rescaling][task][model])
            n_compared += 1
    assert n_compared >= 4


@pytest.mark.parametrize("rescaling", RESCALINGS)
def test_metrics_of_their_predictions(rescaling):
    """Those of the models that tie, of the majority baseline, and of the set with several labels
    too, where ViSTa takes "a,b" as a label of its own."""
    predictions = {}
    for row in read("vista_predictions.csv"):
        if row["scores"] == rescaling:
            videos = predictions.setdefault((row["task"], row["model"]), {})
            videos[row["video"]] = row["label"]
    for (task, model), videos in predictions.items():
        truth = [TRUE[task, video] for video in videos]
        names = sorted({*truth, *videos.values(), "another"})
        scores = np.array([[name == label for name in names] for label in videos.values()], float)
        agree(scores, right_of(task, videos, names), FOUND["per_task"][rescaling][task][model])
    assert len(predictions) >= 12


def test_the_majority_baseline():
    for (task, _), videos in scores_of("vista_scores.csv", "score").items():
        right = right_of(task, videos)
        if task in ONE_LABEL:
            found = measure(np.array(list(videos.values())), right)
            expected = FOUND["per_task"]["score"][task]["majority_baseline"]
            assert found["top1"]["majority"] == pytest.approx(expected["accuracy"], abs=1e-9)
            assert found["macro_f1"]["majority"] == pytest.approx(expected["macro_f1"], abs=1e-9)


def test_the_random_baseline():
    for (task, _), videos in scores_of("vista_random_scores.csv", "score").items():
        if task not in ONE_LABEL:
            continue
        scores, right = np.array(list(videos.values())), right_of(task, videos)
        agree(scores, right, FOUND["random_baseline_seeded"][task])
        drawn = FOUND["random_baseline_over_draws"][task]
        apart = abs(measure(scores, right)["macro_f1"]["chance"] - drawn["mean"])
        assert apart < 3 * drawn["std"] * np.sqrt(2 / drawn["draws"])  # both are means of 200


@pytest.mark.parametrize(
    ("name", "column", "scoring"),
    [
        ("vista_scores.csv", "score", "score"),
        ("vista_minecraft_rescaled.csv", "score_standardize", "score_standardize"),
    ],
)
def test_average_precision_with_several_labels(name, column, scoring):
    """Of scikit-learn on the true multi-hot matrix. A label that no video has counts as 0 there,
    and is left out here."""
    n_several = 0
    for (task, model), videos in scores_of(name, column).items():
        scores, right = np.array(list(videos.values())), right_of(task, videos)
        n_several += (~has_one(right)).sum()
        expected = MINECRAFT[scoring]["average_precision_multi_hot"][task].get(model)
        if expected is None:  # ViSTa has no score
            continue
        order = [TASKS[task].index(label) for label in MINECRAFT[scoring]["label_order"][task]]
        ours = np.full(len(order), np.nan)
        ours[right.any(0)] = [shares.mean() for shares in ranked_trajectories(scores, right)[0]]
        ours, present = ours[order], right.any(0)[order]
        assert not np.array(expected)[~present].any()
        assert ours[present] == pytest.approx(np.array(expected)[present], abs=1e-9)
        mean = measure(scores, right)["mean_average_precision"]["value"]
        assert mean == pytest.approx(np.sum(expected) / present.sum(), abs=1e-9)
        if task in ONE_LABEL:  # where ViSTa's own mean is right
            theirs = MINECRAFT[scoring]["mean_average_precision"][task][model]
            assert mean == pytest.approx(theirs * len(present) / present.sum(), abs=1e-9)
    assert n_several == 3 * sum("," in label for label in TRUE.values()) > 0
