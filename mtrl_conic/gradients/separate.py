"""Whether each loss of a module depends only on the rows of its own task, determined at the first call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.utils import _pytree as pytree

from mtrl_conic.errors import UserError
from mtrl_conic.gradients.autograd import differentiate
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
from mtrl_conic.gradients.layout import Layout
from mtrl_conic.gradients.mode import in_evaluation

_FOUND: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
"""The answers of `are_separate`."""
_TOLERANCE = 0.02
"""Relative difference between gradients that are considered equal: the rounding of bfloat16 is smaller, and the
gradient of another task's parameter is larger."""
_NEGLIGIBLE = 0.1
"""Gradients this much smaller than the largest one are compared with the precision of that one, because they can be the
rounding of a sum that is zero."""


def are_separate(layout: Layout, losses: Losses, inputs: tuple[Any, ...]) -> bool:
    """Return whether the losses can be computed for one task at a time, on the rows of that task alone.

    They cannot if a module selects parameters by the position of a task, such as one encoder of a list for each task,
    or mixes the rows of several tasks. The module is evaluated both ways at its first call, in evaluation mode; while
    operations are traced, the answer is true if there was no call before. Batch normalisation without running
    statistics has different results for all rows and for those of one task; such a module is evaluated for one task at
    a time, as batch normalisation in training is.

    Raises:
        UserError: the losses mix the rows of several tasks in layers of this package, whose gradients would be mixed.
    """
    known = _FOUND.get(layout.module)
    if known is not None or layout.normalises_batches or _is_recorded(inputs):
        return known is not False
    with _undisturbed(layout.module, inputs):
        if layout.native:
            _refuse_mixed(layout, losses, inputs)
            found: bool | None = True
        else:
            found = _agree(layout, losses, inputs)
    if found is None:
        return True
    _FOUND[layout.module] = found
    return found


def _is_recorded(inputs: tuple[Any, ...]) -> bool:
    """Return whether operations are being traced, so that nothing may depend on their values."""
    if any(leaf.is_meta for leaf in pytree.tree_leaves(inputs)):
        return True
    capturing = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
    return capturing or torch.compiler.is_compiling() or get_proxy_mode() is not None


@contextmanager
def _undisturbed(module: nn.Module, inputs: tuple[Any, ...]) -> Iterator[None]:
    """Switch the module to evaluation mode, and restore it and the random numbers at the end."""
    devices = {leaf.device for leaf in pytree.tree_leaves(inputs) if leaf.is_cuda}
    # Recurrent layers of cuDNN have no backward pass in evaluation mode.
    with torch.random.fork_rng(devices), torch.backends.cudnn.flags(enabled=False), in_evaluation(module):
        yield


def _refuse_mixed(layout: Layout, losses: Losses, inputs: tuple[Any, ...]) -> None:
    """Refuse losses that depend on the rows of other tasks, whose gradients one backward pass cannot separate.

    For each binary digit of the tasks' numbers, the losses of the tasks with the digit 0 must have no gradient in the
    rows of those with 1, and vice versa; any two tasks differ in a digit.
    """
    num_tasks = number_of_tasks(inputs)
    shared = {name: p.expand(num_tasks, *p.shape) for name, p in layout.shared_values().items()}
    values_of = shared | layout.own_values()
    leaves = [leaf.requires_grad_() for name, leaf in values_of.items() if layout.trains(name)]
    with torch.enable_grad(), layout.swapped(values_of):
        values, _ = called(losses, layout.module, inputs, num_tasks)
        tasks = torch.arange(num_tasks, device=values.device)
        digits = [tasks >> place & 1 for place in range((num_tasks - 1).bit_length())]
        for chosen in [digit == side for digit in digits for side in (0, 1)]:
            found = differentiate([values], leaves, [chosen.to(values)], keep=True)
            # A derivative that is infinite, times zero, is NaN.
            if any(each is not None and each[~chosen].nan_to_num().any() for each in found):
                raise UserError(
                    "the loss of a task also depends on the rows of others, through a layer or a mean over all of "
                    f"them: if all tasks share one batch, use {BACKWARD}"
                )


def _agree(layout: Layout, losses: Losses, inputs: tuple[Any, ...]) -> bool | None:
    """Return whether losses and gradients are equal on all rows and for one task at a time; None if not finite."""
    whole = _of_all(layout, losses, inputs)
    if not all(each.isfinite().all() for each in whole.values()):
        return None
    try:
        rows = [one_task(layout, losses, inputs, task) for task in range(number_of_tasks(inputs))]
    except (RuntimeError, UserError, IndexError, ValueError, TypeError, AssertionError):
        return False  # the call for all tasks has succeeded
    values, _, gradients = zip(*rows, strict=True)
    apart = {"": torch.cat(values)}
    for name in gradients[0]:
        of_tasks = [each[name] for each in gradients]
        apart[name] = torch.cat(of_tasks) if name in layout.own else torch.stack(of_tasks).sum(0)
    largest = torch.stack(
        [each.abs().max() for name, each in whole.items() if name and each.numel()] or [torch.zeros(())]
    )
    floor = _NEGLIGIBLE * largest.max()
    return all(_close(whole[name], apart[name], floor if name else floor.new_zeros(())) for name in whole)


def _of_all(layout: Layout, losses: Losses, inputs: tuple[Any, ...]) -> Values:
    """Return the losses, under an empty name, and the gradients of their sum, from one call for all tasks."""
    trained, fixed = parted(layout, layout.all_values())
    leaves = {name: leaf.requires_grad_() for name, leaf in trained.items()}
    with torch.enable_grad(), layout.swapped(leaves | fixed):
        values, _ = called(losses, layout.module, inputs, number_of_tasks(inputs))
        found = differentiated(values, leaves)
    return {"": values.detach()} | {name: or_zero(leaf, found[name]) for name, leaf in leaves.items()}


def _close(first: Tensor, second: Tensor, floor: Tensor) -> bool:
    if first.shape != second.shape:
        return False
    if not first.numel():
        return True
    scale = torch.maximum(first.abs().max(), second.abs().max()).maximum(floor.to(first))
    return bool((first - second).abs().max() <= _TOLERANCE * scale)
