"""Construction of a report on supervised runs, and the files written next to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mtrl_conic import files
from mtrl_conic.report.charts import styles
from mtrl_conic.report.contrasts import baseline_of, result
from mtrl_conic.report.page import Report, as_markdown, html
from mtrl_conic.report.supervised import numbers, words
from mtrl_conic.report.supervised.contrasts import against, comparable, contrasts
from mtrl_conic.report.supervised.figures import figures
from mtrl_conic.report.supervised.source import Summary
from mtrl_conic.report.supervised.sweeps import fronts
from mtrl_conic.report.tables import csv_text


def make_report(summary: Summary, *, baseline: str | None = None, methods: Sequence[str] = ()) -> Report:
    """Compute the tables and figures of a report.

    Args:
        summary: the runs.
        baseline: the method that the others are compared with; None takes `ls`, or the first method without it.
        methods: labels of the methods to show, in this order; empty for all.

    Raises:
        UserError: a label is unknown.
    """
    summary = summary.only(methods)
    base = baseline_of(comparable(summary), baseline)
    found = contrasts(summary, base)
    gain = "the mean gain over the metrics"
    return Report(
        title="Comparison of balancers, supervised",
        result=result(found, base, gain, runs="paired seeds", unit=" %"),
        warnings=words.warnings(summary),
        protocol=words.protocol(summary),
        first=[numbers.methods(summary), *([against(base, found)] if found else [])],
        figures=figures(summary),
        others=[table for table in [fronts(summary)] if table.rows],
        styles=styles(list(summary.methods)),
        sources=[str(run.directory) for runs in summary.methods.values() for run in runs],
        rows=numbers.curves(summary),
    )


def write(summary: Summary, folder: Path) -> list[Path]:
    """Write `results.csv`, `curves.csv`, `table.md`, `report.html` and `trade_off_*.svg` to `folder`."""
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
        files.write(folder / name, content)
    return [folder / name for name in made]
