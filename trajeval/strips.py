"""A few frames of trajectories, to be seen below their curves."""

import numpy as np

from trajeval.containers import VideoError
from trajeval.sources import Source
from trajeval.videos import read_clips

N_FRAMES, SIZE, GAP = 5, 128, 2  # the last two in pixels


def read_strips(sources: list[Source]) -> list[np.ndarray | None]:
    """Five frames of each source side by side, each from the middle of its fifth of the trajectory:
    uint8 [128, 5 * 128, 3], of the centre squares, with white between them; None if it cannot be
    read."""
    strips = []
    for clip in read_clips(sources, 2 * N_FRAMES, "crop", SIZE):
        if isinstance(clip, VideoError):
            strips.append(None)
            continue
        frames = clip.frames[1::2].copy()
        frames[1:, :, :GAP] = frames[:-1, :, -GAP:] = 255
        strips.append(np.concatenate(frames, axis=1))
    return strips
