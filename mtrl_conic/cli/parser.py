"""The argument parser, and its help in two lengths: the common options, and all of them."""

from __future__ import annotations

import argparse
import difflib
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from mtrl_conic import plugins
from mtrl_conic.cli.flags import whole
from mtrl_conic.errors import UserError

_WIDTH = 100
"""Largest width of the help, in columns."""
_TYPES: dict[Any, str] = {whole: "INT", float: "FLOAT", Path: "PATH"}
ALSO_CALLED = {
    "--alpha": "--initial-temperature",
    "--buffer-size": "--replay-capacity",
    "--env": "--task-set",
    "--envs": "--task-set",
    "--epsilon": "--learning-rate",
    "--gamma": "--discount",
    "--hidden-dim": "--width",
    "--hidden-size": "--width",
    "--layers": "--depth",
    "--learning-starts": "--random-steps",
    "--method": "--balancer",
    "--model": "--network",
    "--num-envs": "--copies",
    "--optimizer": "--learning-rate",
    "--output": "--out",
    "--output-dir": "--run-dir",
    "--plugin": "--import",
    "--tasks": "--task-set",
    "--tau": "--target-rate",
    "--timesteps": "--steps",
    "--total-timesteps": "--steps",
    "--wandb": "--record",
    "--weights": "--balancer",
}
"""Names that other programs give to flags of this one."""


class Parser(argparse.ArgumentParser):
    """Parser of a command; it raises a `UserError` for wrong arguments, and `help_text` prints its help."""

    def __init__(self, name: str, command: ModuleType) -> None:
        super().__init__(prog=f"mtrl-conic {name}", description=command.__doc__, allow_abbrev=False, add_help=False)
        self._hints: Mapping[str, str] = getattr(command, "HINTS", {})
        command.add_arguments(self)

    def error(self, message: str) -> NoReturn:
        """Raise a `UserError`; overrides the method of argparse, which exits."""
        raise UserError(message)

    @property
    def flags(self) -> list[str]:
        """All flags of the command."""
        return [flag for action in self._actions for flag in action.option_strings]

    @property
    def options(self) -> list[argparse.Action]:
        """The arguments that have a flag."""
        return [action for action in self._actions if action.option_strings]

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse the arguments.

        Raises:
            UserError: an argument is unknown, missing, or not of its type.
        """
        parsed, left = self.parse_known_args(_joined(arguments))
        if left:
            raise self._unknown(left[0])
        return parsed

    def _unknown(self, given: str) -> UserError:
        """Return an error for an unknown argument that names the flag that is probably meant."""
        flag, flags = given.partition("=")[0], self.flags
        initials = {f"--{''.join(word[0] for word in known[2:].split('-'))}": known for known in flags}
        meant = ALSO_CALLED.get(flag, initials.get(flag))
        near = [meant] if meant in flags else difflib.get_close_matches(flag, flags, n=1)
        hint = self._hints.get(flag) or (
            f"did you mean {near[0]!r}?" if near else f"{self.prog} --help-all lists all options"
        )
        return UserError(f"unknown argument {given!r}; {hint}")

    def parse_leniently(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse the arguments that are there, requiring none; `parse` must not be called afterwards."""
        for action in self._actions:
            action.required = False
            if not action.option_strings:
                action.nargs, action.default = "?", None
        return self.parse_known_args(_joined(arguments))[0]


def help_text(parser: Parser, command: ModuleType, arguments: Sequence[str], *, everything: bool) -> str:
    """Return the help of a command.

    The module of a command may define `EXAMPLES` (commands by description), `COMMON` (the flags of argument groups
    that the short help lists) and `shown`, a function that takes the parsed arguments and returns the name of the
    preset whose values are shown, and the help of each field by the `dest` of its flag.

    Args:
        parser: parser of the command.
        command: module of the command.
        arguments: arguments that were given besides the request for help.
        everything: whether to list all options in groups instead of the common ones.

    Raises:
        UserError: the preset does not exist, or it contradicts other arguments.
    """
    usage, given = _usage(parser), parser.parse_leniently(arguments)
    plugins.load(getattr(given, "imports", ()))
    of = ""
    if hasattr(command, "shown"):
        of, words = command.shown(given)
        for action in parser._actions:
            if f"--{action.dest.rpartition('.')[2].replace('_', '-')}" in action.option_strings:
                action.help = words.get(action.dest, action.help)
    for action in parser._actions:
        if action.metavar is None and action.option_strings and action.nargs != 0:
            action.metavar = _TYPES.get(action.type, "TEXT")
    width = min(shutil.get_terminal_size().columns, _WIDTH) - 2
    formatter = argparse.HelpFormatter(parser.prog, max_help_position=26, width=width)
    formatter.add_usage(usage, [], [])
    formatter.add_text(parser.description)
    positional, options, *groups = parser._action_groups
    _section(formatter, "arguments", positional._group_actions)
    _section(formatter, "options", options._group_actions)
    if of:
        formatter.add_text(f"The values in brackets below are those of {of}.")
    if everything:
        for group in groups:
            _section(formatter, str(group.title), group._group_actions)
    else:
        by_flag = {flag: action for action in parser._actions for flag in action.option_strings}
        _section(formatter, "common options", [by_flag[flag] for flag in getattr(command, "COMMON", ())])
    parts = [formatter.format_help().rstrip(), *_examples(command)]
    if parser.epilog:
        parts.append(parser.epilog)
    if groups and not everything:
        parts.append(f"{parser.prog} --help-all lists all {len(parser.flags)} options in groups.")
    return "\n\n".join(parts)


def _usage(parser: Parser) -> str:
    required = [action for action in parser._actions if action.required]
    words = [f"{action.option_strings[0]} {action.metavar or 'PATH'}" for action in required if action.option_strings]
    places = [_place(action) for action in parser._actions if not action.option_strings]
    return " ".join([parser.prog, *places, *words, "[options]"])


def _place(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest)
    several = {"+": f"{name} [{name} ...]", "*": f"[{name} ...]"}
    return several.get(str(action.nargs), name)


def _section(formatter: argparse.HelpFormatter, title: str, actions: Sequence[argparse.Action]) -> None:
    if actions:
        formatter.start_section(title)
        formatter.add_arguments(actions)
        formatter.end_section()


def _examples(command: ModuleType) -> list[str]:
    examples: Mapping[str, str] = getattr(command, "EXAMPLES", {})
    if not examples:
        return []
    return ["\n".join(["examples:", *(f"  # {words}\n  {_wrapped(example)}" for words, example in examples.items())])]


def _wrapped(command: str) -> str:
    """Break a command that is longer than a line of a terminal, so that it can still be pasted."""
    lines = textwrap.wrap(command, 75, break_long_words=False, break_on_hyphens=False)
    return " \\\n    ".join(lines)


def _joined(arguments: Sequence[str]) -> list[str]:
    """Rewrite `--flag -1e-3` as `--flag=-1e-3`, because argparse takes such a negative number for a flag."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1] and _is_negative(argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _is_negative(text: str) -> bool:
    try:
        return text.startswith("-") and float(text) <= 0
    except ValueError:
        return False
