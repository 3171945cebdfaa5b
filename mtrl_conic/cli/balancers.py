"""List the balancers, each with a description, its paper and its options."""

from __future__ import annotations

import argparse

from rich.text import Text

from mtrl_conic.cli.flags import add_imports
from mtrl_conic.cli.methods import add_names, describe, listed, summary, table
from mtrl_conic.cli.terminal import TERMINAL

EXAMPLES = {
    "what a method does, and its options": "mtrl-conic balancers conicgrad",
    "the BibTeX entry of a method": "mtrl-conic balancers --cite conicgrad",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add names, `--cite`, and `--import` for modules that register more balancers."""
    add_names(parser)
    parser.add_argument(
        "--cite",
        nargs="+",
        default=[],
        metavar="NAME",
        help="print the BibTeX entries of these balancers instead of the table",
    )
    add_imports(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the table, the descriptions of some balancers, or their BibTeX entries."""
    from mtrl_conic import balancers

    if arguments.cite:
        from mtrl_conic.balancers.references import bibtex

        print("\n\n".join(bibtex(name) for name in arguments.cite))
        return 0
    if arguments.names:
        for name in arguments.names:
            method = balancers.get(name)
            describe(name, method, balancers.options(name), [method.paper] if method.paper else [])
        return 0
    rows = table("weights from", "method", "options")
    for name in balancers.available():
        method = balancers.get(name)
        what = Text.assemble(summary(method), (f"\n{method.paper}" if method.paper else "", "dim"))
        rows.add_row(name, method.needs, what, listed(balancers.options(name)))
    TERMINAL.print(rows)
    return 0
