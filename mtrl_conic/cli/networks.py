"""List the networks, each with the parameters that the tasks share, and its options."""

from __future__ import annotations

import argparse
import inspect

from rich import box
from rich.table import Table
from rich.text import Text

from mtrl_conic.cli.terminal import TERMINAL


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    from mtrl_conic import networks

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("name", "network", "options"):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for name in networks.available():
        summary = (inspect.getdoc(networks.get(name)) or "").partition("\n")[0]
        fields = networks.options(name).items()
        options = "\n".join(f"{option}={field.default}: {field.description}" for option, field in fields)
        table.add_row(name, summary, Text(options))
    TERMINAL.print(table)
    return 0
