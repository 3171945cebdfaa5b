"""Write run directories from the evaluations and configurations that a result keeps, for `mtrl-conic report`.

    python scripts/kept_runs.py results/mt10/balancers_strong runs/kept
    mtrl-conic report runs/kept --out report.html

The folder contains evaluations.csv of `mtrl-conic report` and a configuration METHOD.yaml of each method. The runs have
no checkpoints and no metrics, so the report has no costs and no figures of conflicts and weights.
"""

from __future__ import annotations

import argparse
import json
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from pictures import read_rows

NOT_KEPT = {"seconds_by_part": {}, "versions": {}, "machine": {"device": "unknown", "threads": "?", "cores": "?"}}
"""The values of a result that the tables do not contain."""
RECORDS = {"success": "success", "success_at_end": "success_at_end", "returns": "return"}
"""Key of a record of an evaluation -> column of the table."""


def record(rows: list[dict[str, str]]) -> dict[str, Any]:
    """Return the record of an evaluation, given its row of each task."""
    found: dict[str, Any] = {"step": int(rows[0]["step"])}
    for key, column in RECORDS.items():
        values = {row["task"]: float(row[column]) for row in rows}
        found |= {key: values, f"mean_{column}": sum(values.values()) / len(values)}
    return found | {"episodes_per_task": int(rows[0]["episodes_per_task"])}


def write(folder: Path, out: Path) -> None:
    """Write the run directories of all methods and seeds."""
    rows = read_rows(folder / "evaluations.csv")
    for (method, seed), of_run in groupby(rows, key=lambda row: (row["method"], int(row["seed"]))):
        run = out / method / f"seed_{seed}"
        run.mkdir(parents=True)
        config = {"kind": "reinforcement"} | yaml.safe_load((folder / f"{method}.yaml").read_text())
        (run / "config.yaml").write_text(yaml.safe_dump(config | {"seed": seed}, sort_keys=False))
        lines = []
        for final, of_evaluation in groupby(of_run, key=lambda row: (row["evaluation"] == "final", row["step"])):
            of_tasks = list(of_evaluation)
            seconds = float(of_tasks[0]["seconds"])
            lines.append(json.dumps(record(of_tasks) | {"time": seconds}) + "\n")
            if final[0]:
                (run / "result.json").write_text(json.dumps(record(of_tasks) | {"seconds": seconds} | NOT_KEPT))
        (run / "evaluations.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    write(arguments.result, arguments.out)
