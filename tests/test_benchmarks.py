"""That the benchmarks run; how fast anything is, is no matter for a test."""

import subprocess
import sys

import pytest
from runs import ROOT


@pytest.mark.slow
def test_all_benchmarks_run():
    command = [sys.executable, "benchmarks/run.py", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    header, _, *rows = done.stdout.splitlines()
    assert [cell.strip() for cell in header.split("|")[1:4]] == ["what", "ours", "baseline"]
    told = "\n".join(row.split("|")[1] for row in rows)
    for what in (
        "S3D float32: channels last",
        "ViCLIP-B float32",
        "judge, --question true: 12 prompts, over one prompt",
        "200 frames of 480x480",
        "10 parts",
    ):
        assert what in told
    for what in (
        "peak memory",
        "cores busy",
        "all prompts kept",
        "the demo, all kept",
        "--help",
        "import s3dg",
    ):
        assert what in told
    for row in rows:  # the differences from the plain networks are no matter of speed
        assert "difference" not in row or row.split("|")[6].strip() == "yes"
