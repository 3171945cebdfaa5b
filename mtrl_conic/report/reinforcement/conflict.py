"""How far the tasks' gradients conflict, and what the balancers make of it: a table and figures over training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import altair as alt
import numpy as np

from mtrl_conic.report.charts import STEPS, Figure, Record, finished, lines, over, tooltips, training_maps, wide
from mtrl_conic.report.reinforcement.source import SAMPLE, WHOLE, Comparison, Method
from mtrl_conic.report.tables import Cell, Table

_POINTS = 200
"""Of a line over training, at most."""
_COLUMNS = 50
"""Of a map over training, at most."""

_MEASURES: dict[str, tuple[str, Callable[..., Any]]] = {
    "negative": ("pairs in conflict", np.mean),
    "cosine": ("mean cosine", np.mean),
    "norms": ("largest norm / smallest", np.median),  # it has no bound: a single update would decide a mean
    "largest_weight": ("largest weight", np.mean),
}
"""What `read_conflicts` tells, in words, and how a run's values over training become one."""


def conflict(comparison: Comparison) -> Table:
    """A row per method, the measures of critic and actor over all of training."""
    rows: list[list[Cell]] = []
    for method in comparison.compared:
        cells = [
            _over_runs(method, f"{component}/{measure}", average)
            for component in ("critic", "actor")
            for measure, (_, average) in _MEASURES.items()
        ]
        if any(cell is not None for cell in cells):
            rows.append([method.label, *cells])
    columns = [f"{component}: {words}" for component in ("critic", "actor") for words, _ in _MEASURES.values()]
    note = (
        "Of the gradients with respect to the shared parameters, over training: a run's mean, of the norms the median; "
        "mean over seeds. In conflict: the cosine of two tasks' gradients is negative. Largest weight: of the "
        f"balancer's weights on the tasks, by size, over their sum; {1 / len(comparison.tasks):.2f} is an equal share. "
        f"Of very long metrics (more than {WHOLE >> 20} MiB in a run), {SAMPLE:,} lines evenly spread over training."
    )
    return Table("conflict", "Conflict between tasks", note, ["method", *columns], rows)


def _over_runs(method: Method, key: str, average: Callable[..., Any]) -> float | None:
    seen = [[record[key] for record in run.conflicts if key in record] for run in method.finished]
    averages = [average(values) for values in seen if values]
    return float(np.mean(averages)) if averages else None


def conflict_figures(comparison: Comparison) -> list[Figure]:
    """Cosines and weights over training, of the critic and of the actor, as far as the runs wrote them."""
    made: list[Figure | None] = []
    for component in ("critic", "actor"):
        made += [
            _lines(
                comparison,
                f"{component}/negative",
                f"{component.capitalize()}: conflicting gradients",
                "task pairs with a negative cosine (share)",
                f"Share of the task pairs whose {component} gradients point against each other, mean over seeds.",
            ),
            _lines(
                comparison,
                f"{component}/cosine",
                f"{component.capitalize()}: mean cosine",
                "mean cosine of the task pairs",
                f"Cosine of two tasks' {component} gradients, mean over all pairs and seeds; below 0 they conflict.",
            ),
            _lines(
                comparison,
                f"{component}/largest_weight",
                f"{component.capitalize()}: largest weight",
                "largest weight (share of all)",
                f"The largest of the balancer's weights on the {component}'s tasks over the sum of all, by size; "
                f"{1 / len(comparison.tasks):.2f} is an equal share. Mean over seeds.",
            ),
            _weights(comparison, component),
        ]
    return [figure for figure in made if figure is not None]


def _lines(comparison: Comparison, key: str, title: str, axis: str, caption: str) -> Figure | None:
    records = [
        {"method": method.label, "step": step, "value": value}
        for method in comparison.methods
        for step, value in _over_training(method, key, _POINTS)
    ]
    if not records:
        return None
    chart = lines(
        comparison.labels,
        records,
        over("step", STEPS),
        alt.Y("value:Q", title=axis, scale=alt.Scale(zero=True)),
        hover=["method:N", *tooltips("step:Q", "value:Q")],
    )
    name = key.replace("/", "_")
    numbers = wide(name, records, "step", STEPS, comparison.labels)
    return Figure(name, title, caption, finished(chart, caption), numbers)


def _weights(comparison: Comparison, component: str) -> Figure | None:
    """A map: a row per method and task, training from left to right."""
    records: list[Record] = []
    for method in comparison.methods:
        for task in comparison.tasks:
            weights = list(_over_training(method, f"{component}/weight/{task}", _COLUMNS))
            starts = [0.0, *(step for step, _ in weights)]
            common = {"method": method.label, "task": task}
            records += [
                common | {"from": start, "to": end, "value": w}
                for start, (end, w) in zip(starts, weights, strict=False)
            ]
    if not records:
        return None
    # White is an equal share; what lies beyond three of them is as dark as three.
    scale = alt.Scale(scheme="purpleorange", domain=[-1, 3], domainMid=1, clamp=True, reverse=True)
    caption = (
        f"Weight of each task in the {component}'s update over training, by method, mean over seeds: 1 is an equal "
        "share, 0 is none, below 0 the task's own gradient is taken back."
    )
    name = f"{component}_weights"
    title = f"{component.capitalize()}: weights of the tasks"
    specification = training_maps(records, comparison.labels, comparison.tasks, "weight", scale, caption)
    return Figure(name, title, caption, specification, _mean_weights(comparison, component, name))


def _mean_weights(comparison: Comparison, component: str, name: str) -> Table:
    rows: list[list[Cell]] = []
    for task in comparison.tasks:
        key = f"{component}/weight/{task}"
        seen = [
            [record[key] for run in method.runs for record in run.conflicts if key in record]
            for method in comparison.methods
        ]
        rows.append([task, *(float(np.mean(values)) if values else None for values in seen)])
    labels = comparison.labels
    return Table(name, "Mean weight over training", "", ["task: mean over training", *labels], rows)


def _over_training(method: Method, key: str, points: int) -> Iterable[tuple[float, float]]:
    """(step, mean over runs), thinned to means over at most `points` stretches of training, each at its last step."""
    by_step: dict[float, list[float]] = {}
    for run in method.runs:
        for record in run.conflicts:
            if key in record:
                by_step.setdefault(record["step"], []).append(record[key])
    steps = sorted(by_step)
    for stretch in np.array_split(np.array(steps), min(len(steps), points)) if steps else []:
        yield float(stretch[-1]), float(np.mean([np.mean(by_step[step]) for step in stretch]))
