"""A balanced backward pass for any training loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mtrl_conic.balancers.base import Balancer
from mtrl_conic.errors import UserError
from mtrl_conic.gradients.autograd import Found
from mtrl_conic.gradients.graph import FeatureGradients, GraphGradients, TaskLosses
from mtrl_conic.gradients.present import combine_present, of_all_tasks
from mtrl_conic.gradients.processes import Processes, refuse_sharded
from mtrl_conic.gradients.sound import sound_or_skipped, unchanged_on_error
from mtrl_conic.linalg.cosines import norms_and_cosines

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

Statistics = dict[str, Tensor]


def backward(
    losses: Tensor | Sequence[Tensor | None] | Sequence[Sequence[Tensor]],
    balancer: Balancer,
    *,
    shared: Iterable[nn.Parameter],
    own: Iterable[nn.Parameter] = (),
    features: Tensor | Sequence[Tensor] | None = None,
    scaler: torch.amp.GradScaler | None = None,
    process_group: ProcessGroup | bool | None = None,
    retain_graph: bool = False,
) -> Statistics:
    """Add balanced gradients to the `.grad` of parameters; it replaces `losses.sum().backward()`.

    Shared parameters receive the balancer's direction, and parameters in `own` the gradient of the plain sum.
    Parameters that do not require a gradient are ignored, and parameters on which no loss depends do not change.

    Args:
        losses: K scalars or a tensor (K,), on one graph or several. They may come from one batch that all tasks share
            or from a batch per task. None stands for a task without rows in this batch; the other tasks are balanced
            among themselves. A balancer with several independent batches (`balancer.batches`) takes a list with the
            losses of each batch, and parameters in `own` then receive the mean over the batches.
        balancer: balancer of K tasks.
        shared: parameters whose K gradients are combined.
        own: parameters that belong to one task each, such as those of heads. No parameter may be in both lists.
        features: the representation that the heads receive, one tensor or several. The balancer then compares its
            gradients instead of those of the parameters (Sener and Koltun, NeurIPS 2018, section 3.3), and one backward
            pass propagates their combination through the trunk.
        scaler: gradient scaler for mixed precision; pass `losses` without `scaler.scale`. `.grad` receives scaled
            gradients, as `scaler.unscale_` and `scaler.step` expect, and the balancer unscaled ones. If they overflow,
            the balancer's state does not change and `.grad` is not finite, so that the scaler skips the step.
        process_group: processes with copies of the network and different rows, over which losses and gradients are
            averaged; a task is averaged over the processes that have it. Either a group, True for all processes, or
            False for this process alone.
        retain_graph: whether to retain the graph, as in torch.

    Returns:
        The balancer's statistics; `weight` (K,) if it has weights; `gradient_norm` (K,) and `cosine` (K, K) if it
        compared gradients; and with a scaler `overflow`, which is true if the batch was lost. A task without rows has
        weight zero and NaN in the other statistics. There are no statistics if no shared parameter is trained.

    Raises:
        UserError: the arguments do not fit together; the message says what to do.
        FloatingPointError: losses or gradients are not finite, and the balancer has `on_nonfinite="raise"`. After any
            error, the balancer's state and every `.grad` are as before.
    """
    if not isinstance(balancer, Balancer):
        raise UserError(f"balancer must be a balancer, not {balancer!r}: make one with mtrl_conic.balancers.make")
    processes = Processes(process_group)
    common, single = _trainable("shared", shared), _trainable("own", own)
    _refuse_what_is_both(common, single)
    taken, places = _taken(_of_batches(losses, balancer), scaler, processes)
    if not places:
        return {}
    present = _tasks_of(places, balancer)
    gradients = GraphGradients(taken, common, single, processes=processes, keep=retain_graph)
    if features is not None and common:
        _refuse_rows(balancer)
        parts = _parts_of(features)
        gradients = FeatureGradients(parts, taken, common, single, processes=processes, keep=retain_graph)
    _refuse_complex(balancer, common)
    with unchanged_on_error(balancer) as before:
        if taken.scale is None:
            found, statistics = _balance(balancer, gradients, present)
            found, statistics = _checked(balancer, gradients, found, statistics, before)
        else:
            found, statistics = _balance_scaled(balancer, gradients, present, before)
    of_own = gradients.of_own
    if balancer.batches > 1:
        of_own = [None if each is None else each / balancer.batches for each in of_own]
    _add([*common, *single], [*found, *of_own])
    return statistics


def _balance(balancer: Balancer, gradients: GraphGradients, present: Sequence[int]) -> tuple[Found, Statistics]:
    if not gradients.shared:
        gradients.combine(torch.ones_like(gradients.losses))
        return [], {}
    direction, statistics = combine_present(balancer, gradients, present)
    if "skipped" in statistics:  # the heads skip the same batch
        gradients.of_own = [None if g is None else g.where(~statistics["skipped"], 0.0) for g in gradients.of_own]
    found = [direction.get(place) for place in range(len(gradients.shared))]
    return found, statistics | _geometry(gradients, balancer.num_tasks, present)


def _checked(
    balancer: Balancer, gradients: GraphGradients, found: Found, statistics: Statistics, before: Statistics
) -> tuple[Found, Statistics]:
    """Refuse or skip gradients that are not finite, see `sound_or_skipped`."""
    names = [f"parameter {place} of shared" for place in range(len(found))]
    names += [f"parameter {place} of own" for place in range(len(gradients.of_own))]
    named = dict(zip(names, [*found, *gradients.of_own], strict=True))
    there = {name: gradient for name, gradient in named.items() if gradient is not None}
    kept, statistics = sound_or_skipped(balancer, there, statistics, before, gradients.processes)
    of_all = [kept.get(name) for name in names]
    gradients.of_own = of_all[len(found) :]
    return of_all[: len(found)], statistics


def _balance_scaled(
    balancer: Balancer, gradients: GraphGradients, present: Sequence[int], before: Statistics
) -> tuple[Found, Statistics]:
    """Balance under a gradient scaler; an overflow leaves the balancer's state unchanged and all gradients NaN."""
    try:
        _check_finite([gradients.losses], gradients.processes)
        found, statistics = _balance(balancer, gradients, present)
        _check_finite([*found, *gradients.of_own], gradients.processes)
    except FloatingPointError:
        balancer.load_state_dict(before)
        gradients.of_own = [torch.full_like(parameter, torch.nan) for parameter in gradients.own]
        lost: Found = [torch.full_like(parameter, torch.nan) for parameter in gradients.shared]
        return lost, {"overflow": torch.tensor(True)}
    return found, statistics | {"overflow": torch.tensor(False)}


def _check_finite(found: Found, processes: Processes) -> None:
    tensors = [each for each in found if each is not None]
    if not processes.all_finite(tensors):
        raise FloatingPointError("losses or scaled gradients are not finite")


def _trainable(kind: str, given: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Return the parameters that require a gradient, each once."""
    if isinstance(given, nn.Module | Tensor):
        raise UserError(f"{kind} must be parameters, not a {type(given).__name__}: write {kind}=trunk.parameters()")
    parameters = list(given)
    for each in parameters:
        if not (isinstance(each, Tensor) and each.is_leaf):
            raise UserError(f"{kind} must be parameters, not a {type(each).__name__}: write {kind}=trunk.parameters()")
        if not (each.requires_grad or isinstance(each, nn.Parameter)):
            raise UserError(
                f"{kind} contains a tensor that is no parameter and requires no gradient, such as those of "
                f"state_dict(): write {kind}=trunk.parameters()"
            )
    refuse_sharded(parameters)
    return list(dict.fromkeys(each for each in parameters if each.requires_grad))


def _refuse_what_is_both(shared: Sequence[nn.Parameter], own: Sequence[nn.Parameter]) -> None:
    known = set(shared)
    for place, each in enumerate(own):
        if each in known:
            raise UserError(
                f"parameter {place} of own, of shape {tuple(each.shape)}, is also in shared: remove it from one of them"
            )


def _parts_of(features: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """Return the parts of the representation."""
    parts = [features] if isinstance(features, Tensor) else list(features)
    for each in parts:
        if not isinstance(each, Tensor):
            raise UserError(f"features must be a tensor or a list of tensors, not {type(features).__name__}")
    return parts


def _refuse_complex(balancer: Balancer, shared: Sequence[nn.Parameter]) -> None:
    if balancer.compares_gradients and any(each.is_complex() for each in shared):
        raise UserError(
            f"{balancer.name} compares gradients, and a shared parameter is complex: keep it as real numbers, and use "
            "torch.view_as_complex(parameter) in the network"
        )


def _refuse_rows(balancer: Balancer) -> None:
    """Refuse a representation for methods that would compare rows of different batches.

    Raises:
        UserError: the method combines gradients of several batches.
    """
    if balancer.carries_gradients or balancer.batches > 1:
        raise UserError(
            f"{balancer.name} combines gradients of several batches, but gradients of features belong to the rows of "
            "one batch: omit features, or use another method"
        )


def _of_batches(losses: Any, balancer: Balancer) -> list[Tensor | None]:
    """Return the loss of each task, or None, with those of the first batch first."""
    count = balancer.batches
    if count == 1:
        return _by_task(losses, balancer.num_tasks)
    with torch.enable_grad():
        batches = list(losses)
    if len(batches) != count or any(isinstance(each, Tensor) and each.dim() == 0 for each in batches):
        raise UserError(
            f"{balancer.name} takes {count} independent batches: pass a list of {count}, the losses of each batch"
        )
    return [loss for batch in batches for loss in _by_task(batch, balancer.num_tasks)]


def _tasks_of(places: Sequence[int], balancer: Balancer) -> list[int]:
    """Return the tasks of each batch, given the positions of all losses that are not None."""
    tasks = [place for place in places if place < balancer.num_tasks]
    if list(places) != [number * balancer.num_tasks + task for number in range(balancer.batches) for task in tasks]:
        raise UserError(f"{balancer.name} compares batches with each other: all of them must have the same tasks")
    return tasks


def _by_task(losses: Tensor | Sequence[Tensor | None], num_tasks: int) -> list[Tensor | None]:
    """Return the loss of each task, or None."""
    if isinstance(losses, Tensor):
        if losses.dim() != 1:
            raise UserError(f"losses must have shape (K,), one number per task, not {tuple(losses.shape)}")
        with torch.enable_grad():
            losses = losses.unbind()
    losses = list(losses)
    if len(losses) != num_tasks:
        raise UserError(
            f"{len(losses)} losses for a balancer of {num_tasks} tasks: pass one per task, "
            "and None for a task without rows in the batch"
        )
    for task, loss in enumerate(losses):
        if loss is None:
            continue
        if not isinstance(loss, Tensor) or loss.dim():
            shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise UserError(
                f"the loss of task {task} must be a scalar tensor, not {shape}: take its mean over the rows"
            )
        if not loss.requires_grad:
            raise UserError(
                f"the loss of task {task} has no graph: compute it with gradients enabled, or pass None "
                "if the task has no rows in the batch"
            )
    return losses


def _taken(
    losses: Sequence[Tensor | None], scaler: torch.amp.GradScaler | None, processes: Processes
) -> tuple[TaskLosses, list[int]]:
    """Return the losses of the tasks that any process has, and the indices of these tasks."""
    device = next((loss.device for loss in losses if loss is not None), torch.device("cpu"))
    counts = processes.count([loss is not None for loss in losses], device)
    present = [task for task, count in enumerate(counts) if count]
    graphs = [losses[task] for task in present]
    shares = torch.tensor([1 / counts[task] for task in present], dtype=torch.float64, device=device)
    values = [torch.zeros_like(shares[0]) if loss is None else loss.detach().to(shares) for loss in graphs]
    means = torch.stack(values) * shares if values else shares
    processes.add([means])
    scale = None
    if scaler is not None and scaler.is_enabled():
        scale = scaler.scale(torch.ones((), device=device)).detach()
    return TaskLosses(graphs, means, shares if scale is None else shares * scale, scale), present


def _geometry(gradients: GraphGradients, num_tasks: int, present: Sequence[int]) -> Statistics:
    """Return the norms and cosines of the compared gradients of the first batch."""
    if gradients.rows is None:
        return {}
    norms, cosines = norms_and_cosines(gradients.gramian[: len(present), : len(present)])
    return {
        "gradient_norm": of_all_tasks(norms, num_tasks, present),
        "cosine": of_all_tasks(cosines, num_tasks, present),
    }


@torch.no_grad()
def _add(parameters: Sequence[nn.Parameter], found: Found) -> None:
    """Add gradients to `.grad` as torch does; a new `.grad` is a copy, because it is modified in place later."""
    for parameter, gradient in zip(parameters, found, strict=True):
        if gradient is None:
            continue
        if parameter.grad is None:
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
        else:
            parameter.grad += gradient
