"""Three ways to compute the gradients of K losses: one backward pass, a map over the tasks, or one task at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.utils import _pytree as pytree

from mtrl_conic.errors import UserError
from mtrl_conic.gradients.autograd import differentiate, refuse_old_checkpoints
from mtrl_conic.gradients.factors import Factors, Part, Uses
from mtrl_conic.gradients.layout import Layout

Losses = Callable[..., tuple[Tensor, Any]]
"""(module, *inputs) -> (losses (K,), further results as tensors with a leading axis K, or None)."""
_SEPARATE: WeakSet[nn.Module] = WeakSet()
"""Modules whose losses were found to depend only on the rows of their own task."""
_BACKWARD = "mtrl_conic.gradients.backward"

Computed = tuple[Tensor, Any, Mapping[str, Part], dict[str, Tensor]]
"""Losses, further results, gradients of the shared parameters, and gradients of the per-task parameters."""


Values = dict[str, Tensor]
"""Tensors by name of a parameter."""


def compute(layout: Layout, losses: Losses, inputs: tuple[Any, ...], *, compare: bool) -> Computed:
    """Compute the gradients in the first of the ways that the module supports; see `task_gradients`."""
    _check_inputs(inputs)
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
            f"of each task; if all tasks share one batch, use {_BACKWARD}"
        )


def _called(losses: Losses, module: nn.Module, inputs: tuple[Any, ...], num_tasks: int) -> tuple[Tensor, Any]:
    """Call `losses` on rows of `num_tasks` tasks, and check the result."""
    made = losses(module, *inputs)
    if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], Tensor):
        raise UserError("losses must return a pair: the losses (K,), and anything else, or None")
    if made[0].shape != (num_tasks,):
        raise UserError(
            f"the losses of the rows of {num_tasks} task{'s' * (num_tasks != 1)} have shape {tuple(made[0].shape)}: "
            f"reduce them to one number per task; if all tasks share one batch, use {_BACKWARD}"
        )
    return made


def _one_backward(layout: Layout, losses: Losses, inputs: tuple[Any, ...], compare: bool) -> Computed:
    num_tasks = len(pytree.tree_leaves(inputs)[0])
    shared = {name: p.expand(num_tasks, *p.shape) for name, p in layout.shared_values().items()}
    own = layout.own_values()
    leaves = {name: leaf.requires_grad_() for name, leaf in (shared | own).items() if layout.trains(name)}
    with torch.enable_grad(), layout.swapped(shared | own), layout.factored(always=not compare) as uses:
        values, extra = _called(losses, layout.module, inputs, num_tasks)
        if layout.module not in _SEPARATE and not (values.is_meta or _is_recorded()):
            _refuse_mixed(values, leaves, uses)
            _SEPARATE.add(layout.module)
        # Inside the block, because checkpointed parts are computed again in the backward pass with the same parameters.
        gradients = _differentiated(values, leaves)
    if any(each is None and not (name in uses and uses[name].found) for name, each in gradients.items()):
        refuse_old_checkpoints([values])
    parts = {n: _sum_of_uses(leaf, gradients[n], uses.get(n)) for n, leaf in leaves.items() if n in shared}
    return values, extra, parts, {name: _or_zero(leaf, gradients[name]) for name, leaf in leaves.items() if name in own}


def _is_recorded() -> bool:
    """Return whether operations are being traced, so that nothing may depend on their values."""
    capturing = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
    return capturing or torch.compiler.is_compiling() or get_proxy_mode() is not None


def _refuse_mixed(values: Tensor, leaves: Values, uses: Mapping[str, Uses]) -> None:
    """Refuse losses that depend on the rows of other tasks, whose gradients one backward pass cannot separate.

    Raises:
        UserError: the first task's loss depends on other rows.
    """
    found = differentiate([values[0]], list(leaves.values()), [torch.ones_like(values[0])], keep=True)
    rows = [*(each for each in found if each is not None), *(f[0] for use in uses.values() for f in use.found)]
    for use in uses.values():
        use.found.clear()
    if any(each[1:].any() for each in rows):
        raise UserError(
            "the loss of the first task also depends on the rows of others, through a layer or a mean over all of "
            f"them: if all tasks share one batch, use {_BACKWARD}"
        )


def _sum_of_uses(leaf: Tensor, gradient: Tensor | None, uses: Uses | None) -> Part:
    """Return the gradient (K, *S) of a parameter that was used any number of times, as products or as factors."""
    factors = uses.found if uses is not None else []
    if gradient is None and len(factors) == 1:
        return factors[0]
    rows = [each for each in factors if isinstance(each, Factors)]
    if gradient is None and rows and len(rows) == len(factors):
        return _one_after_another(rows)
    total = _or_zero(leaf, gradient)
    for each in factors:
        total = total + each.product()
    return total


def _one_after_another(factors: list[Factors]) -> Factors:
    return Factors(torch.cat([f.left for f in factors], dim=-2), torch.cat([f.right for f in factors], dim=-2))


def _or_zero(leaf: Tensor, gradient: Tensor | None) -> Tensor:
    return torch.zeros_like(leaf) if gradient is None else gradient


def _mapped_backward(layout: Layout, losses: Losses, inputs: tuple[Any, ...]) -> Computed:
    def of_one_task(trained: tuple[Values, Values], fixed: Values, rows: Any) -> tuple[Tensor, Any]:
        shared, own = trained
        one = {name: value.unsqueeze(0) for name, value in (own | fixed).items()}
        with layout.swapped(shared | one):
            rows = pytree.tree_map(lambda row: row.unsqueeze(0), rows)
            values, extra = _called(losses, layout.module, rows, 1)
        return values.sum(), () if extra is None else extra

    over_tasks = vmap(grad_and_value(of_one_task, has_aux=True), in_dims=((None, 0), 0, 0), randomness="different")
    (shared, _), (own, fixed) = _parted(layout, layout.shared_values()), _parted(layout, layout.own_values())
    with torch.no_grad():  # other networks in the loss need no graph
        (shared_gradients, own_gradients), (values, extra) = over_tasks((shared, own), fixed, inputs)
    extra = None if extra == () else pytree.tree_map(lambda row: row.squeeze(1), extra)
    return values, extra, shared_gradients, own_gradients


def _task_after_task(layout: Layout, losses: Losses, inputs: tuple[Any, ...]) -> Computed:
    """Make a forward and a backward pass for each task on its rows: the same operations, in K times as many calls."""
    num_tasks = len(pytree.tree_leaves(inputs)[0])
    shared, _ = _parted(layout, layout.shared_values())
    own, fixed = _parted(layout, layout.own_values())
    rows = [
        _one_task(layout, losses, shared, _row(own, task), _row(fixed, task), _row(inputs, task))
        for task in range(num_tasks)
    ]
    values, extra, of_shared, of_own = zip(*rows, strict=True)
    return (
        torch.cat(values),
        pytree.tree_map(lambda *each: None if each[0] is None else torch.cat(each), *extra),
        {name: torch.stack([each[name] for each in of_shared]) for name in shared},
        {name: torch.cat([each[name] for each in of_own]) for name in own},
    )


def _one_task(
    layout: Layout, losses: Losses, shared: Values, own: Values, fixed: Values, inputs: Any
) -> tuple[Tensor, Any, Values, Values]:
    leaves = {name: leaf.detach().requires_grad_() for name, leaf in (shared | own).items()}
    with torch.enable_grad(), layout.swapped(leaves | fixed):
        values, extra = _called(losses, layout.module, inputs, 1)
        found = _differentiated(values, leaves)
    if any(each is None for each in found.values()):
        refuse_old_checkpoints([values])
    gradients = {name: _or_zero(leaf, found[name]) for name, leaf in leaves.items()}
    extra = pytree.tree_map_only(Tensor, torch.detach, extra)
    return values.detach(), extra, {n: gradients[n] for n in shared}, {n: gradients[n] for n in own}


def _differentiated(values: Tensor, leaves: Values) -> dict[str, Tensor | None]:
    found = differentiate([values], list(leaves.values()), [torch.ones_like(values)], keep=False)
    return dict(zip(leaves, found, strict=True))


def _parted(layout: Layout, values: Values) -> tuple[Values, Values]:
    """Separate the parameters that are trained from those that are not."""
    trained = {name: value for name, value in values.items() if layout.trains(name)}
    return trained, {name: value for name, value in values.items() if name not in trained}


def _row(tree: Any, task: int) -> Any:
    return pytree.tree_map(lambda each: each[task : task + 1], tree)
