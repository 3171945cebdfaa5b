"""The figures of a report on a supervised problem: metrics over epochs, and what an option of a method trades."""

from __future__ import annotations

from collections.abc import Iterator

import altair as alt
import numpy as np

from mtrl_conic.report.charts import Figure, Record, finished, lines, tooltips, wide
from mtrl_conic.report.supervised.source import Summary
from mtrl_conic.report.tables import Cell, Table

_CURVES = 12
"""Curves of more metrics than this are left to `curves.csv`."""
_LEAST = 3
"""Values of an option that make a curve."""


def figures(summary: Summary) -> list[Figure]:
    """The trade-offs, then the metrics over training."""
    return [*trade_offs(summary), *(_curve(summary, metric.name) for metric in summary.metrics[:_CURVES])]


def _curve(summary: Summary, metric: str) -> Figure:
    """A metric on the test rows over the epochs, mean over seeds."""
    points: dict[tuple[str, int], list[float]] = {}
    for label, runs in summary.methods.items():
        for run in runs:
            for record in run.curve:
                points.setdefault((label, record["step"]), []).append(record["test"][metric])
    records: list[Record] = [
        {"method": label, "epoch": epoch, "value": sum(at) / len(at)} for (label, epoch), at in points.items()
    ]
    y = alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False))
    labels = list(summary.methods)
    chart = lines(labels, records, alt.X("epoch:Q"), y, hover=["method:N", "epoch:Q", *tooltips("value:Q")])
    caption = f"{metric} on the test rows after each epoch, mean over seeds."
    name = metric.replace(" ", "_")
    numbers = wide(name, records, "epoch", "epoch", labels)
    return Figure(name, f"{metric} over epochs", caption, finished(chart, caption, 280), numbers)


def trade_offs(summary: Summary) -> list[Figure]:
    """A figure for every balancer that ran with at least three values of one number and nothing else changed."""
    return [_figure(summary, name, option, labels) for name, option, labels in _sweeps(summary)]


def _sweeps(summary: Summary) -> Iterator[tuple[str, str, dict[float, str]]]:
    """Balancer, option, and the method's label by value."""
    found: dict[tuple[str, str], dict[float, str]] = {}
    for label, runs in summary.methods.items():
        options = runs[0].config.balancer_options
        if len(options) == 1:
            option, value = next(iter(options.items()))
            if isinstance(value, int | float) and not isinstance(value, bool):
                found.setdefault((runs[0].config.balancer, option), {})[float(value)] = label
    for (name, option), labels in found.items():
        if len(labels) >= _LEAST:
            yield name, option, dict(sorted(labels.items()))


def _figure(summary: Summary, name: str, option: str, labels: dict[float, str]) -> Figure:
    middle = np.mean([summary.means[label] for label in labels.values()], axis=0)
    records, rows = [], []
    for value, label in labels.items():
        row: list[Cell] = [value]
        for at, metric in enumerate(summary.metrics):
            sign = 1 if metric.higher_is_better else -1
            better = float(100 * sign * (summary.means[label][at] - middle[at]) / middle[at])
            records.append({"value": value, "metric": metric.name, "better": better, "method": label})
            row.append(better)
        rows.append(row)
    caption = (
        f"How much better each metric is, in per cent of its mean over the values of {option}; mean over seeds. "
        f"Where lines cross, {option} trades one task for another."
    )
    chart = (
        alt.Chart(alt.InlineData(values=records))
        .mark_line(point=True)
        .encode(
            x=alt.X("value:Q", title=option),
            y=alt.Y("better:Q", title="better by (%)"),
            color=alt.Color("metric:N", title=None),
            tooltip=["metric:N", *tooltips("value:Q", "better:Q")],
        )
    )
    specification = finished(chart, caption, 280)
    title = f"{name}: the trade-off by {option}"
    numbers = Table(f"trade_off_{name}_{option}", title, "", [option, *(m.name for m in summary.metrics)], rows)
    return Figure(f"trade_off_{name}_{option}", title, caption, specification, numbers)
