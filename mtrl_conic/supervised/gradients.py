"""Per-task gradients where every loss depends on every row.

In reinforcement learning a row belongs to one task, and one backward yields all gradients
(`mtrl_conic.gradients`). Here the K losses share their rows, so their gradients of the shared parameters are K
different backward passes through the trunk. What is the same for all of them is done once: the forward pass, and
the backward pass through the heads, which stops at a copy of the representation for each task. From there

- `parameters`: K backward passes through the trunk, the exact gradients that the papers' balancers are defined on;
- `representation`: the balancer sees the K gradients of the representation z itself, and one backward pass takes
  their weighted sum through the trunk (Sener and Koltun, NeurIPS 2018, section 3.3: MGDA-UB). Exact where
  dz/dtheta is orthogonal; otherwise another, cheaper choice of weights.

A balancer that looks at losses alone, or at nothing, needs neither: one backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mtrl_conic.balancers import Balancer
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import TaskGradients
from mtrl_conic.supervised.network import Outputs, Representation, TaskNetwork
from mtrl_conic.supervised.problem import Gradients

Statistics = dict[str, Tensor]


def check(balancer: type[Balancer] | Balancer, mode: Gradients) -> None:
    """Refuse what has no meaning.

    Raises:
        UserError: a method that carries gradients from batch to batch, on gradients that belong to rows.
    """
    if mode == "representation" and balancer.name == "moco":
        raise UserError(
            "moco averages gradients over batches, and a representation's belong to the rows of one: "
            "use --gradients parameters"
        )


def write_gradients(
    network: TaskNetwork,
    losses: Callable[[Outputs], Tensor],
    inputs: Sequence[Tensor],
    balancer: Balancer,
    *,
    mode: Gradients,
) -> tuple[Tensor, Statistics]:
    """One forward, and the `.grad` of every parameter: balanced in the trunk, each task's own in the heads.

    Args:
        network: K heads on a trunk.
        losses: outputs -> (K,).
        inputs: of the trunk.
        balancer: for K tasks.
        mode: see the module's text.

    Returns:
        The losses (K,), detached, and statistics: `weight` (K,), and where gradients were compared
        `gradient_norm` (K,) and `negative_cosines`, the share of task pairs in conflict.
    """
    representation = network.represent(inputs)
    copies = [c.detach().requires_grad_() for c in network.heads.copies(representation, network.num_tasks)]
    losses_by_task = losses(network.heads(copies))
    values = losses_by_task.detach()
    at_copies, branches = _through_heads(network, losses_by_task, copies)
    gradients = _Gradients(network, representation, network.heads.by_task(at_copies), branches)
    if not balancer.compares_gradients:
        weights, statistics = balancer.without_gradients(values)
        gradients.write_weighted(weights.to(at_copies[0]))
        return values, {"weight": weights, **statistics}
    seen = TaskGradients(values, None, gradients.of_parameters() if mode == "parameters" else gradients.of_copies(), {})
    combined, statistics = seen.balance(balancer)
    if mode == "parameters":
        _write(network.trunk_parameters() | network.branch_parameters(), combined)
    else:
        # A weight per task gives the branches theirs; GradDrop has none and leaves them the plain mean.
        mean = torch.full_like(values, 1 / len(values))
        gradients.write_representation(list(combined.values()), statistics.get("weight", mean).to(at_copies[0]))
    return values, {**statistics, **_geometry(seen.gramian)}


def _through_heads(
    network: TaskNetwork, losses: Tensor, copies: Sequence[Tensor]
) -> tuple[Sequence[Tensor], dict[str, Tensor]]:
    """Gradients at the copies, and (K, *S) of parameters shared among branches; writes those of the heads' own.

    Loss k depends on branch k alone, so K backward passes, where branches share anything, take as long as one.
    """
    own, branch = network.own_parameters(), network.branch_parameters()
    if not branch:
        found = torch.autograd.grad(losses.sum(), [*copies, *own.values()], materialize_grads=True)
        _write(own, dict(zip(own, found[len(copies) :], strict=True)))
        return found[: len(copies)], {}
    total = [torch.zeros_like(part) for part in (*copies, *own.values())]
    rows = []
    for task, loss in enumerate(losses):
        found = torch.autograd.grad(
            loss, [*copies, *own.values(), *branch.values()], retain_graph=task + 1 < len(losses), allow_unused=True
        )
        for into, gradient in zip(total, found, strict=False):
            if gradient is not None:
                into += gradient
        rows.append(found[len(total) :])
    _write(own, dict(zip(own, total[len(copies) :], strict=True)))
    return total[: len(copies)], {
        name: torch.stack(row) for name, row in zip(branch, zip(*rows, strict=True), strict=True)
    }


class _Gradients:
    """What a batch's backward through the heads left, and the ways on through the trunk.

    Args:
        network: whose `.grad` is written.
        representation: with its graph.
        at_copies: for each task its loss's gradients at the parts of the representation.
        branches: name -> (K, *S) of shared parameters above it.
    """

    def __init__(
        self,
        network: TaskNetwork,
        representation: Representation,
        at_copies: Sequence[Representation],
        branches: dict[str, Tensor],
    ) -> None:
        self.network, self.representation, self.at_copies, self.branches = network, representation, at_copies, branches
        self._trunk = network.trunk_parameters()

    def of_parameters(self) -> dict[str, Tensor]:
        """Name -> (K, *S): K backward passes through one graph."""
        last = len(self.at_copies) - 1
        rows = [self._back(seeds, keep=task < last) for task, seeds in enumerate(self.at_copies)]
        stacked = {name: torch.stack(row) for name, row in zip(self._trunk, zip(*rows, strict=True), strict=True)}
        return stacked | self.branches

    def of_copies(self) -> dict[str, Tensor]:
        """Number of a part of the representation -> (K, B, ...)."""
        return {str(i): torch.stack(parts) for i, parts in enumerate(zip(*self.at_copies, strict=True))}

    def write_weighted(self, weights: Tensor) -> None:
        """Fill `.grad` with the sum of the K gradients times `weights` (K,), in one backward pass."""
        seeds = [
            torch.stack([weight * part for weight, part in zip(weights, parts, strict=True)]).sum(0)
            for parts in zip(*self.at_copies, strict=True)
        ]
        self.write_representation(seeds, weights)

    def write_representation(self, seeds: Sequence[Tensor], weights: Tensor) -> None:
        """Fill `.grad` from a gradient at the representation, and that of the branches from weights (K,)."""
        _write(self._trunk, dict(zip(self._trunk, self._back(seeds), strict=True)))
        combined = {name: torch.tensordot(weights.to(block), block, 1) for name, block in self.branches.items()}
        _write(self.network.branch_parameters(), combined)

    def _back(self, seeds: Sequence[Tensor], *, keep: bool = False) -> Sequence[Tensor]:
        return torch.autograd.grad(
            self.representation, list(self._trunk.values()), list(seeds), retain_graph=keep, materialize_grads=True
        )


def _write(parameters: dict[str, nn.Parameter], gradients: dict[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.grad = gradients[name]


def _geometry(gramian: Tensor) -> Statistics:
    norms = gramian.diagonal().sqrt()
    pairs = len(norms) * (len(norms) - 1)
    negative = (gramian < 0).sum() / max(pairs, 1)  # the diagonal never is
    return {"gradient_norm": norms, "negative_cosines": negative}
