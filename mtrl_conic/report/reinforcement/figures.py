"""The figures of a report on reinforcement learning runs."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from mtrl_conic.evaluation import estimates, statistics
from mtrl_conic.report.charts import (
    RESAMPLES,
    SHOWN,
    Figure,
    Record,
    colour,
    finished,
    have_intervals,
    lines,
    shape,
    short,
    tooltips,
    wide,
)
from mtrl_conic.report.reinforcement.conflict import conflict_figures
from mtrl_conic.report.reinforcement.learning_curves import learning_curves
from mtrl_conic.report.reinforcement.measures import Measure
from mtrl_conic.report.reinforcement.reference import ReferencePoint
from mtrl_conic.report.reinforcement.source import Comparison
from mtrl_conic.report.tables import Table

_WIDEST = 26
"""Width in pixels of a number in a cell; narrower cells show none."""
_NUMBERS = 12
"""Largest number of columns of a heat map whose cells contain numbers."""


def figures(
    comparison: Comparison,
    measures: Sequence[tuple[Measure, Table]],
    *,
    seed: int,
    reference: Sequence[ReferencePoint] = (),
) -> list[Figure]:
    """Return all figures that the runs have data for.

    Args:
        comparison: the runs.
        measures: the measures, each with its table by task, which the heat map and the intervals use.
        seed: seed of the intervals.
        reference: published curves, drawn with the curves of success over steps.
    """
    made: list[Figure] = []
    for measure, tasks in measures:
        made += learning_curves(comparison, measure, seed, reference if measure.field == "success" else ())
        if measure.bounded:
            made += [
                _heat_map(measure, tasks),
                _intervals(comparison, measure, tasks),
                _profiles(comparison, measure, seed),
            ]
    return made + conflict_figures(comparison)


# Tasks.


def _heat_map(measure: Measure, tasks: Table) -> Figure:
    shown = alt.Chart(alt.InlineData(values=_task_records(tasks))).transform_filter(SHOWN)
    orders = {"method": list(tasks.columns[1:]), "task": [short(task) for task in measure.tasks]}
    # The longer list becomes the rows, because a page has more room downwards.
    across, down = sorted(orders, key=lambda field: len(orders[field]))
    base = shown.encode(
        x=alt.X(f"{across}:N", sort=orders[across], title=None, axis=alt.Axis(labelAngle=-40, labelLimit=140)),
        y=alt.Y(f"{down}:N", sort=orders[down], title=None, axis=alt.Axis(labelLimit=140)),
    )
    scale = alt.Scale(scheme="viridis", domain=[0, 1], clamp=True)
    fits = f"width >= {_WIDEST * len(orders[across])}"
    numbers = base.mark_text().encode(
        text=alt.Text("value:Q", format=".2f"),
        opacity=alt.condition(fits, alt.value(1), alt.value(0)),
        color=alt.condition("datum.value > 0.6", alt.value("black"), alt.value("white")),
    )
    chart = base.mark_rect().encode(
        color=alt.Color("value:Q", scale=scale, title=measure.words),
        tooltip=["task:N", "method:N", *tooltips("value:Q")],
    )
    caption = f"Final {measure.words} of each {down} (row) by {across} (column), mean over seeds."
    readable = len(orders[across]) <= _NUMBERS
    specification = finished(chart + numbers if readable else chart, caption, 24 * len(orders[down]))
    return Figure(measure.name("heat_map"), measure.titled("Tasks by method"), caption, specification, tasks.name)


def _intervals(comparison: Comparison, measure: Measure, tasks: Table) -> Figure:
    methods = list(tasks.columns[1:])
    y = alt.Y(
        "task:N", sort=[short(task) for task in measure.tasks], title=None, axis=alt.Axis(labelLimit=140, grid=True)
    )
    offset = alt.YOffset("method:N", sort=methods)
    records = _task_records(tasks)
    base = alt.Chart(alt.InlineData(values=records)).transform_filter(SHOWN)
    scale = alt.Scale(domain=[0, 1]) if measure.field == "success" else alt.Undefined
    ink = colour(comparison.labels)
    points = base.mark_point(filled=True, size=45, opacity=1).encode(
        x=alt.X("value:Q", title=measure.words, scale=scale),
        y=y,
        yOffset=offset,
        color=ink,
        shape=shape(comparison.labels),
        tooltip=["task:N", "method:N", *tooltips("value:Q", "low:Q", "high:Q")],
    )
    spread = base.transform_filter("isValid(datum.low)").mark_rule()
    spread = spread.encode(x="low:Q", x2="high:Q", y=y, yOffset=offset, color=ink)
    caption = f"Final {measure.words} of each task with its 95 % interval, if there are enough seeds for one."
    layers = [*([spread] if have_intervals(records) else []), points]
    specification = finished(alt.LayerChart(layer=layers), caption, len(measure.tasks) * (10 + 9 * len(methods)))
    title = measure.titled("Tasks with intervals")
    return Figure(measure.name("task_bars"), title, caption, specification, tasks.name)


def _task_records(tasks: Table) -> list[Record]:
    return [
        {"task": short(str(row[0])), "method": method, "value": cell.value, "low": cell.low, "high": cell.high}
        for row in tasks.rows
        for method, cell in zip(tasks.columns[1:], row[1:], strict=True)
        if isinstance(cell, estimates.Estimate)
    ]


# Profiles.


def _profiles(comparison: Comparison, measure: Measure, seed: int) -> Figure:
    thresholds = np.round(np.linspace(0, 1, 21), 2)
    records: list[Record] = []
    for method in comparison.compared:
        profile = statistics.performance_profile(measure.final(method), thresholds, seed=seed, resamples=RESAMPLES)
        for i, threshold in enumerate(thresholds):
            low, high = (None if band is None else float(band[i]) for band in (profile.low, profile.high))
            share = float(profile.share[i])
            records.append(
                {"method": method.label, "threshold": float(threshold), "value": share, "low": low, "high": high}
            )
    axis = "success rate" if measure.field == "success" else measure.words
    chart = lines(
        comparison.labels,
        records,
        alt.X("threshold:Q", title=axis),
        alt.Y("value:Q", title="share of runs and tasks above", scale=alt.Scale(domain=[0, 1])),
        hover=["method:N", *tooltips("threshold:Q", "value:Q", "low:Q", "high:Q")],
        interpolate="step-after",
    )
    caption = f"Share of all (seed, task) pairs whose final {measure.words} is above each value; higher is better."
    name = measure.name("profiles")
    numbers = wide(name, records, "threshold", f"{axis} above", comparison.labels)
    return Figure(name, measure.titled("Performance profiles"), caption, finished(chart, caption), numbers)
