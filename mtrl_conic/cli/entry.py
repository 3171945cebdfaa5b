"""The command line: `mtrl-conic COMMAND ...`. The module of a command is imported when the command is called."""

from __future__ import annotations

import errno
import io
import logging
import os
import platform
import sys
from collections.abc import Sequence
from importlib import import_module

from typing_extensions import override

from mtrl_conic import plugins, workers
from mtrl_conic.cli.parser import Parser, help_text
from mtrl_conic.errors import Failed, UserError, unknown
from mtrl_conic.escaping import one_line

COMMANDS = {
    "train": "train an agent on a task set; the same command resumes the run",
    "compare": "train several methods and seeds; the same command resumes them",
    "runs": "list runs and their states",
    "watch": "show the progress of a run",
    "report": "write a report of runs: tables, curves, cost",
    "evaluate": "evaluate a run's agent, or a random or scripted policy",
    "video": "write a video of all tasks of a run",
    "export": "write a run's policy as safetensors with a model card, or as ONNX",
    "describe": "list the parameters of a preset's networks, shared and per task",
    "networks": "list the networks with their shared parameters and options",
    "balancers": "list the balancers with their papers and options",
    "toy": "run balancers on toy problems in the plane; draw trajectories",
    "supervised": "compare balancers on supervised problems or your own table",
    "bench": "measure environments, updates or solvers, compared with others",
    "completion": "print the script that completes commands in bash, zsh or fish",
}
_HELP = ("-h", "--help", "--help-all")
_FLAGS = {"version": "--version", "help": "--help"}
"""Names that are commands of other programs and flags of this one."""
_GRACE_SECONDS = 60.0
"""For a run to write its checkpoint once the comparison that started it is gone."""


class _Plain(logging.Formatter):
    """Keeps a warning on one line."""

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        return one_line(super().formatMessage(record))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 the input was wrong, 1 anything else."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name of a file may be no text
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Plain())  # where nobody has said how warnings are shown
    parent = os.environ.pop(workers.PARENT, None)  # whom this process starts has another one
    if parent is not None:
        workers.end_with(int(parent), grace=_GRACE_SECONDS)
    try:
        return _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except (UserError, Failed) as error:
        print(f"mtrl-conic: {_red('error:')} {one_line(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    except KeyboardInterrupt:
        print("mtrl-conic: stopped", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output is gone, `| head` say; there is nobody left to tell.
        sys.stderr.close()
        return 1
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # any argument may be one, and the first to ask of it may be anyone
            raise
        print(f"mtrl-conic: {_red('error:')} {one_line(str(error))}", file=sys.stderr)
        return 2


def _red(word: str) -> str:
    """On a terminal, unless its user wants no colours (https://no-color.org)."""
    return f"\x1b[31m{word}\x1b[0m" if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else word


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        print(_version())
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        if name in _FLAGS:
            raise UserError(f"unknown command {name!r}; did you mean {_FLAGS[name]!r}?")
        raise unknown("command", name, COMMANDS)
    command = import_module(f"mtrl_conic.cli.{name}")
    for argument in rest:
        if argument.startswith("--") and argument.endswith("=--"):
            raise UserError(f"{argument}: -- is no value")  # argparse would take it for none at all
    parser = Parser(name, command)
    asked = [argument for argument in rest if argument in _HELP]
    if asked:
        others = [argument for argument in rest if argument not in _HELP]
        print(help_text(parser, command, others, everything="--help-all" in asked))
        return 0
    parsed = parser.parse(rest)
    if "--import" in parser.flags:
        plugins.load_installed()
        plugins.load(getattr(parsed, "imports", ()))
    code: int = command.run(parsed)
    return code


def _version() -> str:
    """Of this package, and of what its numbers depend on; none of them is imported for it."""
    from importlib.metadata import version

    from mtrl_conic import __version__

    others = ", ".join(f"{package} {version(package)}" for package in ("torch", "metaworld", "mujoco", "numpy"))
    return f"mtrl-conic {__version__}\nPython {platform.python_version()}, {others}, {platform.platform()}"


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: mtrl-conic COMMAND ...",
            "",
            "Multi-task reinforcement learning with a choice of gradient balancers.",
            "",
            *lines,
            "",
            "mtrl-conic COMMAND --help      examples and common options; --help-all: all",
            "mtrl-conic --version           versions of this package, torch and Meta-World",
        ]
    )
