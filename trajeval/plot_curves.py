"""The plot of similarities along the time of trajectories."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajeval.curves import Curves
from trajeval.names import fold, with_short_names
from trajeval.paper import (
    COLUMN,
    OTHER,
    PAGE,
    PALETTE,
    RIGHT,
    add_key,
    beyond,
    dot,
    mean_interval,
    shown,
    sized,
)
from trajeval.strips import Strips
from trajeval.table import (
    NORMALIZED,
    Table,
    group_means,
    groups_of,
    is_right,
    memberships,
)

MAX_PANELS, N_ACROSS = 24, 4
HEIGHT, TITLE, GAP = 0.85, 0.17, 0.1  # inches: of the curves, of a title, between panels
LEFT, BELOW = 0.55, 0.36  # inches: beside and below the panels


class Panel(NamedTuple):
    """A group of trajectories: name, the rows int [n], their own group of prompts or None."""

    name: str
    rows: np.ndarray
    own: int | None
