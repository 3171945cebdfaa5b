"""Lin et al., Smooth Tchebycheff scalarization for multi-objective optimization, ICML 2024."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance
from mtrl_conic.balancers.kinds import LossBalancer
from mtrl_conic.balancers.positive_losses import raised, reciprocal, small
from mtrl_conic.balancers.registry import register


@register("stch")
class SmoothTchebycheff(LossBalancer):
    """Smooth Tchebycheff: a smooth maximum of the losses' logarithms, K mu log sum_i exp(log(L_i / nadir_i) / mu).

    w_i = K softmax(log(L / nadir) / mu)_i / L_i. The nadir is the mean of the losses over the warm-up,
    during which w_i = 1 / L_i.

    Reduction: the sum of logarithms, as `si`, which is the limit of a large mu.
    Cost: O(K). State: the nadir. Needs losses that are not negative. Below 1e-8 the weight of a loss falls to zero
    again, with it.

    Statistics: `small`, the number of losses below 1e-8.

    Args:
        num_tasks: K.
        seed: not used.
        mu: smoothing; towards zero only the worst task counts.
        warmup: updates before the nadir is fixed.
    """

    paper = "Lin et al., Smooth Tchebycheff scalarization for multi-objective optimization, ICML 2024"
    positive_losses = True
    every_task = True
    refuses_negative = True

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        mu: Annotated[float, Field(gt=0, description="smoothing; towards zero only the worst task counts")] = 1.0,
        warmup: Annotated[int, Field(ge=1, description="updates over which the nadir is averaged")] = 1000,
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.mu, self.warmup = mu, warmup

    @override
    def initial_state(self) -> dict[str, Tensor]:
        return {"nadir": self._full(0.0), "count": torch.zeros((), dtype=torch.int64)}

    @override
    def weigh(self, losses: Tensor) -> Balance:
        nadir, warm = self.state["nadir"], self.state["count"] >= self.warmup
        logs = (raised(losses) / raised(nadir)).log()
        shares = torch.where(warm, self.num_tasks * ((logs - logs.amax(-1, keepdim=True)) / self.mu).softmax(-1), 1.0)
        self._store(
            nadir=nadir + torch.where(warm, 0.0, losses / self.warmup),
            count=self.state["count"] + 1,
        )
        return Balance(shares * reciprocal(losses), {"small": small(losses)})
