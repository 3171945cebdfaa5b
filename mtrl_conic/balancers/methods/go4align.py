"""Shen et al., GO4Align: group optimization for multi-task alignment, NeurIPS 2024."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance
from mtrl_conic.balancers.kinds import LossBalancer
from mtrl_conic.balancers.positive_losses import raised, reciprocal, small
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.clusters import cluster_means


@register("go4align")
class GO4Align(LossBalancer):
    """GO4Align: tasks with similar losses form a group, and the tasks of a group share one weight.

    Each task's indicator is gamma_i = p_i sum_j L_j / L_i, where p follows the history of its risk,
    p_i <- p_i exp(-eta L_i), divided by the sum. The indicators are clustered into `groups` groups (k-means, solved
    exactly on the line), and a task's weight is the mean of the indicators in its group.

    Reduction: the sum over tasks; with equal losses the weights are one.
    Cost: O(groups K^2). State: p. Needs losses that are not negative; the indicator of one below 1e-8 falls to zero
    with it.

    Statistics: `indicator`, (K,); `small`, the number of losses below 1e-8.

    Args:
        num_tasks: K.
        seed: not used.
        groups: number of groups; with K or more every task has its own weight.
        eta: step size of the history.
    """

    paper = "Shen et al., GO4Align: group optimization for multi-task alignment, NeurIPS 2024"
    positive_losses = True
    refuses_negative = True
    every_task = True

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        groups: Annotated[int, Field(ge=1, description="number of groups of tasks")] = 2,
        eta: Annotated[float, Field(gt=0, description="step size of the history of the risks")] = 0.0001,
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.groups, self.eta = groups, eta

    @override
    def initial_state(self) -> dict[str, Tensor]:
        return {"log_history": self._full(-math.log(self.num_tasks))}

    @override
    def weigh(self, losses: Tensor) -> Balance:
        # As logarithms: a probability that has underflowed to zero would never rise again.
        history = (self.state["log_history"] - self.eta * losses).log_softmax(-1)
        self._store(log_history=history)
        indicators = history.exp() * raised(losses).sum(-1, keepdim=True) * reciprocal(losses)
        weights = cluster_means(indicators, min(self.groups, self.num_tasks))
        return Balance(weights, {"indicator": indicators, "small": small(losses)})
