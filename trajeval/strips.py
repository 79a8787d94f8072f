"""A few frames of trajectories, to be seen below their curves."""

import numpy as np

from trajeval.containers import VideoError
from trajeval.sources import Source
from trajeval.videos import read_clips

N_FRAMES, SIZE = 5, 128  # pixels


def read_strips(sources: list[Source]) -> list[np.ndarray | None]:
    """Five frames of each source side by side, each from the middle of its fifth of the trajectory:
    uint8 [128, 5 * 128, 3], of the centre squares; None if it cannot be read."""
    clips = read_clips(sources, 2 * N_FRAMES, "crop", SIZE)
    return [
        None if isinstance(clip, VideoError) else np.concatenate([*clip.frames[1::2]], axis=1)
        for clip in clips
    ]
