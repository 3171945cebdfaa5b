"""The command line: `mtrl-conic COMMAND ...`. A command's own imports wait until it is called."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from typing_extensions import override

from mtrl_conic import plugins
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.escaping import one_line

COMMANDS = {
    "train": "train an agent on a task set; the same command again resumes",
    "compare": "train balancers x seeds x any other list; the same command again goes on",
    "runs": "list runs and what has become of them",
    "watch": "one run's live view",
    "report": "one page of evidence from runs: tables, curves, cost",
    "evaluate": "success of a run's agent, or of a random or scripted policy",
    "video": "one video of all tasks of a run, success marked",
    "export": "write a run's policy as safetensors, with a model card; ONNX where it is installed",
    "describe": "the parameters of a preset's networks: whose they are, how many",
    "networks": "list the networks: what tasks share in each, and its options",
    "balancers": "list the balancers, their papers and options",
    "toy": "balancers on toy problems in the plane: trajectories, pictures, who arrives",
    "supervised": "balancers on supervised problems: census, recommendation, scenes, faces, your own table",
    "bench": "measure environments, updates or solvers beside others",
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


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
    try:
        return _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except UserError as error:
        print(f"mtrl-conic: error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mtrl-conic: stopped", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output is gone, `| head` say; there is nobody left to tell.
        sys.stderr.close()
        return 1


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        from mtrl_conic import __version__

        print(__version__)
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    command = import_module(f"mtrl_conic.cli.{name}")
    for argument in rest:
        if argument.startswith("--") and argument.endswith("=--"):
            raise UserError(f"{argument}: -- is no value")  # argparse would take it for none at all
    parser = _Parser(prog=f"mtrl-conic {name}", description=command.__doc__, allow_abbrev=False)
    command.add_arguments(parser)
    parsed, left = parser.parse_known_args(_joined(rest))
    if left:
        raise unknown("argument", left[0], [flag for action in parser._actions for flag in action.option_strings])
    if "--import" in parser._option_string_actions:
        plugins.load_installed()
        plugins.load(getattr(parsed, "imports", ()))
    code: int = command.run(parsed)
    return code


def _joined(arguments: Sequence[str]) -> list[str]:
    """`--flag -1e-3` as `--flag=-1e-3`: argparse takes a negative number in this form for a flag."""
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
            "mtrl-conic COMMAND --help tells the options of a command.",
        ]
    )
