"""Write the learning curves of runs as one CSV file with a row per evaluation and task.

Use: python scripts/export_curves.py runs/a runs/b --out results/mt10/strong_50k/curves.csv
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.stored import read_config
from mtrl_conic.schema import parse

COLUMNS = (
    "step",
    "seconds",
    "task",
    "success",
    "success_at_end",
    "return",
    "episodes_per_task",
    "seed",
    "balancer",
    "base",
    "commit",
)


def rows(run: Path, commit: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of one run."""
    config = parse(RunConfig, read_config(run))
    for line in (run / "evaluations.jsonl").read_text().splitlines():
        record = json.loads(line)
        for task, success in record["success"].items():
            yield {
                "step": record["step"],
                "seconds": record["time"],
                "task": task,
                "success": success,
                "success_at_end": record["success_at_end"][task],
                "return": round(record["returns"][task], 2),
                "episodes_per_task": record["episodes_per_task"],
                "seed": config.seed,
                "balancer": config.balancer,
                "base": config.agent.base,
                "commit": commit,
            }


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    with arguments.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for run in arguments.runs:
            writer.writerows(rows(run, commit.stdout.strip()))


if __name__ == "__main__":
    main()
