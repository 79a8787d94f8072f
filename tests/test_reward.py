"""A similarity as a reward: the numbers of the command line, inside an environment."""

import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from make_videos import write_video
from painter import EPISODE, Painter
from runs import ROOT, example, read_numbers

import reward as reward_module
from reward import SimilarityReward, SimilarityRewardVectorWrapper, SimilarityRewardWrapper
from trajeval.evaluator import main
from trajeval.terminal import UserError

PROMPTS = ["grey or yellow", "grey or red", "grey or white"]
NEUTRAL = ["red", "green and white"]


ColourModel = example().ColourModel


gymnasium.register("Painter-v0", Painter)


def paint(n=EPISODE, seed=0, size=64):
    """The frames of an episode, uint8 [1 + n, size, size, 3], and its actions."""
    env = Painter("rgb_array", size, n)
    env.reset(seed=seed)
    actions = np.random.default_rng(seed).uniform(-1, 1, (n, 3)).astype(np.float32)
    frames = [env.render().copy()]
    for action in actions:
        env.step(action)
        frames.append(env.render().copy())
    return np.stack(frames), actions


@pytest.fixture(scope="module")
def model():
    return ColourModel(n_frames=4, device="cpu")


@pytest.fixture(scope="module")
def red(model):
    return SimilarityReward(model, "all is red")


def command_line(clips, prompts, neutral=(), *options):
    """The values of the evaluator for videos of the clips, [N, P]."""
    for i, clip in enumerate(clips):
        write_video(f"{i}.mkv", clip, codec="ffv1", pix_fmt="bgr0")
    Path("t.txt").write_text("".join(f"{i}.mkv\n" for i in range(len(clips))))
    groups = {"said": prompts, "baseline": neutral} if len(neutral) else {"": prompts}
    lines = [line for name in groups for line in ([f"[{name}]"] if name else []) + [*groups[name]]]
    Path("p.txt").write_text("\n".join(lines))
    run = ["-t", "t.txt", "-p", "p.txt", "-e", "exp", "-o", "out", "--n-frames", "4"]
    assert main(ColourModel, "", [*run, "--device", "cpu", *options]) == 0
    return read_numbers("out/exp")[2]


# --- the reward


@pytest.mark.parametrize(
    "settings, options",
    [
        ({}, ()),
        ({"softmax_against": PROMPTS[1:]}, ("--softmax",)),
        ({"softmax_against": PROMPTS[1:], "temperature": 0.3}, ("--softmax", "0.3")),
        (
            {"baseline": NEUTRAL, "similarity": "projection", "alpha": 0.7},
            ("--similarity", "projection", "--alpha", "0.7"),
        ),
        (
            {"baseline": NEUTRAL[0], "similarity": "goal-baseline"},
            ("--similarity", "goal-baseline"),
        ),
        (
            {
                "baseline": NEUTRAL,
                "similarity": "goal-baseline",
                "softmax_against": PROMPTS[1:],
                "temperature": 0.1,
            },
            ("--similarity", "goal-baseline", "--softmax", "0.1"),
        ),
    ],
)
def test_the_values_are_those_of_the_command_line(model, in_empty_folder, settings, options):
    clips = [paint(9, seed=1)[0], paint(2, seed=2, size=100)[0], paint(5, seed=3)[0]]
    reward = SimilarityReward(model, PROMPTS[0], **settings)
    neutral = settings.get("baseline", ())
    neutral = [neutral] if isinstance(neutral, str) else neutral
    expected = command_line(clips, PROMPTS, neutral, *options)[:, 0]
    rewards = reward.batch(clips)
    assert rewards.dtype == np.float32 and np.ptp(expected) > 1e-3
    np.testing.assert_allclose(rewards, expected, atol=1e-6, rtol=0)
    alone = [reward(clip) for clip in clips]
    assert all(type(value) is float for value in alone)
    np.testing.assert_allclose(alone, expected, atol=1e-6, rtol=0)


def test_frames_may_be_a_list_and_clips_an_array(red):
    clips = np.stack([paint(7, seed)[0] for seed in range(3)])
    rewards = red.batch(clips)
    assert [red(list(clip)) for clip in clips] == rewards.tolist()
    assert red.batch([]).shape == (0,)


def test_clips_of_several_sizes(red):
    clips = [paint(5, size=64)[0], paint(5, size=100)[0], paint(3, size=64)[0]]
    assert red.batch(clips).tolist() == [red(clip) for clip in clips]


def test_prompts_are_embedded_once(model, monkeypatch):
    calls = []
    embed_texts = ColourModel.embed_texts
    monkeypatch.setattr(
        *(ColourModel, "embed_texts"),
        lambda self, prompts: calls.append(prompts) or embed_texts(self, prompts),
    )
    reward = SimilarityReward(model, "red", ["grey"], "projection", softmax_against=["blue"])
    for seed in range(3):
        reward(paint(seed=seed)[0])
    assert calls == [["red", "blue", "grey"]]


def test_what_the_model_does_not_see_is_warned_about(model):
    with pytest.warns(UserWarning, match='"a cheetah": names no colour'):
        SimilarityReward(model, "a cheetah")
    with pytest.warns(UserWarning, match='"red!": indistinguishable to the model from "red"'):
        SimilarityReward(model, "red", softmax_against=["red!"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SimilarityReward(model, "red", softmax_against=["blue"])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"similarity": "dot"}, "similarity must be one of cosine, projection, goal-baseline"),
        ({"similarity": "projection"}, "'projection' needs a baseline"),
        ({"similarity": "goal-baseline", "baseline": []}, "baseline: expected prompts"),
        ({"baseline": "grey"}, "a baseline needs the similarity projection or goal-baseline"),
        ({"alpha": 1.5}, "alpha must be from 0 to 1, got 1.5"),
        ({"alpha": float("nan")}, "alpha must be from 0 to 1, got nan"),
        ({"softmax_against": "blue"}, "softmax_against: expected prompts"),
        ({"softmax_against": []}, "softmax_against: expected prompts"),
        ({"softmax_against": ["blue", " "]}, "softmax_against: expected prompts"),
        ({"temperature": 0}, "temperature must be above 0, got 0"),
        ({"temperature": float("inf")}, "temperature must be above 0, got inf"),
        ({"prompt": ""}, "prompt: expected prompts"),
        ({"prompt": ["red"]}, "prompt: expected prompts"),
    ],
)
def test_wrong_settings(model, settings, message):
    with pytest.raises(ValueError) as caught:
        SimilarityReward(model, **{"prompt": "red"} | settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "frames, message",
    [
        (np.zeros((4, 8, 8), np.uint8), "expected uint8 [T, H, W, 3], got uint8 [4, 8, 8]"),
        (np.zeros((1, 4, 8, 8, 3), np.uint8), "got uint8 [1, 4, 8, 8, 3]"),
        (np.zeros((4, 8, 8, 4), np.uint8), "expected frames uint8 [H, W, 3], got uint8 [8, 8, 4]"),
        (np.zeros((4, 3, 8, 8), np.uint8), "expected frames uint8 [H, W, 3], got uint8 [3, 8, 8]"),
        (np.zeros((4, 8, 8, 3), np.float32), "got float32 [8, 8, 3]"),
        (np.zeros((0, 8, 8, 3), np.uint8), "has no frames"),
        (np.zeros((4, 0, 8, 3), np.uint8), "got uint8 [0, 8, 3]"),
        ([], "has no frames"),
        ([None], "got object []"),
        (None, "expected uint8 [T, H, W, 3], got NoneType"),
        (
            [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)],
            "its frames differ in size, [8, 8, 3] and [8, 9, 3]",
        ),
    ],
)
def test_wrong_frames(red, frames, message):
    with pytest.raises(ValueError) as caught:
        red(frames)
    assert str(caught.value).startswith("the clip: ") and message in str(caught.value)
    with pytest.raises(ValueError, match="^clip 1: "):
        red.batch([paint()[0], frames])


# --- one environment


def rollout(env, actions, seed=0):
    """[(reward, similarity)] of the steps of one episode."""
    _, info = env.reset(seed=seed)
    assert info["similarity"] is None
    steps = []
    for action in actions:
        _, reward, terminated, truncated, info = env.step(action)
        steps.append((reward, info["similarity"]))
    assert terminated or truncated
    return steps


def test_an_episode_equals_the_command_line_on_its_video(red, in_empty_folder):
    frames, actions = paint()
    env = SimilarityRewardWrapper(Painter("rgb_array"), red)
    for _ in range(2):  # the second episode has none of the first one's frames
        rewards, similarities = zip(*rollout(env, actions))
        assert rewards[:-1] == (0.0,) * 5 and similarities[:-1] == (None,) * 5
        assert rewards[-1] == similarities[-1]
    assert rewards[-1] == pytest.approx(command_line([frames], ["all is red"])[0, 0], abs=1e-6)


def test_every_and_window(red, in_empty_folder):
    frames, actions = paint(7)
    env = SimilarityRewardWrapper(Painter("rgb_array", episode=7), red, every=3, window=2)
    parts = [frames[2:4], frames[5:7], frames[6:8]]  # after steps 3, 6, and 7, the last
    after_3, after_6, after_7 = command_line(parts, ["all is red"])[:, 0].tolist()
    rewards, similarities = zip(*rollout(env, actions))
    assert rewards == pytest.approx([0, 0, after_3, 0, 0, after_6, after_7], abs=1e-6)
    assert similarities[:2] == (None, None)
    latest = [after_3, after_3, after_3, after_6, after_7]
    assert similarities[2:] == pytest.approx(latest, abs=1e-6)


def test_mode_and_scale(red):
    _, actions = paint()
    plain = rollout(SimilarityRewardWrapper(Painter("rgb_array"), red, every=2), actions)
    for mode, given in (("replace", 0), ("add", 10)):
        env = SimilarityRewardWrapper(Painter("rgb_array"), red, every=2, mode=mode, scale=-3)
        steps = rollout(env, actions)
        assert [s for _, s in steps] == [s for _, s in plain]
        assert [r for r, _ in steps] == pytest.approx([given - 3 * r for r, _ in plain], abs=1e-9)
        assert all(type(reward) is float for reward, _ in steps)


@pytest.mark.parametrize("every", [None, 1, 2])
def test_gymnasiums_checks_pass(red, every):
    env = gymnasium.make("Painter-v0", render_mode="rgb_array")
    env = SimilarityRewardWrapper(env, red, every=every, window=3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*different from the unwrapped version")
        warnings.filterwarnings("error", ".*", UserWarning)
        warnings.filterwarnings("ignore", ".*different from the unwrapped version")
        check_env(env)
    copy = env.spec.make()
    assert isinstance(copy, SimilarityRewardWrapper)
    _, actions = paint()
    assert rollout(copy, actions) == rollout(env, actions)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"mode": "multiply"}, "mode must be one of replace, add, got 'multiply'"),
        ({"window": 0}, "window must be a whole number from 1 on, or None, got 0"),
        ({"every": -1}, "every must be a whole number from 1 on, or None, got -1"),
        ({"every": 1.5}, "every must be a whole number from 1 on, or None, got 1.5"),
        ({"every": True}, "every must be a whole number from 1 on, or None, got True"),
        ({"scale": float("nan")}, "scale must be a finite number, got nan"),
    ],
)
def test_wrong_settings_of_a_wrapper(red, settings, message):
    vector = SyncVectorEnv([lambda: Painter("rgb_array")])
    for wrapper, env in (
        (SimilarityRewardWrapper, Painter("rgb_array")),
        (SimilarityRewardVectorWrapper, vector),
    ):
        with pytest.raises(ValueError) as caught:
            wrapper(env, red, **settings)
        assert str(caught.value) == message


@pytest.mark.parametrize("mode", [None, "ansi"])
def test_an_environment_that_does_not_render_arrays(red, mode):
    message = f'must be made with render_mode="rgb_array", got {mode!r}'
    with pytest.raises(ValueError, match=message):
        SimilarityRewardWrapper(Painter(mode), red)
    with pytest.raises(ValueError, match=message):
        SimilarityRewardVectorWrapper(SyncVectorEnv([lambda: Painter(mode)]), red)


def test_an_environment_that_renders_nothing(red, monkeypatch):
    monkeypatch.setattr(Painter, "render", lambda self: None)
    with pytest.raises(ValueError, match=r"render\(\) returned None"):
        SimilarityRewardWrapper(Painter("rgb_array"), red).reset()


def test_without_gymnasium(monkeypatch):
    monkeypatch.setattr(reward_module, "find_spec", lambda name: None)
    message = "SimilarityRewardWrapper needs Gymnasium: pip install gymnasium"
    with pytest.raises(UserError, match=message):
        _ = reward_module.SimilarityRewardWrapper
    with pytest.raises(AttributeError, match="no attribute 'Wrapper'"):
        _ = reward_module.Wrapper


def test_gymnasium_is_imported_only_for_a_wrapper():
    program = (
        "import sys, reward; assert 'gymnasium' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


# --- several environments

LENGTHS = (3, 5)  # of their episodes


def vector(kind=SyncVectorEnv, autoreset=AutoresetMode.NEXT_STEP, **settings):
    envs = [lambda n=n: Painter("rgb_array", episode=n) for n in LENGTHS]
    return kind(envs, autoreset_mode=autoreset, **settings)


def expected(red, **settings):
    """What each environment gives on its own for 12 steps, [12, 2] rewards and similarities, when
    it takes one more call to reset it after the last step of an episode."""
    both = []
    for i, length in enumerate(LENGTHS):
        env = SimilarityRewardWrapper(Painter("rgb_array", episode=length), red, **settings)
        env.reset(seed=i)
        steps, over = [], False
        for action in actions_of(12)[:, i]:
            if over:
                _, info = env.reset()
                reward, over = 0.0, False
            else:
                _, reward, _, over, info = env.step(action)
            steps.append((reward, np.nan if info["similarity"] is None else info["similarity"]))
        both.append(steps)
    return np.array(both).transpose(2, 1, 0)


def actions_of(n):
    return np.random.default_rng(5).uniform(-1, 1, (n, len(LENGTHS), 3)).astype(np.float32)


@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
@pytest.mark.parametrize(
    "settings",
    [{}, {"every": 2, "window": 3, "scale": 2.0}, {"every": 1, "mode": "add"}],
    ids=["episodes", "windows", "added"],
)
def test_a_vector_environment_gives_what_each_would_alone(red, kind, settings):
    calls = []

    class Counting:
        @staticmethod
        def batch(clips):
            calls.append(len(clips))
            return red.batch(clips)

    env = SimilarityRewardVectorWrapper(vector(kind), Counting(), **settings)
    _, infos = env.reset(seed=0)
    assert np.isnan(infos["similarity"]).all() and not infos["_similarity"].any()
    rewards, similarities = expected(red, **settings)
    for step, actions in enumerate(actions_of(12)):
        _, given, _, _, infos = env.step(actions)
        assert given == pytest.approx(rewards[step], abs=1e-6), step
        assert infos["similarity"].dtype == np.float32
        assert infos["similarity"] == pytest.approx(similarities[step], abs=1e-6, nan_ok=True)
        assert (infos["_similarity"] == ~np.isnan(similarities[step])).all()
    assert 2 in calls or settings == {}
    env.close()


def test_autoreset_by_hand(red):
    """In mode DISABLED the caller resets what has ended, by a mask."""
    env = SimilarityRewardVectorWrapper(vector(autoreset=AutoresetMode.DISABLED), red, every=2)
    env.reset(seed=0)
    by_hand, rewards = [], expected(red, every=2)[0]
    over = np.zeros(2, bool)
    for actions in actions_of(4):
        if over.any():
            _, infos = env.reset(options={"reset_mask": over})
            assert np.isnan(infos["similarity"][over]).all()
            assert not np.isnan(infos["similarity"][~over]).any()
        _, given, terminations, truncations, _ = env.step(actions)
        over = terminations | truncations
        by_hand.append(given)
    by_hand = np.array(by_hand)
    np.testing.assert_allclose(by_hand[:3], rewards[:3], atol=1e-6)
    np.testing.assert_allclose(by_hand[3, 1], rewards[3, 1], atol=1e-6)
    assert by_hand[3, 0] == 0  # the first step of its second episode


def test_a_reset_that_ends_an_episode_early(red):
    env = SimilarityRewardVectorWrapper(vector(), red)
    env.reset(seed=0)
    for actions in actions_of(3):
        env.step(actions)
    env.reset(seed=0)  # the first had ended, and must not be reset again by the next step
    rewards = [env.step(actions)[1] for actions in actions_of(3)]
    np.testing.assert_allclose(rewards, expected(red)[0][:3], atol=1e-6)


def test_autoreset_within_the_step_is_refused(red):
    message = "autoreset mode must be NEXT_STEP or DISABLED.* got AutoresetMode.SAME_STEP"
    with pytest.raises(ValueError, match=message):
        SimilarityRewardVectorWrapper(vector(autoreset=AutoresetMode.SAME_STEP), red)
