"""The command line: `mtrl-conic COMMAND ...`, a module per command."""

from mtrl_conic.cli.entry import COMMANDS, main

__all__ = ["COMMANDS", "main"]
