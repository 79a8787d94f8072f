"""Can colours alone tell these trajectories apart?

    uv run colour_evaluator.py -t trajectories_lists/mine.txt -p prompts/mine.txt -e NAME

An example of a model in one file. It embeds a video by how much its mean colour resembles each of
a few colours, and a prompt by the colours that it names.
"""

from trajeval.terminal import exit_on_interrupt, run_script

if __name__ == "__main__":
    exit_on_interrupt()  # quietly, also while the rest is imported

import re
from functools import cached_property

import numpy as np

from trajeval.evaluator import main
from trajeval.model import Model
from trajeval.options import Option, number
from trajeval.readings import Reading

PALETTE = {
    **{"black": (0, 0, 0), "white": (1, 1, 1), "grey": (0.5, 0.5, 0.5)},
    **{"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0)},
}


class ColourModel(Model):
    """sharpness: how fast the resemblance of two colours falls with their distance. The other
    settings are Model's."""

    name = "colour"
    description = "Mean colours"
    n_frames, resize, size = 8, "crop", 64
    positive = number(lambda n: n > 0, "above 0")
    options = (
        Option("--sharpness", "how fast resemblance falls with distance", "N", positive, 4.0),
    )

    def __init__(self, *, sharpness: float = 4.0, **settings):
        super().__init__(**settings)
        self.sharpness = sharpness

    @property
    def preparation(self):  # what embeddings depend on besides files and n_frames
        return super().preparation | {"sharpness": self.sharpness}

    def find_files(self):
        return []  # the files of weights, here of none, downloaded if missing

    @cached_property
    def video_network(self):  # loaded from the files, within `with self.loading():`
        import torch  # here, as a run that finds everything in the cache does not need it

        return torch.tensor(list(PALETTE.values()), device=self.device)

    text_network = None

    def embed_clips(self, frames, times):  # uint8 [B, T, H, W, 3], seconds [B, T] -> [B, 7]
        colours = frames.float().mean((1, 2, 3)) / 255  # [B, 3]
        distances = (colours[:, None] - self.video_network).norm(dim=2)
        return (-self.sharpness * distances).exp()

    def embed_texts(self, prompts):  # P prompts -> float32 [P, 7]
        tokens = [reading.tokens for reading in self.read_texts(prompts)]
        return np.array([np.isin(range(len(PALETTE)), t) for t in tokens], np.float32)

    def read_texts(self, prompts):  # what the model sees of each prompt, and what it does not
        readings = []
        for prompt in prompts:
            words = set(re.findall(r"\w+", prompt.lower()))
            tokens = [i for i, colour in enumerate(PALETTE) if colour in words]
            readings.append(Reading(tokens, [] if tokens else ["names no colour"]))
        return readings


if __name__ == "__main__":
    run_script(lambda: main(ColourModel, __doc__))
