"""Balancers on toy problems of two losses in the plane: where each goes, and who arrives."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtrl_conic.cli.flags import add_imports


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to run, and where to write."""
    parser.add_argument(
        "--balancers",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help="names separated by commas or blanks, all for all of them; options as gradops:alpha=-2 [all]",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for trajectories, pictures and the table")
    parser.add_argument("--problems", default="", metavar="NAMES", help="separated by commas [all]")
    parser.add_argument("--steps", type=int, help="of Adam [the problem's own, 20,000 or 50,000]")
    parser.add_argument("--seed", type=int, default=0, help="of the balancers [0]")
    add_imports(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run, write, and print the table."""
    from mtrl_conic.cli.display import say
    from mtrl_conic.toy import comparison
    from mtrl_conic.toy.problems import PROBLEMS

    names = [name for part in arguments.balancers for name in _names(part)]
    table = comparison.run(
        names,
        arguments.out,
        problems=arguments.problems.split(",") if arguments.problems else tuple(PROBLEMS),
        steps=arguments.steps,
        seed=arguments.seed,
        each=lambda done: say(f"{done.problem.name}: {done.label}"),
    )
    print(table)
    say(f"pictures and trajectories: {arguments.out}")
    return 0


def _names(part: str) -> list[str]:
    """`ls,pcgrad` is two names, `cagrad:c=0.4,rescale=none` one: a part with `=` belongs to the name before."""
    names: list[str] = []
    for piece in part.split(","):
        if names and "=" in piece and ":" not in piece:
            names[-1] += f",{piece}"
        else:
            names.append(piece)
    return names
