"""Many supervised runs: methods x seeds, in one folder."""

from __future__ import annotations

import multiprocessing
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import torch

from mtrl_conic.balancers import label
from mtrl_conic.supervised.config import SupervisedConfig, complete
from mtrl_conic.supervised.training import Interrupted, Listener, Record, train


@dataclass(frozen=True)
class PlannedRun:
    """A run and where it is kept, `<folder>/<method>/seed_<n>`."""

    directory: Path
    config: SupervisedConfig

    @property
    def name(self) -> str:
        """For a person."""
        return f"{self.config.method}, seed {self.config.seed}"


def plan(
    values: Mapping[str, Any], methods: Sequence[tuple[str, dict[str, Any]]], seeds: Sequence[int], folder: Path
) -> list[PlannedRun]:
    """The runs of a comparison, all methods of a seed before the next seed.

    Args:
        values: of a `SupervisedConfig`, the same for all.
        methods: names and options.
        seeds: of the runs.
        folder: of the comparison.

    Raises:
        UserError: a value that does not fit, before anything is written.
    """
    return [
        PlannedRun(
            folder / re.sub(r"[^\w.=+,-]", "_", label(name, options)) / f"seed_{seed}",
            complete({**values, "balancer": name, "balancer_options": options, "seed": seed}),
        )
        for seed in seeds
        for name, options in methods
    ]


def run_all(
    runs: Sequence[PlannedRun], *, jobs: int, listener: Listener, interrupted: Callable[[], bool]
) -> Iterator[tuple[PlannedRun, Record]]:
    """Train runs, `jobs` at a time; yields each with its result as it is finished.

    Args:
        runs: not finished.
        jobs: 1 trains in this process; more takes as many processes of one thread each.
        listener: called after every epoch, in this process's runs alone.
        interrupted: a yes ends all runs at their last finished epoch.

    Raises:
        Interrupted: it was.
    """
    if jobs == 1:
        for run in runs:
            yield run, train(run.config, run.directory, listener=listener, interrupted=interrupted)
        return
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare, initargs=(stop,)) as pool:
        futures = {pool.submit(_train, run): run for run in runs}
        try:
            waiting = set(futures)
            while waiting:
                if interrupted():
                    raise Interrupted
                done = {future for future in waiting if future.done()}
                for future in done:
                    yield futures[future], future.result()
                waiting -= done
                stop.wait(0 if done else 0.2)
        finally:
            stop.set()
            for future in futures:
                future.cancel()


_stop: Event | None = None


def _prepare(stop: Event) -> None:
    """In a process of the pool: Ctrl-C is the parent's to handle."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _train(run: PlannedRun) -> Record:
    assert _stop is not None
    torch.set_num_threads(run.config.threads or 1)
    return train(run.config, run.directory, interrupted=_stop.is_set)
