"""Calls of a loss function on the rows of all tasks, or of one task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mtrl_conic.errors import UserError
from mtrl_conic.gradients.autograd import differentiate, refuse_old_checkpoints
from mtrl_conic.gradients.layout import Layout

Losses = Callable[..., tuple[Tensor, Any]]
"""(module, *inputs) -> (losses (K,), further results as tensors with a leading axis K, or None)."""
BACKWARD = "mtrl_conic.gradients.backward"
Values = dict[str, Tensor]
"""Tensors by name of a parameter."""


def called(losses: Losses, module: nn.Module, inputs: tuple[Any, ...], num_tasks: int) -> tuple[Tensor, Any]:
    """Call `losses` on rows of `num_tasks` tasks, and check the result."""
    made = losses(module, *inputs)
    if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], Tensor):
        raise UserError("losses must return a pair: the losses (K,), and anything else, or None")
    if made[0].shape != (num_tasks,):
        raise UserError(
            f"the losses of the rows of {num_tasks} task{'s' * (num_tasks != 1)} have shape {tuple(made[0].shape)}: "
            f"reduce them to one number per task; if all tasks share one batch, use {BACKWARD}"
        )
    return made


def one_task(
    layout: Layout, losses: Losses, inputs: tuple[Any, ...], task: int
) -> tuple[Tensor, Any, dict[str, Tensor]]:
    """Return loss, further results and gradients of one task, all with a task axis of length 1 but shared gradients."""
    shared, _ = parted(layout, layout.shared_values())
    own, fixed = parted(layout, layout.own_values())
    leaves = {name: leaf.detach().requires_grad_() for name, leaf in (shared | row(own, task)).items()}
    with torch.enable_grad(), layout.swapped(leaves | row(fixed, task)):
        values, extra = called(losses, layout.module, row(inputs, task), 1)
        found = differentiated(values, leaves)
    if any(each is None for each in found.values()):
        refuse_old_checkpoints([values])
    gradients = {name: or_zero(leaf, found[name]) for name, leaf in leaves.items()}
    return values.detach(), pytree.tree_map_only(Tensor, torch.detach, extra), gradients


def differentiated(values: Tensor, leaves: Values) -> dict[str, Tensor | None]:
    """Return the gradients of the sum of the losses by name; None for a leaf that no loss depends on."""
    found = differentiate([values], list(leaves.values()), [torch.ones_like(values)], keep=False)
    return dict(zip(leaves, found, strict=True))


def or_zero(leaf: Tensor, gradient: Tensor | None) -> Tensor:
    """Return the gradient of a leaf, or zeros if no loss depends on it."""
    return torch.zeros_like(leaf) if gradient is None else gradient


def parted(layout: Layout, values: Values) -> tuple[Values, Values]:
    """Separate the parameters that are trained from those that are not."""
    trained = {name: value for name, value in values.items() if layout.trains(name)}
    return trained, {name: value for name, value in values.items() if name not in trained}


def row(tree: Any, task: int) -> Any:
    """Return the rows of one task, with a task axis of length 1."""
    return pytree.tree_map(lambda each: each[task : task + 1], tree)


def number_of_tasks(inputs: tuple[Any, ...]) -> int:
    """Return the length K of the task axis of the inputs."""
    return len(pytree.tree_leaves(inputs)[0])
