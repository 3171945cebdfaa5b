"""A report as one self-contained page, as Markdown, as rows for other programs; its figures as files."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from mtrl_conic import __version__
from mtrl_conic.report import words
from mtrl_conic.report.charts import Figure, colours
from mtrl_conic.report.data import Comparison
from mtrl_conic.report.figures import figures
from mtrl_conic.report.numbers import tables
from mtrl_conic.report.reference import ReferencePoint
from mtrl_conic.report.tables import Table, markdown, text, value

TITLE = "Comparison of balancers"
AXES = {"success_over_steps": "steps", "success_over_minutes": "minutes"}
"""The figures of which the page shows one at a time."""


@dataclass(frozen=True)
class Report:
    """All that a report shows."""

    comparison: Comparison
    tables: Sequence[Table]
    figures: Sequence[Figure]


def make_report(
    comparison: Comparison,
    *,
    baseline: str | None = None,
    seed: int = 0,
    reference: Sequence[ReferencePoint] = (),
) -> Report:
    """Compute tables and figures.

    Args:
        comparison: the runs.
        baseline: the method that the others are held against; none takes `ls`, or else the first one.
        seed: of the bootstrap.
        reference: published curves to lay over the learning curves.

    Raises:
        UserError: there is no method `baseline`, or the reference lies beyond the runs.
    """
    made = tables(comparison, baseline=baseline, seed=seed)
    by_task = next(table for table in made if table.name == "tasks")
    return Report(comparison, made, figures(comparison, by_task, seed=seed, reference=reference))


def html(report: Report) -> str:
    """One page that asks for nothing outside itself."""
    import jinja2
    import vl_convert

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((resources.files("mtrl_conic.report") / "page.html.j2").read_text())
    return template.render(
        title=TITLE,
        tables=report.tables,
        first=("headline", "against"),
        axes=AXES,
        figures=report.figures,
        colours=colours(report.comparison),
        protocol=words.protocol(report.comparison),
        warnings=words.warnings(report.comparison),
        sources=_sources(report.comparison),
        made=_made(),
        text=text,
        value=value,
        vega=vl_convert.javascript_bundle(),  # type: ignore[call-arg]  # its stub lacks the default
    )


def as_markdown(report: Report) -> str:
    """Protocol and tables."""
    parts = [f"# {TITLE}", *(f"**{warning}**" for warning in words.warnings(report.comparison))]
    parts += ["\n".join(f"- {sentence}" for sentence in words.protocol(report.comparison))]
    for table in report.tables:
        parts += [f"## {table.title}", markdown(table), table.note]
    return "\n\n".join([*parts, _made()]) + "\n"


def as_csv(report: Report) -> str:
    """Every evaluation of every run, a row per task: what all tables and curves are made from."""
    columns = ("method", "seed", "state", "evaluation", "step", "seconds", "task")
    measured = ("success", "success_at_end", "return", "episodes_per_task")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*columns, *measured, "run"])
    for method in report.comparison.methods:
        for run in method.runs:
            for number, evaluation in enumerate(run.evaluations, start=1):
                final = run.result is not None and number == len(run.evaluations)
                when = ("final" if final else "training", evaluation["step"], evaluation["time"])
                for task, rate in evaluation["success"].items():
                    also = (evaluation["success_at_end"][task], evaluation["returns"][task])
                    row = (method.label, run.seed, run.state, *when, task, rate, *also)
                    writer.writerow([*row, evaluation["episodes_per_task"], run.directory])
    return out.getvalue()


def write_figures(report: Report, folder: Path) -> list[Path]:
    """Every figure as SVG and PDF."""
    import vl_convert

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in report.figures:
        for suffix, data in (
            (".svg", vl_convert.vegalite_to_svg(figure.specification).encode()),
            (".pdf", vl_convert.vegalite_to_pdf(figure.specification)),
        ):
            file = folder / f"{figure.name}{suffix}"
            file.write_bytes(data)
            written.append(file)
    return written


def _sources(comparison: Comparison) -> list[str]:
    return [f"{run.directory} ({run.state})" for method in comparison.methods for run in method.runs]


def _made() -> str:
    return f"mtrl_conic {__version__}, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}"
