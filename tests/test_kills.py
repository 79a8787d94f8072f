"""A run that is killed goes on where it stopped, and its results are those of one that was not."""

import pytest
from killed import kill_often, make_lists

from trajeval.devices import split_work


@pytest.mark.slow
def test_killed_at_thirty_moments(in_empty_folder):
    make_lists(250)
    kill_often(30, 2 * split_work("cpu")[0], 0.8, "--seconds", "0.1")
