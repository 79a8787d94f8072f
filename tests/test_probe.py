"""Words or eyes: what a probe of the embeddings gets, and what the prompts get."""

import json
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trajeval import probe as module
from trajeval.cache import Cache
from trajeval.probe import as_lines, folds_of, meaning, part_of, recordings_of
from trajeval.spool import Rows
from trajeval.table import Entry, Table, entry_of

NAMES = ("open", "close", "push")


def taken(n, seen, said, seed=0, of_file=None, names=NAMES):
    """A table of n takes of each behaviour and their embeddings. seen, said: how far apart the
    embeddings of the behaviours, and the scores of their prompts are."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(names)), n)
    means = rng.normal(size=(len(names), 16))
    embeddings = 5 + seen * means[labels] + rng.normal(size=(len(labels), 16))
    values = said * np.eye(len(names))[labels] + rng.normal(size=(len(labels), len(names)))
    of_file = of_file or (lambda label, take: f"{names[label]} {take}.mp4")
    rows = [
        Entry(of_file(label, i % n), (names[label],)) for i, label in enumerate(labels.tolist())
    ]
    table = Table(values.astype(np.float32), rows, list(map(entry_of, names, names)), "cosine")
    return table, embeddings.astype(np.float32)


def probe(table, embeddings, *cache):
    rows = Rows(embeddings.shape[1:])
    for row in embeddings:
        rows.append(row)
    return module.probe(table, rows, *cache)


def test_the_words_are_wrong():
    found = probe(*taken(20, seen=3, said=0))
    assert found["kind"] == "logistic regression" and found["trajectories"] == 60
    assert found["accuracy"]["value"] > 0.9 > 0.6 > found["prompts"]["value"]
    assert found["difference"]["low"] > 0.2
    assert found["meaning"].endswith("the words are wrong, not the eyes")
    json.dumps(found, allow_nan=False)
    [line] = as_lines(found)
    assert line.startswith("words or eyes: the prompts get 0.") and "(logistic regression" in line


def test_the_eyes_are_wrong():
    found = probe(*taken(20, seen=0, said=0))
    assert found["accuracy"]["value"] < 0.6
    assert found["meaning"].endswith("the eyes are wrong, not the words")


def test_what_cannot_be_told():
    found = probe(*taken(3, seen=0.5, said=0.5))
    assert found["kind"] == "nearest centroid"
    assert found["meaning"].endswith("cannot be told from 9 trajectories")


def test_the_meaning_goes_as_far_as_the_intervals():
    def said(accuracy, prompts, difference):
        values = [dict(zip(("value", "low", "high"), of)) for of in (accuracy, prompts, difference)]
        return meaning(*values, n=50).rpartition(": ")[2]

    good, poor = (0.95, 0.86, 0.98), (0.42, 0.30, 0.55)
    assert said(good, poor, (0.53, 0.38, 0.65)) == "the words are wrong, not the eyes"
    assert said((0.8, 0.6, 0.9), poor, (0.38, 0.2, 0.5)) == "better words would help"
    assert said((0.45, 0.33, 0.58), poor, (0.03, -0.1, 0.18)) == "the eyes are wrong, not the words"
    assert said(good, (0.97, 0.91, 0.99), (-0.02, -0.05, 0.03)) == (
        "the words say what the eyes see"
    )
    assert said((0.95, 0.94, 0.96), (0.95, 0.93, 0.97), (0, -0.02, 0.02)) == (
        "the words say what the eyes see"
    )
    assert "more than a probe learns from 50" in said((0.6, 0.4, 0.9), good, (-0.35, -0.5, -0.2))
    assert "cannot be told" in said((0.6, 0.4, 0.8), (0.5, 0.3, 0.7), (0.1, -0.1, 0.3))


def test_parts_of_a_file_stay_together():
    """Each file has a look of its own, and nothing else: what is learned from other parts of the
    same file must not count."""
    rng = np.random.default_rng(0)
    looks = 10 * rng.normal(size=(30, 16))

    def of_file(label, take):
        return f"{label} {take // 5}.mp4#t={take},{take + 1}"

    for n in (25, 10):
        table, embeddings = taken(n, 0, 0, of_file=of_file)
        files = [part_of(row.name)[0] for row in table.rows]
        embeddings += looks[np.unique(files, return_inverse=True)[1]].astype(np.float32)
        found = probe(table, embeddings)
        assert found["kind"] == ("logistic regression" if n == 25 else "nearest centroid")
        assert found["accuracy"]["value"] < 0.7
        alone = table._replace(rows=[Entry(f"{i}", row.groups) for i, row in enumerate(table.rows)])
        assert probe(alone, embeddings)["accuracy"]["value"] > 0.95


def test_episodes_in_one_file_of_a_lerobot_data_set_are_recordings(tmp_path):
    file = tmp_path / "videos/cam/chunk-000/file-000.mp4"
    names = [f"{file}#t={4 * i},{4 * i + 4}" for i in range(12)]
    table, embeddings = taken(4, 3, 3, of_file=lambda label, take: names[4 * label + take])
    assert len(set(recordings_of(table.rows))) == 1 and probe(table, embeddings)["kind"] is None
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text("{}")
    assert recordings_of(table.rows).tolist() == list(range(12))
    assert probe(table, embeddings)["trajectories"] == 12
    parts = ("#t=3.5,6", "#t=0,4", "#t=6,8", "", "#t=5,7")
    rows = [Entry(f"{file}{part}") for part in parts]
    assert recordings_of([*rows[:3], rows[4]]).tolist() == [0, 0, 0, 0]  # each overlaps another
    assert recordings_of(rows[:3]).tolist() == [0, 0, 1] and set(recordings_of(rows)) == {0}


def test_folds():
    labels, recordings = np.repeat(np.arange(3), 10), np.arange(30) // 2
    folds = folds_of(labels, recordings)
    assert (folds[::2] == folds[1::2]).all()
    for label in range(3):
        assert np.bincount(folds[labels == label]).tolist() == [2] * 5


def test_centroids_leave_out_the_own_recording():
    table, embeddings = taken(4, 1, 1)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels = np.repeat(np.arange(3), 4)
    hits = []
    for i in range(12):
        others = np.arange(12) != i
        means = [unit[others & (labels == label)].mean(0) for label in range(3)]
        hits.append(np.linalg.norm(unit[i] - means, axis=1).argmin() == labels[i])
    assert probe(table, embeddings)["accuracy"]["value"] == pytest.approx(np.mean(hits))


def test_what_has_no_probe():
    table, embeddings = taken(4, 1, 1)
    assert probe(table._replace(rows=[Entry(row.name) for row in table.rows]), embeddings) is None
    assert probe(table.take(np.arange(4)), embeddings[:4]) is None  # one behaviour
    several = [row._replace(groups=NAMES[:2]) for row in table.rows]
    assert probe(table._replace(rows=several), embeddings) is None
    table, embeddings = taken(4, 1, 1, of_file=lambda label, take: f"all.mp4#t={4 * label + take}")
    found = probe(table, embeddings)
    assert found["kind"] is None and found["behaviours"] == 0
    assert as_lines(found) == [
        "words or eyes: no probe: it takes two behaviours of two recordings or more each, and "
        "parts of one file are one recording"
    ]
    json.dumps(found, allow_nan=False)


def test_behaviours_of_one_recording_are_left_out():
    table, embeddings = taken(4, 3, 3)
    rows = np.r_[:9]  # one take of the last
    found = probe(table.take(rows), embeddings[rows])
    assert (found["behaviours"], found["trajectories"]) == (2, 8)


def test_equal_embeddings_are_wrong():
    for n in (3, 8):
        table, embeddings = taken(n, 1, 1)
        for same in (np.ones_like(embeddings), np.zeros_like(embeddings)):
            assert probe(table, same)["accuracy"]["value"] == 0


def test_a_name_that_is_no_part():
    assert part_of("a#t=x,y.mp4") == ("a#t=x,y.mp4", 0, np.inf)
    assert part_of("a.mp4#t=1,2") == ("a.mp4", 1, 2) and part_of("a#t=,2") == ("a", 0, 2)


def test_it_is_kept_and_scikit_learn_not_imported_again(tmp_path, monkeypatch):
    data = taken(6, 1, 1)
    cache = Cache(tmp_path)
    found = probe(*data, cache)

    def never(*arguments, **settings):
        raise AssertionError("computed again")

    monkeypatch.setattr(LogisticRegression, "fit", never)
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    assert probe(*data, cache) == found
    assert not any(name.partition(".")[0] == "sklearn" for name in sys.modules)
    monkeypatch.undo()
    others = probe(data[0], taken(6, 0, 1)[1], cache)
    assert others["accuracy"] != found["accuracy"]


def test_many_trajectories_have_a_cheaper_probe(monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 500)
    assert probe(*taken(6, 1, 1))["kind"] == "nearest centroid"
