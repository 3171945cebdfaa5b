"""Chen et al., GradNorm: gradient normalization for adaptive loss balancing, ICML 2018."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.adam import adam_state, adam_step
from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.kinds import given
from mtrl_conic.balancers.positive_losses import raised
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.vectors import positive


@register("gradnorm")
class GradNorm(Balancer):
    """GradNorm: learned weights that bring the norms n_i = w_i ||g_i|| to a common rate of training.

    target_i = mean(n) r_i^alpha with r_i = (L_i / L_i(0)) / mean_j(L_j / L_j(0)); w takes an Adam step on
    sum_i |n_i - target_i|, whose gradient is ||g_i|| sign(n_i - target_i) (over mean(n): scale-free), and
    is scaled to sum K. L(0) are the losses of the first update.

    Reduction: the weights sum to K.
    Cost: O(K); only the diagonal of M is used. State: w, its Adam moments, L(0). Needs positive losses.

    Statistics: `imbalance`, mean |n_i - target_i| over mean(n).

    Args:
        num_tasks: K.
        seed: not used.
        alpha: how strongly slow tasks are helped; zero asks for equal norms.
        lr: step size of the weights.
    """

    paper = "Chen et al., GradNorm: gradient normalization for adaptive loss balancing, ICML 2018"
    needs_losses = True
    positive_losses = True
    every_task = True
    refuses_negative = True

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        alpha: Annotated[float, Field(ge=0, description="strength with which slow tasks are favoured")] = 1.5,
        lr: Annotated[float, Field(gt=0, description="step size of the weights")] = 0.025,
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.alpha, self.lr = alpha, lr

    @override
    def initial_state(self) -> dict[str, Tensor]:
        started = torch.zeros(self.batch_shape, dtype=torch.bool)
        return adam_state("weights", self._full(1.0)) | {"first": self._full(1.0), "started": started}

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        first = torch.where(self.state["started"].unsqueeze(-1), self.state["first"], raised(given(losses)))
        self._store(first=first, started=torch.ones_like(self.state["started"]))
        weights = self.state["weights"].clone()
        lengths = gramian.diagonal(dim1=-2, dim2=-1).sqrt()
        norms = weights * lengths
        mean = norms.mean(-1, keepdim=True)
        progress = raised(given(losses)) / first
        targets = mean * (progress / progress.mean(-1, keepdim=True)) ** self.alpha
        adam_step(self.state, "weights", lengths / positive(mean) * (norms - targets).sign(), self.lr)
        moved = self.state["weights"].clamp_min(1e-3)
        self._store(weights=moved * (self.num_tasks / moved.sum(-1, keepdim=True)))
        imbalance = (norms - targets).abs().mean(-1) / positive(mean).squeeze(-1)
        return Balance(weights, {"imbalance": imbalance})

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        return {"simplex": guarantees.off_the_simplex(outcome.weights / self.num_tasks)}
