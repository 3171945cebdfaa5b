"""Eager execution of an update: each part runs when it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from mtrl_conic.balancers import Balancer
from mtrl_conic.execution.timing import Stopwatch
from mtrl_conic.gradients import Layout, TaskGradients, task_gradients
from mtrl_conic.gradients.calls import Losses

Value = TypeVar("Value")
Tensors = dict[str, Tensor]


class Eager:
    """Executes an update eagerly; subclasses execute it in other ways, with equal numbers up to rounding."""

    def __init__(self) -> None:
        self.watch = Stopwatch()
        """Seconds of each part."""

    def update(self, function: Callable[..., Value], *inputs: Any, made: int, **switches: bool) -> Value:
        """Execute a whole update.

        Args:
            function: a function of `inputs` and `switches`. It must not wait for a result, and must keep its state in
                the same tensors until `forget` is called.
            inputs: tensors, or tuples of them.
            made: number of updates before this one.
            switches: optional parts that are included in this update.
        """
        return function(*inputs, **switches)

    def call(self, part: str, function: Callable[..., Value], *inputs: Any) -> Value:
        """Call a function of tensors without an autograd graph; its time is attributed to `part`."""
        with self.watch(part), torch.no_grad():
            return function(*inputs)

    def task_gradients(
        self, part: str, layout: Layout, losses: Losses, *inputs: Any, compare: bool = True
    ) -> TaskGradients:
        """Call `mtrl_conic.gradients.task_gradients`; its time is attributed to `part`."""
        with self.watch(part):
            return task_gradients(layout, losses, *inputs, compare=compare)

    def balance(self, part: str, gradients: TaskGradients, balancer: Balancer) -> tuple[Tensors, Tensors]:
        """Call `gradients.balance`; `part` is the component whose balancer it is."""
        return gradients.balance(balancer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Make a step of a fused optimiser."""
        optimizer.step()

    def forget(self) -> None:
        """Discard everything that was built for the previous state tensors, because the state has moved to others."""

    def without_recording(self) -> Eager:
        """Return the strategy for updates that wait for the device."""
        return self
