"""List the balancers, each with a description, its paper and its options."""

from __future__ import annotations

import argparse

from rich import box
from rich.table import Table
from rich.text import Text

from mtrl_conic.cli.flags import add_imports
from mtrl_conic.cli.terminal import TERMINAL

EXAMPLES = {
    "the BibTeX entry of a method": "mtrl-conic balancers --cite conicgrad",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--cite`, and `--import` for modules that register more balancers."""
    parser.add_argument(
        "--cite",
        nargs="+",
        default=[],
        metavar="NAME",
        help="print the BibTeX entries of these balancers instead of the table",
    )
    add_imports(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the table, or the BibTeX entries."""
    from mtrl_conic import balancers

    if arguments.cite:
        from mtrl_conic.balancers.references import bibtex

        print("\n\n".join(bibtex(name) for name in arguments.cite))
        return 0
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("name", "weights from", "method", "options"):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for name in balancers.available():
        method = balancers.get(name)
        summary = (method.__doc__ or "").strip().splitlines()[0]
        fields = balancers.options(name).items()
        options = "\n".join(f"{option}={field.default}: {field.description}" for option, field in fields)
        what = Text.assemble(f"{summary}\n", (method.paper, "dim"))
        table.add_row(name, method.needs, what, Text(options))
    TERMINAL.print(table)
    return 0
