"""The gradients of K per-task losses, in one backward, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.utils import _pytree as pytree

from mtrl_conic.balancers import Balancer
from mtrl_conic.balancers.gramian import combine, gramian_of
from mtrl_conic.gradients.layers import SharedLayer, TaskLayer

Losses = Callable[..., tuple[Tensor, Any]]
"""(module, *inputs) -> (losses (K,), anything else the caller wants back, as tensors with a leading K)."""


@dataclass(frozen=True)
class TaskGradients:
    """Per-task gradients by parameter: no flat Jacobian is ever built unless asked for."""

    losses: Tensor
    """(K,)"""
    extra: Any
    """What the loss function returned besides, detached."""
    shared: dict[str, Tensor]
    """Name of a shared parameter of shape S -> (K, *S), the gradient of each task's loss."""
    own: dict[str, Tensor]
    """Name of a task layer's parameter (K, *S) -> (K, *S): row k is the plain gradient of loss k."""

    @cached_property
    def gramian(self) -> Tensor:
        """(K, K) float64: inner products of the tasks' gradients of the shared parameters."""
        num_tasks = len(self.losses)
        total = torch.zeros(num_tasks, num_tasks, dtype=torch.float64, device=self.losses.device)
        for block in self.shared.values():
            total += gramian_of(block.reshape(num_tasks, -1))
        return total

    def jacobian(self) -> Tensor:
        """(K, P): all blocks side by side, a copy."""
        return torch.cat([block.flatten(1) for block in self.shared.values()], dim=1)

    def combine(self, weights: Tensor) -> dict[str, Tensor]:
        """Name of a shared parameter -> the weighted sum of its K gradients; `weights` is (K,)."""
        return {name: combine(weights, block.flatten(1)).view_as(block[0]) for name, block in self.shared.items()}

    def write(self, module: nn.Module, balancer: Balancer) -> dict[str, Tensor]:
        """Let the balancer decide and fill the `.grad` of every parameter of `module`.

        Shared parameters get the combined gradient, the parameters of task layers their own plain one.
        A `.grad` that is there already is overwritten in place, so it may be a view into a flat buffer.

        Returns:
            The balancer's statistics, and its weights (K,) as `weight` where it has any.
        """
        if balancer.needs == "jacobian":
            direction, statistics = balancer.direct(self.jacobian(), self.losses)
            combined = self._split(direction)
        else:
            weights, statistics = balancer(self.gramian, self.losses)
            combined = self.combine(weights)
            statistics = {"weight": weights, **statistics}
        for name, parameter in module.named_parameters():
            gradient = combined[name] if name in combined else self.own[name]
            if parameter.grad is None:
                parameter.grad = gradient
            else:
                parameter.grad.copy_(gradient)
        return statistics

    def _split(self, direction: Tensor) -> dict[str, Tensor]:
        sizes = [block[0].numel() for block in self.shared.values()]
        parts = direction.split(sizes)
        return {name: part.view_as(block[0]) for (name, block), part in zip(self.shared.items(), parts, strict=True)}


def task_gradients(module: nn.Module, losses: Losses, *inputs: Any) -> TaskGradients:
    """Gradients of K per-task losses with respect to the parameters of `module`.

    Args:
        module: parameters of `TaskLayer`s are the tasks' own, all others are shared. A module built from the
            layers of `mtrl_conic.gradients` takes one ordinary backward; any other takes `torch.func`.
        losses: a pure function of (module, *inputs); loss k depends on row k of the inputs alone.
        inputs: tensors, or tuples or dicts of them, each with a leading task axis K.

    Returns:
        The gradients; the `.grad` of the parameters is left alone.
    """
    own_names = _own_names(module)
    parameters = {name: p.detach() for name, p in module.named_parameters()}
    shared = {name: p for name, p in parameters.items() if name not in own_names}
    own = {name: p for name, p in parameters.items() if name in own_names}
    compute = _one_backward if is_native(module) else _mapped_backward
    values, extra, gradients = compute(_Objective(module, losses), shared, own, inputs)
    return TaskGradients(
        losses=values.detach(),
        extra=pytree.tree_map(torch.detach, extra),
        shared={name: gradients[name] for name in shared},
        own={name: gradients[name] for name in own},
    )


def is_native(module: nn.Module) -> bool:
    """Whether every parameter lies in a layer of this package, so that one backward is enough."""
    return all(
        isinstance(child, SharedLayer | TaskLayer) or not list(child.parameters(recurse=False))
        for child in module.modules()
    )


def shared_names(module: nn.Module) -> list[str]:
    """The names of the parameters that all tasks share, in the module's order."""
    own = _own_names(module)
    return [name for name, _ in module.named_parameters() if name not in own]


def own_parameters(module: nn.Module) -> dict[str, Tensor]:
    """The parameters of the module's task layers, (K, *S) each, detached."""
    own = _own_names(module)
    return {name: p.detach() for name, p in module.named_parameters() if name in own}


class _Objective(nn.Module):
    """The loss function as a module, so that `functional_call` can swap the parameters under it."""

    def __init__(self, module: nn.Module, losses: Losses) -> None:
        super().__init__()
        self.module = module
        self.losses = losses

    def forward(self, *inputs: Any) -> tuple[Tensor, Any]:
        return self.losses(self.module, *inputs)

    def at(self, parameters: dict[str, Tensor], inputs: tuple[Any, ...]) -> tuple[Tensor, Any]:
        swapped = {f"module.{name}": value for name, value in parameters.items()}
        result: tuple[Tensor, Any] = functional_call(self, swapped, inputs)
        return result


def _one_backward(
    objective: _Objective, shared: dict[str, Tensor], own: dict[str, Tensor], inputs: tuple[Any, ...]
) -> tuple[Tensor, Any, dict[str, Tensor]]:
    num_tasks = len(pytree.tree_leaves(inputs)[0])
    leaves = {name: p.expand(num_tasks, *p.shape).requires_grad_() for name, p in shared.items()}
    leaves |= {name: p.requires_grad_() for name, p in own.items()}
    with torch.enable_grad():
        values, extra = objective.at(leaves, inputs)
        gradients = torch.autograd.grad(values.sum(), list(leaves.values()))
    return values, extra, dict(zip(leaves, gradients, strict=True))


def _mapped_backward(
    objective: _Objective, shared: dict[str, Tensor], own: dict[str, Tensor], inputs: tuple[Any, ...]
) -> tuple[Tensor, Any, dict[str, Tensor]]:
    def of_one_task(parameters: tuple[dict[str, Tensor], dict[str, Tensor]], rows: Any) -> tuple[Tensor, Any]:
        shared_part, own_part = parameters
        one = {name: value.unsqueeze(0) for name, value in own_part.items()}
        values, extra = objective.at(shared_part | one, pytree.tree_map(lambda row: row.unsqueeze(0), rows))
        return values.sum(), extra

    over_tasks = vmap(grad_and_value(of_one_task, has_aux=True), in_dims=((None, 0), 0))
    with torch.no_grad():  # other networks inside the loss need no graph of their own
        (shared_gradients, own_gradients), (values, extra) = over_tasks((shared, own), inputs)
    return values, pytree.tree_map(lambda row: row.squeeze(1), extra), shared_gradients | own_gradients


def _own_names(module: nn.Module) -> set[str]:
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, child in module.named_modules()
        if isinstance(child, TaskLayer)
        for name, _ in child.named_parameters()
    }
