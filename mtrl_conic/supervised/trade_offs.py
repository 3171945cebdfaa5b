"""What a method's option trades: each metric against GradOPS's alpha, ConicGrad's c, or any other number."""

from __future__ import annotations

from collections.abc import Iterator

import altair as alt
import numpy as np

from mtrl_conic.report.charts import Figure, tooltips
from mtrl_conic.report.tables import Cell, Table
from mtrl_conic.supervised.summary import Summary

_LEAST = 3
"""Values of an option that make a curve."""


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
        .properties(width=620, height=280, description=caption)
    )
    specification = chart.to_dict()
    specification["params"] = [*specification.get("params", []), {"name": "hidden", "value": []}]
    title = f"{name}: the trade-off by {option}"
    numbers = Table(f"trade_off_{name}_{option}", title, "", [option, *(m.name for m in summary.metrics)], rows)
    return Figure(f"trade_off_{name}_{option}", title, caption, specification, numbers)
