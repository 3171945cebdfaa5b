"""The tables of a report on supervised runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mtrl_conic.evaluation.estimates import student
from mtrl_conic.report.supervised.source import FinishedRun, Summary
from mtrl_conic.report.tables import Cell, Table, Worded
from mtrl_conic.supervised import measures
from mtrl_conic.supervised.learners import SINGLE_TASK
from mtrl_conic.supervised.problem import Metric

_MEBIBYTE = 1 << 20
_MANY = 12
"""With more metrics than this, the table shows means over tasks."""


def methods(summary: Summary) -> Table:
    """Return a table with a row per method: metrics, mean ranks, the drop and the cost."""
    groups = _groups(summary.metrics)
    ranks = _ranks(summary)
    columns = ["method", "seeds", *(f"{name} {_arrow(members[0])}" for name, members in groups.items())]
    columns += [*ranks, "delta-m % ↓", "s per epoch", "CPU s per epoch", "peak MiB"]
    rows = [
        [*_row(label, runs, groups), *_judged(summary, label, runs, ranks), *_cost(runs)]
        for label, runs in summary.methods.items()
    ]
    note = (
        "Mean ± standard error over seeds. The average is over the metrics, if they are of one kind. The mean rank is "
        "over the metrics, among the methods of this table that share a network, and among all methods if "
        f"{SINGLE_TASK} is one of them. delta-m is the mean over the metrics of the relative drop from the mean of "
        f"{SINGLE_TASK} over seeds. Time and memory are medians over runs and depend on the load of the machine."
    )
    better = {column: {"↑": 1, "↓": -1}[column[-1]] for column in columns if column[-1] in "↑↓"}
    return Table("methods", "Methods", note, columns, rows, better=better)


def _ranks(summary: Summary) -> dict[str, dict[str, float]]:
    """Map columns to the mean rank of each method: among the methods that share a network, and among all."""
    sharing = {label: row for label, row in summary.means.items() if label not in summary.single_task}
    ranks = {"mean rank ↓": measures.mean_ranks(summary.metrics, sharing) if sharing else {}}
    if sharing and len(sharing) < len(summary.means):
        ranks[f"mean rank with {SINGLE_TASK} ↓"] = measures.mean_ranks(summary.metrics, summary.means)
    return ranks


def results(summary: Summary) -> Table:
    """Return a table with a row per method, seed and metric."""
    rows: list[list[Cell]] = [
        [
            label,
            run.config.seed,
            metric.task,
            metric.name,
            run.result["metrics"][metric.name],
            run.result["selected_epochs"][metric.task],
        ]
        for label, runs in summary.methods.items()
        for run in runs
        for metric in summary.metrics
    ]
    return Table("results", "Results", "", ["method", "seed", "task", "metric", "value", "epoch"], rows)


def curves(summary: Summary) -> Table:
    """Return a table with a row per method, seed, epoch, split and metric."""
    rows: list[list[Cell]] = [
        [label, run.config.seed, record["step"], round(record["time"], 2), split, name, round(value, 6)]
        for label, runs in summary.methods.items()
        for run in runs
        for record in run.curve
        for split in ("validation", "test")
        if split in record
        for name, value in record[split].items()
    ]
    columns = ["method", "seed", "epoch", "seconds", "split", "metric", "value"]
    return Table("curves", "Curves", "", columns, rows)


def _groups(metrics: Sequence[Metric]) -> dict[str, list[Metric]]:
    """Map columns to metrics: each metric and their average, or a group per kind (the last word) if there are many."""
    kinds: dict[str, list[Metric]] = {}
    for metric in metrics:
        kinds.setdefault(f"mean {metric.name.split()[-1]}", []).append(metric)
    if len(metrics) > _MANY:
        return kinds
    average = {"average": list(metrics)} if len(kinds) == 1 < len(metrics) else {}
    return {metric.name: [metric] for metric in metrics} | average


def _row(label: str, runs: Sequence[FinishedRun], groups: dict[str, list[Metric]]) -> list[Cell]:
    row: list[Cell] = [label, len(runs)]
    for members in groups.values():
        per_run = [float(np.mean([run.result["metrics"][metric.name] for metric in members])) for run in runs]
        row.append(_shown(measures.mean(per_run), 4))
    return row


def _judged(
    summary: Summary, label: str, runs: Sequence[FinishedRun], ranks: dict[str, dict[str, float]]
) -> list[Cell]:
    drop = None
    if summary.baseline is not None and label not in summary.single_task:
        drop = _shown(measures.mean(measures.delta_m(summary.metrics, summary.values(runs), summary.baseline)), 2)
    return [*(f"{rank[label]:.2f}" if label in rank else None for rank in ranks.values()), drop]


def _shown(mean: measures.Mean, digits: int) -> Worded:
    """Return a cell with mean and standard error that also carries the 95 % interval."""
    deviation = (mean.error or 0.0) * math.sqrt(mean.seeds)
    return Worded(mean.text(digits), student(mean.value, deviation, mean.seeds))


def _cost(runs: Sequence[FinishedRun]) -> list[Cell]:
    median = {
        key: float(np.median([run.result[key] for run in runs]))
        for key in ("seconds_per_epoch", "cpu_seconds_per_epoch", "peak_memory_bytes")
    }
    return [
        f"{median['seconds_per_epoch']:.2f}",
        f"{median['cpu_seconds_per_epoch']:.2f}",
        round(median["peak_memory_bytes"] / _MEBIBYTE),
    ]


def _arrow(metric: Metric) -> str:
    return "↑" if metric.higher_is_better else "↓"
