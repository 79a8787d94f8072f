"""Similarities along the time of each trajectory."""

from typing import NamedTuple

import numpy as np

from trajeval.table import Table


class Curves(NamedTuple):
    """The similarities of N trajectories with P prompts at K times of each.

    how: "prefix", of the clip from the beginning to then, or "window", of the last seconds before.
    frames: int64 [N, K], the number of the last frame that each point has seen, ascending; a short
    video repeats points. times: float64 [N, K], when that frame is shown, in seconds from the
    trajectory's first frame; NaN where the frame rate is unknown. values: float32 [N, K, P], rows
    and columns as in the run's Table, before --normalize and --softmax.
    """

    how: str
    frames: np.ndarray
    times: np.ndarray
    values: np.ndarray


class Control(NamedTuple):
    """What became of the run's Table, and of its Curves if it has any, when every trajectory was
    changed in one way. curves: None without, and for a still picture, whose curve is constant."""

    table: Table
    curves: Curves | None
