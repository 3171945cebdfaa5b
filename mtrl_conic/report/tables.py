"""A table of a report, whatever it is shown as."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mtrl_conic.evaluation.statistics import Estimate

Cell = str | int | float | Estimate | None


@dataclass(frozen=True)
class Table:
    """Columns, rows and what has to be known to read them. The first cell of a row is its name."""

    name: str
    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def text(cell: Cell) -> str:
    """A cell as a person reads it."""
    if cell is None:
        return "-"
    if isinstance(cell, Estimate):
        if cell.interval is None:
            return f"{cell.value:.3f}"
        return f"{cell.value:.3f} [{cell.low:.3f}, {cell.high:.3f}]"
    if isinstance(cell, float):
        return f"{cell:.3f}" if abs(cell) < 100 else f"{cell:.0f}"
    return str(cell)


def value(cell: Cell) -> float | None:
    """A cell's exact number, None where it has none."""
    if isinstance(cell, Estimate):
        return cell.value
    return float(cell) if isinstance(cell, int | float) else None


def markdown(table: Table) -> str:
    """The table in Markdown."""
    lines = [f"| {' | '.join(table.columns)} |", "|" + "---|" * len(table.columns)]
    lines += [f"| {' | '.join(text(cell).replace('|', '/') for cell in row)} |" for row in table.rows]
    return "\n".join(lines)


def joined(words: Iterable[str]) -> str:
    """Each of the words once, in one cell."""
    return "; ".join(dict.fromkeys(words))
