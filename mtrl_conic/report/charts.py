"""Parts that the figures of all reports share."""

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
"""Colours that are legible on white and on black. Methods beyond the last colour start over."""

SHAPES = (
    "M-1,0A1,1,0,1,1,1,0A1,1,0,1,1,-1,0Z",
    "M-0.87,-0.87H0.87V0.87H-0.87Z",
    "M0,-1L1,0.8H-1Z",
    "M0,-1.1L1,0L0,1.1L-1,0Z",
    "M-0.35,-1H0.35V-0.35H1V0.35H0.35V1H-0.35V0.35H-1V-0.35H-0.35Z",
    "M0,1L1,-0.8H-1Z",
    "M-1,-0.9L1,0.9V-0.9L-1,0.9Z",
)
"""Shapes of points, as SVG paths: circle, square, triangle, diamond, cross, inverted triangle, bow tie."""
DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (6, 3), (2, 2), (9, 3, 2, 3))
"""Dash patterns of lines, as lengths of strokes and gaps."""
MARKED = 25
"""Largest number of points of a line that are drawn with a shape; more would hide the line."""

STEPS = "environment steps per task"
"""Title of the axis of figures over training."""

THOUSANDS = "format(datum.value, '~s')"
"""Labels of steps: 0, 500k, 1M. As a format of the axis, all labels would have the same unit: 0M, 0.5M, 1M."""

_LABELS = 110
"""Maximal width of a task's name in pixels."""

RESAMPLES = 500
"""Number of bootstrap resamples for the bands of a figure."""

SHOWN = "indexof(hidden, datum.method) < 0"
"""Vega expression that keeps the records of methods that are not hidden."""


@dataclass(frozen=True)
class Figure:
    """A chart in Vega-Lite with its caption and its numbers."""

    name: str
    title: str
    caption: str
    specification: dict[str, Any]
    numbers: Table | str
    """The numbers as a table, or the name of the table of the report that contains them."""
    axis: Axis | None = None
    """For a curve over training: its horizontal axis. The page shows the curves over one axis at a time."""


@dataclass(frozen=True)
class Style:
    """The appearance of a method: a colour, and a shape and dash that distinguish it without colour."""

    colour: str
    shape: str
    """One of `SHAPES`."""
    dash: tuple[int, ...]
    """One of `DASHES`."""


def styles(labels: Sequence[str]) -> dict[str, Style]:
    """Return the style of each method. The first 140 styles are distinct."""
    return {
        label: Style(COLOURS[i % len(COLOURS)], SHAPES[i % len(SHAPES)], DASHES[i % len(DASHES)])
        for i, label in enumerate(labels)
    }


def colour(labels: Sequence[str]) -> alt.Color:
    """Return an encoding of the methods by colour."""
    return alt.Color("method:N", scale=_scale(labels, "colour"), title=None, legend=_legend())


def shape(labels: Sequence[str]) -> alt.Shape:
    """Return an encoding of the methods by the shape of points."""
    return alt.Shape("method:N", scale=_scale(labels, "shape"), title=None, legend=_legend())


def _dash(labels: Sequence[str]) -> alt.StrokeDash:
    return alt.StrokeDash("method:N", scale=_scale(labels, "dash"), title=None, legend=_legend())


def _scale(labels: Sequence[str], part: str) -> alt.Scale:
    shown = styles(labels)
    return alt.Scale(domain=list(shown), range=[getattr(style, part) for style in shown.values()])


def _legend() -> alt.Legend:
    return alt.Legend(labelLimit=400, symbolOpacity=1, symbolStrokeWidth=0)


def over(field: str, title: str) -> alt.X:
    """Return the axis of training, which starts at 0; steps are labelled in thousands."""
    axis = alt.Axis(
        tickCount=6,
        labelExpr=THOUSANDS if field == "step" else alt.Undefined,
        tickMinStep=1 if field == "epoch" else alt.Undefined,
    )
    return alt.X(f"{field}:Q", title=title, scale=alt.Scale(domainMin=0), axis=axis)


def tooltips(*fields: str) -> list[alt.Tooltip]:
    """Return tooltips that show each number with a suitable number of digits."""
    formats = {"step:Q": ",.0f", "from:Q": ",.0f", "to:Q": ",.0f", "minutes:Q": ".1f"}
    return [alt.Tooltip(field, format=formats.get(field, ".3f")) for field in fields]


def finished(chart: alt.Chart | alt.LayerChart, caption: str, height: int = 320) -> dict[str, Any]:
    """Set the size of a chart and return its specification; see `hideable`."""
    return hideable(chart.properties(width=620, height=height), caption)


def hideable(chart: Chart, caption: str) -> dict[str, Any]:
    """Return the specification of a chart with a parameter `hidden`, which the page sets to the methods not shown."""
    specification: dict[str, Any] = chart.properties(description=caption).to_dict()
    specification["params"] = [*specification.get("params", []), {"name": "hidden", "value": []}]
    return dict(_visible(specification))


def _visible(part: Any) -> Any:
    """Escape control characters in the texts of a specification: they would end the renderer's process."""
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
    """Draw a line per method, with a band from `low` to `high` where a record contains them.

    Args:
        labels: labels of the methods.
        records: points with `method`, the fields of the axes, and optionally `low` and `high`.
        x: axis of training.
        y: axis of the measure.
        hover: fields shown by the tooltip.
        runs: points of single runs, drawn as thin lines, with `method`, `seed` and the fields of the axes.
        interpolate: interpolation between two points.
    """
    ink = colour(labels)
    # All layers use the same table, because small multiples split it by one of its fields.
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
    """Mark the records that are drawn with a shape. The others only respond to the pointer."""
    by_line: dict[Any, list[Record]] = {}
    for record in records:
        by_line.setdefault((record["method"], record.get("task")), []).append(record)
    marked = []
    for line in by_line.values():
        every = -(-len(line) // MARKED)
        marked += [{**record, "marked": int(place % every == 0)} for place, record in enumerate(line)]
    return marked


def have_intervals(records: Sequence[Record]) -> bool:
    """Return whether any record has a `low`. Vega warns in the browser about a layer without records."""
    return any(record.get("low") is not None for record in records)


def training_maps(
    records: Sequence[Record],
    labels: Sequence[str],
    tasks: Sequence[str],
    title: str,
    scale: alt.Scale,
    caption: str,
) -> dict[str, Any]:
    """Return the specification of one map per method: a row per task, steps from left to right, `value` as the colour.

    Args:
        records: intervals of training, each with `method`, `task`, `from`, `to` and `value`.
        labels: labels of the methods, in the order of their maps.
        tasks: tasks from top to bottom.
        title: title of the colour scale.
        scale: the colour scale.
        caption: caption of the figure.
    """
    steps = alt.Axis(labelExpr=THOUSANDS, tickCount=3, labelFlush=True)
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
    """Return the specification of a small chart for each value of a field, with independent axes; see `hideable`.

    Args:
        chart: the chart of a single value.
        field: field of the records.
        values: values of the field, in the order of their charts.
        caption: caption of the figure.
        beside: width in pixels of a chart's axis and of the gap to the next chart.
    """
    facet = alt.Facet(f"{field}:N", sort=list(values), title=None, header=alt.Header(labelLimit=260))
    charts = chart.facet(facet=facet, columns=2).transform_filter(SHOWN)
    charts = charts.resolve_scale(y="independent").resolve_axis(x="independent", y="independent")
    return hideable(charts, caption) | {"usermeta": {"beside": beside}}


def short(task: str) -> str:
    """Return a short form of a task's name."""
    return task.removesuffix("-v3")


def wide(
    name: str, records: Sequence[Record], key: str, title: str, columns: Sequence[str], *, column: str = "method"
) -> Table:
    """Return a table of `value` with a row for each value of `key` and a column for each value of `column`."""
    cells: dict[float, dict[str, Cell]] = {}
    for record in records:
        cells.setdefault(record[key], {})[record[column]] = float(record["value"])
    whole = all(float(at).is_integer() for at in cells)
    rows = [[int(at) if whole else round(at, 2), *(cells[at].get(label) for label in columns)] for at in sorted(cells)]
    return Table(name, title, "", [title, *columns], rows)
