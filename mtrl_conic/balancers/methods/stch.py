"""Lin et al., Smooth Tchebycheff scalarization for multi-objective optimization, ICML 2024."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance
from mtrl_conic.balancers.kinds import LossBalancer
from mtrl_conic.balancers.positive_losses import raised, reciprocal, small
from mtrl_conic.balancers.preference import PerTask, Preference, numbers, on, shares
from mtrl_conic.balancers.registry import register
from mtrl_conic.errors import UserError


@register("stch")
class SmoothTchebycheff(LossBalancer):
    """Smooth Tchebycheff: a smooth maximum of the losses' logarithms, K mu log sum_i exp(log(L_i / nadir_i) / mu).

    w_i = K softmax(log(L / nadir) / mu)_i / L_i. The nadir is the mean of the losses over the warm-up, or its end,
    during which w_i = 1 / L_i; published: over the fifth of five epochs. With a preference p the logarithms are
    multiplied by K p_i, in the warm-up too; with an ideal point z (the paper's z*), L_i - z_i replaces L_i.

    Reduction: the sum of logarithms, as `si`, which is the limit of a large mu.
    Cost: O(K). State: the nadir. Needs losses that are not negative. Below 1e-8 the weight of a loss falls to zero with
    the loss.

    Statistics: `small`, the number of losses below 1e-8.

    Args:
        num_tasks: K.
        seed: not used.
        mu: smoothing; towards zero only the worst task counts.
        warmup: updates before the nadir is fixed.
        nadir: number of updates at the end of the warm-up over which the nadir is averaged; 0: all.
        preference: weights of the tasks.
        ideal: z, the ideal losses.
    """

    paper = "Lin et al., Smooth Tchebycheff scalarization for multi-objective optimization, ICML 2024"
    positive_losses = True
    every_task = True
    in_epochs = MappingProxyType({"warmup": 5, "nadir": 1})
    refuses_negative = True

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        mu: Annotated[
            float, Field(gt=0, description="smoothing parameter; in the limit of zero only the worst task counts")
        ] = 1.0,
        warmup: Annotated[int, Field(ge=1, description="number of updates before the nadir is fixed")] = 1000,
        nadir: Annotated[
            int,
            Field(
                ge=0, description="number of updates at the end of the warm-up over which the nadir is averaged; 0: all"
            ),
        ] = 0,
        preference: Preference = "",
        ideal: Annotated[PerTask, Field(description="ideal losses, as 0.1+0.2 or by task name; empty: zero")] = "",
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        if nadir > warmup:
            raise UserError(f"stch: nadir={nadir} updates are more than the warm-up has, warmup={warmup}")
        self.mu, self.warmup, self.averaged = mu, warmup, nadir or warmup
        self.preference, self.ideal = shares(preference, num_tasks), numbers("ideal", ideal, num_tasks)

    @override
    def initial_state(self) -> dict[str, Tensor]:
        return {"nadir": self._full(0.0), "count": self._count()}

    @override
    def weigh(self, losses: Tensor) -> Balance:
        nadir, count = self.state["nadir"], self.state["count"].unsqueeze(-1)
        warm = count >= self.warmup
        if self.ideal is not None:
            losses = (losses - on(losses, self.ideal)).clamp_min(0)
        logs = (raised(losses) / raised(nadir)).log()
        if self.preference is not None:
            logs = logs * (self.num_tasks * on(losses, self.preference))
        worst = ((logs - logs.amax(-1, keepdim=True)) / self.mu).softmax(-1)
        weights = torch.where(warm, self.num_tasks * worst, 1.0)
        if self.preference is not None:
            weights = weights * (self.num_tasks * on(losses, self.preference))
        early = count < self.warmup - self.averaged
        self._store(
            nadir=nadir + torch.where(warm | early, 0.0, losses / self.averaged),
            count=self.state["count"] + 1,
        )
        return Balance(weights * reciprocal(losses), {"small": small(losses)})
