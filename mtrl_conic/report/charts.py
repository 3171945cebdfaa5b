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

SHAPES = (
    "M-1,0A1,1,0,1,1,1,0A1,1,0,1,1,-1,0Z",
    "M-0.87,-0.87H0.87V0.87H-0.87Z",
    "M0,-1L1,0.8H-1Z",
    "M0,-1.1L1,0L0,1.1L-1,0Z",
    "M-0.35,-1H0.35V-0.35H1V0.35H0.35V1H-0.35V0.35H-1V-0.35H-0.35Z",
    "M0,1L1,-0.8H-1Z",
    "M-1,-0.9L1,0.9V-0.9L-1,0.9Z",
)
"""Of points, as SVG paths: circle, square, triangle, diamond, cross, triangle, bow."""
DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (6, 3), (2, 2), (9, 3, 2, 3))
"""Of lines, as lengths of strokes and gaps."""
MARKED = 25
"""Points of a line that get a shape, at most: more of them would hide it."""

STEPS = "environment steps per task"
"""The axis of what is drawn over training."""

_LABELS = 110
"""Pixels of a task's name."""

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


@dataclass(frozen=True)
class Style:
    """How a method is drawn: in colour, and so that it is told apart without."""

    colour: str
    shape: str
    """One of `SHAPES`."""
    dash: tuple[int, ...]
    """One of `DASHES`."""


def styles(labels: Sequence[str]) -> dict[str, Style]:
    """The style of each method; no two of the first 140 share one."""
    return {
        label: Style(COLOURS[i % len(COLOURS)], SHAPES[i % len(SHAPES)], DASHES[i % len(DASHES)])
        for i, label in enumerate(labels)
    }


def colour(labels: Sequence[str]) -> alt.Color:
    """The methods' colours as an encoding."""
    return alt.Color("method:N", scale=_scale(labels, "colour"), title=None, legend=_legend())


def shape(labels: Sequence[str]) -> alt.Shape:
    """The shapes of the methods' points as an encoding."""
    return alt.Shape("method:N", scale=_scale(labels, "shape"), title=None, legend=_legend())


def _dash(labels: Sequence[str]) -> alt.StrokeDash:
    return alt.StrokeDash("method:N", scale=_scale(labels, "dash"), title=None, legend=_legend())


def _scale(labels: Sequence[str], part: str) -> alt.Scale:
    shown = styles(labels)
    return alt.Scale(domain=list(shown), range=[getattr(style, part) for style in shown.values()])


def _legend() -> alt.Legend:
    return alt.Legend(labelLimit=400, symbolOpacity=1, symbolStrokeWidth=0)


def over(field: str, title: str) -> alt.X:
    """The axis of training, from its start; steps in thousands."""
    axis = alt.Axis(format="~s" if field == "step" else "", tickCount=6)
    return alt.X(f"{field}:Q", title=title, scale=alt.Scale(domainMin=0), axis=axis)


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
    labels: Sequence[str],
    records: Sequence[Record],
    x: alt.X,
    y: alt.Y,
    *,
    hover: Sequence[str | alt.Tooltip],
    runs: Sequence[Record] = (),
    interpolate: Literal["linear", "step-after"] = "linear",
) -> alt.LayerChart:
    """A line per method with the band from `low` to `high`, where a record has these.

    Args:
        labels: of the methods.
        records: the points: `method`, the fields of the axes, `low` and `high`.
        x: the axis of training.
        y: the axis of what is measured.
        hover: the fields that a tooltip shows.
        runs: the points of single runs, drawn as thin lines: `method`, `seed` and the fields of the axes.
        interpolate: what is drawn between two points.
    """
    ink = colour(labels)
    # One table for all layers: small multiples split it by one of its fields.
    everything = alt.Chart(alt.InlineData(values=[*_marked(records), *runs])).transform_filter(SHOWN)
    base = everything.transform_filter("!isValid(datum.seed)") if runs else everything
    layers = []
    if have_intervals(records):
        band = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.15, interpolate=interpolate)
        layers.append(band.encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=ink))
    if runs:
        thin = everything.transform_filter("isValid(datum.seed)").mark_line(strokeWidth=0.8, opacity=0.6)
        layers.append(thin.encode(x=x, y=y, color=ink, detail="seed:N", tooltip=["method:N", "seed:N"]))
    layers.append(base.mark_line(interpolate=interpolate).encode(x=x, y=y, color=ink, strokeDash=_dash(labels)))
    points = base.mark_point(filled=True, size=45).encode(x=x, y=y, color=ink, shape=shape(labels))
    layers.append(points.encode(opacity=alt.Opacity("marked:Q", scale=None), tooltip=list(hover)))
    return alt.LayerChart(layer=layers)


def _marked(records: Sequence[Record]) -> list[Record]:
    """The records, with which of them get a shape; the others are there to be hovered over."""
    by_line: dict[Any, list[Record]] = {}
    for record in records:
        by_line.setdefault((record["method"], record.get("task")), []).append(record)
    marked = []
    for line in by_line.values():
        every = -(-len(line) // MARKED)
        marked += [{**record, "marked": int(place % every == 0)} for place, record in enumerate(line)]
    return marked


def have_intervals(records: Sequence[Record]) -> bool:
    """Whether any record has a `low`: of a layer without records Vega warns in the browser."""
    return any(record.get("low") is not None for record in records)


def training_maps(
    records: Sequence[Record],
    labels: Sequence[str],
    tasks: Sequence[str],
    title: str,
    scale: alt.Scale,
    caption: str,
) -> dict[str, Any]:
    """The specification of a map per method: a row per task, training from left to right, `value` as the colour.

    Args:
        records: a stretch of training each: `method`, `task`, `from`, `to` and `value`.
        labels: of the methods, in the order of their maps.
        tasks: from above.
        title: of the colours.
        scale: of the colours.
        caption: of the figure.
    """
    steps = alt.Axis(format="~s", tickCount=3, labelFlush=True)
    room = min(_LABELS, 6 * max(len(short(task)) for task in tasks))
    chart = (
        alt.Chart(alt.InlineData(values=[{**record, "task": short(record["task"])} for record in records]))
        .mark_rect()
        .encode(
            x=alt.X("from:Q", title="steps per task", scale=alt.Scale(nice=False), axis=steps),
            x2="to:Q",
            y=alt.Y("task:N", sort=list(map(short, tasks)), title=None, axis=alt.Axis(labelLimit=room, ticks=False)),
            color=alt.Color("value:Q", scale=scale, title=title, legend=alt.Legend(orient="top")),
            tooltip=["method:N", "task:N", *tooltips("from:Q", "to:Q", "value:Q")],
        )
        .properties(width=180, height=13 * len(tasks))
    )
    return small_multiples(chart, "method", labels, caption, beside=room + 30)


def small_multiples(
    chart: alt.Chart | alt.LayerChart, field: str, values: Sequence[str], caption: str, *, beside: int
) -> dict[str, Any]:
    """The specification of a small chart for each value of a field, with axes of its own; see `hideable`.

    Args:
        chart: of one of them.
        field: of the records.
        values: in the order of their charts.
        caption: of the figure.
        beside: pixels that the axis of a chart and the gap to the next one take.
    """
    facet = alt.Facet(f"{field}:N", sort=list(values), title=None, header=alt.Header(labelLimit=260))
    charts = chart.facet(facet=facet, columns=2).transform_filter(SHOWN)
    charts = charts.resolve_scale(y="independent").resolve_axis(x="independent", y="independent")
    return hideable(charts, caption) | {"usermeta": {"beside": beside}}


def short(task: str) -> str:
    """The name of a task where room is scarce."""
    return task.removesuffix("-v3")


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
