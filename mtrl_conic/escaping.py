"""Text that anybody may have chosen (names of tasks, methods, folders), so that what shows it does nothing else."""

from __future__ import annotations

import re

_RUN = ("=", "+", "-", "@")
"""What a spreadsheet takes for the beginning of a formula."""

_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{"<": r"\ensuremath{<}", ">": r"\ensuremath{>}", "|": r"\ensuremath{|}"},
    **{"↑": r"\ensuremath{\uparrow}", "↓": r"\ensuremath{\downarrow}", "±": r"\ensuremath{\pm}", '"': "''"},
}
"""What LaTeX takes for a command of its own, or lacks in its fonts."""


def visible(text: str) -> str:
    """`text` with control characters, which move a terminal's cursor or turn the direction of writing, as escapes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def one_line(text: str, *, most: int = 2000) -> str:
    """`text` as a terminal may show it, see `visible`; a long end is cut off."""
    return visible(text) if len(text) <= most else f"{visible(text[:most])} ..."


def in_markdown(text: str) -> str:
    """`text` on one line of Markdown, also in a table: no markup, no HTML, no link."""
    return re.sub(r"[\\`*\[\]<>|]", r"\\\g<0>", visible(text))


def in_csv(text: str) -> str:
    """`text` as a cell of a table that spreadsheets open: none takes it for a formula. Numbers stay as they are."""
    shown = visible(text)
    return f"'{shown}" if shown.startswith(_RUN) and not _is_number(shown) else shown


def in_latex(text: str) -> str:
    """`text` as LaTeX prints it: no command, no comment, no mathematics."""
    return "".join(_LATEX.get(letter, letter) for letter in visible(text))


def as_file_name(text: str) -> str:
    """`text` with only the characters that need no quoting in a shell, and that lead to no other folder."""
    return re.sub(r"[^\w.=+-]", "-", text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
