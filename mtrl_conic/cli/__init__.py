"""The command line, `mtrl-conic COMMAND ...`, with one module per command."""

from mtrl_conic.cli.entry import COMMANDS, main

__all__ = ["COMMANDS", "main"]
