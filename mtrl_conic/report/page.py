"""A report as one self-contained page, as Markdown, as rows for other programs; its figures as files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from mtrl_conic import __version__
from mtrl_conic.escaping import as_file_name, in_markdown, visible
from mtrl_conic.report.charts import Figure
from mtrl_conic.report.tables import Table, csv_text, markdown, text, value


@dataclass(frozen=True)
class Report:
    """All that a report shows, whatever the runs are."""

    title: str
    warnings: Sequence[str]
    """What a reader must know before comparing any two numbers."""
    protocol: Sequence[str]
    """What was measured, in sentences."""
    first: Sequence[Table]
    """The tables that are read before the figures."""
    figures: Sequence[Figure]
    others: Sequence[Table]
    """The tables behind the figures."""
    colours: Mapping[str, str]
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
    parts = [f"# {report.title}", *(f"**{in_markdown(warning)}**" for warning in report.warnings)]
    parts += ["\n".join(f"- {in_markdown(sentence)}" for sentence in report.protocol)]
    for table in report.tables:
        parts += [f"## {in_markdown(table.title)}", markdown(table), in_markdown(table.note)]
    return "\n\n".join([*parts, _made()]) + "\n"


def as_csv(report: Report) -> str:
    """Every measurement of every run."""
    return csv_text(report.rows)


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
            file = folder / f"{as_file_name(figure.name)}{suffix}"
            file.write_bytes(data)
            written.append(file)
    return written


def _shown(value: object) -> object:
    """What the page puts in its text. Markup of our own, and JSON, which has its own escapes, stays as it is."""
    return visible(value) if type(value) is str else value


def _made() -> str:
    return f"mtrl_conic {__version__}, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}"
