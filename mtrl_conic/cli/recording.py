"""The options that send a run's records to other services."""

from __future__ import annotations

import argparse

_OPTIONS = ("project", "entity", "group")


def add_recorders(parser: argparse.ArgumentParser) -> None:
    """`--record SERVICE ...`, and where the services file the runs."""
    group = parser.add_argument_group("records")
    group.add_argument(
        "--record", nargs="+", default=[], metavar="SERVICE", help="besides TensorBoard, to wandb or trackio"
    )
    for option in _OPTIONS:
        words = f"the services' {option} [as their own environment variables say]"
        group.add_argument(f"--record-{option}", metavar="NAME", help=words)
    group.add_argument("--record-tags", nargs="+", default=[], metavar="TAG", help="of the run at wandb")


def again(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The same options, for the command of a single run."""
    given: list[str] = []
    for option in ("record", *(f"record_{option}" for option in _OPTIONS), "record_tags"):
        value = getattr(arguments, option)
        if value:
            given += [f"--{option.replace('_', '-')}", *([value] if isinstance(value, str) else value)]
    return tuple(given)
