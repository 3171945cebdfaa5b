"""Per-task gradients for problems in which every loss depends on every row of the batch.

In reinforcement learning a row belongs to one task, and a single backward pass yields the gradients of all tasks
(`mtrl_conic.gradients`). Here the K losses share their rows, so the gradients of the shared parameters need K
backward passes through the trunk. Work that is common to the tasks is done once: the forward pass, and the backward
pass through the heads, which stops at each task's copy of the representation. From there,
`mtrl_conic.gradients.backward` computes the rest in one of two modes:

- `parameters`: K backward passes through the trunk give the exact gradients for which the balancers are defined;
- `representation`: the balancer receives the K gradients of the representation z, and one backward pass propagates
  their weighted sum through the trunk (Sener and Koltun, NeurIPS 2018, section 3.3: MGDA-UB). The weights equal those
  of `parameters` where dz/dtheta is orthogonal; otherwise they are an approximation that costs less.

A balancer that uses only the losses, or fixed weights, needs one backward pass in either mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtrl_conic.balancers import Balancer
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import backward
from mtrl_conic.supervised.network import Outputs, TaskNetwork
from mtrl_conic.supervised.problem import Gradients

Statistics = dict[str, Tensor]
Found = Sequence[Tensor | None]
"""One gradient per tensor; None if nothing depends on the tensor."""
Forward = tuple[Callable[[Outputs], Tensor], Sequence[Tensor]]
"""One batch: the function that maps outputs to losses (K,), and the inputs of the trunk."""


def check(balancer: type[Balancer] | Balancer, mode: Gradients) -> None:
    """Check that a balancer can be used with a kind of gradients.

    Raises:
        UserError: the balancer combines gradients of several batches, and `mode` is `representation`.
    """
    if mode == "representation" and (balancer.carries_gradients or balancer.batches > 1):
        raise UserError(
            f"{balancer.name} combines gradients of several batches, but gradients of a representation belong to the "
            "rows of one batch: use --gradients parameters"
        )


def write_gradients(
    network: TaskNetwork, batches: Sequence[Forward], balancer: Balancer, *, mode: Gradients
) -> tuple[Tensor, Statistics]:
    """Run the forward passes and fill the `.grad` of every parameter: balanced in the trunk, per task in the heads.

    Args:
        network: a trunk with K heads.
        batches: as many batches as the balancer needs for one step.
        balancer: a balancer for K tasks.
        mode: which gradients the balancer receives; see the module docstring.

    Returns:
        The detached losses (K,) and the statistics: `weight` (K,) and, if gradients were compared,
        `gradient_norm` (K,) and `negative_cosines`, the fraction of task pairs that conflict. With several batches,
        the losses and the gradients of the heads are means over the batches.
    """
    network.zero_grad()
    values, rows, features = zip(*(_below_heads(network, *batch) for batch in batches), strict=True)
    for parameter in _trainable(network.own_parameters()):
        if len(batches) > 1 and parameter.grad is not None:
            parameter.grad /= len(batches)
    told = backward(
        rows[0] if len(batches) == 1 else rows,
        balancer,
        shared=[*network.trunk_parameters().values(), *_trainable(network.branch_parameters())],
        features=features[0] if mode == "representation" else None,
    )
    cosine = told.pop("cosine", None)
    told = told if cosine is None else told | {"negative_cosines": _conflicts(cosine)}
    return torch.stack(values).mean(0), told


def _below_heads(
    network: TaskNetwork, losses: Callable[[Outputs], Tensor], inputs: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run the forward pass and the backward pass through the heads, which adds to the `.grad` of the heads.

    Returns the detached losses (K,), the same losses with a graph that begins below the heads, and the
    representation.
    """
    # Views, so that no part of the representation is computed from another part.
    features = [part.view_as(part) for part in network.represent(inputs)]
    copies = [c.detach().requires_grad_() for c in network.heads.copies(tuple(features), network.num_tasks)]
    values = losses(network.heads(copies))
    branch = _trainable(network.branch_parameters())
    at_copies, at_branch = _through_heads(_trainable(network.own_parameters()), branch, values, copies)
    below = [*features, *branch]
    rows = zip(values.detach(), network.heads.by_task(at_copies), at_branch, strict=True)
    done = [_HeadDone.apply(value, (*parts, *common), *below) for value, parts, common in rows]  # type: ignore[no-untyped-call]  # torch has no types for it
    return values.detach(), done, features


class _HeadDone(torch.autograd.Function):
    """A loss whose gradients with respect to the tensors below its head have already been computed."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, known: Found, *below: Tensor) -> Tensor:
        ctx.known = known
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (factor,) = grad_outputs
        return None, None, *(None if part is None else factor * part for part in ctx.known)


def _through_heads(
    own: Sequence[nn.Parameter], branch: Sequence[nn.Parameter], losses: Tensor, copies: Sequence[Tensor]
) -> tuple[Sequence[Tensor], Sequence[Found]]:
    """Return the gradients at the copies and, for each task, at the parameters that the branches share.

    The gradients of the heads' own parameters are added to their `.grad`. Loss k depends on branch k only, so K
    backward passes through the branches cost as much as one.
    """
    if not branch:
        found = torch.autograd.grad(losses.sum(), [*copies, *own], materialize_grads=True)
        _add(own, found[len(copies) :])
        return found[: len(copies)], [()] * len(losses)
    total = [torch.zeros_like(part) for part in (*copies, *own)]
    rows = []
    for task, loss in enumerate(losses):
        keep = task + 1 < len(losses)
        each = torch.autograd.grad(loss, [*copies, *own, *branch], retain_graph=keep, allow_unused=True)
        for into, gradient in zip(total, each, strict=False):
            if gradient is not None:
                into += gradient
        rows.append(each[len(total) :])
    _add(own, total[len(copies) :])
    return total[: len(copies)], rows


def _trainable(parameters: dict[str, nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters.values() if parameter.requires_grad]


def _add(parameters: Iterable[nn.Parameter], gradients: Iterable[Tensor]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _conflicts(cosine: Tensor) -> Tensor:
    pairs = len(cosine) * (len(cosine) - 1)
    negative: Tensor = (cosine < 0).sum() / max(pairs, 1)  # the diagonal is never negative
    return negative
