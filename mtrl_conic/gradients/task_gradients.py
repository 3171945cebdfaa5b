"""The gradients of K per-task losses, in one backward, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap
from torch.utils import _pytree as pytree

from mtrl_conic.balancers import Balancer
from mtrl_conic.balancers.gramian import combine, gramian_of
from mtrl_conic.gradients.layers import SharedLayer, TaskLayer

Place = tuple[nn.Module, str]
"""A layer and the name of a parameter in it."""

_SMALL = 8192
"""Columns below which a parameter's gradients are joined with others'."""

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
    averaged: dict[str, Tensor] = field(default_factory=dict)
    """Like `shared`, for shared parameters that are left out of the balancing: they get the mean."""

    @cached_property
    def gramian(self) -> Tensor:
        """(K, K) float64: inner products of the tasks' gradients of the shared parameters."""
        num_tasks = len(self.losses)
        total = torch.zeros(num_tasks, num_tasks, dtype=torch.float64, device=self.losses.device)
        for block in self._blocks.values():
            total += gramian_of(block)
        return total

    @cached_property
    def _blocks(self) -> dict[tuple[str, ...], Tensor]:
        return _blocks(self.shared)

    def jacobian(self) -> Tensor:
        """(K, P): all blocks side by side, a copy."""
        nothing = self.losses.new_empty(len(self.losses), 0)
        return torch.cat([nothing, *(block.flatten(1) for block in self.shared.values())], dim=1)

    def combine(self, weights: Tensor) -> dict[str, Tensor]:
        """Name of a shared parameter -> the weighted sum of its K gradients; `weights` is (K,)."""
        return _weighted_sum(weights, self.shared, self._blocks)

    def write(self, module: nn.Module, balancer: Balancer) -> dict[str, Tensor]:
        """Let the balancer decide and fill the `.grad` of every parameter of `module`.

        Shared parameters get the combined gradient, those left out of the balancing the mean, and the parameters
        of task layers their own plain one.
        A `.grad` that is there already is overwritten in place, so it may be a view into a flat buffer.

        Returns:
            The balancer's statistics, and its weights (K,) as `weight` where it has any.
        """
        combined, statistics = self._balance(balancer)
        gradients = combined | self.own
        if self.averaged:
            mean = torch.full_like(self.losses, 1 / len(self.losses))
            gradients |= _weighted_sum(mean, self.averaged, _blocks(self.averaged))
        for name, parameter in module.named_parameters():
            gradient = gradients[name]
            if parameter.grad is None:
                parameter.grad = gradient
            else:
                parameter.grad.copy_(gradient)
        return statistics

    def _balance(self, balancer: Balancer) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        if not self.shared:
            return {}, {}
        if balancer.needs == "jacobian":
            direction, statistics = balancer.direct(self.jacobian(), self.losses)
            return _split(direction, self.shared), statistics
        weights, statistics = balancer(self.gramian, self.losses)
        return self.combine(weights), {"weight": weights, **statistics}


class Layout:
    """Where the parameters of a module lie, and whose they are: found once, used at every step.

    Args:
        module: parameters of `TaskLayer`s are the tasks' own, all others are shared. The layout holds as long
            as no layer or parameter is replaced; changing values is fine.
        balanced: says of a shared parameter's name whether a balancer combines its gradients; all, where it is
            not given.
    """

    def __init__(self, module: nn.Module, balanced: Callable[[str], bool] = lambda name: True) -> None:
        own_names = _own_names(module)
        places = _places(module)
        self.module = module
        self.shared = {name: places[name] for name in places if name not in own_names}
        """Name of a shared parameter -> every layer and attribute that holds it, more than one where it is tied."""
        self.own = {name: places[name] for name in places if name in own_names}
        """The same of the parameters of task layers."""
        self.balanced = {name for name in self.shared if balanced(name)}
        """Names of the shared parameters that a balancer combines."""
        self.native = _is_native(module)
        """Whether every parameter lies in a layer of this package, so that one backward is enough."""

    def shared_values(self) -> dict[str, Tensor]:
        """Name -> shared parameter, detached."""
        return {name: _value(places).detach() for name, places in self.shared.items()}

    def own_values(self) -> dict[str, Tensor]:
        """Name -> parameter of a task layer, (K, *S), detached."""
        return {name: _value(places).detach() for name, places in self.own.items()}

    @contextmanager
    def swapped(self, values: dict[str, Tensor]) -> Iterator[None]:
        """The module with these tensors in the place of its parameters, until the block ends.

        `torch.func.functional_call` does the same with checks that cost more than a small layer.
        """
        all_places = self.shared | self.own
        kept = {name: _value(all_places[name]) for name in values}
        try:
            _put(all_places, values)
            yield
        finally:
            _put(all_places, kept)


def task_gradients(module: nn.Module | Layout, losses: Losses, *inputs: Any) -> TaskGradients:
    """Gradients of K per-task losses with respect to the parameters of a module.

    Args:
        module: a module, or its `Layout` where this is called again and again. One built from the layers of
            `mtrl_conic.gradients` takes one ordinary backward; any other takes `torch.func`.
        losses: a pure function of (module, *inputs); loss k depends on row k of the inputs alone.
        inputs: tensors, or tuples or dicts of them, each with a leading task axis K.

    Returns:
        The gradients; the `.grad` of the parameters is left alone.
    """
    layout = module if isinstance(module, Layout) else Layout(module)
    compute = _one_backward if layout.native else _mapped_backward
    values, extra, gradients = compute(layout, losses, inputs)
    return TaskGradients(
        losses=values.detach(),
        extra=pytree.tree_map(torch.detach, extra),
        shared={name: gradients[name] for name in layout.shared if name in layout.balanced},
        averaged={name: gradients[name] for name in layout.shared if name not in layout.balanced},
        own={name: gradients[name] for name in layout.own},
    )


def _one_backward(layout: Layout, losses: Losses, inputs: tuple[Any, ...]) -> tuple[Tensor, Any, dict[str, Tensor]]:
    num_tasks = len(pytree.tree_leaves(inputs)[0])
    leaves = {name: p.expand(num_tasks, *p.shape).requires_grad_() for name, p in layout.shared_values().items()}
    leaves |= {name: p.requires_grad_() for name, p in layout.own_values().items()}
    with torch.enable_grad():
        with layout.swapped(leaves):
            values, extra = losses(layout.module, *inputs)
        gradients = torch.autograd.grad(values.sum(), list(leaves.values()))
    return values, extra, dict(zip(leaves, gradients, strict=True))


def _mapped_backward(layout: Layout, losses: Losses, inputs: tuple[Any, ...]) -> tuple[Tensor, Any, dict[str, Tensor]]:
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
    return values, pytree.tree_map(lambda row: row.squeeze(1), extra), shared_gradients | own_gradients


def _places(module: nn.Module) -> dict[str, list[Place]]:
    by_parameter: dict[nn.Parameter, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        by_parameter.setdefault(parameter, []).append(name)
    return {names[0]: [_place(module, name) for name in names] for names in by_parameter.values()}


def _blocks(gradients: dict[str, Tensor]) -> dict[tuple[str, ...], Tensor]:
    """Names -> (K, p): a large parameter by itself, the small ones side by side (a call costs more than they)."""
    flat = {name: block.flatten(1) for name, block in gradients.items()}
    small = tuple(name for name, block in flat.items() if block.shape[1] < _SMALL)
    blocks: dict[tuple[str, ...], Tensor] = {(name,): block for name, block in flat.items() if name not in small}
    if small:
        blocks[small] = torch.cat([flat[name] for name in small], dim=1)
    return blocks


def _weighted_sum(
    weights: Tensor, gradients: dict[str, Tensor], blocks: dict[tuple[str, ...], Tensor]
) -> dict[str, Tensor]:
    combined: dict[str, Tensor] = {}
    for names, block in blocks.items():
        combined |= _split(combine(weights, block), {name: gradients[name] for name in names})
    return combined


def _split(flat: Tensor, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parts of a vector that has the shape of these parameters, side by side."""
    parts = flat.split([block[0].numel() for block in gradients.values()])
    return {name: part.view_as(block[0]) for (name, block), part in zip(gradients.items(), parts, strict=True)}


def _place(module: nn.Module, name: str) -> Place:
    prefix, _, attribute = name.rpartition(".")
    return module.get_submodule(prefix), attribute


def _value(places: list[Place]) -> nn.Parameter:
    layer, attribute = places[0]
    value = layer._parameters[attribute]
    assert value is not None
    return value


def _put(all_places: dict[str, list[Place]], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        for layer, attribute in all_places[name]:
            layer._parameters[attribute] = value  # type: ignore[assignment]  # any tensor serves in a forward


def _is_native(module: nn.Module) -> bool:
    return all(
        isinstance(child, SharedLayer | TaskLayer) or not list(child.parameters(recurse=False))
        for child in module.modules()
    )


def _own_names(module: nn.Module) -> set[str]:
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, child in module.named_modules()
        if isinstance(child, TaskLayer)
        for name, _ in child.named_parameters()
    }
