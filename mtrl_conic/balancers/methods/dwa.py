"""Liu et al., End-to-end multi-task learning with attention, CVPR 2019."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance
from mtrl_conic.balancers.kinds import LossBalancer
from mtrl_conic.balancers.positive_losses import raised
from mtrl_conic.balancers.registry import register


@register("dwa")
class DynamicWeightAverage(LossBalancer):
    """Dynamic weight average: more weight where the loss falls more slowly.

    w = K softmax(r / T), r_i = the mean loss of the last full window over that of the window before.
    The paper's window is an epoch; all weights are one until two windows are full.

    Reduction: the weights sum to K.
    Cost: O(K). State: three sums of losses. Needs positive losses.
    Statistics: `rate`, (K,), r.

    Args:
        num_tasks: K.
        seed: not used.
        temperature: T, evens the weights out.
        window: number of updates in a window.
    """

    paper = "Liu et al., End-to-end multi-task learning with attention, CVPR 2019"
    positive_losses = True
    every_task = True
    in_epochs = MappingProxyType({"window": 1})
    refuses_negative = True

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        temperature: Annotated[
            float, Field(gt=0, description="temperature of the softmax: larger values make the weights more equal")
        ] = 2.0,
        window: Annotated[int, Field(ge=1, description="number of updates over which the losses are averaged")] = 1000,
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.temperature, self.window = temperature, window

    @override
    def initial_state(self) -> dict[str, Tensor]:
        sums = {"sum": self._full(0.0), "last": self._full(1.0), "before": self._full(1.0)}
        return sums | {"count": self._count()}

    @override
    def weigh(self, losses: Tensor) -> Balance:
        state = self.state
        count = state["count"].unsqueeze(-1)
        ready = count >= 2 * self.window
        rates = torch.where(ready, raised(state["last"]) / raised(state["before"]), 1.0)
        weights = self.num_tasks * (rates / self.temperature).softmax(-1)

        total = state["sum"] + losses
        full = (count + 1) % self.window == 0
        self._store(
            before=torch.where(full, state["last"], state["before"]),
            last=torch.where(full, total / self.window, state["last"]),
            sum=torch.where(full, 0.0, total),
            count=state["count"] + 1,
        )
        return Balance(weights, {"rate": rates})
