"""The output formats of a report: a self-contained HTML page, Markdown, CSV and LaTeX."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from mtrl_conic import __version__
from mtrl_conic.escaping import in_markdown, visible
from mtrl_conic.report.charts import Figure, Style
from mtrl_conic.report.latex import as_latex
from mtrl_conic.report.tables import Table, csv_text, markdown, text, value


@dataclass(frozen=True)
class Report:
    """The content of a report on runs of any kind."""

    title: str
    result: str
    """One sentence on which differences the runs support and which they do not."""
    warnings: Sequence[str]
    """Warnings that a reader needs before comparing numbers."""
    protocol: Sequence[str]
    """Sentences that describe what was measured."""
    first: Sequence[Table]
    """Tables shown before the figures."""
    figures: Sequence[Figure]
    others: Sequence[Table]
    """Tables shown after the figures."""
    styles: Mapping[str, Style]
    """Style by method, in the order of the methods."""
    sources: Sequence[str]
    """The run directories."""
    rows: Table
    """All measurements that the tables and curves are computed from, one per row."""

    @property
    def tables(self) -> list[Table]:
        """Return all tables except `rows`, in the order in which they are shown."""
        return [*self.first, *self.others]


def html(report: Report) -> str:
    """Return the report as an HTML page that loads nothing from outside."""
    import jinja2
    import vl_convert

    environment = jinja2.Environment(
        autoescape=True, finalize=_shown, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((resources.files("mtrl_conic.report") / "page.html.j2").read_text())
    return template.render(
        report=report,
        axes=list(dict.fromkeys(figure.axis for figure in report.figures if figure.axis)),
        made=_made(),
        text=text,
        value=value,
        vega=vl_convert.javascript_bundle(),  # type: ignore[call-arg]  # its stub lacks the default
    )


def as_markdown(report: Report) -> str:
    """Return the protocol and the tables as Markdown."""
    said = [in_markdown(report.result), *(f"**{in_markdown(warning)}**" for warning in report.warnings)]
    parts = [f"# {report.title}", *said]
    parts += ["\n".join(f"- {in_markdown(sentence)}" for sentence in report.protocol)]
    for table in report.tables:
        parts += [f"## {in_markdown(table.title)}", markdown(table), in_markdown(table.note)]
    return "\n\n".join([*parts, _made()]) + "\n"


def as_csv(report: Report) -> str:
    """Return every measurement of every run as CSV."""
    return csv_text(report.rows)


def as_tex(report: Report) -> str:
    """Return the tables in which methods compete as LaTeX."""
    return as_latex(report.tables, _made())


def _shown(value: object) -> object:
    """Prepare a value for the page. The program's own markup, and JSON with its own escapes, are kept as they are."""
    return visible(value) if type(value) is str else value


def _made() -> str:
    return f"mtrl_conic {__version__}, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}"
