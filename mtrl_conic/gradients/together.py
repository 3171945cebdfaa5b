"""Several networks of one shape at once: the same operations, each with one more axis."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, vmap
from torch.utils import _pytree as pytree

from mtrl_conic.gradients.layout import Layout
from mtrl_conic.gradients.task_gradients import Losses, TaskGradients, sum_of_uses


def gradients_together(
    layouts: Sequence[Layout],
    losses: Losses,
    inputs: Sequence[tuple[Any, ...]],
    *,
    compare: bool = True,
    others: Sequence[Layout] = (),
) -> list[TaskGradients]:
    """`task_gradients` of S networks that differ in their values alone, mapped by `torch.vmap`.

    Args:
        layouts: of the networks.
        losses: as `task_gradients` takes it.
        inputs: of each network.
        compare: see `task_gradients`.
        others: S networks that `losses` uses besides; it refers to the first of them.

    Returns:
        The gradients of each network, those of `task_gradients` up to rounding.
    """
    first = layouts[0]
    num_tasks = len(pytree.tree_leaves(inputs[0])[0])
    shared = {
        name: value.unsqueeze(1).expand(-1, num_tasks, *value.shape[1:]).requires_grad_()
        for name, value in stack([layout.shared_values() for layout in layouts]).items()
    }
    own = {name: value.requires_grad_() for name, value in stack([layout.own_values() for layout in layouts]).items()}
    leaves = shared | own

    def of_one(mine: dict[str, Tensor], values: dict[str, Tensor], given: tuple[Any, ...]) -> tuple[Tensor, Any]:
        with first.swapped(mine), others[0].swapped(values) if others else nullcontext():
            return losses(first.module, *given)

    with torch.enable_grad(), first.factored(always=not compare) as uses:
        constant = stack([other.shared_values() for other in others]) if others else {}
        values, extra = vmap(of_one)(leaves, constant, stack(inputs))
        found = torch.autograd.grad(values.sum(), list(leaves.values()), allow_unused=True)
    parts = {
        name: sum_of_uses(leaf, gradient, uses.get(name))
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }
    computed = values, extra, {name: parts[name] for name in shared}, {name: parts[name] for name in own}
    return [TaskGradients.of(layout, *take(computed, place)) for place, layout in enumerate(layouts)]


def stack(trees: Sequence[Any]) -> Any:
    """Tensors in tuples and dicts of one form, each stacked along a new first axis."""
    return pytree.tree_map(lambda *leaves: torch.stack(leaves), *trees)


def take(tree: Any, place: int) -> Any:
    """Element `place` of the first axis of every tensor."""
    return pytree.tree_map(lambda leaf: leaf[place], tree)
