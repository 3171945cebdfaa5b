"""Balancing of the tasks in a batch that lacks some tasks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from mtrl_conic.balancers import Balancer, Combined, Gradients, preference
from mtrl_conic.errors import UserError

Form = TypeVar("Form")


def combine_present(balancer: Balancer, gradients: Gradients[Form], present: Sequence[int]) -> Combined[Form]:
    """Combine the gradients of some of a balancer's tasks, balanced among themselves.

    The balancer's state of the other tasks does not change.

    Args:
        balancer: balancer of K tasks.
        gradients: gradients of the tasks present, in their order.
        present: indices of those tasks.

    Returns:
        The direction, and statistics of all K tasks; a missing task has weight zero and NaN in other statistics.

    Raises:
        UserError: the method tracks every task from update to update.
    """
    if len(present) == balancer.num_tasks:
        return balancer.combine(gradients)
    if balancer.every_task:
        raise UserError(
            f"{balancer.name} tracks the loss of every task from update to update and cannot omit one: pass all "
            f"{balancer.num_tasks} losses, or use another method"
        )
    among, axes = copy.copy(balancer), _task_axes(balancer)
    among.num_tasks, among.preference = len(present), preference.among(balancer.preference, present)
    among.present = present
    among.state = {name: _pick(value, axes[name], present) for name, value in balancer.state.items()}
    direction, statistics = among.combine(gradients)
    for name, part in among.state.items():
        balancer.state[name] = _put_back(balancer.state[name], part, axes[name], present)
    told = {name: of_all_tasks(value, balancer.num_tasks, present) for name, value in statistics.items()}
    return Combined(direction, told | {"weight": told["weight"].nan_to_num()} if "weight" in told else told)


def _task_axes(balancer: Balancer) -> dict[str, int]:
    """Return how many leading axes of each state run over tasks: those that grow with the number of tasks."""
    larger = copy.copy(balancer)
    larger.num_tasks += 1
    more = larger.initial_state()
    axes = dict.fromkeys(balancer.state, 0)
    for name, value in balancer.initial_state().items():
        axes[name] = sum(size != grown for size, grown in zip(value.shape, more[name].shape, strict=True))
    return axes


def _pick(value: Tensor, axes: int, present: Sequence[int]) -> Tensor:
    return value[_places(axes, present)] if axes else value.clone()


def _put_back(whole: Tensor, part: Tensor, axes: int, present: Sequence[int]) -> Tensor:
    """Return `whole` with `part` at its indices; a new tensor if its other axes were unknown before."""
    tasks = whole.shape[:axes]
    if whole.shape[axes:] != part.shape[axes:]:
        whole = part.new_zeros(*tasks, *part.shape[axes:])
    whole = whole.to(part.device)
    if axes:
        whole[_places(axes, present)] = part
        return whole
    return whole.copy_(part)


def of_all_tasks(value: Tensor, num_tasks: int, present: Sequence[int]) -> Tensor:
    """Extend a per-task statistic with NaN for missing tasks; other statistics are returned unchanged."""
    axes = value.dim() if set(value.shape) == {len(present)} else 0
    if axes == 0 or len(present) == num_tasks:
        return value
    whole = torch.full((num_tasks,) * axes, torch.nan, dtype=torch.float64, device=value.device)
    whole[_places(axes, present)] = value.to(whole)
    return whole


def _places(axes: int, present: Sequence[int]) -> tuple[Tensor, ...]:
    return torch.meshgrid(*[torch.tensor(present)] * axes, indexing="ij")
