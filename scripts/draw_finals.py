"""Draw the final numbers of a kept result: a dot per seed, or a map if there is only one seed.

    python scripts/draw_finals.py results/nyuv2 [...]

Each folder contains results.csv (of `mtrl-conic supervised`) or curves.csv (of `scripts/export_curves.py`); the picture
is written beside it, as finals.png. For supervised runs there is a chart per metric and a row per method, for agents a
row per task; a vertical mark is the mean over seeds. The map shows returns, with a row per balancer.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import altair as alt
from pictures import read_rows, write_png

from mtrl_conic.report.charts import short
from mtrl_conic.supervised.learners import SINGLE_TASK

COLUMNS = 3
"""The largest number of charts in a row."""


def supervised(folder: Path) -> alt.Chart | alt.FacetChart:
    """Make a chart per metric, with the mean of the single-task networks as a line."""
    rows = read_rows(folder / "results.csv")
    records = [{"row": row["method"], "chart": row["metric"], "value": float(row["value"])} for row in rows]
    return _dots(records, "", baseline=SINGLE_TASK)


def agents(folder: Path) -> alt.Chart | alt.FacetChart:
    """Draw the last evaluation of each run: success per task over seeds, or returns per balancer of a single seed."""
    rows = read_rows(folder / "curves.csv")
    last: dict[tuple[str, str], int] = {}
    for row in rows:
        run = row["balancer"], row["seed"]
        last[run] = max(int(row["step"]), last.get(run, 0))
    finals = [row for row in rows if int(row["step"]) == last[row["balancer"], row["seed"]]]
    if len({row["seed"] for row in finals}) == 1:
        return _map([{**row, "task": short(row["task"]), "return": float(row["return"])} for row in finals])
    records = [{"row": short(row["task"]), "chart": "", "value": float(row["success"])} for row in finals]
    return _dots(records, "success")


def _dots(records: Sequence[dict[str, Any]], title: str, baseline: str = "") -> alt.Chart | alt.FacetChart:
    names, charts = (list(dict.fromkeys(record[key] for record in records)) for key in ("row", "chart"))
    x = alt.X("value:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4))
    every = alt.Chart(alt.InlineData(values=list(records)))
    base = every.encode(x=x, y=alt.Y("row:N", sort=names, title=None))
    mean = alt.X("mean(value):Q", title=title)
    dots = base.mark_point(filled=True, size=30, opacity=0.6)
    layers = [dots, base.mark_tick(thickness=2.5, size=14, color="#1b1f24").encode(x=mean)]
    if baseline in names:
        alone = every.transform_filter(alt.datum.row == baseline)
        layers.insert(0, alone.mark_rule(color="gray", strokeDash=[4, 3]).encode(x=mean))
    chart = alt.LayerChart(layer=layers).properties(width=190 if len(charts) > 1 else 420, height=16 * len(names))
    if len(charts) == 1:
        return chart
    facet = alt.Facet("chart:N", sort=charts, title=None)
    return chart.facet(facet=facet, columns=COLUMNS).resolve_scale(x="independent")


def _map(records: Sequence[dict[str, Any]]) -> alt.Chart:
    tasks = list(dict.fromkeys(record["task"] for record in records))
    y = alt.Y("balancer:N", title=None, sort="ascending")
    x = alt.X("task:N", title=None, sort=tasks, axis=alt.Axis(labelAngle=-40))
    colour = alt.Color("return:Q", scale=alt.Scale(scheme="viridis"))
    chart = alt.Chart(alt.InlineData(values=list(records))).mark_rect().encode(x=x, y=y, color=colour)
    return chart.properties(width=32 * len(tasks), height=alt.Step(15))


def draw(folders: Iterable[Path]) -> None:
    """Write the picture of each folder."""
    for folder in folders:
        chart = supervised(folder) if (folder / "results.csv").exists() else agents(folder)
        write_png(chart.to_dict(), folder / "finals.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    draw(parser.parse_args().folders)
