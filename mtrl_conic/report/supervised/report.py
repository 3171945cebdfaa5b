"""Runs on a supervised problem as a report, and its files beside them."""

from __future__ import annotations

from pathlib import Path

from mtrl_conic.report.charts import colours
from mtrl_conic.report.page import Report, as_markdown, html
from mtrl_conic.report.supervised import numbers, words
from mtrl_conic.report.supervised.figures import figures
from mtrl_conic.report.supervised.source import Summary
from mtrl_conic.report.supervised.sweeps import fronts
from mtrl_conic.report.tables import csv_text
from mtrl_conic.runs.directory import write_text


def make_report(summary: Summary) -> Report:
    """Compute tables and figures."""
    return Report(
        title="Comparison of balancers, supervised",
        warnings=words.warnings(summary),
        protocol=words.protocol(summary),
        first=[numbers.methods(summary)],
        figures=figures(summary),
        others=[table for table in [fronts(summary)] if table.rows],
        colours=colours(list(summary.methods)),
        sources=[str(run.directory) for runs in summary.methods.values() for run in runs],
        rows=numbers.curves(summary),
    )


def write(summary: Summary, folder: Path) -> list[Path]:
    """`results.csv`, `curves.csv`, `table.md`, `report.html` and `trade_off_*.svg` in `folder`."""
    import vl_convert

    report = make_report(summary)
    made = {
        "results.csv": csv_text(numbers.results(summary)),
        "curves.csv": csv_text(report.rows),
        "table.md": as_markdown(report),
        "report.html": html(report),
    }
    trade_offs = [figure for figure in report.figures if figure.name.startswith("trade_off_")]
    made |= {f"{figure.name}.svg": vl_convert.vegalite_to_svg(figure.specification) for figure in trade_offs}
    for name, content in made.items():
        write_text(folder / name, content)
    return [folder / name for name in made]
