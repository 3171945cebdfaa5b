"""What the figures of a report have in common, whatever the runs are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt

from mtrl_conic.escaping import visible
from mtrl_conic.report.tables import Cell, Table

Record = dict[str, Any]
Chart = alt.Chart | alt.LayerChart | alt.FacetChart
Axis = Literal["steps", "minutes"]

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
    numbers: Table | str
    """A table of its own, or the name of the report's table that holds them already."""
    axis: Axis | None = None
    """Of a curve over training: the page shows the curves over one axis at a time."""


def colours(labels: Sequence[str]) -> dict[str, str]:
    """The colour of each method."""
    return {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(labels)}


def colour(labels: Sequence[str]) -> alt.Color:
    """The methods' colours as an encoding."""
    shown = colours(labels)
    scale = alt.Scale(domain=list(shown), range=list(shown.values()))
    return alt.Color("method:N", scale=scale, title=None, legend=alt.Legend(labelLimit=400, symbolOpacity=1))


def tooltips(*fields: str) -> list[alt.Tooltip]:
    """Numbers with as many digits as they deserve."""
    formats = {"step:Q": ",.0f", "from:Q": ",.0f", "to:Q": ",.0f", "minutes:Q": ".1f"}
    return [alt.Tooltip(field, format=formats.get(field, ".3f")) for field in fields]


def finished(chart: alt.Chart | alt.LayerChart, caption: str, height: int = 320) -> dict[str, Any]:
    """The specification of a chart, see `hideable`."""
    return hideable(chart.properties(width=620, height=height), caption)


def hideable(chart: Chart, caption: str) -> dict[str, Any]:
    """The specification of a chart. Its parameter `hidden` names the methods not shown; the page sets it."""
    specification: dict[str, Any] = chart.properties(description=caption).to_dict()
    specification["params"] = [*specification.get("params", []), {"name": "hidden", "value": []}]
    return dict(_visible(specification))


def _visible(part: Any) -> Any:
    """A part of a specification with its texts as they may be drawn: a control character ends the process that does."""
    if isinstance(part, dict):
        return {key: _visible(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_visible(value) for value in part]
    return visible(part) if isinstance(part, str) else part


def lines(
    labels: Sequence[str], records: Sequence[Record], x: alt.X, y: alt.Y, *, hover: Sequence[str | alt.Tooltip]
) -> alt.LayerChart:
    """A line per method with the band from `low` to `high`, where a record has these.

    Args:
        labels: of the methods.
        records: the points: `method`, the fields of the axes, `low` and `high`.
        x: the axis of training.
        y: the axis of what is measured.
        hover: the fields that a tooltip shows.
    """
    ink = colour(labels)
    base = alt.Chart(alt.InlineData(values=records)).transform_filter(SHOWN)
    band = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.15)
    line = base.mark_line(point=alt.OverlayMarkDef(size=30))
    bands = [band.encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=ink)] if have_intervals(records) else []
    return alt.LayerChart(layer=[*bands, line.encode(x=x, y=y, color=ink, tooltip=list(hover))])


def have_intervals(records: Sequence[Record]) -> bool:
    """Whether any record has a `low`: of a layer without records Vega warns in the browser."""
    return any(record.get("low") is not None for record in records)


def training_map(
    records: Sequence[Record], rows: Sequence[str], title: str, scale: alt.Scale, caption: str
) -> dict[str, Any]:
    """The specification of a map: a row per method and task, training from left to right, `value` as the colour.

    Args:
        records: a stretch of training each: `method`, `task`, `row`, `from`, `to` and `value`.
        rows: their names, from above.
        title: of the colours.
        scale: of the colours.
        caption: of the figure.
    """
    chart = (
        alt.Chart(alt.InlineData(values=records))
        .transform_filter(SHOWN)
        .mark_rect()
        .encode(
            x=alt.X("from:Q", title=STEPS, scale=alt.Scale(nice=False)),
            x2="to:Q",
            y=alt.Y("row:N", sort=list(rows), title=None, axis=alt.Axis(labelLimit=260)),
            color=alt.Color("value:Q", scale=scale, title=title),
            tooltip=["method:N", "task:N", *tooltips("from:Q", "to:Q", "value:Q")],
        )
    )
    return finished(chart, caption, 13 * len(rows))


def wide(
    name: str, records: Sequence[Record], key: str, title: str, columns: Sequence[str], *, column: str = "method"
) -> Table:
    """A table of `value`: a row for each value of `key`, a column for each value of `column`, ordered as `columns`."""
    cells: dict[float, dict[str, Cell]] = {}
    for record in records:
        cells.setdefault(record[key], {})[record[column]] = float(record["value"])
    whole = all(float(at).is_integer() for at in cells)
    rows = [[int(at) if whole else round(at, 2), *(cells[at].get(label) for label in columns)] for at in sorted(cells)]
    return Table(name, title, "", [title, *columns], rows)
