"""Per-task gradients where every loss depends on every row.

In reinforcement learning a row belongs to one task, and one backward yields all gradients
(`mtrl_conic.gradients`). Here the K losses share their rows, so their gradients of the shared parameters are K
different backward passes through the trunk. What is the same for all of them is done once: the forward pass, and
the backward pass through the heads, which stops at a copy of the representation for each task. From there on
`mtrl_conic.gradients.backward` does what it does in any loop:

- `parameters`: K backward passes through the trunk, the exact gradients that the papers' balancers are defined on;
- `representation`: the balancer sees the K gradients of the representation z itself, and one backward pass takes
  their weighted sum through the trunk (Sener and Koltun, NeurIPS 2018, section 3.3: MGDA-UB). Exact where
  dz/dtheta is orthogonal; otherwise another, cheaper choice of weights.

A balancer that looks at losses alone, or at nothing, needs neither: one backward pass.
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
"""A gradient per tensor; none where nothing depends on it."""
Forward = tuple[Callable[[Outputs], Tensor], Sequence[Tensor]]
"""Of a batch: outputs -> losses (K,), and the inputs of the trunk."""


def check(balancer: type[Balancer] | Balancer, mode: Gradients) -> None:
    """Refuse what has no meaning.

    Raises:
        UserError: a method that combines gradients of several batches, on gradients that belong to rows.
    """
    if mode == "representation" and (balancer.carries_gradients or balancer.batches > 1):
        raise UserError(
            f"{balancer.name} combines gradients of several batches, and a representation's belong to the rows of one: "
            "use --gradients parameters"
        )


def write_gradients(
    network: TaskNetwork, batches: Sequence[Forward], balancer: Balancer, *, mode: Gradients
) -> tuple[Tensor, Statistics]:
    """A forward of each batch, and the `.grad` of every parameter: balanced in the trunk, the tasks' own in the heads.

    Args:
        network: K heads on a trunk.
        batches: as many as the balancer takes.
        balancer: for K tasks.
        mode: see the module's text.

    Returns:
        The losses (K,), detached, and statistics: `weight` (K,), and where gradients were compared
        `gradient_norm` (K,) and `negative_cosines`, the share of task pairs in conflict. Of several batches, losses
        and what heads get are means.
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
    """Losses (K,), detached; the same for backward passes that begin below the heads; and the representation.

    The `.grad` of heads is added to.
    """
    features = [part.view_as(part) for part in network.represent(inputs)]  # no part is computed from another's view
    copies = [c.detach().requires_grad_() for c in network.heads.copies(tuple(features), network.num_tasks)]
    values = losses(network.heads(copies))
    branch = _trainable(network.branch_parameters())
    at_copies, at_branch = _through_heads(_trainable(network.own_parameters()), branch, values, copies)
    below = [*features, *branch]
    rows = zip(values.detach(), network.heads.by_task(at_copies), at_branch, strict=True)
    done = [_HeadDone.apply(value, (*parts, *common), *below) for value, parts, common in rows]  # type: ignore[no-untyped-call]  # torch has no types for it
    return values.detach(), done, features


class _HeadDone(torch.autograd.Function):
    """A loss whose gradients at tensors below its head are known already."""

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
    """Gradients at the copies, and for each task at parameters that branches share; adds those of the heads' own.

    Loss k depends on branch k alone, so K backward passes, where branches share anything, take as long as one.
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
    negative: Tensor = (cosine < 0).sum() / max(pairs, 1)  # the diagonal never is
    return negative
