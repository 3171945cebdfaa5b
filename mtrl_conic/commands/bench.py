"""Measure ours beside the plain way, in one run: environments or updates."""

from __future__ import annotations

import argparse

from mtrl_conic.errors import unknown

_WHAT = ("env", "update")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, and how."""
    parser.add_argument("what", help="env: steps per second; update: seconds of one learning update")
    parser.add_argument("--threads", type=int, default=1, help="processor threads [1]")
    parser.add_argument("--seconds", type=float, default=10.0, help="env: for each item [10]")
    parser.add_argument("--rounds", type=int, default=15, help="update: measurements of each item [15]")
    parser.add_argument("--balancers", default="pcgrad,conicgrad", help="update: names, or all [pcgrad,conicgrad]")
    parser.add_argument("--batch-size", type=int, default=128, help="update: transitions per task [128]")
    parser.add_argument("--width", type=int, default=400, help="update: units of a hidden layer [400]")


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    if arguments.what == "env":
        from mtrl_conic.bench import env

        print(env.run(seconds=arguments.seconds, threads=arguments.threads).table())
    elif arguments.what == "update":
        from mtrl_conic import balancers
        from mtrl_conic.bench import update

        every = arguments.balancers == "all"
        names = balancers.available() if every else arguments.balancers.split(",")
        options = {key: getattr(arguments, key) for key in ("rounds", "batch_size", "width", "threads")}
        print(update.run(names, **options).table())
    else:
        raise unknown("benchmark", arguments.what, _WHAT)
    return 0
