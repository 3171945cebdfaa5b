"""The tables of a report, independent of the output format."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mtrl_conic.escaping import in_csv, in_markdown, visible
from mtrl_conic.evaluation.estimates import Estimate
from mtrl_conic.evaluation.words import estimate, number


@dataclass(frozen=True)
class Worded:
    """An estimate with its own text."""

    words: str
    estimate: Estimate

    def __str__(self) -> str:
        return self.words


Cell = str | int | float | Estimate | Worded | None


@dataclass(frozen=True)
class Table:
    """Columns, rows, and a note that explains them. The first cell of a row is its name."""

    name: str
    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    better: Mapping[str, int] = field(default_factory=dict)
    """Maps columns in which rows compete to 1 if more is better and to -1 if less is better."""
    across: int = 0
    """1 or -1 if the columns after the first compete within each row; 0 if they do not."""


def estimate_of(cell: Estimate | Worded) -> Estimate:
    """Return the estimate of a cell."""
    return cell.estimate if isinstance(cell, Worded) else cell


def text(cell: Cell) -> str:
    """Return a cell as text for people."""
    if cell is None:
        return "-"
    if isinstance(cell, Worded):
        return cell.words
    if isinstance(cell, Estimate):
        return estimate(cell)
    return number(cell) if isinstance(cell, float) else str(cell)


def value(cell: Cell) -> float | None:
    """Return the exact number of a cell; None if it has none."""
    if isinstance(cell, Estimate | Worded):
        return estimate_of(cell).value
    return float(cell) if isinstance(cell, int | float) else None


def markdown(table: Table) -> str:
    """Return the table as Markdown."""
    head, *rows = ([_in_markdown(cell) for cell in row] for row in (table.columns, *table.rows))
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def in_terminal(table: Table) -> str:
    """Return the table and its note as text in aligned columns."""
    cells = [[visible(text(cell)) for cell in row] for row in (table.columns, *table.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([*lines, "", table.note])


def csv_text(table: Table) -> str:
    """Return the table as CSV with all digits; missing values are empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([_in_csv(cell) for cell in row] for row in (table.columns, *table.rows))
    return out.getvalue()


def _in_markdown(cell: Cell) -> str:
    return in_markdown(cell) if isinstance(cell, str) else text(cell)


def _in_csv(cell: Cell) -> str | float | None:
    if isinstance(cell, str):
        return in_csv(cell)
    return value(cell) if isinstance(cell, Estimate | Worded) else cell


def joined(words: Iterable[str]) -> str:
    """Join the distinct words for one cell."""
    return "; ".join(dict.fromkeys(words))
