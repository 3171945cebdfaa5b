"""What the figures of a report have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from mtrl_conic.report.data import Comparison, Method
from mtrl_conic.report.tables import Cell, Table

Record = dict[str, Any]

COLOURS = (
    *("#4269d0", "#d1810a", "#e0452c", "#2a9d8f", "#38843f", "#d5649b", "#8a5fd0", "#5599d6", "#9c6b4e", "#7f8790"),
    *("#1b7f9e", "#a38a00", "#b04a7b", "#5c8a1f", "#c26b3c", "#6a6fb5", "#2f9e6e", "#a05252", "#7a7a2e", "#487a96"),
)
"""Each readable on white and on black; methods beyond the last one start over."""

STEPS = "environment steps per task"
"""The axis of what is drawn over training."""

RESAMPLES = 500
"""For the bands of a figure."""

SHOWN = "indexof(hidden, datum.method) < 0"
"""Keeps the records of the methods that are not hidden."""


@dataclass(frozen=True)
class Figure:
    """A chart in Vega-Lite, what it shows, and its numbers."""

    name: str
    title: str
    caption: str
    specification: dict[str, Any]
    numbers: Table | None
    """None where a table of the report holds them already."""


def colours(comparison: Comparison) -> dict[str, str]:
    """The colour of each method."""
    return {method.label: COLOURS[i % len(COLOURS)] for i, method in enumerate(comparison.methods)}


def colour(comparison: Comparison) -> alt.Color:
    """The methods' colours as an encoding."""
    shown = colours(comparison)
    scale = alt.Scale(domain=list(shown), range=list(shown.values()))
    return alt.Color("method:N", scale=scale, title=None, legend=alt.Legend(labelLimit=400, symbolOpacity=1))


def row_of(method: Method, task: str) -> str:
    """The name of the row of a method's task, in a map over training."""
    return f"{method.label}: {task.removesuffix('-v3')}"


def rows_of(comparison: Comparison) -> list[str]:
    """The rows of a map over training, from above."""
    return [row_of(method, task) for method in comparison.methods for task in comparison.tasks]


def tooltips(*fields: str) -> list[alt.Tooltip]:
    """Numbers with as many digits as they deserve."""
    formats = {"step:Q": ",.0f", "from:Q": ",.0f", "to:Q": ",.0f", "minutes:Q": ".1f"}
    return [alt.Tooltip(field, format=formats.get(field, ".3f")) for field in fields]


def finished(chart: alt.Chart | alt.LayerChart | alt.FacetChart, caption: str, height: int = 320) -> dict[str, Any]:
    """The specification of a chart. Its parameter `hidden` names the methods not shown; the page sets it."""
    sized = chart.properties(width=620, height=height, description=caption)
    specification: dict[str, Any] = sized.to_dict()
    specification["params"] = [*specification.get("params", []), {"name": "hidden", "value": []}]
    return specification


def training_map(
    comparison: Comparison, records: Sequence[Record], number: str, scale: alt.Scale, caption: str, *, end: str
) -> dict[str, Any]:
    """The specification of a map: a row per method and task, training from left to right, `number` as the colour.

    Args:
        comparison: the runs.
        records: a stretch of training each: `method`, `task`, `row` (see `row_of`), `from`, its end and its number.
        number: which of their fields is drawn; it titles the legend.
        scale: of the colours.
        caption: of the figure.
        end: their field that says where a stretch ends.
    """
    rows = rows_of(comparison)
    chart = (
        alt.Chart(alt.InlineData(values=records))
        .transform_filter(SHOWN)
        .mark_rect()
        .encode(
            x=alt.X("from:Q", title=STEPS, scale=alt.Scale(nice=False)),
            x2=f"{end}:Q",
            y=alt.Y("row:N", sort=rows, title=None, axis=alt.Axis(labelLimit=260)),
            color=alt.Color(f"{number}:Q", scale=scale, title=number),
            tooltip=["method:N", "task:N", *tooltips("from:Q", f"{end}:Q", f"{number}:Q")],
        )
    )
    return finished(chart, caption, 13 * len(rows))


def wide(
    name: str,
    records: Sequence[Record],
    key: str,
    number: str,
    title: str,
    columns: Sequence[str],
    *,
    column: str = "method",
) -> Table:
    """A row for each value of `key`, a column for each value of `column`, in the order of `columns`."""
    cells: dict[float, dict[str, Cell]] = {}
    for record in records:
        cells.setdefault(record[key], {})[record[column]] = float(record[number])
    rows = [
        [int(at) if key == "step" else round(at, 2), *(cells[at].get(label) for label in columns)]
        for at in sorted(cells)
    ]
    return Table(name, title, "", [title, *columns], rows)
