"""A small environment that can be rendered."""

import gymnasium
import numpy as np

EPISODE = 6  # steps


class Painter(gymnasium.Env):
    """The action is the colour that is painted next, into the same memory; the reward is 10."""

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 25}  # noqa: RUF012
    observation_space = gymnasium.spaces.Box(0, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)

    def __init__(self, render_mode=None, size=64, episode=EPISODE):
        self.render_mode, self.episode = render_mode, episode
        self.picture = np.zeros((size, size, 3), np.uint8)

    def paint(self, colour):
        self.colour = np.clip(colour, 0, 1).astype(np.float32)
        self.picture[: len(self.picture) // 2] = self.picture[len(self.picture) // 2 :]
        self.picture[len(self.picture) // 2 :] = np.round(255 * self.colour)
        return self.colour.copy()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.picture[:] = 0, 0
        return self.paint(self.np_random.uniform(size=3)), {}

    def step(self, action):
        self.steps += 1
        return self.paint(np.abs(action)), 10.0, False, self.steps >= self.episode, {}

    def render(self):
        return self.picture if self.render_mode == "rgb_array" else "a picture"
