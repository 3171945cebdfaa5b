"""Print the script that completes commands, flags and names in bash, zsh or fish."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

from mtrl_conic.cli.parser import Parser
from mtrl_conic.errors import unknown

SHELLS = ("bash", "zsh", "fish")
EXAMPLES = {
    "in ~/.bashrc": 'eval "$(mtrl-conic completion bash)"',
    "in ~/.zshrc": 'eval "$(mtrl-conic completion zsh)"',
    "in ~/.config/fish/config.fish": "mtrl-conic completion fish | source",
}


class Words(NamedTuple):
    """The words that a command line may contain."""

    commands: Mapping[str, str]
    """The description of each command."""
    first: Mapping[str, Sequence[str]]
    """The known values of a command's first argument, by command."""
    flags: Mapping[str, Sequence[str]]
    """The flags of each command."""
    values: Mapping[str, Sequence[str]]
    """The known values of a flag, by flag."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shell."""
    parser.add_argument("shell", help=", ".join(SHELLS))


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    if arguments.shell not in SHELLS:
        raise unknown("shell", arguments.shell, SHELLS)
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[arguments.shell](_words()))
    return 0


def _words() -> Words:
    from mtrl_conic import balancers, networks
    from mtrl_conic.cli.bench import MEASURES
    from mtrl_conic.cli.entry import COMMANDS
    from mtrl_conic.runs.config import preset_names
    from mtrl_conic.supervised.problems import available

    parsers = {name: Parser(name, import_module(f"mtrl_conic.cli.{name}")) for name in COMMANDS}
    values = {}
    for parser in parsers.values():
        for action in parser.options:
            words = [word for word in str(action.metavar).split("|") if word.islower()]
            if words and "|" in str(action.metavar):
                values.update(dict.fromkeys(action.option_strings, words))
    methods = dict.fromkeys(("--balancer", "--balancers", "--baseline", "--cite"), balancers.available())
    presets = dict.fromkeys(("train", "compare", "describe"), preset_names())
    return Words(
        commands=COMMANDS,
        first={**presets, "supervised": available(), "bench": list(MEASURES), "completion": SHELLS},
        flags={name: [*parser.flags, "--help", "--help-all"] for name, parser in parsers.items()},
        values={**values, **methods, "--network": networks.available()},
    )


def _bash(words: Words) -> str:
    values = [f"    {flag}) words={_quoted(names)} ;;" for flag, names in words.values.items()]
    commands = [
        f"    {name}) flags={_quoted(words.flags[name])}; first={_quoted(words.first.get(name, ()))} ;;"
        for name in words.commands
    ]
    return "\n".join(
        [
            "_mtrl_conic() {",
            '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words="" flags="" first=""',
            '  case "$before" in',
            *values,
            "  esac",
            '  case "${COMP_WORDS[1]}" in',
            *commands,
            "  esac",
            '  if [ "$COMP_CWORD" -eq 1 ]; then',
            f"    words={_quoted([*words.commands, '--help', '--version'])}",
            '  elif [ "${word#-}" != "$word" ]; then',
            '    words="$flags"',
            '  elif [ "$COMP_CWORD" -eq 2 ] && [ -z "$words" ]; then',
            '    words="$first"',
            "  fi",
            '  COMPREPLY=($(compgen -W "$words" -- "$word"))',
            "}",
            "complete -o default -F _mtrl_conic mtrl-conic",
        ]
    )


def _zsh(words: Words) -> str:
    return f"autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n{_bash(words)}"


def _fish(words: Words) -> str:
    lines = [
        f"complete -c mtrl-conic -n __fish_use_subcommand -f -a {name} -d {shlex.quote(what)}"
        for name, what in words.commands.items()
    ]
    for name, flags in words.flags.items():
        within = f"complete -c mtrl-conic -n '__fish_seen_subcommand_from {name}'"
        if name in words.first:
            lines.append(f"{within} -a {_quoted(words.first[name])}")
        for flag in flags:
            if flag.startswith("--"):
                names = words.values.get(flag)
                lines.append(f"{within} -l {flag[2:]}" + (f" -x -a {_quoted(names)}" if names else ""))
    return "\n".join(lines)


def _quoted(names: Sequence[str]) -> str:
    return shlex.quote(" ".join(names))
