"""Measure ours beside others, in one run: environments, updates or solvers."""

from __future__ import annotations

import argparse

from mtrl_conic.errors import unknown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, and how."""
    parser.add_argument(
        "what", help="env: steps per second; update: a learning update; solvers: gradients to direction"
    )
    parser.add_argument("--threads", type=int, default=1, help="processor threads [1]")
    parser.add_argument("--seconds", type=float, default=10.0, help="env: for each item [10]")
    parser.add_argument("--rounds", type=int, default=15, help="update, solvers: measurements of each item [15]")
    parser.add_argument("--balancers", help="names, or all [update: pcgrad,conicgrad; solvers: all]")
    parser.add_argument("--batch-size", type=int, default=128, help="update: transitions per task [128]")
    parser.add_argument("--width", type=int, default=400, help="update: units of a hidden layer [400]")


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    if arguments.what not in _MEASURE:
        raise unknown("benchmark", arguments.what, _MEASURE)
    print(_MEASURE[arguments.what](arguments))
    return 0


def _env(arguments: argparse.Namespace) -> str:
    from mtrl_conic.bench import env

    return env.run(seconds=arguments.seconds, threads=arguments.threads).table()


def _update(arguments: argparse.Namespace) -> str:
    from mtrl_conic.bench import update

    options = {key: getattr(arguments, key) for key in ("rounds", "batch_size", "width", "threads")}
    return update.run(_names(arguments.balancers or "pcgrad,conicgrad"), **options).table()


def _solvers(arguments: argparse.Namespace) -> str:
    from mtrl_conic.bench import solvers

    names = _names(arguments.balancers or "all")
    return solvers.run(names, rounds=arguments.rounds, threads=arguments.threads).table()


def _names(text: str) -> list[str]:
    from mtrl_conic import balancers

    return balancers.available() if text == "all" else text.split(",")


_MEASURE = {"env": _env, "update": _update, "solvers": _solvers}
