"""The cost of the runs: time by part, and memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtrl_conic.report.reinforcement.source import Comparison, Method
from mtrl_conic.report.tables import Cell, Table, joined

COLUMNS = (
    "method",
    "minutes per run",
    "ms per step",
    "ms per step: update",
    "balancing (share of update)",
    "ms per step: environments",
    "update (share of time)",
    "environments (share of time)",
    "evaluation (share of time)",
    "peak memory, MiB",
    "machine",
)

UPDATE = ("targets", "critic", "actor", "balancing")
"""The parts of an update that are timed."""


def costs(comparison: Comparison) -> Table:
    """Return a table of the time of each part, the share of the balancer in the update, and the memory."""
    rows = [_row(method) for method in comparison.compared]
    note = (
        "Means over seeds. A step is one step of all tasks with the updates that belong to it, without evaluations; "
        "the environments can step in parallel with an update. Balancing is the part of the update from the tasks' "
        "gradients to the combined gradient: the Gram matrix, the balancer and the combination (in layers with few "
        "rows, a product that any backward pass computes). It is measured on CPUs only, because a GPU runs "
        "asynchronously. Memory is the largest resident set of a run's process, including the replay buffer. Runs that "
        "share a machine slow each other down, so compare shares rather than times."
    )
    return Table("costs", "Cost", note, COLUMNS, rows)


def _row(method: Method) -> list[Cell]:
    results: list[dict[str, Any]] = [run.result for run in method.finished if run.result]
    steps = sum(result["step"] for result in results)
    spent: dict[str, float] = {}
    for result in results:
        for part, seconds in result["seconds_by_part"].items():
            spent[part] = spent.get(part, 0.0) + seconds
    seconds = sum(result["seconds"] for result in results)
    balancing, stepping, evaluation = (spent.get(part, 0.0) for part in ("balancing", "stepping", "evaluation"))
    updating = sum(spent.get(part, 0.0) for part in UPDATE)
    on_processors = all(result["machine"]["device"] == "cpu" for result in results)
    memory = [result["peak_memory_mib"] for result in results if result.get("peak_memory_mib")]
    by_part: list[Cell] = [
        *(1000 * part / steps for part in (seconds - evaluation, updating)),
        _percent(balancing, updating) if "balancing" in spent and on_processors else None,
        1000 * stepping / steps,
        *(_percent(part, seconds) for part in (updating, stepping, evaluation)),
    ]
    return [
        method.label,
        seconds / len(results) / 60,
        *(by_part if spent else [None] * len(by_part)),
        float(np.mean(memory)) if memory else None,
        joined(_machine(result["machine"]) for result in results),
    ]


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _machine(machine: dict[str, Any]) -> str:
    return f"{machine['device']}, {machine['threads']} of {machine['cores']} cores"
