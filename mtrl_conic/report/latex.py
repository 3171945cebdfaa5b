"""The tables of a report as LaTeX with booktabs: the best value in bold, the second best underlined."""

from __future__ import annotations

from collections.abc import Sequence

from mtrl_conic.escaping import in_latex
from mtrl_conic.evaluation.estimates import FEW_RUNS, Estimate
from mtrl_conic.report.tables import Cell, Table, Worded, estimate_of, text

BEST, SECOND = r"\textbf", r"\underline"
INTERVALS = "Brackets: 95 % intervals."
MARKS = (
    "Bold: best. Underlined: second. A value is marked only if its interval does not overlap those of all worse ones."
)


def as_latex(tables: Sequence[Table], made: str) -> str:
    r"""Return the tables in which methods compete, each as a `table` environment for `\input`.

    Args:
        tables: tables of a report.
        made: program and date, for a comment.
    """
    kept = [table for table in tables if table.better or table.across]
    head = f"% {in_latex(made)}\n% In the preamble: \\usepackage{{booktabs}}\n"
    return "\n".join([head, *map(_table, kept)])


def marks(rivals: Sequence[Cell], sign: int) -> dict[int, str]:
    r"""Return the positions of the best and the second-best cell, as far as their intervals support the ranking.

    Args:
        rivals: the cells; those without an estimate are ignored.
        sign: 1 if more is better, -1 if less is better.

    Returns:
        A dictionary from positions to `BEST` or `SECOND`.
    """
    found = {place: estimate_of(cell) for place, cell in enumerate(rivals) if isinstance(cell, Estimate | Worded)}
    if len(found) < 2 or any(one.interval is None or one.runs < FEW_RUNS for one in found.values()):
        return {}
    ranked = sorted(found, key=lambda place: -sign * found[place].value)
    marked = {}
    for rank, mark in enumerate((BEST, SECOND)):
        rest = ranked[rank + 1 :]
        if not rest or not all(_apart(found[ranked[rank]], found[other], sign) for other in rest):
            break
        marked[ranked[rank]] = mark
    return marked


def _apart(better: Estimate, worse: Estimate, sign: int) -> bool:
    assert better.interval is not None
    assert worse.interval is not None
    return better.interval[0] > worse.interval[1] if sign > 0 else better.interval[1] < worse.interval[0]


def _table(table: Table) -> str:
    places: dict[tuple[int, int], str] = {}
    for column, name in enumerate(table.columns):
        if name in table.better:
            found = marks([row[column] for row in table.rows], table.better[name])
            places |= {(row, column): mark for row, mark in found.items()}
    if table.across:
        for row, cells in enumerate(table.rows):
            places |= {(row, place + 1): mark for place, mark in marks(cells[1:], table.across).items()}
    has_intervals = any(isinstance(cell, Estimate) and cell.interval for row in table.rows for cell in row)
    said = [f"{table.title}.", *([INTERVALS] if has_intervals else []), *([MARKS] if places else [])]
    lines = [
        f"% {in_latex(table.note)}",
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{in_latex(' '.join(said))}}}",
        f"  \\label{{tab:{table.name.replace('_', '-')}}}",
        f"  \\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"    \toprule",
        f"    {' & '.join(map(in_latex, table.columns))} \\\\",
        r"    \midrule",
    ]
    for row, cells in enumerate(table.rows):
        shown = [_cell(cell, places.get((row, column), "")) for column, cell in enumerate(cells)]
        lines.append(f"    {' & '.join(shown)} \\\\")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def _cell(cell: Cell, mark: str) -> str:
    number, space, interval = text(cell).partition(" ") if mark else (text(cell), "", "")
    return f"{mark}{{{in_latex(number)}}}{space}{in_latex(interval)}" if mark else in_latex(number)
