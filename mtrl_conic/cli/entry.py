"""The entry point, `mtrl-conic COMMAND ...`; it imports the module of a command when the command is called."""

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
    "bench": "measure environments, updates or solvers, and compare with others",
    "completion": "print the script that completes commands in bash, zsh or fish",
}
_HELP = ("-h", "--help", "--help-all")
_FLAGS = {"version": "--version", "help": "--help"}
"""Names that other programs use as commands, and the flags of this one that do the same."""
_GRACE_SECONDS = 60.0
"""The time a run has to write its checkpoint after the comparison that started it has ended."""


class _Plain(logging.Formatter):
    """Keeps a warning on one line."""

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        return one_line(super().formatMessage(record))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 for success, 2 for wrong input, 1 for anything else."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be valid text
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Plain())  # applies where logging is not configured
    parent = os.environ.pop(workers.PARENT, None)  # not inherited: this process is the parent of those it starts
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
        # The reader of the output has ended, as in `| head`: there is no one to report to.
        sys.stderr.close()
        return 1
    except OSError as error:
        # An argument used as a path may be too long, and any code may be the first to use it.
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(f"mtrl-conic: {_red('error:')} {one_line(str(error))}", file=sys.stderr)
        return 2


def _red(word: str) -> str:
    """Colour a word red on a terminal, unless NO_COLOR is set (https://no-color.org)."""
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
            raise UserError(f"{argument}: -- is not a value")  # argparse would drop it without an error
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
    """Return the versions of this package and of those that results depend on, without importing them."""
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
            "mtrl-conic COMMAND --help      show examples and common options",
            "mtrl-conic COMMAND --help-all  show all options",
            "mtrl-conic --version           show the versions of this package, torch, ...",
        ]
    )
