"""The figures of a report."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from mtrl_conic.evaluation import statistics
from mtrl_conic.report.charts import RESAMPLES, SHOWN, Figure, Record, colour, finished, tooltips, wide
from mtrl_conic.report.conflict import conflict_figures
from mtrl_conic.report.data import Comparison
from mtrl_conic.report.learning_curves import learning_curves
from mtrl_conic.report.reference import ReferencePoint
from mtrl_conic.report.tables import Table


def figures(
    comparison: Comparison, tasks: Table, *, seed: int, reference: Sequence[ReferencePoint] = ()
) -> list[Figure]:
    """All figures that the runs have data for.

    Args:
        comparison: the runs.
        tasks: the table of success by task, for the heat map and the bars.
        seed: of the intervals.
        reference: published curves, laid over success over steps.
    """
    return [
        *learning_curves(comparison, seed, reference),
        _heat_map(comparison, tasks),
        _bars(comparison, tasks),
        _profiles(comparison, seed),
        *conflict_figures(comparison),
    ]


# Tasks.


def _heat_map(comparison: Comparison, tasks: Table) -> Figure:
    shown = alt.Chart(alt.InlineData(values=_task_records(tasks))).transform_filter(SHOWN)
    base = shown.encode(
        x=alt.X("method:N", sort=list(tasks.columns[1:]), title=None, axis=alt.Axis(labelAngle=-30)),
        y=alt.Y("task:N", sort=comparison.tasks, title=None, axis=alt.Axis(labelLimit=220)),
    )
    colour = alt.Color("rate:Q", scale=alt.Scale(scheme="viridis", domain=[0, 1]), title="success")
    numbers = base.mark_text(fontSize=11).encode(
        text=alt.Text("rate:Q", format=".2f"),
        color=alt.condition("datum.rate > 0.6", alt.value("black"), alt.value("white")),
    )
    chart = base.mark_rect().encode(color=colour, tooltip=["task:N", "method:N", *tooltips("rate:Q")]) + numbers
    caption = "Final success of each task (row) by method (column), mean over seeds."
    height = 24 * len(comparison.tasks)
    return Figure("heat_map", "Tasks by method", caption, finished(chart, caption, height), None)


def _bars(comparison: Comparison, tasks: Table) -> Figure:
    methods = list(tasks.columns[1:])
    y = alt.Y("task:N", sort=comparison.tasks, title=None, axis=alt.Axis(labelLimit=220))
    offset = alt.YOffset("method:N", sort=methods)
    base = alt.Chart(alt.InlineData(values=_task_records(tasks))).transform_filter(SHOWN)
    bars = base.mark_bar().encode(
        x=alt.X("rate:Q", title="success", scale=alt.Scale(domain=[0, 1])),
        y=y,
        yOffset=offset,
        color=colour(comparison),
        tooltip=["task:N", "method:N", *tooltips("rate:Q", "low:Q", "high:Q")],
    )
    spread = base.transform_filter("isValid(datum.low)").mark_rule().encode(x="low:Q", x2="high:Q", y=y, yOffset=offset)
    caption = "Final success of each task with its 95 % interval, where there are enough seeds for one."
    height = len(comparison.tasks) * (8 + 8 * len(methods))
    return Figure("task_bars", "Tasks with intervals", caption, finished(bars + spread, caption, height), None)


def _task_records(tasks: Table) -> list[Record]:
    return [
        {"task": row[0], "method": method, "rate": cell.value, "low": cell.low, "high": cell.high}
        for row in tasks.rows
        for method, cell in zip(tasks.columns[1:], row[1:], strict=True)
        if isinstance(cell, statistics.Estimate)
    ]


# Profiles.


def _profiles(comparison: Comparison, seed: int) -> Figure:
    thresholds = np.round(np.linspace(0, 1, 21), 2)
    records: list[Record] = []
    for method in comparison.compared:
        profile = statistics.performance_profile(method.final(), thresholds, seed=seed, resamples=RESAMPLES)
        for i, threshold in enumerate(thresholds):
            low, high = (None if band is None else float(band[i]) for band in (profile.low, profile.high))
            share = float(profile.share[i])
            records.append(
                {"method": method.label, "threshold": float(threshold), "share": share, "low": low, "high": high}
            )
    x = alt.X("threshold:Q", title="success rate")
    base = alt.Chart(alt.InlineData(values=records)).transform_filter(SHOWN)
    band = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.15, interpolate="step-after")
    line = base.mark_line(interpolate="step-after", point=alt.OverlayMarkDef(size=20))
    chart = alt.layer(
        band.encode(x=x, y="low:Q", y2="high:Q", color=colour(comparison)),
        line.encode(
            x=x,
            y=alt.Y("share:Q", title="share of runs and tasks above", scale=alt.Scale(domain=[0, 1])),
            color=colour(comparison),
            tooltip=["method:N", *tooltips("threshold:Q", "share:Q", "low:Q", "high:Q")],
        ),
    )
    caption = "Share of all (seed, task) pairs whose final success lies above each rate; a higher line is better."
    numbers = wide("profiles", records, "threshold", "share", "success rate above", comparison.labels)
    return Figure("profiles", "Performance profiles", caption, finished(chart, caption), numbers)
