"""The options that send a run's records to other services."""

from __future__ import annotations

import argparse

_OPTIONS = ("project", "entity", "group")


def add_recorders(parser: argparse.ArgumentParser) -> None:
    """Add `--record SERVICE ...`, and the options that determine where the services file the runs."""
    group = parser.add_argument_group("records")
    group.add_argument(
        "--record",
        nargs="+",
        default=[],
        metavar="SERVICE",
        help="services that receive the records besides TensorBoard: wandb, trackio",
    )
    for option in _OPTIONS:
        words = f"{option} of the run in the services [from their own environment variables]"
        group.add_argument(f"--record-{option}", metavar="NAME", help=words)
    group.add_argument("--record-tags", nargs="+", default=[], metavar="TAG", help="tags of the run in wandb")


def again(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the same options for the command of a single run."""
    given: list[str] = []
    for option in ("record", *(f"record_{option}" for option in _OPTIONS), "record_tags"):
        value = getattr(arguments, option)
        if value:
            given += [f"--{option.replace('_', '-')}", *([value] if isinstance(value, str) else value)]
    return tuple(given)
