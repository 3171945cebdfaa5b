"""The gradients of K per-task losses, in one backward, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mtrl_conic.balancers import Balancer
from mtrl_conic.gradients.blocks import Blocks, split
from mtrl_conic.gradients.factors import Part, chosen, one_after_another
from mtrl_conic.gradients.layout import Layout
from mtrl_conic.gradients.present import combine_present
from mtrl_conic.gradients.ways import Losses, compute


@dataclass(frozen=True)
class TaskGradients:
    """Per-task gradients by parameter: no flat Jacobian is ever built unless asked for."""

    losses: Tensor
    """(K,)"""
    extra: Any
    """What the loss function returned besides, detached."""
    parts: Mapping[str, Part]
    """Name of a shared parameter of shape S -> the gradient of each task's loss: (K, *S), or factors of that."""
    own: dict[str, Tensor]
    """Name of a task layer's parameter (K, *S) -> (K, *S): row k is the plain gradient of loss k."""
    averaged: Mapping[str, Part] = field(default_factory=dict)
    """Like `parts`, for shared parameters that are left out of the balancing: they get the mean."""
    present: Sequence[int] | None = None
    """The tasks whose gradients are combined, where the batch lacks some: the others' are zero. None: all."""

    @classmethod
    def of(
        cls,
        layout: Layout,
        losses: Tensor,
        extra: Any,
        shared: Mapping[str, Part],
        own: dict[str, Tensor],
    ) -> TaskGradients:
        """The gradients of a layout's shared parameters, all together, and of the tasks' own."""
        return cls(
            losses=losses.detach(),
            extra=pytree.tree_map_only(Tensor, torch.detach, extra),
            parts={name: part for name, part in shared.items() if name in layout.balanced},
            averaged={name: part for name, part in shared.items() if name not in layout.balanced},
            own=own,
        )

    def among(self, present: Sequence[int]) -> TaskGradients:
        """The same gradients, of which only those of the tasks `present` are combined."""
        return replace(self, present=present)

    @classmethod
    def joined(cls, batches: Sequence[TaskGradients]) -> TaskGradients:
        """The gradients of several batches as those of so many times K losses, the first batch's before the second's.

        What is no gradient of a shared parameter is the mean over the batches.
        """
        if len(batches) == 1:
            return batches[0]
        return cls(
            losses=torch.cat([each.losses for each in batches]),
            extra=pytree.tree_map(_mean, *(each.extra for each in batches)),
            parts=_joined([each.parts for each in batches]),
            own={name: _mean(*(each.own[name] for each in batches)) for name in batches[0].own},
            averaged=_joined([each.averaged for each in batches]),
        )

    @cached_property
    def shared(self) -> dict[str, Tensor]:
        """Name of a shared parameter of shape S -> (K, *S), the gradient of each task's loss, multiplied out."""
        return {name: part if isinstance(part, Tensor) else part.product() for name, part in self.parts.items()}

    @cached_property
    def gramian(self) -> Tensor:
        """(K, K) float64: inner products of the tasks' gradients of the shared parameters."""
        num_tasks = len(self.losses)
        total = torch.zeros(num_tasks, num_tasks, dtype=torch.float64, device=self.losses.device)
        return sum(self._blocks.gramians(), total)

    @cached_property
    def _blocks(self) -> Blocks:
        return Blocks(self.parts)

    def jacobian(self) -> Tensor:
        """(K, P): all gradients side by side, a copy."""
        nothing = self.losses.new_empty(len(self.losses), 0)
        return torch.cat([nothing, *(block.flatten(1) for block in self.shared.values())], dim=1)

    def combine(self, weights: Tensor) -> dict[str, Tensor]:
        """Name of a shared parameter -> the weighted sum of its K gradients; `weights` is (K,)."""
        return self._blocks.combine(weights)

    def unflatten(self, direction: Tensor) -> dict[str, Tensor]:
        """Name of a shared parameter -> its part of a vector (P,), as `jacobian` lays them side by side."""
        return split(direction, self.shared)

    def write(self, module: nn.Module, balancer: Balancer) -> dict[str, Tensor]:
        """Let the balancer decide and fill the `.grad` of every parameter of `module`.

        Returns:
            The balancer's statistics, and its weights (K,) as `weight` where it has any.
        """
        direction, statistics = self.balance(balancer)
        self.fill(module, direction)
        return statistics

    def balance(self, balancer: Balancer) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Name of a shared parameter -> its combined gradient, and statistics as `write` returns them."""
        if not self.parts:
            return {}, {}
        if self.present is None:
            return balancer.combine(self)
        direction, statistics = combine_present(balancer, self._chosen(self.present), self.present)
        # Of a missing task there is nothing to tell: nan would take the means over updates with it.
        return direction, {name: value.nan_to_num() for name, value in statistics.items()}

    def _chosen(self, tasks: Sequence[int]) -> TaskGradients:
        """The shared gradients of some of the tasks alone."""
        parts, averaged = (
            {name: chosen(part, tasks) for name, part in given.items()} for given in (self.parts, self.averaged)
        )
        return TaskGradients(self.losses[tasks], None, parts, {}, averaged)

    def fill(self, module: nn.Module, direction: dict[str, Tensor]) -> None:
        """Fill the `.grad` of every parameter of `module`, given what `balance` made of those that it combines.

        Shared parameters that are left out of the balancing get the mean, the parameters of task layers their own
        plain gradient. A `.grad` that is there already is overwritten in place, so it may be a view into a flat buffer.
        """
        gradients = direction | self.own
        if self.averaged:
            count = len(self.losses if self.present is None else self.present)
            mean = torch.full_like(self.losses, 1 / count)  # those that are not present add nothing
            gradients |= Blocks(self.averaged).combine(mean)
        for name, parameter in module.named_parameters():
            gradient = gradients.get(name)
            if gradient is None or not parameter.requires_grad:
                continue
            if parameter.grad is None:
                parameter.grad = gradient
            else:
                parameter.grad.copy_(gradient)


def _mean(*tensors: Tensor) -> Tensor:
    return torch.stack(tensors).mean(0)


def _joined(batches: Sequence[Mapping[str, Part]]) -> dict[str, Part]:
    return {name: one_after_another([batch[name] for batch in batches]) for name in batches[0]}


def task_gradients(module: nn.Module | Layout, losses: Losses, *inputs: Any, compare: bool = True) -> TaskGradients:
    """Gradients of K per-task losses with respect to the parameters of a module.

    A parameter that does not require a gradient gets none and is not compared. A layer may be used any number of times.

    Args:
        module: a module, or its `Layout` where this is called again and again. One built from the layers of
            `mtrl_conic.gradients` takes one ordinary backward; others are mapped over tasks by `torch.func`, and those
            that it cannot map (recurrent layers, batch normalisation in training, ...) taken task after task.
        losses: a pure function of (module, *inputs); loss k depends on row k of the inputs alone.
        inputs: tensors, or tuples or dicts of them, each with a leading task axis K.
        compare: whether gradients will be compared. Where only their weighted sum is wanted, they are cheaper kept as
            factors throughout.

    Returns:
        The gradients; the `.grad` of the parameters is left alone.

    Raises:
        UserError: the inputs have no common task axis, or the losses are not one per task.
    """
    layout = module if isinstance(module, Layout) else Layout(module)
    return TaskGradients.of(layout, *compute(layout, losses, inputs, compare=compare))
