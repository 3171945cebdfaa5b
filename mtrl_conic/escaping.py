"""Escaping of arbitrary text (names of tasks, methods, folders), so that displaying it has no side effects."""

from __future__ import annotations

import re

_RUN = ("=", "+", "-", "@")
"""Characters that start a formula in a spreadsheet."""

_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{"<": r"\ensuremath{<}", ">": r"\ensuremath{>}", "|": r"\ensuremath{|}"},
    **{"↑": r"\ensuremath{\uparrow}", "↓": r"\ensuremath{\downarrow}", "±": r"\ensuremath{\pm}", '"': "''"},
}
"""Characters that are commands in LaTeX, or that its fonts lack."""


def visible(text: str) -> str:
    """Escape control characters in `text`, which could move the cursor or change the writing direction."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def one_line(text: str, *, most: int = 2000) -> str:
    """Return `text` in a form for terminals, see `visible`; long text is cut off."""
    return visible(text) if len(text) <= most else f"{visible(text[:most])} ..."


def in_markdown(text: str) -> str:
    """Return `text` for one line of Markdown, also in a table, without markup, HTML or links."""
    return re.sub(r"[\\`*\[\]<>|]", r"\\\g<0>", visible(text))


def in_csv(text: str) -> str:
    """Return `text` as a cell that no spreadsheet takes for a formula. Numbers do not change."""
    shown = visible(text)
    return f"'{shown}" if shown.startswith(_RUN) and not _is_number(shown) else shown


def in_latex(text: str) -> str:
    """Return `text` for LaTeX, without commands, comments or mathematics."""
    return "".join(_LATEX.get(letter, letter) for letter in visible(text))


def as_file_name(text: str) -> str:
    """Return `text` with only characters that need no quoting in a shell and that cannot change the folder."""
    return re.sub(r"[^\w.=+-]", "-", text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
