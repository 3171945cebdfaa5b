"""Write the headline numbers of MT10 into README.md and results/mt10/README.md.

    python scripts/headline.py

The table stands between `<!-- headline -->` and `<!-- end -->`. It is computed from the final evaluations in
the folders strong_50k, strong_200k and strong_1m of results/mt10.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from mtrl_conic.evaluation import estimates, statistics

ROOT = Path(__file__).parent.parent
RUNS = ("strong_50k", "strong_200k", "strong_1m")
PAGES = (ROOT / "README.md", ROOT / "results" / "mt10" / "README.md")
_BLOCK = re.compile(r"(<!-- headline -->\n).*?(<!-- end -->)", re.DOTALL)


def table() -> str:
    """Return the table, with a line for each of `RUNS`."""
    head = "| steps per task | mean success (95 % interval) | seeds | time on one core |\n|---|---|---|---|\n"
    return head + "".join(line(ROOT / "results" / "mt10" / name / "curves.csv") for name in RUNS)


def line(path: Path) -> str:
    """Return a line with the steps, success, seeds and time of the final evaluations in a file of curves."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = max(int(row["step"]) for row in rows)
    final = [row for row in rows if int(row["step"]) == steps]
    seeds, tasks = (list(dict.fromkeys(row[key] for row in final)) for key in ("seed", "task"))
    success = {(row["seed"], row["task"]): float(row["success"]) for row in final}
    scores = np.array([[success[seed, task] for task in tasks] for seed in seeds])
    estimate = statistics.bootstrap(statistics.mean, scores, seed=0)
    seconds = np.mean([float(row["seconds"]) for row in final])
    return f"| {steps:,} | {_success(estimate)} | {len(seeds)} | {_time(float(seconds))} |\n"


def updated(page: str) -> str:
    """Return a page with its table up to date.

    Raises:
        ValueError: the page does not have exactly one place for the table.
    """
    filled, count = _BLOCK.subn(lambda found: found[1] + table() + found[2], page)
    if count != 1:
        raise ValueError(f"the page has {count} places for the headline numbers instead of one")
    return filled


def _success(estimate: estimates.Estimate) -> str:
    if estimate.interval is None:
        return f"**{_rate(estimate.value)}** (an interval needs {estimates.MIN_RUNS} seeds)"
    low, high = estimate.interval
    return f"**{_rate(estimate.value)}** [{_rate(low)}, {_rate(high)}]"


def _rate(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def main() -> None:
    """Update both pages."""
    for path in PAGES:
        path.write_text(updated(path.read_text()))


if __name__ == "__main__":
    main()
