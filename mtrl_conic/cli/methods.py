"""What `balancers` and `networks` print: a table of all registered names, or full descriptions of some."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Iterable, Mapping

from pydantic.fields import FieldInfo
from rich import box
from rich.table import Table
from rich.text import Text

from mtrl_conic.cli.terminal import TERMINAL


def add_names(parser: argparse.ArgumentParser) -> None:
    """Add the names whose descriptions are printed."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="print the full description of these only [a table]")


def table(*columns: str) -> Table:
    """Return an empty table; the first column is `name`."""
    made = Table(box=box.SIMPLE_HEAD)
    for column in ("name", *columns):
        made.add_column(column, overflow="fold", no_wrap=column == "name")
    return made


def summary(registered: Callable[..., object]) -> str:
    """Return the first line of the docstring of a class."""
    return (inspect.getdoc(registered) or "").partition("\n")[0]


def listed(fields: Mapping[str, FieldInfo]) -> Text:
    """Return the options with their defaults and descriptions, one per line."""
    return Text("\n".join(f"{name}={field.default}: {field.description}" for name, field in fields.items()))


def describe(
    name: str, registered: Callable[..., object], fields: Mapping[str, FieldInfo], more: Iterable[str] = ()
) -> None:
    """Print the whole docstring of a class, further lines, and its options.

    The description of arguments at the end of the docstring is left out, since the options say the same.
    """
    text = _joined((inspect.getdoc(registered) or "").partition("\nArgs:")[0].rstrip())
    TERMINAL.print(Text(name, style="bold"))
    TERMINAL.print(Text("\n\n".join([text, *more])))
    if fields:
        TERMINAL.print(Text("\nOptions, with their defaults:"))
        TERMINAL.print(listed(fields))
    TERMINAL.print()


def _joined(text: str) -> str:
    """Join the lines of each paragraph, except for formulas and for lines that begin with a label such as `Cost:`."""
    lines: list[str] = []
    for line in text.splitlines():
        continues = lines and lines[-1].strip() and not lines[-1].startswith(" ")
        if continues and line[:1].strip() and not re.match(r"[A-Z][a-z]+( \([a-z ]+\))?:", line):
            lines[-1] += f" {line}"
        else:
            lines.append(re.sub(r"(?<=\S) {3,}", "   ", line))  # aligned formulas are wider than a terminal
    return "\n".join(lines)
