"""Run balancers on toy problems with two losses in the plane, and show where each run ends."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtrl_conic.cli.flags import add_imports, whole
from mtrl_conic.errors import UserError

EXAMPLES = {
    "three methods": "mtrl-conic toy --balancers ls,pcgrad,conicgrad:c=0.75 --out toy",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to run, and the folder to write to."""
    parser.add_argument(
        "--balancers",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help="methods, separated by commas or spaces, with options as in gradops:alpha=-2; all: every balancer [all]",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the trajectories, the pictures and the table"
    )
    parser.add_argument("--problems", default="", metavar="NAMES", help="names of problems, separated by commas [all]")
    parser.add_argument("--steps", type=whole, help="number of steps of Adam [that of the problem, 20,000 or 50,000]")
    parser.add_argument("--seed", type=whole, default=0, help="seed of the balancers [0]")
    parser.add_argument(
        "--preferences",
        type=whole,
        metavar="N",
        help="trace the Pareto front: run each balancer with N preferences",
    )
    parser.add_argument(
        "--vectors", action="store_true", help="draw the update vectors of two and of three tasks instead"
    )
    add_imports(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the balancers, write the files, and print the table."""
    from mtrl_conic.cli.terminal import say
    from mtrl_conic.toy import comparison, vectors
    from mtrl_conic.toy.fronts import over_preferences
    from mtrl_conic.toy.problems import PROBLEMS

    text = ",".join(arguments.balancers)
    if arguments.preferences is not None:
        methods = over_preferences(["all"] if text == "all" else _labels(text), arguments.preferences)
    else:
        methods = _labels(text)
    if arguments.vectors:
        for name in ("problems", "steps", "preferences"):
            if getattr(arguments, name):
                raise UserError(f"--vectors draws updates for given gradients and takes no --{name}")
        print(vectors.run(methods, arguments.out, seed=arguments.seed))
        say(f"pictures and table: {arguments.out}")
        return 0
    table = comparison.run(
        methods,
        arguments.out,
        problems=[name.strip() for name in arguments.problems.split(",")] if arguments.problems else tuple(PROBLEMS),
        steps=arguments.steps,
        seed=arguments.seed,
        each=lambda done: say(f"{done.problem.name}: {done.label}"),
    )
    print(table)
    say(f"pictures and trajectories: {arguments.out}")
    return 0


def _labels(text: str) -> list[str]:
    from mtrl_conic.balancers import label, parse_methods

    return [label(*method) for method in parse_methods(text)]
