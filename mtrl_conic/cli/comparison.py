"""The execution of several runs, which `compare` and `supervised` share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mtrl_conic.cli.flags import whole
from mtrl_conic.errors import UserError, unknown

if TYPE_CHECKING:
    from rich.console import Console

    from mtrl_conic.runs.plan import Job
    from mtrl_conic.runs.pool import End

ENGINES = ("local", "ray")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the methods and seeds, the number of runs at a time, and the engine that executes them."""
    parser.add_argument(
        "--jobs", type=whole, help="number of runs at a time [one per processor core; ray: as many as fit]"
    )
    parser.add_argument(
        "--engine",
        default="local",
        help="where runs are executed: local (processes of this machine) or ray (a cluster) [local]",
    )
    ray = parser.add_argument_group("ray")
    ray.add_argument(
        "--ray-address", metavar="HOST:PORT", help="address of the cluster's head [the cluster of this machine]"
    )
    ray.add_argument(
        "--gpus-per-run",
        type=float,
        metavar="N",
        help="number of GPUs, possibly a fraction, that ray reserves for each run [0]",
    )
    parser.add_argument("--dry-run", action="store_true", help="check and list the runs without writing anything")
    methods = (
        "methods to compare, such as ls,conicgrad:c=0.9,nashmtl:update_every=50; all: every balancer with its defaults"
    )
    seeds = "seeds; every method is run with each of them"
    for plural, field, example, words in (
        ("--balancers", "balancer", "ls,conicgrad", methods),
        ("--seeds", "seed", "0,1,2", seeds),
    ):
        parser.add_argument(plural, dest=field, default=argparse.SUPPRESS, metavar=example, help=words)


def check_arguments(arguments: argparse.Namespace) -> None:
    """Check that the options of the engine fit together.

    Raises:
        UserError: an option is out of range, or does not apply to the engine.
    """
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UserError(f"--jobs {arguments.jobs}: must be at least 1")
    if arguments.engine not in ENGINES:
        raise unknown("engine", arguments.engine, ENGINES)
    if arguments.engine == "local" and (arguments.ray_address or arguments.gpus_per_run is not None):
        raise UserError("--ray-address and --gpus-per-run need --engine ray")
    if arguments.gpus_per_run is not None and arguments.gpus_per_run < 0:
        raise UserError(f"--gpus-per-run {arguments.gpus_per_run:g}: must be 0 or more")


def place(arguments: argparse.Namespace, folder: Path) -> Path:
    """Return the folder of the comparison, as an absolute path if workers of a cluster write to it."""
    return folder.resolve() if arguments.engine == "ray" else folder


def carry_out(arguments: argparse.Namespace, runs: Sequence[Job], folder: Path, conclude: Callable[[], None]) -> int:
    """Execute the runs that are not finished, or list all runs for `--dry-run`; return the exit code.

    Args:
        arguments: parsed arguments, checked by `check_arguments`.
        runs: all runs of the comparison, checked.
        folder: folder of the comparison.
        conclude: function that is called at the end if at least one run has finished.

    Raises:
        UserError: every run refused its configuration when it started; the message is that of the first.
    """
    from mtrl_conic.cli.board import Board
    from mtrl_conic.cli.interruption import asked_to_stop
    from mtrl_conic.cli.terminal import Terminal
    from mtrl_conic.execution.cores import available_cores
    from mtrl_conic.runs.checking import check_jobs
    from mtrl_conic.runs.claim import claim
    from mtrl_conic.runs.status import read_state

    console = Terminal()
    on_ray = arguments.engine == "ray"
    jobs = arguments.jobs or (len(runs) if on_ray else min(available_cores(), len(runs)))
    threads = 1 if on_ray else max(1, available_cores() // jobs)
    if not on_ray:
        check_jobs([run.config for run in runs], jobs)
    if arguments.dry_run:
        for run in runs:
            console.print(f"{run.directory}  {read_state(run.directory)}", soft_wrap=True)
        console.print(f"{len(runs)} runs, {jobs} at a time, {threads} threads each")
        return 0
    with _engine(arguments) as engine:
        unfinished = claim(runs)
        done = len(runs) - len(unfinished)
        console.print(f"{len(runs)} runs in {folder}, {done} finished, {jobs} at a time", soft_wrap=True)
        for words in _longer(run for run in runs if run not in unfinished):
            console.print(words, soft_wrap=True)
        with asked_to_stop() as interrupted, Board(console, len(runs), done) as board:
            ends = engine(unfinished, jobs=jobs, threads=threads, watcher=board, interrupted=interrupted)
    return _conclude(console, unfinished, ends, conclude)


def _longer(finished: Iterable[Job]) -> Iterator[str]:
    """Name the finished runs that were trained for longer than they are asked to now, and stay as they are."""
    from mtrl_conic.runs.stored import read_result

    for run in finished:
        done, budget = int((read_result(run.directory) or {"step": 0})["step"]), run.config.budget
        if done > budget.amount:
            yield f"{run.name} has {done:,} {budget.unit}s already, and keeps them; {budget.amount:,} were asked for"


@contextmanager
def _engine(arguments: argparse.Namespace) -> Iterator[Callable[..., dict[str, End]]]:
    """Provide the function that executes the runs."""
    if arguments.engine == "local":
        from mtrl_conic.runs.local import run_locally

        yield run_locally
        return
    from mtrl_conic.cli.entry import main
    from mtrl_conic.runs.cluster import connected, run_on_cluster

    with connected(arguments.ray_address) as ray:
        yield partial(run_on_cluster, ray, gpus=arguments.gpus_per_run or 0.0, main=main)


def _conclude(console: Console, runs: Sequence[Job], ends: dict[str, End], conclude: Callable[[], None]) -> int:
    _raise_if_refused(runs, ends)
    failed = [run for run in runs if ends.get(run.name) in ("failed", "refused")]
    for run in failed:
        console.print(f"failed: {run.name}, see {run.directory / 'error.txt'}", soft_wrap=True)
    if len([end for end in ends.values() if end != "stopped"]) < len(runs):
        console.print("Stopped. Every run that had started has a checkpoint; the same command resumes them.")
        return 1
    if len(failed) < len(runs) or not runs:
        conclude()
    return 1 if failed else 0


def _raise_if_refused(runs: Sequence[Job], ends: dict[str, End]) -> None:
    """Raise a `UserError` and remove the directories if every run was refused, because then the command is wrong."""
    if not runs or any(ends.get(run.name) != "refused" for run in runs):
        return
    from mtrl_conic.runs.claim import release
    from mtrl_conic.runs.status import read_error

    words = read_error(runs[0].directory).removeprefix("mtrl-conic: error: ")
    release(runs)
    raise UserError(words)
