"""List the networks, each with the parameters that the tasks share, and its options."""

from __future__ import annotations

import argparse

from mtrl_conic.cli.methods import add_names, describe, listed, summary, table
from mtrl_conic.cli.terminal import TERMINAL


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the names of networks."""
    add_names(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the table, or the descriptions of some networks."""
    from mtrl_conic import networks

    if arguments.names:
        for name in arguments.names:
            describe(name, networks.get(name), networks.options(name))
        return 0
    rows = table("network", "options")
    for name in networks.available():
        rows.add_row(name, summary(networks.get(name)), listed(networks.options(name)))
    TERMINAL.print(rows)
    return 0
