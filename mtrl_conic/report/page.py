"""A report as one self-contained page, as Markdown, as rows for other programs; its figures as files."""

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
    """All that a report shows, whatever the runs are."""

    title: str
    result: str
    """What the runs support and what they do not, in a sentence."""
    warnings: Sequence[str]
    """What a reader must know before comparing any two numbers."""
    protocol: Sequence[str]
    """What was measured, in sentences."""
    first: Sequence[Table]
    """The tables that are read before the figures."""
    figures: Sequence[Figure]
    others: Sequence[Table]
    """The tables behind the figures."""
    styles: Mapping[str, Style]
    """By method, in the order in which methods are listed."""
    sources: Sequence[str]
    """The runs."""
    rows: Table
    """Every measurement by itself: what the tables and curves are made from."""

    @property
    def tables(self) -> list[Table]:
        """All of them but the rows, in the order in which they are read."""
        return [*self.first, *self.others]


def html(report: Report) -> str:
    """One page that asks for nothing outside itself."""
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
    """Protocol and tables."""
    said = [in_markdown(report.result), *(f"**{in_markdown(warning)}**" for warning in report.warnings)]
    parts = [f"# {report.title}", *said]
    parts += ["\n".join(f"- {in_markdown(sentence)}" for sentence in report.protocol)]
    for table in report.tables:
        parts += [f"## {in_markdown(table.title)}", markdown(table), in_markdown(table.note)]
    return "\n\n".join([*parts, _made()]) + "\n"


def as_csv(report: Report) -> str:
    """Every measurement of every run."""
    return csv_text(report.rows)


def as_tex(report: Report) -> str:
    """The tables in which methods are rivals, for a paper."""
    return as_latex(report.tables, _made())


def _shown(value: object) -> object:
    """What the page puts in its text. Markup of our own, and JSON, which has its own escapes, stays as it is."""
    return visible(value) if type(value) is str else value


def _made() -> str:
    return f"mtrl_conic {__version__}, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}"
