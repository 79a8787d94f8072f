"""The shipped demo files are as demo/README.md describes them."""

import random
import re
from pathlib import Path

import av
import numpy as np
import pytest
from behaviours import BEHAVIOURS, TAKES, clip_name
from captions import HELD_OUT, PHRASES, PROMPTS, caption, dictionary, inflect, prompt_list

from trajeval.inputs import read_prompts, read_trajectories

ROOT = Path(__file__).parent.parent
TRAJECTORIES = sorted((ROOT / "trajectories").glob("cheetah_*.mp4"))


def words(text):
    return set(re.findall(r"[\w']+", text.lower()))


def test_lists_are_in_the_same_order(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert list(BEHAVIOURS) == list(PHRASES) == list(HELD_OUT)
    groups = [behaviour.replace("_", " ") for behaviour in BEHAVIOURS]
    assert Path("prompts/cheetah_prompts.txt").read_text() == prompt_list()
    prompts = read_prompts("prompts/cheetah_prompts.txt")
    assert [prompt.group for prompt in prompts] == [group for group in groups for _ in range(3)]
    assert [prompt.text for prompt in prompts[::3]] == PROMPTS
    trajectories = read_trajectories("trajectories_lists/cheetah.txt")
    assert [(Path(trajectory.path).name, *trajectory.groups) for trajectory in trajectories] == [
        (clip_name(behaviour, take), behaviour.replace("_", " "))
        for behaviour in BEHAVIOURS
        for take in range(1, TAKES + 1)
    ]
    assert sorted(ROOT / trajectory.path for trajectory in trajectories) == TRAJECTORIES


@pytest.mark.parametrize("path", TRAJECTORIES, ids=lambda path: path.stem)
def test_shipped_clips(path):
    assert path.stat().st_size < 200_000
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.codec_context.name) == (480, 480, "h264")
        assert 5 <= float(stream.duration * stream.time_base) <= 10


def test_held_out_phrases_are_new_sentences_of_known_words():
    known = set(dictionary())
    trained = {phrase for phrases in PHRASES.values() for phrase in phrases}
    for phrases in HELD_OUT.values():
        assert not trained & set(phrases)
        for phrase in phrases:
            assert words(inflect(phrase, "ing")) <= known
    # nor the same words in another order, which the network does not see
    trained_bags = {frozenset(words(phrase)) for phrase in trained}
    assert not trained_bags & {frozenset(words(p)) for ps in HELD_OUT.values() for p in ps}
    assert set(np.load(ROOT / "checkpoints/s3d_cheetah_demo_dict.npy")) == known


def test_captions_use_words_of_the_dictionary():
    rng, known = random.Random(0), set(dictionary())
    for phrases in PHRASES.values():
        for phrase in phrases:
            text = caption(rng, phrase)
            assert words(text) <= known and "{" not in text


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_poses_are_finite_and_move_as_their_name_says(name):
    pose = BEHAVIOURS[name](np.random.default_rng(0), 6.0)
    poses = [pose(t) for t in np.linspace(0, 6, 50)]
    x, lift, pitch = np.array([[p[0], p[1], p[2]] for p in poses]).T
    legs = np.array([p[3] for p in poses])
    assert legs.shape == (50, 6) and np.isfinite(legs).all()
    assert np.isfinite(x).all() and (lift >= 0).all() and np.isfinite(pitch).all()
    if name == "run_backwards":
        assert x[-1] < x[0] - 3
    if name == "run":
        assert x[-1] > x[0] + 3
    if name == "stand_still":
        assert np.ptp(legs, axis=0).max() == 0
