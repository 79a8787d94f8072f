"""Gymnasium environments whose reward is the similarity of what they render."""

from collections import deque
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

MODES = ("replace", "add")


class SimilarityRewardWrapper(gymnasium.Wrapper, RecordConstructorArgs):
    """An environment that is rewarded for how it looks.

    Renders a frame at each reset and step. Every `every` steps, and when an episode ends, `scale`
    times reward(the last `window` frames) is earned; in between, 0. By default that is once, for
    the whole episode. mode: "replace" the environment's reward, or "add" to it.

    info["similarity"] is always there: the episode's latest similarity, None before the first.

    The frames of the window are kept in memory at the size in which they are rendered, so render no
    larger than the model needs. Raises ValueError for wrong settings, and for an environment that
    does not render arrays.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        reward: Callable[[list[np.ndarray]], float],
        *,
        every: int | None = None,
        window: int | None = None,
        mode: str = "replace",
        scale: float = 1.0,
    ):
        settings: dict[str, Any] = {"every": every, "window": window, "mode": mode, "scale": scale}
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, reward=reward, **settings)
        gymnasium.Wrapper.__init__(self, env)
        check(env.render_mode, **settings)
        self.metadata = env.metadata | {"render_modes": ["rgb_array"]}
        self._reward, self._every, self._add, self._scale = reward, every, mode == "add", scale
        self._frames: deque[np.ndarray] = deque(maxlen=window)
        self._steps, self._similarity = 0, None

    def reset(self, *, seed=None, options=None):
        observation, info = self.env.reset(seed=seed, options=options)
        self._frames.clear()
        self._frames.append(copy_of(self.env.render()))
        self._steps, self._similarity = 0, None
        return observation, info | {"similarity": None}

    def step(self, action):
        observation, given, terminated, truncated, info = self.env.step(action)
        self._frames.append(copy_of(self.env.render()))
        self._steps += 1
        earned = float(given) if self._add else 0.0
        if terminated or truncated or (self._every and self._steps % self._every == 0):
            self._similarity = self._reward(list(self._frames))
            earned += self._scale * self._similarity
        return observation, earned, terminated, truncated, info | {"similarity": self._similarity}


class SimilarityRewardVectorWrapper(VectorWrapper, RecordConstructorArgs):
    """The same for a vector environment. What is evaluated in one step is embedded together, by
    reward.batch(list of clips) -> [N].

    infos["similarity"] is float32 [N], NaN before the first of an episode.

    The environment's autoreset mode must be NEXT_STEP, Gymnasium's default, or DISABLED: with
    SAME_STEP the last frame of an episode is gone before it can be rendered.
    """

    def __init__(
        self,
        env: VectorEnv,
        reward: Any,
        *,
        every: int | None = None,
        window: int | None = None,
        mode: str = "replace",
        scale: float = 1.0,
    ):
        settings: dict[str, Any] = {"every": every, "window": window, "mode": mode, "scale": scale}
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, reward=reward, **settings)
        VectorWrapper.__init__(self, env)
        check(env.render_mode, **settings)
        self._autoreset = env.metadata.get("autoreset_mode")
        if self._autoreset not in (AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED):
            raise ValueError(
                "the autoreset mode must be NEXT_STEP or DISABLED, as the last frame of an episode "
                f"cannot be rendered otherwise, got {self._autoreset}"
            )
        self._reward, self._every, self._add, self._scale = reward, every, mode == "add", scale
        n = env.num_envs
        self._frames: list[deque[np.ndarray]] = [deque(maxlen=window) for _ in range(n)]
        self._steps, self._similarity = np.zeros(n, int), np.full(n, np.nan, np.float32)
        self._ended = np.zeros(n, bool)

    def reset(self, *, seed=None, options=None):
        starting = (options or {}).get("reset_mask")  # before the environment takes it out
        starting = np.ones(self.num_envs, bool) if starting is None else np.array(starting)
        observations, infos = self.env.reset(seed=seed, options=options)
        self._see(starting, starting)
        self._ended[starting] = False
        return observations, infos | self._info()

    def step(self, actions):
        observations, given, terminations, truncations, infos = self.env.step(actions)
        # In mode NEXT_STEP, this call has reset those that ended with the last one.
        starting = self._ended & (self._autoreset == AutoresetMode.NEXT_STEP)
        self._see(np.ones(self.num_envs, bool), starting)
        self._ended = terminations | truncations
        due = self._ended.copy()
        if self._every:
            due |= (self._steps % self._every == 0) & ~starting
        earned = np.array(given, float) if self._add else np.zeros(self.num_envs)
        if due.any():
            clips = [list(self._frames[i]) for i in np.flatnonzero(due)]
            self._similarity[due] = self._reward.batch(clips)
            earned[due] += self._scale * self._similarity[due]
        return observations, earned, terminations, truncations, infos | self._info()

    def _see(self, seen: np.ndarray, starting: np.ndarray) -> None:
        """Renders, and keeps the frames of some environments; of those, some start an episode."""
        frames = self.env.render() or [None] * self.num_envs
        for i in np.flatnonzero(seen):
            if starting[i]:
                self._frames[i].clear()
            self._frames[i].append(copy_of(frames[i]))
        self._steps[seen] += 1
        self._steps[starting], self._similarity[starting] = 0, np.nan

    def _info(self) -> dict[str, np.ndarray]:
        """As Gymnasium's vector environments have it: values, and which environments have one."""
        return {"similarity": self._similarity.copy(), "_similarity": ~np.isnan(self._similarity)}


def check(render_mode, every, window, mode, scale) -> None:
    """Raises ValueError for settings that a wrapper does not take."""
    if render_mode != "rgb_array":
        raise ValueError(
            f'the environment must be made with render_mode="rgb_array", got {render_mode!r}'
        )
    for name, value in (("every", every), ("window", window)):
        if value is not None and (isinstance(value, bool) or value != int(value) or value < 1):
            raise ValueError(f"{name} must be a whole number from 1 on, or None, got {value!r}")
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if not np.isfinite(scale):
        raise ValueError(f"scale must be a finite number, got {scale}")


def copy_of(frame: Any) -> np.ndarray:
    """A rendered frame; environments may draw the next one into the same memory."""
    if frame is None:
        raise ValueError("the environment rendered nothing: render() returned None")
    return np.array(frame)
