"""Gradient conflict between tasks and the weights of the balancers: a table, and figures over training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import altair as alt
import numpy as np

from mtrl_conic.report.charts import STEPS, Figure, Record, finished, lines, over, tooltips, training_maps, wide
from mtrl_conic.report.reinforcement.source import SAMPLE, WHOLE, Comparison, Method
from mtrl_conic.report.tables import Cell, Table

_POINTS = 200
"""Largest number of points of a line over training."""
_COLUMNS = 50
"""Largest number of columns of a map over training."""

_MEASURES: dict[str, tuple[str, Callable[..., Any]]] = {
    "negative": ("pairs in conflict", np.mean),
    "cosine": ("mean cosine", np.mean),
    "norms": ("largest norm / smallest", np.median),  # the ratio is unbounded: one update could dominate a mean
    "largest_weight": ("largest weight", np.mean),
}
"""Maps a measure of `read_conflicts` to its words and to the function that averages a run's values over training."""


def conflict(comparison: Comparison) -> Table:
    """Return a table with a row per method and the measures of critic and actor over all of training."""
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
        "Computed from the gradients with respect to the shared parameters: the mean over training (for the norms, the "
        "median), then the mean over seeds. Two tasks are in conflict if the cosine of their gradients is negative. "
        "The largest weight is the balancer's largest absolute weight divided by the sum of the absolute weights; "
        f"{1 / len(comparison.tasks):.2f} is an equal share. For runs with more than {WHOLE >> 20} MiB of metrics, "
        f"{SAMPLE:,} evenly spaced lines are used."
    )
    return Table("conflict", "Conflict between tasks", note, ["method", *columns], rows)


def _over_runs(method: Method, key: str, average: Callable[..., Any]) -> float | None:
    seen = [[record[key] for record in run.conflicts if key in record] for run in method.finished]
    averages = [average(values) for values in seen if values]
    return float(np.mean(averages)) if averages else None


def conflict_figures(comparison: Comparison) -> list[Figure]:
    """Return the figures of cosines and weights over training, for critic and actor, that the runs have data for."""
    made: list[Figure | None] = []
    for component in ("critic", "actor"):
        made += [
            _lines(
                comparison,
                f"{component}/negative",
                f"{component.capitalize()}: conflicting gradients",
                "task pairs with a negative cosine (share)",
                f"Share of the task pairs whose {component} gradients have a negative cosine, mean over seeds.",
            ),
            _lines(
                comparison,
                f"{component}/cosine",
                f"{component.capitalize()}: mean cosine",
                "mean cosine of the task pairs",
                f"Cosine of two tasks' {component} gradients, mean over all pairs and seeds. Tasks conflict below 0.",
            ),
            _lines(
                comparison,
                f"{component}/largest_weight",
                f"{component.capitalize()}: largest weight",
                "largest weight (share of all)",
                f"The largest absolute weight of the {component}'s balancer, divided by the sum of the absolute "
                f"weights. {1 / len(comparison.tasks):.2f} is an equal share. Mean over seeds.",
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
    """Return a map with a row per method and task and with training from left to right."""
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
    # White is an equal share. Weights above three equal shares have the darkest colour.
    scale = alt.Scale(scheme="purpleorange", domain=[-1, 3], domainMid=1, clamp=True, reverse=True)
    caption = (
        f"Weight of each task in the {component}'s update over training, by method, mean over seeds. 1 is an equal "
        "share and 0 means that the task is ignored; below 0 its own gradient is subtracted."
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
    """Return (step, mean over runs), averaged over at most `points` intervals of training, each at its last step."""
    by_step: dict[float, list[float]] = {}
    for run in method.runs:
        for record in run.conflicts:
            if key in record:
                by_step.setdefault(record["step"], []).append(record[key])
    steps = sorted(by_step)
    for stretch in np.array_split(np.array(steps), min(len(steps), points)) if steps else []:
        yield float(stretch[-1]), float(np.mean([np.mean(by_step[step]) for step in stretch]))
