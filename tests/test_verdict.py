"""The verdict on labelled similarities."""

import json

import numpy as np
import pytest

from trajeval.table import Table, entry_of
from trajeval.verdict import as_text, judge, not_judged, summary

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
    return judge(table(similarities, groups, prompt_groups), "S3D")


def table(similarities=SIMILARITIES, groups=GROUPS, prompt_groups=PROMPT_GROUPS, label="cosine"):
    rows = [entry_of(f"{i}.mp4", group) for i, group in enumerate(groups)]
    return Table(similarities, rows, list(map(entry_of, PROMPTS, prompt_groups)), label)


def test_the_verdict():
    found = judged()
    assert found["n_trajectories"] == 5 and found["n_unlabelled"] == 0
    assert found["metrics"]["top1"]["value"] == 0.8
    run, jump, crawl = found["behaviours"]
    assert run["taken_for"] == [] and run["auc"]["value"] == 1
    assert jump["taken_for"] == [{"name": "crawl", "count": 1}] and jump["count"] == 2
    assert crawl["auc"]["value"] == 0.75  # jump 3 is scored above it, three others are not
    worst = found["margins"][0]
    assert worst["trajectory"] == "3.mp4" and worst["best_wrong"] == "crawl"
    assert worst["margin"] == pytest.approx(-0.5)
    assert found["confusion"] == [[2, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert found["sensitivity"]["run"]["best"] == {"prompt": "it runs", "auc": 1}
    assert found["sensitivity"]["run"]["worst"]["prompt"] == "running"
    assert found["sentence"] == (
        "S3D tells 1 of 3 behaviours apart (AUC above 0.9), not surely (interval above 0.9); 21 "
        'takes each would settle all; worst: "jump", taken for "crawl" in 1 of 2.'
    )
    json.dumps(found, allow_nan=False)


def test_the_table():
    lines = as_text(judged()).splitlines()
    assert lines[0].split() == ["value", "95", "%", "interval", "chance", *("majority", "baseline")]
    assert lines[1].startswith("mean AUC") and " 0.78 " in lines[1]
    assert lines[2].startswith("top-1 accuracy") and " 0.80 " in lines[2]
    assert any(line.startswith("jump") and line.endswith("crawl 1") for line in lines)
    run = next(line for line in lines if line.startswith("run"))
    assert run.split(maxsplit=1)[1] == "2 of 2         0.34 to 1.00    1.00  0.35 to 1.00"


def test_trajectories_without_a_label_are_counted():
    found = judged(groups=["run", "run", "fly", "jump", None])
    assert found["n_trajectories"] == 3 and found["n_unlabelled"] == 2


def test_groups_of_prompts_without_trajectories_may_be_predicted():
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
    assert "   -" in as_text(found)


def test_groups_that_are_not_judged_are_named():
    found = judged(groups=["Run", "Run", "jump", "hop", "Crawling"])
    assert found["not_judged"] == [
        {"group": "Run", "count": 2, "similar": "run"},
        {"group": "hop", "count": 1, "similar": None},
        {"group": "Crawling", "count": 1, "similar": "crawl"},
    ]
    lines = [line for line in as_text(found).splitlines() if "not judged" in line]
    assert lines == [
        'not judged: "Run" (2 trajectories): no prompts of that name; did you mean "run"?',
        'not judged: "hop" (1 trajectory): no prompts of that name',
        'not judged: "Crawling" (1 trajectory): no prompts of that name; did you mean "crawl"?',
    ]
    assert judged()["not_judged"] == [] and "not judged" not in as_text(judged())
    json.dumps(found, allow_nan=False)


def test_it_is_said_why_nothing_is_judged():
    nothing = table(groups=["Run", "Run", "jumps", "jumps", "x"])
    assert judge(nothing, "S3D") is None
    assert summary(nothing, None) == [
        'not judged: "Run" (2 trajectories): no prompts of that name; did you mean "run"?',
        'not judged: "jumps" (2 trajectories): no prompts of that name; did you mean "jump"?',
        'not judged: "x" (1 trajectory): no prompts of that name',
    ]
    one_group = table(groups=["run"] * 5, prompt_groups=["run"] * 4)
    assert summary(one_group, None) == ["not judged: a verdict needs two groups of prompts or more"]
    assert summary(table(groups=[None] * 5), None) == [
        "not judged: the prompts are in groups, the trajectories are not: put each trajectory in "
        "the group of the prompts that describe it"
    ]
    assert summary(table(prompt_groups=[None] * 4), None) == [
        "not judged: the trajectories are in groups, the prompts are not: put each prompt in the "
        "group of the trajectories that it describes"
    ]
    assert summary(table(groups=[None] * 5, prompt_groups=[None] * 4), None) == []


def test_many_groups_that_are_not_judged_are_counted():
    groups = [f"group {i}" for i in range(5000)]
    rows, columns = [entry_of(g, g) for g in groups], [entry_of(g, g.upper()) for g in groups]
    many = Table(np.zeros((5000, 5000), np.int8), rows, columns, "cosine")
    assert len(not_judged(many)) == 5000
    lines = summary(many, None)
    assert 'did you mean "GROUP 0"?' in lines[0]
    assert lines[10:] == ["... and 4990 more groups that are not judged"]


def test_long_names_of_behaviours_can_be_told_apart():
    names = [f"the robot {'slowly ' * 10}opens the door with its {hand} hand" for hand in "lr"]
    found = judged(groups=[names[0]] * 3 + [names[1]] * 2, prompt_groups=names * 2)
    shown = [line[:40] for line in as_text(found).splitlines() if line.startswith("the robot")]
    assert len(set(shown)) == 2 and all("…" in line for line in shown)


def test_a_softmax_is_judged_by_the_probabilities_of_groups():
    values = np.array([[0.3, 0.3, 0.4, 0], [0.1, 0.1, 0.7, 0.1]])
    labelled = table(values, ["run", "jump"], PROMPT_GROUPS, "cosine, softmax at temperature 1")
    assert judge(labelled, "S3D")["metrics"]["top1"]["value"] == 1
    assert judge(labelled._replace(label="cosine"), "S3D")["metrics"]["top1"]["value"] == 0.5


def with_several(groups):
    """The table with the groups of each row as a tuple."""
    plain = table()
    rows = [row._replace(groups=names) for row, names in zip(plain.rows, groups)]
    return plain._replace(rows=rows)


def test_trajectories_with_several_labels():
    groups = [("run", "jump"), ("run",), ("jump", "fly"), ("jump", "crawl"), ("crawl",)]
    found = judge(with_several(groups), "S3D")
    assert found["n_trajectories"] == 5 and found["n_several_labels"] == 2
    assert [margin["trajectory"] for margin in found["margins"]] == ["1.mp4", "4.mp4", "2.mp4"]
    assert found["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert found["metrics"]["top1"]["value"] == 1
    assert [(b["count"], b["with_others"]) for b in found["behaviours"]] == [(1, 1), (1, 2), (1, 1)]
    assert found["not_judged"] == [{"group": "fly", "count": 1, "similar": None}]
    assert (
        "2 of 5 trajectories have several labels: not in accuracy, macro F1, margins and the "
        "confusion matrix"
    ) in as_text(found).splitlines()
    json.dumps(found, allow_nan=False)
    assert "n_several_labels" not in judged()


def test_trajectories_that_all_have_several_labels():
    groups = [("run", "jump")] * 2 + [("jump", "crawl")] * 2 + [("run", "crawl")]
    found = judge(with_several(groups), "S3D")
    assert "top1" not in found["metrics"] and found["margins"] == []
    assert not any(map(any, found["confusion"]))
    assert all(b["accuracy"] is None and b["count"] == 0 for b in found["behaviours"])
    lines = as_text(found).splitlines()
    assert not any("accuracy  " in line or "macro F1  " in line for line in lines)
    run, *_ = (line.split() for line in lines if line.startswith("run"))
    assert run[:3] == ["run", "-", f"{found['behaviours'][0]['auc']['value']:4.2f}"]
    json.dumps(found, allow_nan=False)


def test_trajectories_that_all_have_every_label():
    found = judge(with_several([("run", "jump", "crawl")] * 5), "S3D")
    assert found["sentence"] == (
        "S3D: every trajectory has every label, so there is nothing to tell apart."
    )


def test_the_best_and_the_worst_phrasing_of_each_behaviour():
    lines = as_text(judged()).splitlines()
    at = lines.index("behaviour  AUC   best phrasing  AUC   worst phrasing")
    assert lines[at + 1] == "run        1.00  it runs        0.75  running"
    assert len(lines) == at + 2  # the others have one phrasing
    long = judged(prompt_groups=["run", "run", "jump", "jump"], groups=["run"] * 2 + ["jump"] * 3)
    assert sum("phrasing" in line for line in as_text(long).splitlines()) == 1
    equal = judged(np.tile(SIMILARITIES[:, :1], 4))
    assert "1 of 1 behaviour: every phrasing has the same AUC" in as_text(equal).splitlines()
    single = judged(SIMILARITIES[:, 1:], prompt_groups=PROMPT_GROUPS[1:])
    assert "phrasing" not in as_text(single)


def repeated(n_takes, n_groups, mistakes=()):
    """A table of n_takes trajectories of each group, whose scores are perfect but for mistakes,
    (trajectory, group) that score high too."""
    names = [f"g{i}" for i in range(n_groups)]
    groups = np.repeat(np.arange(n_groups), n_takes)
    values = (groups[:, None] == np.arange(n_groups)).astype(np.float32)
    for row, column in mistakes:
        values[row, column] = 2
    rows = [entry_of(f"{i}.mp4", names[group]) for i, group in enumerate(groups)]
    return Table(values, rows, [entry_of(f"the {name}", name) for name in names], "cosine")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            repeated(3, 12),
            "12 of 12 behaviours apart (AUC above 0.9), none of them surely (interval above 0.9); "
            "20 takes each would settle all; no mistakes.",
        ),
        (
            repeated(20, 12),
            "12 of 12 behaviours apart (AUC above 0.9), all of them surely (interval above 0.9); "
            "no mistakes.",
        ),
        (
            repeated(25, 3, [(i, 2) for i in range(25)]),
            "2 of 3 behaviours apart (AUC above 0.9), all of them surely (interval above 0.9); "
            'worst: "g2", AUC 0.50.',
        ),
        (
            repeated(40, 3, [(i, 2) for i in range(40)] + [(i, 0) for i in range(40, 44)]),
            "2 of 3 behaviours apart (AUC above 0.9), 1 of them surely (interval above 0.9); "
            '79 takes each would settle the unsure one; worst: "g2", AUC 0.50.',
        ),
        (
            repeated(40, 2, [(i, 1) for i in range(20)]),
            "1 of 2 behaviours apart (AUC above 0.9), surely (interval above 0.9)",
        ),
    ],
)
def test_the_sentence(table, expected):
    sentence = judge(table, "X")["sentence"]
    assert sentence.startswith(f"X tells {expected}")


def test_the_takes_that_it_names_are_enough():
    """And one less is not."""
    assert "20 takes each would settle all" in judge(repeated(3, 12), "X")["sentence"]
    assert "all of them surely" in judge(repeated(20, 12), "X")["sentence"]
    assert "all of them surely" not in judge(repeated(19, 12), "X")["sentence"]


def test_an_auc_at_the_border_is_never_settled():
    """Nine of ten trajectories of g1 are below all of g0, one is above all of them."""
    found = judge(repeated(10, 2, [(10, 0)]), "X")
    assert found["behaviours"][0]["auc"]["value"] == 0.9
    assert found["behaviours"][0]["takes"] is None
    assert "more than 1000" in found["sentence"]
