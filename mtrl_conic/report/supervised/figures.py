"""The figures of a report on supervised runs: trade-offs of options, and metrics, conflict and weights over epochs."""

from __future__ import annotations

from typing import Any

import altair as alt

from mtrl_conic.report.charts import Figure, Record, finished, lines, over, small_multiples, tooltips, wide
from mtrl_conic.report.supervised.source import Summary
from mtrl_conic.report.supervised.sweeps import trade_offs

_CURVES = 12
"""With more metrics than this, their curves are only written to `curves.csv`."""


def figures(summary: Summary) -> list[Figure]:
    """Return the figures of trade-offs, then of metrics over epochs, then of conflict and weights."""
    curves = [_curve(summary, metric.name) for metric in summary.metrics[:_CURVES]]
    return [*trade_offs(summary), *curves, *_conflict(summary), *_weights(summary)]


def _curve(summary: Summary, metric: str) -> Figure:
    """Draw a metric on the test rows over the epochs, as the mean over seeds."""
    points: dict[tuple[str, int], list[float]] = {}
    for label, runs in summary.methods.items():
        for run in runs:
            for record in run.curve:
                points.setdefault((label, record["step"]), []).append(record["test"][metric])
    single = [
        {"method": label, "seed": run.config.seed, "epoch": record["step"], "value": record["test"][metric]}
        for label, runs in summary.methods.items()
        if len(runs) > 1
        for run in runs
        for record in run.curve
    ]
    records: list[Record] = [
        {"method": label, "epoch": epoch, "value": sum(at) / len(at)} for (label, epoch), at in points.items()
    ]
    y = alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False))
    labels = list(summary.methods)
    hover: list[str | alt.Tooltip] = ["method:N", "epoch:Q", *tooltips("value:Q")]
    chart = lines(labels, records, over("epoch", "epoch"), y, hover=hover, runs=single)
    caption = f"{metric} on the test rows after each epoch: the mean over seeds, and a thin line for each seed."
    name = metric.replace(" ", "_")
    numbers = wide(name, records, "epoch", "epoch", labels)
    return Figure(name, f"{metric} over epochs", caption, finished(chart, caption, 280), numbers)


def _conflict(summary: Summary) -> list[Figure]:
    """Draw the share of conflicting task pairs over the epochs, for methods that compare gradients."""
    records: list[Record] = [
        {"method": label, "epoch": epoch, "value": sum(values) / len(values)}
        for label in summary.methods
        for epoch, values in _by_epoch(summary, label, "negative_cosines").items()
    ]
    if not records:
        return []
    y = alt.Y("value:Q", title="task pairs with a negative cosine (share)", scale=alt.Scale(zero=True))
    labels = list(summary.methods)
    hover: list[str | alt.Tooltip] = ["method:N", "epoch:Q", *tooltips("value:Q")]
    chart = lines(labels, records, over("epoch", "epoch"), y, hover=hover)
    caption = "Share of the task pairs whose gradients have a negative cosine, mean over an epoch's steps and seeds."
    numbers = wide("conflict", records, "epoch", "epoch", labels)
    return [Figure("conflict", "Conflicting gradients", caption, finished(chart, caption, 280), numbers)]


def _weights(summary: Summary) -> list[Figure]:
    """Draw the weight of each task over the epochs, with a map for each method that has weights."""
    tasks = list(dict.fromkeys(metric.task for metric in summary.metrics))
    if len(tasks) > _CURVES:
        return []
    records: list[Record] = []
    for label in summary.methods:
        for epoch, seen in _by_epoch(summary, label, "weight").items():
            means = {task: sum(weights[task] for weights in seen) / len(seen) for task in seen[0]}
            total = sum(map(abs, means.values())) or 1.0
            records += [
                {
                    "method": label,
                    "task": task,
                    "row": f"{label}: {task}",
                    "epoch": epoch,
                    "value": len(means) * w / total,
                }
                for task, w in means.items()
            ]
    if not records:
        return []
    labels = list(dict.fromkeys(record["method"] for record in records))
    one = (
        alt.Chart(alt.InlineData(values=records))
        .mark_line()
        .encode(
            x=over("epoch", "epoch"),
            y=alt.Y("value:Q", title="weight"),
            color=alt.Color("task:N", title=None, legend=alt.Legend(orient="top")),
            strokeDash=alt.StrokeDash("task:N", title=None),
            tooltip=["method:N", "task:N", "epoch:Q", *tooltips("value:Q")],
        )
    )
    caption = (
        "Weight of each task in the update, divided by the mean absolute weight: 1 is an equal share; below 0 the "
        "task's own gradient is subtracted. Mean over an epoch's steps and seeds."
    )
    specification = small_multiples(one.properties(width=180, height=120), "method", labels, caption, beside=90)
    rows = list(dict.fromkeys(record["row"] for record in records))
    numbers = wide("weights", records, "epoch", "epoch", rows, column="row")
    return [Figure("weights", "Weights of the tasks", caption, specification, numbers)]


def _by_epoch(summary: Summary, label: str, key: str) -> dict[int, list[Any]]:
    """Return what the runs of a method recorded under `key`, by epoch."""
    found: dict[int, list[Any]] = {}
    for run in summary.methods[label]:
        for record in run.training:
            if key in record:
                found.setdefault(record["step"], []).append(record[key])
    return found
