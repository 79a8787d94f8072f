"""How often the intervals hold: a small version of benchmarks/coverage.py."""

import sys

import numpy as np
import pytest
from runs import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import coverage


@pytest.mark.parametrize("kind", [coverage.Kind(0.95), coverage.Kind(0.9, shared=0.6)])
def test_three_takes_of_three_behaviours(kind):
    found = coverage.coverage(kind, 3, 3, 150, np.random.default_rng(1))
    assert {name for name in found if not name.startswith("- ")} == {
        name for name in coverage.NAMES.values() if name != "top3"
    }
    assert {f"- {name}" for name in coverage.PAIRED} <= set(found)
    for name, share in found.items():
        assert share >= 0.9, name  # 150 runs: three standard errors below 0.95


@pytest.mark.slow
def test_every_interval_holds():
    """In 93 % of the runs at 3, 5, 10 and 30 takes, over all kinds of scores."""
    found = coverage.table(40)
    for name, of_takes in found.items():
        assert set(of_takes) == set(coverage.TAKES)
        for takes, shares in of_takes.items():
            assert np.mean(shares) >= 0.93, (name, takes)
    header, _, *rows = coverage.as_markdown(found).splitlines()
    assert header == "| interval of | 3 takes | 5 takes | 10 takes | 30 takes |"
    assert len(rows) == len(coverage.NAMES) + len(coverage.PAIRED)
