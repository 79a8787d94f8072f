"""A run that is killed goes on where it stopped, and its results are those of one that was not."""

import pytest
from killed import kill_often, make_lists


@pytest.mark.slow
def test_killed_at_thirty_moments(in_empty_folder):
    make_lists(60)
    kill_often(30, 8, 0, "--seconds", "0.5")
