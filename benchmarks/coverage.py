"""How often do the 95 % intervals hold? Simulated; prints the tables of docs/metrics.md.

    uv run benchmarks/coverage.py

Coverage is the share of simulated runs, in percent, whose interval holds the true value: the mean
over several kinds of scores, and the lowest of them in brackets.
"""

import coverage_of_means
import coverage_of_metrics
import coverage_of_ratings
import numpy as np

# Each returns, for a share of its runs: title -> number of takes -> the coverage of each kind
SECTIONS = {
    "metrics of labelled scores": coverage_of_metrics.table,
    "curves": coverage_of_means.table,
    "ratings, success detection, controls and the probe": coverage_of_ratings.table,
}


def as_markdown(found: dict[str, dict[int, list[float]]]) -> str:
    takes = list(next(iter(found.values())))
    lines = [
        f"| interval of | {' | '.join(f'{n} takes' for n in takes)} |",
        f"| --- |{' ---: |' * len(takes)}",
    ]
    for title, of_takes in found.items():
        cells = (f"{100 * np.mean(of):.0f} ({100 * min(of):.0f})" for of in of_takes.values())
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    for name, table in SECTIONS.items():
        print(f"{name}\n\n{as_markdown(table())}\n", flush=True)
