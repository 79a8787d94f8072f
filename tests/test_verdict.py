"""What is said of labelled similarities."""

import json

import numpy as np
import pytest

from trajeval.verdict import judge, table

GROUPS = ["run", "run", "jump", "jump", "crawl"]
PROMPTS = ["it runs", "running", "it jumps", "it crawls"]
PROMPT_GROUPS = ["run", "run", "jump", "crawl"]
SIMILARITIES = np.array(
    [
        [0.9, 0.7, 0.1, 0.2],
        [0.8, 0.2, 0.4, 0.3],
        [0.1, 0.2, 0.9, 0.3],
        [0.2, 0.3, 0.1, 0.6],  # a jump taken for a crawl
        [0.1, 0.1, 0.2, 0.5],
    ],
    np.float32,
)


def judged(similarities=SIMILARITIES, groups=GROUPS, prompt_groups=PROMPT_GROUPS):
    names = [f"{i}.mp4" for i in range(len(groups))]
    return judge(similarities, names, groups, PROMPTS[: len(prompt_groups)], prompt_groups, "S3D")


def test_the_verdict():
    found = judged()
    assert found["n_trajectories"] == 5 and found["n_unlabelled"] == 0
    assert found["figures"]["top1"]["value"] == 0.8
    run, jump, crawl = found["behaviours"]
    assert run["taken_for"] == [] and run["auc"] == 1
    assert jump["taken_for"] == [{"name": "crawl", "count": 1}] and jump["count"] == 2
    assert crawl["auc"] == 0.75  # jump 3 is scored above it, three others are not
    worst = found["margins"][0]
    assert worst["trajectory"] == "3.mp4" and worst["best_wrong"] == "crawl"
    assert worst["margin"] == pytest.approx(-0.5)
    assert found["confusion"] == [[2, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert found["sensitivity"]["run"]["best"] == {"prompt": "it runs", "auc": 1}
    assert found["sensitivity"]["run"]["worst"]["prompt"] == "running"
    assert found["sentence"] == (
        'S3D tells 1 of 3 behaviours apart (AUC above 0.9); worst: "jump", '
        'taken for "crawl" in 1 of 2.'
    )
    json.dumps(found, allow_nan=False)


def test_the_table():
    lines = table(judged()).splitlines()
    assert lines[0].split() == ["value", "95", "%", "interval", "chance", "commonest"]
    assert lines[1].startswith("top-1 accuracy") and " 0.80 " in lines[1]
    assert any(line.startswith("jump") and line.endswith("crawl 1") for line in lines)
    assert "fewer than 5 trajectories, so the interval says little: every behaviour" in lines
    assert lines[-1].startswith("S3D tells 1 of 3")


def test_what_has_no_label_is_left_out():
    found = judged(groups=["run", "run", "fly", "jump", None])
    assert found["n_trajectories"] == 3 and found["n_unlabelled"] == 2


def test_groups_of_prompts_that_nothing_belongs_to_may_be_answers():
    found = judged(groups=["run", "run", "jump", "jump", "jump"])
    assert [behaviour["name"] for behaviour in found["behaviours"]] == ["run", "jump"]
    assert found["behaviours"][1]["taken_for"] == [{"name": "crawl", "count": 2}]


def test_nothing_to_judge():
    assert judged(groups=["a", "b", "c", "d", "e"]) is None
    assert judged(SIMILARITIES[:, :2], prompt_groups=["run", "run"]) is None


def test_one_behaviour_only():
    found = judged(groups=["run"] * 5)
    assert found["behaviours"][0]["auc"] is None
    assert (
        found["sentence"] == 'S3D: only "run" has trajectories, so there is nothing to tell apart.'
    )
    assert "   -" in table(found)
