"""A supervised comparison as the same self-contained page as a report of reinforcement learning."""

from __future__ import annotations

import time
from importlib import resources

import altair as alt

from mtrl_conic import __version__
from mtrl_conic.report.charts import COLOURS, SHOWN, Figure, tooltips
from mtrl_conic.report.tables import Cell, Table, text, value
from mtrl_conic.supervised.summary import Summary
from mtrl_conic.supervised.trade_offs import trade_offs

_FIGURES = 12
"""Curves of more metrics than this are left to `curves.csv`."""


def html(summary: Summary) -> str:
    """One page that asks for nothing outside itself."""
    import jinja2
    import vl_convert

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((resources.files("mtrl_conic.report") / "page.html.j2").read_text())
    seeds = min(len(runs) for runs in summary.methods.values())
    few = [] if seeds > 1 else ["Some methods have a single seed: no standard error."]
    return template.render(
        title="Comparison of balancers, supervised",
        tables=[summary.table()],
        first=("methods",),
        axes={},
        figures=[
            *trade_offs(summary),
            *(_curve(summary, name) for name in [metric.name for metric in summary.metrics][:_FIGURES]),
        ],
        colours=_colours(summary),
        protocol=summary.facts(),
        warnings=few,
        sources=[
            f"{label}: seeds {', '.join(str(run.config.seed) for run in runs)}"
            for label, runs in summary.methods.items()
        ],
        made=f"mtrl_conic {__version__}, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}",
        text=text,
        value=value,
        vega=vl_convert.javascript_bundle(),  # type: ignore[call-arg]  # its stub lacks the default
    )


def _colours(summary: Summary) -> dict[str, str]:
    return {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(summary.methods)}


def _curve(summary: Summary, metric: str) -> Figure:
    """A metric on the test rows over the epochs, mean over seeds."""
    points: dict[tuple[str, int], list[float]] = {}
    for label, runs in summary.methods.items():
        for run in runs:
            for record in run.curve:
                points.setdefault((label, record["step"]), []).append(record["test"][metric])
    records = [{"method": label, "epoch": epoch, "value": sum(at) / len(at)} for (label, epoch), at in points.items()]
    colours = _colours(summary)
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    chart = (
        alt.Chart(alt.InlineData(values=records))
        .transform_filter(SHOWN)
        .mark_line(point=alt.OverlayMarkDef(size=20))
        .encode(
            x=alt.X("epoch:Q"),
            y=alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False)),
            color=alt.Color("method:N", scale=scale, title=None),
            tooltip=["method:N", "epoch:Q", *tooltips("value:Q")],
        )
    )
    caption = f"{metric} on the test rows after each epoch, mean over seeds."
    specification = chart.properties(width=620, height=280, description=caption).to_dict()
    specification["params"] = [*specification.get("params", []), {"name": "hidden", "value": []}]
    name = metric.replace(" ", "_")
    return Figure(name, f"{metric} over epochs", caption, specification, _numbers(name, metric, points, summary))


def _numbers(name: str, metric: str, points: dict[tuple[str, int], list[float]], summary: Summary) -> Table:
    rows: list[list[Cell]] = []
    for epoch in sorted({epoch for _, epoch in points}):
        cells = [points.get((label, epoch)) for label in summary.methods]
        rows.append([epoch, *(None if at is None else sum(at) / len(at) for at in cells)])
    return Table(name, metric, "", ["epoch", *summary.methods], rows)
