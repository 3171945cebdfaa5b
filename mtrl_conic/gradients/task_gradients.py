"""The gradients of K per-task losses, in one backward, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap
from torch.utils import _pytree as pytree

from mtrl_conic.balancers import Balancer
from mtrl_conic.gradients.blocks import Blocks, split
from mtrl_conic.gradients.factors import Factors, Uses
from mtrl_conic.gradients.layout import Layout

Losses = Callable[..., tuple[Tensor, Any]]
"""(module, *inputs) -> (losses (K,), anything else the caller wants back, as tensors with a leading K)."""


@dataclass(frozen=True)
class TaskGradients:
    """Per-task gradients by parameter: no flat Jacobian is ever built unless asked for."""

    losses: Tensor
    """(K,)"""
    extra: Any
    """What the loss function returned besides, detached."""
    parts: Mapping[str, Tensor | Factors]
    """Name of a shared parameter of shape S -> the gradient of each task's loss: (K, *S), or factors of that."""
    own: dict[str, Tensor]
    """Name of a task layer's parameter (K, *S) -> (K, *S): row k is the plain gradient of loss k."""
    averaged: Mapping[str, Tensor | Factors] = field(default_factory=dict)
    """Like `parts`, for shared parameters that are left out of the balancing: they get the mean."""

    @classmethod
    def of(
        cls,
        layout: Layout,
        losses: Tensor,
        extra: Any,
        shared: Mapping[str, Tensor | Factors],
        own: dict[str, Tensor],
    ) -> TaskGradients:
        """The gradients of a layout's shared parameters, all together, and of the tasks' own."""
        return cls(
            losses=losses.detach(),
            extra=pytree.tree_map(torch.detach, extra),
            parts={name: part for name, part in shared.items() if name in layout.balanced},
            averaged={name: part for name, part in shared.items() if name not in layout.balanced},
            own=own,
        )

    @cached_property
    def shared(self) -> dict[str, Tensor]:
        """Name of a shared parameter of shape S -> (K, *S), the gradient of each task's loss, multiplied out."""
        return {name: part.product() if isinstance(part, Factors) else part for name, part in self.parts.items()}

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
        return balancer.combine(self)

    def fill(self, module: nn.Module, direction: dict[str, Tensor]) -> None:
        """Fill the `.grad` of every parameter of `module`, given what `balance` made of those that it combines.

        Shared parameters that are left out of the balancing get the mean, the parameters of task layers their own
        plain gradient. A `.grad` that is there already is overwritten in place, so it may be a view into a flat buffer.
        """
        gradients = direction | self.own
        if self.averaged:
            mean = torch.full_like(self.losses, 1 / len(self.losses))
            gradients |= Blocks(self.averaged).combine(mean)
        for name, parameter in module.named_parameters():
            gradient = gradients[name]
            if parameter.grad is None:
                parameter.grad = gradient
            else:
                parameter.grad.copy_(gradient)


def task_gradients(module: nn.Module | Layout, losses: Losses, *inputs: Any, compare: bool = True) -> TaskGradients:
    """Gradients of K per-task losses with respect to the parameters of a module.

    Args:
        module: a module, or its `Layout` where this is called again and again. One built from the layers of
            `mtrl_conic.gradients` takes one ordinary backward; any other takes `torch.func`.
        losses: a pure function of (module, *inputs); loss k depends on row k of the inputs alone.
        inputs: tensors, or tuples or dicts of them, each with a leading task axis K.
        compare: whether gradients will be compared. Where only their weighted sum is wanted, they are cheaper kept as
            factors throughout.

    Returns:
        The gradients; the `.grad` of the parameters is left alone.
    """
    layout = module if isinstance(module, Layout) else Layout(module)
    if layout.native:
        values, extra, shared, own = _one_backward(layout, losses, inputs, compare)
    else:
        values, extra, shared, own = _mapped_backward(layout, losses, inputs)
    return TaskGradients.of(layout, values, extra, shared, own)


_Computed = tuple[Tensor, Any, Mapping[str, Tensor | Factors], dict[str, Tensor]]
"""Losses, what was returned besides, gradients of shared parameters, of the tasks' own."""


def _one_backward(layout: Layout, losses: Losses, inputs: tuple[Any, ...], compare: bool) -> _Computed:
    num_tasks = len(pytree.tree_leaves(inputs)[0])
    shared = {name: p.expand(num_tasks, *p.shape).requires_grad_() for name, p in layout.shared_values().items()}
    own = {name: p.requires_grad_() for name, p in layout.own_values().items()}
    leaves = shared | own
    with torch.enable_grad():
        with layout.swapped(leaves), layout.factored(always=not compare) as uses:
            values, extra = losses(layout.module, *inputs)
        found = torch.autograd.grad(values.sum(), list(leaves.values()), allow_unused=True)
    gradients = dict(zip(leaves, found, strict=True))
    parts = {name: sum_of_uses(leaf, gradients[name], uses.get(name)) for name, leaf in shared.items()}
    return values, extra, parts, {name: _or_zero(leaf, gradients[name]) for name, leaf in own.items()}


def sum_of_uses(leaf: Tensor, gradient: Tensor | None, uses: Uses | None) -> Tensor | Factors:
    """The gradient of a parameter (K, *S) that was used any number of times, as products, as factors, or not at all."""
    factors = uses.found if uses is not None else []
    if gradient is None and factors:
        return factors[0] if len(factors) == 1 else _one_after_another(factors)
    total = _or_zero(leaf, gradient)
    for each in factors:
        total = total + each.product()
    return total


def _one_after_another(factors: list[Factors]) -> Factors:
    return Factors(torch.cat([f.left for f in factors], dim=-2), torch.cat([f.right for f in factors], dim=-2))


def _or_zero(leaf: Tensor, gradient: Tensor | None) -> Tensor:
    return torch.zeros_like(leaf) if gradient is None else gradient


def _mapped_backward(layout: Layout, losses: Losses, inputs: tuple[Any, ...]) -> _Computed:
    def of_one_task(parameters: tuple[dict[str, Tensor], dict[str, Tensor]], rows: Any) -> tuple[Tensor, Any]:
        shared, own = parameters
        one = {name: value.unsqueeze(0) for name, value in own.items()}
        with layout.swapped(shared | one):
            values, extra = losses(layout.module, *pytree.tree_map(lambda row: row.unsqueeze(0), rows))
        return values.sum(), extra

    over_tasks = vmap(grad_and_value(of_one_task, has_aux=True), in_dims=((None, 0), 0))
    parameters = layout.shared_values(), layout.own_values()
    with torch.no_grad():  # other networks inside the loss need no graph of their own
        (shared_gradients, own_gradients), (values, extra) = over_tasks(parameters, inputs)
    return values, pytree.tree_map(lambda row: row.squeeze(1), extra), shared_gradients, own_gradients
