"""Several seeds of one configuration, trained in one process: their updates are made together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.mtsac.component import Statistics
from mtrl_conic.agents.mtsac.updates import Updates
from mtrl_conic.errors import UserError
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.run import train
from mtrl_conic.training.callbacks import Callback
from mtrl_conic.training.replay import Batch
from mtrl_conic.training.trainer import Interrupted

Result = TypeVar("Result")


class Meeting:
    """Where trainers, each on a thread of its own, wait until all of them want an update.

    Those that have made the fewest updates get theirs, together: whoever was stopped earlier than the others catches
    up first. The numbers of an agent do not depend on when the others come.

    Args:
        trainers: how many will come, until they `leave`.
    """

    def __init__(self, trainers: int) -> None:
        self._trainers = trainers
        self._changed = threading.Condition()
        self._waiting: dict[MTSAC, Batch] = {}
        self._done: dict[MTSAC, Statistics | Exception] = {}
        self._of_group: dict[tuple[MTSAC, ...], Updates] = {}

    def update(self, agent: MTSAC, batch: Batch) -> Statistics:
        """`agent.update(batch)`, made when everybody is here."""
        with self._changed:
            self._waiting[agent] = batch
            self._work_if_all_are_here()
            self._changed.wait_for(lambda: agent in self._done)
            done = self._done.pop(agent)
        if isinstance(done, Exception):
            raise done
        return done

    def leave(self) -> None:
        """A trainer that does not come back."""
        with self._changed:
            self._trainers -= 1
            self._work_if_all_are_here()

    def _work_if_all_are_here(self) -> None:
        if not self._waiting or len(self._waiting) < self._trainers:
            return
        fewest = min(agent.updates for agent in self._waiting)
        agents = sorted((agent for agent in self._waiting if agent.updates == fewest), key=lambda agent: agent.seed)
        batches = [self._waiting.pop(agent) for agent in agents]
        try:
            self._done |= dict(zip(agents, self._updates(agents)(batches), strict=True))
        except Exception as error:  # it is raised in the threads that wait for the update
            self._done |= dict.fromkeys(agents, error)
        self._changed.notify_all()

    def _updates(self, agents: Sequence[MTSAC]) -> Updates:
        group = tuple(agents)
        if group not in self._of_group:
            self._of_group[group] = Updates(group)
        return self._of_group[group]


def train_together(
    config: RunConfig,
    directories: dict[int, Path],
    *,
    callbacks: Callable[[int], Sequence[Callback]] = lambda seed: (),
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[int, dict[str, Any]]:
    """Run, or go on with, one training per seed; `train` says what each is.

    Every seed has a run directory of its own, as if it were trained alone, with the same numbers up to rounding: they
    may be taken up one by one. On a GPU an update of several seeds takes little longer than one; on a processor it
    takes as long as all of them one after the other, and processes of their own are the faster way (`compare`).

    Args:
        config: of all seeds; its own seed does not count.
        directories: seed -> its run directory.
        callbacks: of a seed's run.
        interrupted: asked by every run between two steps.

    Returns:
        Seed -> the content of its `result.json`.

    Raises:
        UserError: as `train`; no seed goes on then.
        Interrupted: stopped; the same call goes on.
        Exception: a seed failed; the others were trained to their end.
    """
    if len(directories) == 1:
        (seed,) = directories
        only = config.model_copy(update={"seed": seed})
        return {seed: train(only, directories[seed], callbacks=callbacks(seed), interrupted=interrupted)}
    if config.agent.compile is True:
        raise UserError("compile=true is for one seed per process: leave it out, or train the seeds one by one")
    meeting = Meeting(len(directories))
    refused = threading.Event()

    def of_one(seed: int) -> dict[str, Any]:
        try:
            return train(
                config.model_copy(update={"seed": seed}),
                directories[seed],
                callbacks=callbacks(seed),
                interrupted=lambda: refused.is_set() or interrupted(),
                update=meeting.update,
            )
        except UserError:
            refused.set()
            raise
        finally:
            meeting.leave()

    runs = {seed: _in_background(partial(of_one, seed)) for seed in directories}
    errors = [error for run in runs.values() if (error := run.exception()) is not None]
    # Of what a seed refused or where it failed nothing must be hidden by the others that were only asked to stop.
    for error in sorted(errors, key=lambda error: isinstance(error, Interrupted)):
        raise error
    return {seed: run.result() for seed, run in runs.items()}


def _in_background(work: Callable[[], Result]) -> Future[Result]:
    """`work` on a thread that ends with the process: a pool's would keep it alive after a second Ctrl-C."""
    future: Future[Result] = Future()

    def carry_out() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # it is raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=carry_out, daemon=True).start()
    return future
