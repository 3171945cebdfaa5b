"""Measure environments, updates or solvers of this package and of others, side by side."""

from __future__ import annotations

import argparse
from typing import Any

from mtrl_conic.cli.flags import add_imports, whole
from mtrl_conic.errors import UserError, unknown

EXAMPLES = {
    "environment steps per second, compared with Meta-World": "mtrl-conic bench env",
    "the time that balancing adds to an update": "mtrl-conic bench update --balancers pcgrad,conicgrad",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to measure, and how."""
    parser.add_argument(
        "what",
        help=(
            "what to measure: env (environment steps per second), update (a learning update), train (a whole "
            "training step), solvers (from gradients to a direction) or scaling (a step on shared rows, for growing "
            "numbers of tasks and parameters)"
        ),
    )
    parser.add_argument("--threads", type=whole, default=1, help="number of processor threads [1]")
    parser.add_argument("--seconds", type=float, default=10.0, help="env: seconds for each item [10]")
    parser.add_argument(
        "--task-sets", default="mt10", help="env: task sets among mt10, mt25 and mt50, separated by commas [mt10]"
    )
    parser.add_argument(
        "--rounds", type=whole, default=15, help="all but env: number of measurements of each item [15]"
    )
    parser.add_argument(
        "--balancers",
        help="names of balancers, or all [update, scaling: pcgrad,conicgrad; train: conicgrad; solvers: all]",
    )
    parser.add_argument(
        "--precision", help="update, train: precision of this package; the plain implementation uses float32 [float32]"
    )
    parser.add_argument("--base", help="update, train: base of the agent [update: classic; train: strong]")
    parser.add_argument(
        "--batch-size",
        type=whole,
        help="update, train: transitions per task [that of the base]; scaling: number of rows [256]",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        default=None,
        help="update, train: also compile the networks and balancers of this package",
    )
    parser.add_argument(
        "--peer", help="update: also measure the classic update in another library: jax, which must be installed"
    )
    parser.add_argument("--device", default="cpu", help="update: device: auto, cpu, cuda or cuda:N [cpu]")
    parser.add_argument("--tasks", help="scaling: numbers of tasks [2,5,10,20,40]")
    parser.add_argument(
        "--ways", help="scaling: ways to compute gradients, among representation, parameters, torchjd and single [all]"
    )
    parser.add_argument(
        "--network", help="update, train: network of this package [shared]; scaling: mlp or celeba [mlp]"
    )
    parser.add_argument(
        "--width", type=whole, help="update, train: number of units of each hidden layer [that of the base]"
    )
    add_imports(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print the table."""
    from mtrl_conic.execution.cores import check_fits_cores

    if arguments.what not in MEASURES:
        raise unknown("benchmark", arguments.what, MEASURES)
    check_fits_cores("--threads", arguments.threads)
    print(MEASURES[arguments.what](arguments))
    return 0


def _env(arguments: argparse.Namespace) -> str:
    from mtrl_conic.bench import env

    sets = arguments.task_sets.split(",")
    return "\n\n".join(env.run(name, seconds=arguments.seconds, threads=arguments.threads).table() for name in sets)


def _update(arguments: argparse.Namespace) -> str:
    from mtrl_conic.bench import update

    names = _names(arguments.balancers or "pcgrad,conicgrad")
    peers = arguments.peer.split(",") if arguments.peer else []
    options = {"rounds": arguments.rounds, "threads": arguments.threads, "peers": peers}
    return update.run(names, device=arguments.device, **options, **_fields(arguments)).table()


def _train(arguments: argparse.Namespace) -> str:
    from mtrl_conic.bench import train

    name = arguments.balancers or "conicgrad"
    return train.run(name, rounds=arguments.rounds, threads=arguments.threads, **_fields(arguments)).table()


def _fields(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {key: getattr(arguments, key) for key in ("base", "batch_size", "width", "precision", "network", "compile")}
    return {key: value for key, value in given.items() if value is not None}


def _solvers(arguments: argparse.Namespace) -> str:
    from mtrl_conic.bench import solvers

    names = _names(arguments.balancers or "all")
    return solvers.run(names, rounds=arguments.rounds, threads=arguments.threads).table()


def _scaling(arguments: argparse.Namespace) -> str:
    from mtrl_conic.bench import scaling

    options: dict[str, Any] = {"rounds": arguments.rounds, "threads": arguments.threads}
    if arguments.network:
        options["network"] = arguments.network
    if arguments.ways:
        options["ways"] = arguments.ways.split(",")
    if arguments.tasks:
        options["tasks"] = _counts("tasks", arguments.tasks)
    if arguments.batch_size:
        options["batch_size"] = arguments.batch_size
    return scaling.run(_names(arguments.balancers or "pcgrad,conicgrad"), **options).table()


def _counts(flag: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--{flag} {text}: must be whole numbers separated by commas, such as 2,10,40") from None


def _names(text: str) -> list[str]:
    from mtrl_conic import balancers

    return balancers.available() if text == "all" else text.split(",")


MEASURES = {"env": _env, "update": _update, "train": _train, "solvers": _solvers, "scaling": _scaling}
