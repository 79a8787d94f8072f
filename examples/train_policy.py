"""Trains a gait of MuJoCo's HalfCheetah with the demo's weights and a prompt as the only reward.

    MUJOCO_GL=osmesa uv run --extra demo examples/train_policy.py

Writes the reward curve and the best clip to evaluation_results/train_policy/. README.md beside this
file says what came of it.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for reward.py
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "demo"))
os.environ.setdefault("LP_NUM_THREADS", "1")  # software rendering: one thread for each process

import gymnasium
import matplotlib
import mujoco
import numpy as np
from render_trajectories import Stage, write_video

from reward import SimilarityReward, SimilarityRewardVectorWrapper
from s3d_evaluator import DEMO, S3DModel
from trajeval.inputs import read_prompts

ROOT = Path(__file__).resolve().parent.parent
PROMPT = "a cheetah is running forwards"
OUT = ROOT / "evaluation_results/train_policy"
SECONDS = 480  # of training
PARENTS, POPULATION = 4, 16
SIZE = 224  # pixels of the rendered frames; the model scales them to 112
# 64 frames in 5 seconds: the model sees every second one, 0.16 s apart, as in its training.
FRAME_SKIP, STEPS, FPS = 8, 63, 12.5
N_PARAMETERS = 13  # a frequency, and an amplitude and a phase of each of the six joints


class DemoLook(gymnasium.Wrapper):
    """Draws the simulated cheetah as the clips that the demo's weights were trained on."""

    stage = None

    def render(self):
        self.stage = self.stage or Stage(SIZE)
        self.stage.data.qpos[:] = self.env.unwrapped.data.qpos
        mujoco.mj_forward(self.stage.model, self.stage.data)
        camera = mujoco.MjvCamera()
        camera.azimuth, camera.elevation, camera.distance = 90, -15, 3.2
        camera.lookat = [self.stage.data.qpos[0], 0, 0.6]
        return self.stage.picture(camera)


def make():
    env = gymnasium.make(
        "HalfCheetah-v5",
        render_mode="rgb_array",
        frame_skip=FRAME_SKIP,
        max_episode_steps=STEPS,
    )
    return DemoLook(env)


def torques(parameters, t):
    """Of gaits [N, 13] at t seconds, in [-1, 1], [N, 6]: a sine for each joint."""
    hz = 0.5 + 2.5 / (1 + np.exp(-parameters[:, :1]))
    amplitudes = 1 / (1 + np.exp(-parameters[:, 1:7]))
    return amplitudes * np.sin(2 * np.pi * hz * t + np.pi * parameters[:, 7:])


def episodes(envs, parameters, seed=0):
    """One episode of each gait. -> rewards [N], metres forwards [N], infos of the last step."""
    _, infos = envs.reset(seed=[seed] * len(parameters))
    start, total = infos["x_position"].copy(), np.zeros(len(parameters))
    for step in range(STEPS):
        actions = torques(parameters, step / FPS).astype(np.float32)
        _, rewards, _, _, infos = envs.step(actions)
        total += rewards
    return total, infos["x_position"] - start, infos


def evolve(evaluate, going_on, seed=0):
    """A (4 + 16) evolution strategy: the best gaits so far have children, with steps of all sizes.

    evaluate: gaits [N, 13] -> scores [N], metres [N]. going_on: number of generations -> bool.
    Returns the best gait [13] and, of each generation, the scores and metres of its children.
    """
    rng, history = np.random.default_rng(seed), []
    parents, records = np.zeros((PARENTS, N_PARAMETERS)), np.full(PARENTS, -np.inf)
    steps = 1.0  # the first generation is random
    while going_on(len(history)):
        noise = rng.standard_normal((POPULATION, N_PARAMETERS))
        children = parents[rng.integers(PARENTS, size=POPULATION)] + steps * noise
        steps = 10 ** rng.uniform(-1.5, 0, (POPULATION, 1))
        scores, metres = evaluate(children)
        history.append((scores, metres))
        parents, records = np.concatenate([parents, children]), np.concatenate([records, scores])
        order = np.argsort(-records)[:PARENTS]
        parents, records = parents[order], records[order]
        print(
            f"generation {len(history)}: best {scores.max():.3f}, mean {scores.mean():.3f}, "
            f"best so far {records[0]:.3f}",
            flush=True,
        )
    return parents[0], history


def clip_of(gait, seed=0):
    """The frames of an episode, uint8 [64, SIZE, SIZE, 3]."""
    env = make()
    env.reset(seed=seed)
    frames = [env.render()]
    for step in range(STEPS):
        env.step(torques(gait[None], step / FPS)[0].astype(np.float32))
        frames.append(env.render())
    env.close()
    return np.stack(frames)


def describe(name, clip, model, prompts):
    """Prints how similar a clip is to the first prompt of each behaviour."""
    values = model.similarity([clip], prompts)[0]
    print(f"\n{name}")
    for i in np.argsort(-values):
        print(f"  {values[i]:.3f}  {prompts[i]}")


def draw(history, references, clip):
    """The reward and the distance over the generations, and the clip as a strip of frames."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 1, figsize=(7, 6.4), height_ratios=(2.4, 1.4, 1.1))
    scores, metres = (np.array(values) for values in zip(*history))  # [G, 16] each
    generations, best = np.arange(1, len(scores) + 1), np.maximum.accumulate(scores.max(1))
    axes[0].plot(generations, best, label="best so far")
    axes[0].plot(generations, scores.mean(1), label="mean of the generation")
    for (name, value), style in zip(references.items(), ("--", ":")):
        axes[0].axhline(value, color="grey", linestyle=style, label=name)
    axes[0].set(ylabel=f'similarity to\n"{PROMPT}"')
    axes[0].legend(fontsize=8, loc="center right")
    so_far = [np.argmax(scores[:g]) for g in generations]  # which gait is the best so far
    axes[1].plot(generations, metres.ravel()[so_far], color="C2")
    axes[1].axhline(0, color="grey", linewidth=0.5)
    axes[1].set(ylabel="metres forwards\nof the best so far", xlabel="generation")
    axes[2].imshow(np.concatenate(clip[8::8], axis=1)[60:190])
    axes[2].set_title("the best clip, 0.64 s from frame to frame", fontsize=9)
    axes[2].axis("off")
    figure.tight_layout()
    figure.savefig(OUT / "train_policy.png", dpi=90)


def doubt(clip, gait, reward, envs):
    """Prints what the reward is for clips that do not show running forwards."""
    print("\nsimilarity of variants of the trained clip")
    variants = {
        "played backwards": clip[::-1],
        "the first half at half speed": np.repeat(clip[:32], 2, axis=0),
        "one frame, repeated": clip[20:21],
    }
    for name, value in zip(variants, reward.batch(list(variants.values()))):
        print(f"  {value:.3f}  {name}")

    print("\nthe trained gait from other starts: similarity, metres")
    for seed in range(1, 4):
        scores, metres, _ = episodes(envs, np.stack([gait] * POPULATION), seed)
        print(f"  {scores[0]:.3f}, {metres[0]:+.1f} m")

    print("\n48 random gaits: similarity, metres")
    random = np.random.default_rng(7).standard_normal((3, POPULATION, N_PARAMETERS))
    scores, metres = np.concatenate([episodes(envs, gaits)[:2] for gaits in random], axis=1)
    for i in np.argsort(-metres):
        print(f"  {scores[i]:.3f}, {metres[i]:+.1f} m")
    ranks = [values.argsort().argsort() for values in (scores, metres)]
    print(f"  rank correlation {np.corrcoef(*ranks)[0, 1]:.2f}")


def main():
    # Before PyTorch has threads, as the environments are processes that are forked.
    envs = gymnasium.vector.AsyncVectorEnv([make] * POPULATION)
    blind = gymnasium.vector.SyncVectorEnv([make] * POPULATION)  # never renders
    files = [ROOT / DEMO[name] for name in ("model_checkpoint_path", "dict_path")]
    model = S3DModel.load(*files)
    reward = SimilarityReward(model, PROMPT)
    rewarded = SimilarityRewardVectorWrapper(envs, reward)
    prompts = [p.text for p in read_prompts(ROOT / DEMO["prompts_path"])][::3]
    OUT.mkdir(parents=True, exist_ok=True)

    print(f'reward: similarity to "{PROMPT}"')
    start = time.monotonic()
    best, history = evolve(
        lambda gaits: episodes(rewarded, gaits)[:2],
        lambda _: time.monotonic() - start < SECONDS,
    )
    print("\nreward: metres forwards, for comparison")
    runner, _ = evolve(lambda gaits: (episodes(blind, gaits)[1],) * 2, lambda n: n < len(history))

    limp = np.array([0, *[-50] * 6, *[0] * 6])  # no torque
    gaits = {"trained on the prompt": best, "trained on metres": runner, "no torque": limp}
    clips = {name: clip_of(gait) for name, gait in gaits.items()}
    metres = episodes(blind, np.stack([*gaits.values()] + [limp] * (POPULATION - len(gaits))))[1]
    for (name, clip), distance in zip(clips.items(), metres):
        describe(f"{name}: {distance:+.1f} m", clip, model, prompts)
        write_video(OUT / f"{name.replace(' ', '_')}.mp4", clip, fps=25)
    references = {name: reward(clips[name]) for name in ("trained on metres", "no torque")}
    draw(history, references, clips["trained on the prompt"])
    describe("the demo's clip of running", Stage(SIZE).clip("run", 7_000_100), model, prompts)
    doubt(clips["trained on the prompt"], best, reward, rewarded)
    for env in (rewarded, blind):
        env.close()


if __name__ == "__main__":
    main()
