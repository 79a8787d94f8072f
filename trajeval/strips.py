"""A few frames of trajectories, to be seen below their curves."""

from collections.abc import Callable

import numpy as np

from trajeval.containers import VideoError
from trajeval.sources import Source
from trajeval.videos import read_clips

# Rows of a table -> for each its frames, uint8 [T, H, W, 3], or None if they cannot be read.
Strips = Callable[[list[int]], list[np.ndarray | None]]
SIZE = 128  # pixels


def strips_of(sources: list[Source], n_frames: int = 5) -> Strips:
    """Reads frames of the sources: each in the middle of its n-th part of the trajectory, the
    centre square of 128 by 128 pixels."""

    def read(rows: list[int]) -> list[np.ndarray | None]:
        clips = read_clips([sources[row] for row in rows], 2 * n_frames, "crop", SIZE)
        return [None if isinstance(clip, VideoError) else clip.frames[1::2] for clip in clips]

    return read
