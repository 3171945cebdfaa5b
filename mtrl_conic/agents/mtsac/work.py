"""The heavy parts of an update, asked for by an agent and done for it alone or for several seeds together."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, vmap

from mtrl_conic.execution.compiled import Compiled
from mtrl_conic.execution.timing import Stopwatch
from mtrl_conic.gradients import Layout, TaskGradients, gradients_together, stack, take, task_gradients
from mtrl_conic.gradients.task_gradients import Losses

Cache = dict[Any, Compiled]
"""Compiled works by part and kind."""


@dataclass(frozen=True)
class Values:
    """A function of networks and inputs, without gradients."""

    part: str
    """What its time is told as."""
    networks: tuple[Layout, ...]
    """All that `function` uses."""
    function: Callable[..., Any]
    inputs: tuple[Any, ...]

    def alone(self) -> Any:
        """The function's value."""
        with torch.no_grad():
            return self.function(*self.inputs)

    def compiled(self, cache: Cache) -> Any:
        """The same, compiled at the first of these works of a part."""
        if self.part not in cache:
            cache[self.part] = Compiled(self._pure)
        return cache[self.part](tuple(network.all_values() for network in self.networks), self.inputs)

    def _pure(self, values: tuple[dict[str, Tensor], ...], inputs: tuple[Any, ...]) -> Any:
        with ExitStack() as swapped:
            for network, its_values in zip(self.networks, values, strict=True):
                swapped.enter_context(network.swapped(its_values))
            return self.function(*inputs)

    @classmethod
    def together(cls, asked: Sequence[Values]) -> list[Any]:
        """The value of each."""
        with torch.no_grad():
            networks = [tuple(network.all_values() for network in each.networks) for each in asked]
            found = vmap(asked[0]._pure)(stack(networks), stack([each.inputs for each in asked]))
        return [take(found, place) for place in range(len(asked))]


@dataclass(frozen=True)
class Gradients:
    """The gradients of K losses of a network."""

    part: str
    """What their time is told as."""
    network: Layout
    losses: Losses
    """See `task_gradients`."""
    inputs: tuple[Any, ...]
    compare: bool
    others: tuple[Layout, ...] = ()
    """Networks that `losses` uses besides, one at most."""

    def alone(self) -> TaskGradients:
        """The gradients."""
        return task_gradients(self.network, self.losses, *self.inputs, compare=self.compare)

    def compiled(self, cache: Cache) -> TaskGradients:
        """The same, compiled at the first of these works of a part."""
        key = self.part, self.compare
        if key not in cache:
            cache[key] = Compiled(self._pure)
        values = tuple(network.all_values() for network in (self.network, *self.others))
        return TaskGradients(*cache[key](values, self.inputs))

    def _pure(self, values: tuple[dict[str, Tensor], ...], inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        with ExitStack() as swapped:
            for network, its_values in zip((self.network, *self.others), values, strict=True):
                swapped.enter_context(network.swapped(its_values))
            gradients = task_gradients(self.network, self.losses, *inputs, compare=self.compare)
        return gradients.losses, gradients.extra, gradients.parts, gradients.own, gradients.averaged

    @classmethod
    def together(cls, asked: Sequence[Gradients]) -> list[TaskGradients]:
        """The gradients of each."""
        first = asked[0]
        if not first.network.native:
            return [each.alone() for each in asked]
        return gradients_together(
            [each.network for each in asked],
            first.losses,
            [each.inputs for each in asked],
            compare=first.compare,
            others=[other for each in asked for other in each.others],
        )


Work = Values | Gradients
Made = TypeVar("Made")
Steps = Generator[Work, Any, Made]
"""What an update does: it yields the work it wants done, is sent what came of it, and returns what it made."""


def work_alone(steps: Steps[Made], watch: Stopwatch, cache: Cache | None = None) -> Made:
    """One agent's update, or a part of it; with a `cache` each work is compiled when it comes first."""
    try:
        work = next(steps)
        while True:
            with watch(work.part):
                result = work.alone() if cache is None else work.compiled(cache)
            work = steps.send(result)
    except StopIteration as end:
        made: Made = end.value
        return made


def work_together(all_steps: Sequence[Steps[Made]], watches: Sequence[Stopwatch]) -> list[Made]:
    """The updates of agents that differ in their seed alone: all of them ask for the same work at the same time.

    Each agent's watch is told the whole time of what was done together.
    """
    results: list[Any] = [None] * len(all_steps)
    while True:
        asked, ended = [], []
        for steps, result in zip(all_steps, results, strict=True):
            try:
                asked.append(steps.send(result))
            except StopIteration as end:
                ended.append(end.value)
        if ended:
            return ended
        start = time.perf_counter()
        results = type(asked[0]).together(asked)  # type: ignore[arg-type]  # all are of one kind
        for watch in watches:
            watch.seconds[asked[0].part] += time.perf_counter() - start
