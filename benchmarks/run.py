"""How fast is it? Everything is measured against a plain baseline in the same run.

    uv run benchmarks/run.py [--quick] [--only SECTION | --gpu]

prints one table: what, ours, the baseline, the ratio, what was aimed at, and whether it is met.
"""

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # users' imports are compiled once, too

import curves
import decoding
import gpu
import judges
import networks
import torch
import whole
from measuring import Row

from trajeval.devices import n_cores

SECTIONS = {
    "networks": networks.rows,
    "curves": curves.rows,
    "judges": judges.rows,
    "decoding": decoding.rows,
    "whole": whole.rows,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, in three minutes")
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--only", choices=SECTIONS, help="one section")
    one.add_argument("--gpu", action="store_true", help="what needs a CUDA GPU instead of that")
    args = parser.parse_args()
    if args.gpu and not torch.cuda.is_available():
        print("run.py --gpu: PyTorch finds no CUDA GPU here", file=sys.stderr)
        return 1
    sections = {"gpu": gpu.rows} if args.gpu else SECTIONS
    print(machine(), file=sys.stderr)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, section in sections.items():
            if args.only in (None, name):
                for row in section(Path(folder), args.quick):
                    print(f"  {' | '.join(row.texts())}", file=sys.stderr, flush=True)
                    rows.append(row)
    print(table(rows))
    return 0


def machine() -> str:
    """What this is measured on."""
    lines = (
        Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []
    )
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    processor = names[0] if names else platform.processor()
    return f"{processor}, {n_cores()} cores{gpu}, {versions}"


def table(rows: list[Row]) -> str:
    """Markdown, in columns that line up."""
    texts = [("what", "ours", "baseline", "ratio", "aim", "met"), *(row.texts() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts)]
    lines = [
        "| " + " | ".join(text.ljust(w) for text, w in zip(row, widths)) + " |" for row in texts
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
