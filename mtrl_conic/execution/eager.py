"""The parts of an update carried out as they are written, each when it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from mtrl_conic.execution.timing import Stopwatch
from mtrl_conic.gradients import Layout, TaskGradients, task_gradients
from mtrl_conic.gradients.ways import Losses

Value = TypeVar("Value")


class Eager:
    """Carries out an update; the other ways are subclasses, whose numbers are these up to rounding."""

    def __init__(self) -> None:
        self.watch = Stopwatch()
        """Seconds of each part."""

    def update(self, function: Callable[..., Value], *inputs: Any, made: int, **switches: bool) -> Value:
        """A whole update.

        Args:
            function: of `inputs` and `switches`. It waits for no result, and whatever state it reads or writes stays
                in the same tensors until `forget` is called.
            inputs: tensors, or tuples of them, whose shapes never change.
            made: updates before this one.
            switches: what is done in this update and not in every one.
        """
        return function(*inputs, **switches)

    def call(self, part: str, function: Callable[..., Value], *inputs: Any) -> Value:
        """The value of a function of tensors, without a graph; the time it takes is told as that of `part`."""
        with self.watch(part), torch.no_grad():
            return function(*inputs)

    def task_gradients(
        self, part: str, layout: Layout, losses: Losses, *inputs: Any, compare: bool = True
    ) -> TaskGradients:
        """See `mtrl_conic.gradients.task_gradients`; the time it takes is told as that of `part`."""
        with self.watch(part):
            return task_gradients(layout, losses, *inputs, compare=compare)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """A fused optimiser's step."""
        optimizer.step()

    def forget(self) -> None:
        """State has moved to other tensors: nothing that was made for the old ones is used again."""

    def without_recording(self) -> Eager:
        """How an update is carried out that waits for the device."""
        return self
