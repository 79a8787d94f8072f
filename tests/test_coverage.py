"""How often the intervals hold: a small version of benchmarks/coverage.py."""

import sys

import numpy as np
import pytest
from pages import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import coverage
import coverage_of_metrics as of_metrics


@pytest.mark.parametrize("kind", [of_metrics.Kind(0.95), of_metrics.Kind(0.9, shared=0.6)])
def test_three_takes_of_three_behaviours(kind):
    found = of_metrics.coverage(kind, 3, 3, 150, np.random.default_rng(1))
    assert {name for name in found if not name.startswith("- ")} == {
        name for name in of_metrics.NAMES.values() if name != "top3"
    }
    assert {f"- {name}" for name in of_metrics.PAIRED} <= set(found)
    for name, share in found.items():
        assert share >= 0.9, name  # 150 runs: three standard errors below 0.95


@pytest.mark.slow
@pytest.mark.parametrize("section", coverage.SECTIONS)
def test_every_interval_holds(section):
    """In 93 % of the runs at 3, 5, 10 and 30 takes, over all kinds of scores; docs/metrics.md has
    each."""
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    found = coverage.SECTIONS[section](0.15)
    for name, of_takes in found.items():
        assert list(of_takes) == [3, 5, 10, 30] and f"\n| {name} | " in page
        for takes, shares in of_takes.items():
            assert np.mean(shares) >= 0.93, (name, takes)
    header, _, *rows = coverage.as_markdown(found).splitlines()
    assert header == "| interval of | 3 takes | 5 takes | 10 takes | 30 takes |"
    assert len(rows) == len(found)
