"""The gradients of K per-task losses, computed in one backward pass, and their combination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mtrl_conic.balancers import Balancer
from mtrl_conic.balancers.base import Settle
from mtrl_conic.gradients.blocks import Blocks, rows, split
from mtrl_conic.gradients.calls import Losses
from mtrl_conic.gradients.factors import Part, chosen, one_after_another
from mtrl_conic.gradients.layout import Layout
from mtrl_conic.gradients.present import combine_present
from mtrl_conic.gradients.processes import Processes
from mtrl_conic.gradients.sound import sound_or_skipped, unchanged_on_error
from mtrl_conic.gradients.ways import compute


@dataclass(frozen=True)
class TaskGradients:
    """Per-task gradients by parameter; a flat Jacobian is built only on request."""

    losses: Tensor
    """(K,)"""
    extra: Any
    """Further results of the loss function, detached."""
    parts: Mapping[str, Part]
    """Name of a shared parameter of shape S -> the gradients (K, *S) of the tasks' losses, or their factors."""
    own: dict[str, Tensor]
    """Name of a task layer's parameter (K, *S) -> its gradient (K, *S), whose row k is the gradient of loss k."""
    averaged: Mapping[str, Part] = field(default_factory=dict)
    """Like `parts`, for shared parameters that are not balanced and receive the mean gradient."""
    present: Sequence[int] | None = None
    """The tasks whose gradients are combined; those of the other tasks are zero. None stands for all tasks."""

    @classmethod
    def of(
        cls,
        layout: Layout,
        losses: Tensor,
        extra: Any,
        shared: Mapping[str, Part],
        own: dict[str, Tensor],
    ) -> TaskGradients:
        """Create an instance from the gradients of all parameters of a layout."""
        return cls(
            losses=losses.detach(),
            extra=pytree.tree_map_only(Tensor, torch.detach, extra),
            parts={name: part for name, part in shared.items() if name in layout.balanced},
            averaged={name: part for name, part in shared.items() if name not in layout.balanced},
            own=own,
        )

    def among(self, present: Sequence[int]) -> TaskGradients:
        """Return the same gradients, of which only those of the tasks `present` are combined."""
        return replace(self, present=present)

    @classmethod
    def joined(cls, batches: Sequence[TaskGradients]) -> TaskGradients:
        """Join the gradients of n batches to those of n K losses, with those of the first batch first.

        Gradients of the tasks' own parameters and further results are averaged over the batches.
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
        """Name of a shared parameter of shape S -> the gradients (K, *S) of the tasks' losses, without factors."""
        return {name: part if isinstance(part, Tensor) else part.product() for name, part in self.parts.items()}

    @cached_property
    def gramian(self) -> Tensor:
        """The inner products (K, K) of the tasks' gradients of the shared parameters, in float64."""
        num_tasks = len(self.losses)
        total = torch.zeros(num_tasks, num_tasks, dtype=torch.float64, device=self.losses.device)
        return sum(self._blocks.gramians(), total)

    @cached_property
    def _blocks(self) -> Blocks:
        return Blocks(self.parts)

    def jacobian(self) -> Tensor:
        """Return all gradients concatenated to rows (K, P), as a copy."""
        nothing = self.losses.new_empty(len(self.losses), 0)
        return torch.cat([nothing, *map(rows, self.shared.values())], dim=1)

    def combine(self, weights: Tensor) -> dict[str, Tensor]:
        """Return, by name of a shared parameter, the sum of its K gradients with `weights` (K,)."""
        return self._blocks.combine(weights)

    def unflatten(self, direction: Tensor) -> dict[str, Tensor]:
        """Split a vector (P,), in the order of `jacobian`, by name of a shared parameter."""
        return split(direction, self.shared)

    def write(self, module: nn.Module, balancer: Balancer) -> dict[str, Tensor]:
        """Combine the gradients with a balancer, and fill the `.grad` of every parameter of `module`.

        Returns:
            The balancer's statistics, and its weights (K,) as `weight` if it has weights.

        Raises:
            FloatingPointError: losses or gradients are not finite, and the balancer has `on_nonfinite="raise"`; the
                balancer's state and every `.grad` are then as before.
        """
        with unchanged_on_error(balancer) as before:
            direction, statistics = self.balance(balancer)
            alone = Processes(False)
            gradients, statistics = sound_or_skipped(balancer, self._filling(direction), statistics, before, alone)
        _fill(module, gradients)
        return statistics

    def balance(self, balancer: Balancer, settle: Settle | None = None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the combined gradients by name of a shared parameter, and the same statistics as `write`.

        Args:
            balancer: balancer of K tasks.
            settle: compiled version of `balancer.settle`; it is not used if tasks are missing.
        """
        if not self.parts:
            return {}, {}
        if self.present is None:
            # A user's method may override `combine` without the second argument.
            return balancer.combine(self) if settle is None else balancer.combine(self, settle)
        direction, statistics = combine_present(balancer, self._chosen(self.present), self.present)
        # A missing task has no statistics; NaN would spread to the means over updates.
        return direction, {name: value.nan_to_num() for name, value in statistics.items()}

    def _chosen(self, tasks: Sequence[int]) -> TaskGradients:
        """Return the shared gradients of some of the tasks."""
        parts, averaged = (
            {name: chosen(part, tasks) for name, part in given.items()} for given in (self.parts, self.averaged)
        )
        return TaskGradients(self.losses[tasks], None, parts, {}, averaged)

    def fill(self, module: nn.Module, direction: dict[str, Tensor]) -> None:
        """Fill the `.grad` of every parameter of `module`, given the combined gradients from `balance`.

        Shared parameters that are not balanced receive the mean gradient, and the parameters of task layers the
        gradient of their own loss. An existing `.grad` is overwritten in place, so it may be a view of a flat buffer.
        """
        _fill(module, self._filling(direction))

    def _filling(self, direction: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the gradients that `fill` writes, by name."""
        gradients = direction | self.own
        if self.averaged:
            count = len(self.losses if self.present is None else self.present)
            mean = torch.full_like(self.losses, 1 / count)  # the gradients of missing tasks are zero
            gradients |= Blocks(self.averaged).combine(mean)
        return gradients


def _fill(module: nn.Module, gradients: Mapping[str, Tensor]) -> None:
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
    """Compute the gradients of K per-task losses with respect to the parameters of a module.

    Parameters that do not require a gradient are ignored. A layer may be used any number of times.

    Args:
        module: a module, or its `Layout`, which saves time in repeated calls. A module built from the layers of
            `mtrl_conic.gradients` needs one ordinary backward pass. Other modules are mapped over the tasks with
            `torch.func`, and those that it does not support (recurrent layers, batch normalisation in training and
            others) are evaluated for one task at a time. Modules that need the rows of all tasks, such as a list with
            an encoder for each task, take K backward passes from one forward pass.
        losses: a pure function of (module, *inputs), whose loss k depends only on row k of the inputs.
        inputs: tensors, or tuples or dicts of tensors, each with a leading task axis K.
        compare: whether the gradients will be compared. If only their weighted sum is needed, they are kept as factors,
            which is cheaper.

    Returns:
        The gradients; the `.grad` of the parameters does not change.

    Raises:
        UserError: the inputs have no common task axis, there is not one loss per task, or losses of a module made of
            the package's layers depend on the rows of other tasks.
    """
    layout = module if isinstance(module, Layout) else Layout(module)
    return TaskGradients.of(layout, *compute(layout, losses, inputs, compare=compare))
