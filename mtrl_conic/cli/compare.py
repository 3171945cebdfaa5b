"""Train many runs: every field given as a list is compared. The same command again goes on."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mtrl_conic.cli.flags import add_fields, given_run
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.runs.config import RunConfig, preset_names
from mtrl_conic.runs.grid import PlannedRun, plan

if TYPE_CHECKING:
    from rich.console import Console

    from mtrl_conic.runs.pool import End

ENGINES = ("local", "ray")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A preset, where to write, how many at a time, and every field of the configuration."""
    parser.add_argument("preset", help=f"{', '.join(preset_names())}, or a YAML file")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the comparison: <balancer>/seed_<n> below it"
    )
    parser.add_argument("--jobs", type=int, help="runs at a time [one per processor core; ray: what there is room for]")
    parser.add_argument("--engine", default="local", help="local: processes of this machine; ray: a cluster [local]")
    parser.add_argument("--ray-address", metavar="HOST:PORT", help="of the cluster's head [the one on this machine]")
    parser.add_argument("--gpus-per-run", type=float, metavar="N", help="reserved by ray, or a part of one [0]")
    parser.add_argument("--dry-run", action="store_true", help="check and list the runs, and write nothing")
    for plural, field, example in (("--balancers", "balancer", "ls,conicgrad"), ("--seeds", "seed", "0,1,2")):
        words = f"the same as --{field} {example}" + ("; all: every balancer" if field == "balancer" else "")
        parser.add_argument(plural, dest=field, default=argparse.SUPPRESS, metavar=example, help=words)
    add_fields(parser, RunConfig)
    parser.epilog = "Any field that takes a single value may be given several, a,b,c: each combination is a run."


def run(arguments: argparse.Namespace) -> int:
    """Check all, train what is not finished, say how to go on."""
    runs = _planned(arguments)
    from rich.console import Console

    from mtrl_conic.cli.board import Board
    from mtrl_conic.cli.interruption import asked_to_stop
    from mtrl_conic.execution.cores import available_cores
    from mtrl_conic.runs.claim import claim
    from mtrl_conic.runs.status import read_state

    console = Console(highlight=False, markup=False)
    on_ray = arguments.engine == "ray"
    jobs = arguments.jobs or (len(runs) if on_ray else min(available_cores(), len(runs)))
    threads = 1 if on_ray else max(1, available_cores() // jobs)
    if arguments.dry_run:
        for planned in runs:
            console.print(f"{planned.directory}  {read_state(planned.directory)}", soft_wrap=True)
        console.print(f"{len(runs)} runs, {jobs} at a time, {threads} threads each")
        return 0
    with _engine(arguments) as carry_out:
        unfinished = claim(runs)
        console.print(f"{len(runs)} runs in {arguments.out}, {len(runs) - len(unfinished)} finished, {jobs} at a time")
        with asked_to_stop() as interrupted, Board(console, len(runs), len(runs) - len(unfinished)) as board:
            ends = carry_out(unfinished, jobs=jobs, threads=threads, watcher=board, interrupted=interrupted)
    return _conclude(console, arguments.out, unfinished, ends)


@contextmanager
def _engine(arguments: argparse.Namespace) -> Iterator[Callable[..., dict[str, End]]]:
    """What carries the runs out."""
    if arguments.engine == "local":
        from mtrl_conic.runs.local import run_locally

        yield run_locally
        return
    from mtrl_conic.runs.cluster import connected, run_on_cluster

    with connected(arguments.ray_address) as ray:
        yield partial(run_on_cluster, ray, gpus=arguments.gpus_per_run or 0.0)


def _planned(arguments: argparse.Namespace) -> list[PlannedRun]:
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UserError(f"--jobs {arguments.jobs}: at least 1")
    if arguments.engine not in ENGINES:
        raise unknown("engine", arguments.engine, ENGINES)
    if arguments.engine == "local" and (arguments.ray_address or arguments.gpus_per_run is not None):
        raise UserError("--ray-address and --gpus-per-run go with --engine ray")
    if arguments.gpus_per_run is not None and arguments.gpus_per_run < 0:
        raise UserError(f"--gpus-per-run {arguments.gpus_per_run:g}: 0 or more")
    given = given_run(arguments, many=True)
    if given.get("balancer") == "all":
        from mtrl_conic import balancers

        given["balancer"] = balancers.available()
    # Workers of a cluster have working directories of their own.
    runs = plan(arguments.preset, given, arguments.out.resolve() if arguments.engine == "ray" else arguments.out)
    from mtrl_conic.runs.run import check

    for planned in runs:
        check(planned.config)
    return runs


def _conclude(console: Console, folder: Path, runs: Sequence[PlannedRun], ends: dict[str, End]) -> int:
    failed = [run for run in runs if ends.get(run.name) == "failed"]
    for run in failed:
        console.print(f"failed: {run.name}, see {run.directory / 'error.txt'}", soft_wrap=True)
    if len([end for end in ends.values() if end in ("finished", "failed")]) < len(runs):
        console.print("Stopped. Every run that had started has a checkpoint; the same command goes on.")
        return 1
    if len(failed) < len(runs) or not runs:
        console.print(f"Done. Next: mtrl-conic report {folder} --out report.html")
    return 1 if failed else 0
