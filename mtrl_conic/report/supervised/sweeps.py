"""Trade-offs of a method's options: curves of one option, maps of two, and the Pareto fronts that they trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import altair as alt
import numpy as np

from mtrl_conic.evaluation.fronts import hypervolume, nondominated
from mtrl_conic.report.charts import Figure, finished, small_multiples, tooltips
from mtrl_conic.report.supervised.source import Summary
from mtrl_conic.report.tables import Cell, Table

_LEAST = 3
"""Least number of values of an option for a curve, and of points for a map."""


class Sweep(NamedTuple):
    """A balancer that ran with several values of some of its options and otherwise equal settings."""

    balancer: str
    options: tuple[str, ...]
    labels: dict[tuple[Any, ...], str]
    """Maps the values of the options to the label of the method, in the order of the values."""

    @property
    def numbers(self) -> bool:
        """Whether all values are numbers."""
        values = [value for point in self.labels for value in point]
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def sweeps(summary: Summary) -> Iterator[Sweep]:
    """Yield the balancers that ran with at least three sets of values of the same options."""
    found: dict[tuple[str, tuple[str, ...]], dict[tuple[Any, ...], str]] = {}
    for label, runs in summary.methods.items():
        options = runs[0].config.balancer_options
        if options:
            key = runs[0].config.balancer, tuple(sorted(options))
            found.setdefault(key, {})[tuple(options[name] for name in sorted(options))] = label
    for (balancer, names), labels in found.items():
        if len(labels) >= _LEAST:
            sweep = Sweep(balancer, names, labels)
            yield sweep._replace(labels=dict(sorted(labels.items()))) if sweep.numbers else sweep


def trade_offs(summary: Summary) -> list[Figure]:
    """Return a figure for each balancer that ran with at least three values of one or two numeric options."""
    found = [sweep for sweep in sweeps(summary) if sweep.numbers]
    curves = [_curve(summary, sweep) for sweep in found if len(sweep.options) == 1]
    return [*curves, *(_map(summary, sweep) for sweep in found if len(sweep.options) == 2)]


def _better(summary: Summary, sweep: Sweep) -> dict[tuple[Any, ...], list[float]]:
    """Map the values of the options to the gain of each metric, in per cent of its mean over the sweep."""
    middle = np.mean([summary.means[label] for label in sweep.labels.values()], axis=0)
    signs = np.array([1 if metric.higher_is_better else -1 for metric in summary.metrics])
    return {
        values: (100 * signs * (summary.means[label] - middle) / np.abs(middle)).tolist()
        for values, label in sweep.labels.items()
    }


def _curve(summary: Summary, sweep: Sweep) -> Figure:
    (option,) = sweep.options
    better = {float(value): row for (value,), row in _better(summary, sweep).items()}
    labels = {float(value): label for (value,), label in sweep.labels.items()}
    records = [
        {"value": value, "metric": metric.name, "better": number, "method": labels[value]}
        for value, row in better.items()
        for metric, number in zip(summary.metrics, row, strict=True)
    ]
    caption = (
        f"Gain of each metric in per cent of its mean over the values of {option}; mean over seeds. Where lines cross, "
        f"{option} trades one task against another."
    )
    chart = (
        alt.Chart(alt.InlineData(values=records))
        .mark_line(point=True)
        .encode(
            x=alt.X("value:Q", title=option),
            y=alt.Y("better:Q", title="gain (%)"),
            color=alt.Color("metric:N", title=None),
            strokeDash=alt.StrokeDash("metric:N", title=None),
            tooltip=["metric:N", *tooltips("value:Q", "better:Q")],
        )
    )
    title = f"{sweep.balancer}: the trade-off by {option}"
    name = f"trade_off_{sweep.balancer}_{option}"
    rows: list[list[Cell]] = [[value, *row] for value, row in better.items()]
    numbers = Table(name, title, "", [option, *(metric.name for metric in summary.metrics)], rows)
    return Figure(name, title, caption, finished(chart, caption, 280), numbers)


def _map(summary: Summary, sweep: Sweep) -> Figure:
    """Draw a map of two options for the mean over metrics and one for each metric."""
    first, second = sweep.options
    better = _better(summary, sweep)
    panels = ["mean of the metrics", *(metric.name for metric in summary.metrics)]
    records = [
        {"x": str(a), "y": str(b), "metric": panel, "better": number}
        for (a, b), row in better.items()
        for panel, number in zip(panels, [float(np.mean(row)), *row], strict=True)
    ]
    caption = f"Gain of each metric in per cent of its mean over all points, by {first} and {second}; mean over seeds."
    order = [[str(value) for value in sorted({point[axis] for point in better})] for axis in (0, 1)]
    chart = (
        alt.Chart(alt.InlineData(values=records))
        .mark_rect()
        .encode(
            x=alt.X("x:N", title=first, sort=order[0], axis=alt.Axis(labelAngle=0)),
            y=alt.Y("y:N", title=second, sort=order[1][::-1]),
            color=alt.Color(
                "better:Q",
                title="gain (%)",
                scale=alt.Scale(scheme="purpleorange", domainMid=0),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=["metric:N", "x:N", "y:N", *tooltips("better:Q")],
        )
        .properties(width=150, height=150)
    )
    title = f"{sweep.balancer}: the trade-off by {first} and {second}"
    name = f"trade_off_{sweep.balancer}_{first}_{second}"
    rows: list[list[Cell]] = [[a, b, float(np.mean(row)), *row] for (a, b), row in better.items()]
    numbers = Table(name, title, "", [first, second, *panels], rows)
    specification = small_multiples(chart, "metric", panels, caption, beside=90)
    return Figure(name, title, caption, specification, numbers)


def fronts(summary: Summary) -> Table:
    """Return a table with a row per sweep: the number of nondominated points and their hypervolume."""
    signs = np.array([-1.0 if metric.higher_is_better else 1.0 for metric in summary.metrics])
    everyone = signs * np.stack(list(summary.means.values()))
    worst, span = everyone.max(0), np.ptp(everyone, axis=0)
    rows: list[list[Cell]] = []
    for sweep in sweeps(summary):
        points = (signs * np.stack([summary.means[label] for label in sweep.labels.values()]) - worst) / np.where(
            span > 0, span, 1
        )
        volume = hypervolume(points, np.zeros(points.shape[1]))
        rows.append([sweep.balancer, ", ".join(sweep.options), len(points), int(nondominated(points).sum()), volume])
    note = (
        "The points are means over seeds. The hypervolume is that of the dominated region, with each metric scaled "
        "from 0 (the worst of all methods in this report) to 1 (the best), so it depends on the methods of the report."
    )
    columns = ["method", "options", "points", "nondominated", "hypervolume"]
    return Table("fronts", "Fronts", note, columns, rows)
