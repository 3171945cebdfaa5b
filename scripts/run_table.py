"""Write a table with a row per run: parameters, seconds of a step with its update, final success and returns.

Use: python scripts/run_table.py runs/a runs/b --out results/architectures
The script writes table.csv, table.md and curves.csv (success and, for few tasks, returns of every evaluation) to the
folder. A folder of runs stands for all runs below it. --random FILE adds the results of
`evaluate --policy random --json FILE`.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.runs.loading import load_agent
from mtrl_conic.runs.status import find_runs
from mtrl_conic.runs.stored import read_result

FEW = 5
"""The largest number of tasks for which each return has a column."""


def row(run: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a finished run."""
    config, agent, envs = load_agent(run, device="cpu")
    envs.close()
    assert isinstance(agent, MTSAC), f"{run} trains {config.algorithm}"
    return {
        "network": config.agent.network,
        "balancer": config.balancer,
        "base": config.agent.base,
        "seed": config.seed,
        **parameters(agent),
        "steps": result["step"],
        "seconds per step": seconds_per_step(run),
        "threads": result["machine"]["threads"],
        "success": result["mean_success"],
        **returns(result),
    }


def returns(record: dict[str, Any]) -> dict[str, float]:
    """Return the returns by column, one per task, or none for many tasks."""
    by_task = record["returns"].items()
    return {f"return of {task}": round(value, 1) for task, value in by_task} if len(by_task) <= FEW else {}


def seconds_per_step(run: Path) -> float | None:
    """Return the median time of a step of all tasks with its update; None before the first update."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    speeds = [record["steps_per_second"] for record in records if "critic/loss" in record]
    return round(1 / median(speeds), 4) if speeds else None


def parameters(agent: MTSAC) -> dict[str, int]:
    """Count the shared parameters and those of single tasks, of actor and critics without the target."""
    counts = {"shared parameters": 0, "task parameters": 0}
    for component in (agent.actor, agent.critic):
        for name, value in component.network.named_parameters():
            counts["task parameters" if name in component.layout.own else "shared parameters"] += value.numel()
    return counts


def curves(run: Path, of: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row per evaluation of the run whose row in the table is `of`."""
    for line in (run / "evaluations.jsonl").read_text().splitlines():
        record = json.loads(line)
        yield {
            **{key: of[key] for key in ("network", "balancer", "base", "seed")},
            "step": record["step"],
            "seconds": record["time"],
            "success": record["mean_success"],
            "episodes_per_task": record["episodes_per_task"],
            **returns(record),
        }


def write_csv(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows, with a column for every key of the first one."""
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Format rows as a table; a sentence below it lists the columns whose values are all equal."""
    alike = [key for key in rows[0] if len(rows) > 1 and len({str(row[key]) for row in rows}) == 1]
    columns = [key for key in rows[0] if key not in alike]
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(_shown(row[key]) for key in columns)} |" for row in rows]
    said = "; ".join(f"{key}: {_shown(rows[0][key])}" for key in alike)
    return "\n".join(lines) + "\n" + (f"\nIn all rows, {said}.\n" if said else "")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1 else f"{value:,.1f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path, help="folder")
    parser.add_argument("--random", type=Path, help="rates and returns of random actions, JSON")
    arguments = parser.parse_args()
    found = [(run, read_result(run)) for run in find_runs(arguments.runs)]
    finished = {run: row(run, result) for run, result in found if result is not None}
    if not finished:
        parser.error("none of the runs is finished")
    rows = list(finished.values())
    if arguments.random:
        measured = json.loads(arguments.random.read_text())
        of_random = {"network": "random actions", "success": measured["mean_success"], **returns(measured)}
        rows.append(dict.fromkeys(rows[0]) | of_random)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_csv(arguments.out / "table.csv", rows)
    (arguments.out / "table.md").write_text(markdown(rows))
    write_csv(arguments.out / "curves.csv", [line for run in finished for line in curves(run, finished[run])])
    print(markdown(rows))


if __name__ == "__main__":
    main()
