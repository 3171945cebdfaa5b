"""Four ways to compute the gradients of K losses: in one backward pass, or for one task or one loss after another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap
from torch.utils import _pytree as pytree

from mtrl_conic.errors import UserError
from mtrl_conic.gradients.autograd import added, differentiate, filled, refuse_old_checkpoints, stacked
from mtrl_conic.gradients.calls import (
    BACKWARD,
    Losses,
    Values,
    called,
    differentiated,
    number_of_tasks,
    one_task,
    or_zero,
    parted,
)
from mtrl_conic.gradients.factors import Factors, Part, Uses
from mtrl_conic.gradients.layout import Layout
from mtrl_conic.gradients.separate import are_separate

Computed = tuple[Tensor, Any, Mapping[str, Part], dict[str, Tensor]]
"""Losses, further results, gradients of the shared parameters, and gradients of the per-task parameters."""


def compute(layout: Layout, losses: Losses, inputs: tuple[Any, ...], *, compare: bool) -> Computed:
    """Compute the gradients in the first of the ways that the module supports; see `task_gradients`."""
    _check_inputs(inputs)
    if not are_separate(layout, losses, inputs):
        return _loss_after_loss(layout, losses, inputs)
    if layout.native:
        return _one_backward(layout, losses, inputs, compare)
    if layout.mappable:
        try:
            return _mapped_backward(layout, losses, inputs)
        except RuntimeError:  # an error in the losses themselves occurs again below, with torch's own message
            layout.mappable = False
    return _task_after_task(layout, losses, inputs)


def _check_inputs(inputs: tuple[Any, ...]) -> None:
    leaves = pytree.tree_leaves(inputs)
    shapes = [tuple(leaf.shape) if isinstance(leaf, Tensor) else type(leaf).__name__ for leaf in leaves]
    if not leaves or any(isinstance(shape, str) or not shape or shape[0] != shapes[0][0] for shape in shapes):
        raise UserError(
            f"inputs of {', '.join(map(str, shapes))} have no common task axis: each must be a tensor (K, ...), rows "
            f"of each task; if all tasks share one batch, use {BACKWARD}"
        )


def _one_backward(layout: Layout, losses: Losses, inputs: tuple[Any, ...], compare: bool) -> Computed:
    num_tasks = number_of_tasks(inputs)
    shared = {name: p.expand(num_tasks, *p.shape) for name, p in layout.shared_values().items()}
    own = layout.own_values()
    leaves = {name: leaf.requires_grad_() for name, leaf in (shared | own).items() if layout.trains(name)}
    with torch.enable_grad(), layout.swapped(shared | own), layout.factored(always=not compare) as uses:
        values, extra = called(losses, layout.module, inputs, num_tasks)
        # Inside the block, because checkpointed parts are computed again in the backward pass with the same parameters.
        gradients = differentiated(values, leaves)
    if any(each is None and not (name in uses and uses[name].found) for name, each in gradients.items()):
        refuse_old_checkpoints([values])
    parts = {n: _sum_of_uses(leaf, gradients[n], uses.get(n)) for n, leaf in leaves.items() if n in shared}
    return values, extra, parts, {name: or_zero(leaf, gradients[name]) for name, leaf in leaves.items() if name in own}


def _sum_of_uses(leaf: Tensor, gradient: Tensor | None, uses: Uses | None) -> Part:
    """Return the gradient (K, *S) of a parameter that was used any number of times, as products or as factors."""
    factors = uses.found if uses is not None else []
    if gradient is None and len(factors) == 1:
        return factors[0]
    rows = [each for each in factors if isinstance(each, Factors)]
    if gradient is None and rows and len(rows) == len(factors):
        return _one_after_another(rows)
    total = or_zero(leaf, gradient)
    for each in factors:
        total = total + each.product()
    return total


def _one_after_another(factors: list[Factors]) -> Factors:
    return Factors(torch.cat([f.left for f in factors], dim=-2), torch.cat([f.right for f in factors], dim=-2))


def _mapped_backward(layout: Layout, losses: Losses, inputs: tuple[Any, ...]) -> Computed:
    def of_one_task(trained: tuple[Values, Values], fixed: Values, rows: Any) -> tuple[Tensor, Any]:
        shared, own = trained
        one = {name: value.unsqueeze(0) for name, value in (own | fixed).items()}
        with layout.swapped(shared | one):
            rows = pytree.tree_map(lambda row: row.unsqueeze(0), rows)
            values, extra = called(losses, layout.module, rows, 1)
        return values.sum(), () if extra is None else extra

    over_tasks = vmap(grad_and_value(of_one_task, has_aux=True), in_dims=((None, 0), 0, 0), randomness="different")
    (shared, _), (own, fixed) = parted(layout, layout.shared_values()), parted(layout, layout.own_values())
    with torch.no_grad():  # other networks in the loss need no graph
        (shared_gradients, own_gradients), (values, extra) = over_tasks((shared, own), fixed, inputs)
    extra = None if extra == () else pytree.tree_map(lambda row: row.squeeze(1), extra)
    return values, extra, shared_gradients, own_gradients


def _task_after_task(layout: Layout, losses: Losses, inputs: tuple[Any, ...]) -> Computed:
    """Make a forward and a backward pass for each task on its rows: the same operations, in K times as many calls."""
    rows = [one_task(layout, losses, inputs, task) for task in range(number_of_tasks(inputs))]
    values, extra, gradients = zip(*rows, strict=True)
    return (
        torch.cat(values),
        pytree.tree_map(lambda *each: None if each[0] is None else torch.cat(each), *extra),
        {name: torch.stack([each[name] for each in gradients]) for name in gradients[0] if name in layout.shared},
        {name: torch.cat([each[name] for each in gradients]) for name in gradients[0] if name in layout.own},
    )


def _loss_after_loss(layout: Layout, losses: Losses, inputs: tuple[Any, ...]) -> Computed:
    """Make one forward pass on the rows of all tasks, and a backward pass for each loss."""
    num_tasks = number_of_tasks(inputs)
    trained, fixed = parted(layout, layout.all_values())
    leaves = {name: leaf.requires_grad_() for name, leaf in trained.items()}
    with torch.enable_grad(), layout.swapped(leaves | fixed):
        values, extra = called(losses, layout.module, inputs, num_tasks)
        seeds = torch.eye(num_tasks, dtype=values.dtype, device=values.device)
        given = list(leaves.values())
        rows = [differentiate([values], given, [seed], keep=task < num_tasks - 1) for task, seed in enumerate(seeds)]
    if any(each is None for each in added(rows)):
        refuse_old_checkpoints([values])
    of_each = dict(zip(leaves, stacked(given, rows), strict=True))
    total = dict(zip(leaves, filled(given, added(rows)), strict=True))
    shared = {name: gradient for name, gradient in of_each.items() if name in layout.shared}
    return values.detach(), extra, shared, {name: each for name, each in total.items() if name in layout.own}
