"""He et al., Robust multi-task learning with excess risks, ICML 2024."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Direction
from mtrl_conic.balancers.kinds import JacobianBalancer
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.gram import combine
from mtrl_conic.linalg.vectors import positive

_PART = 8192
"""Number of parameters whose gradients are processed at a time."""


@register("excessmtl")
class ExcessMTL(JacobianBalancer):
    """ExcessMTL: more weight for the tasks that are further from convergence, whatever their losses are.

    The distance of task i from its optimum is estimated as e_i = g_i^T diag(h_i)^(-1/2) g_i, with h_i the running sum
    of g_i^2 (the paper's equations 6 and 7), over the mean estimate of the warm-up; then w_i <- w_i exp(eta e_i),
    divided by the sum (equation 9).

    Reduction: the weights sum to one.
    Cost: O(K P). State: h, as large as the Jacobian, the weights, the first estimates.

    Statistics: `weight`, (K,); `excess`, (K,), the estimates over those of the warm-up.

    Args:
        num_tasks: K.
        seed: not used.
        eta: step size of the weights.
        warmup: updates with equal weights over which the first estimates are averaged. The paper takes three epochs.
    """

    paper = "He et al., Robust multi-task learning with excess risks, ICML 2024"
    remembered = "squares"
    remembered_type = torch.float64
    every_task = True
    in_epochs = MappingProxyType({"warmup": 3})

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        eta: Annotated[float, Field(gt=0, description="step size of the weights")] = 0.01,
        warmup: Annotated[
            int,
            Field(
                ge=1, description="number of updates with equal weights, which measure the initial excess of each task"
            ),
        ] = 1,
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.eta, self.warmup = eta, warmup

    @override
    def initial_state(self) -> dict[str, Tensor]:
        return super().initial_state() | {
            "logits": self._full(0.0),
            "first": self._full(0.0),
            "count": self._count(),
        }

    @override
    def balance_jacobian(self, jacobian: Tensor, losses: Tensor | None) -> Direction:
        # In parts that fit into a processor's cache.
        parts = zip(jacobian.split(_PART, -1), self.state["squares"].split(_PART, -1), strict=True)
        excess = torch.stack([_excess(*part) for part in parts]).sum(0)
        warm = (self.state["count"] < self.warmup).unsqueeze(-1)
        first = self.state["first"] + torch.where(warm, excess / self.warmup, 0.0)
        # A task without gradients in the warm-up has no first estimate, and is neither favoured nor held back.
        relative = torch.where(first > 0, excess / positive(first), 0.0)
        logits = self.state["logits"] + torch.where(warm, 0.0, self.eta * relative)
        self._store(first=first, logits=logits, count=self.state["count"] + 1)
        weights = logits.softmax(-1)
        return Direction(combine(weights, jacobian), {"weight": weights, "excess": relative})


def _excess(gradients: Tensor, squares: Tensor) -> Tensor:
    """Add the squares of gradients (..., K, P) to `squares`, and return the sums (..., K) of g^2 / sqrt(squares)."""
    own = gradients.to(torch.float64).square()
    roots = positive(squares.add_(own)).sqrt_()
    return own.div_(roots).sum(-1)
