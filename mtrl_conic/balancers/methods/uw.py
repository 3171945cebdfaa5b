"""Kendall et al., Multi-task learning using uncertainty to weigh losses, CVPR 2018."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.adam import adam_state, adam_step
from mtrl_conic.balancers.base import Balance
from mtrl_conic.balancers.kinds import LossBalancer
from mtrl_conic.balancers.registry import register


@register("uw")
class UncertaintyWeighting(LossBalancer):
    """Uncertainty weighting: the loss sum_i (exp(-s_i) L_i + s_i) / 2 with learned log variances s.

    w_i = exp(-s_i) / 2; s takes an Adam step on its own gradient (1 - exp(-s_i) L_i) / 2 and is
    stationary at s_i = log L_i, where w_i = 1 / (2 L_i).

    With `likelihood="classification"` the loss is the paper's form for cross-entropies,
    sum_i exp(-s_i) L_i + s_i / 2: the weights exp(-s_i) start at 1 and not at 1/2, and also settle at 1 / (2 L_i).

    Reduction: the sum over tasks, halved for regression.
    Cost: O(K). State: s and its Adam moments. Needs positive losses.

    Args:
        num_tasks: K.
        seed: not used.
        lr: step size of s.
        likelihood: form of the loss, see above.
    """

    paper = "Kendall et al., Multi-task learning using uncertainty to weigh losses, CVPR 2018"
    positive_losses = True
    refuses_negative = True

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        lr: Annotated[float, Field(gt=0, description="step size of the log variances")] = 0.001,
        likelihood: Annotated[
            Literal["regression", "classification"],
            Field(description="form of the loss: regression has the weight exp(-s) / 2, classification exp(-s)"),
        ] = "regression",
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.lr, self.factor = lr, 0.5 if likelihood == "regression" else 1.0

    @override
    def initial_state(self) -> dict[str, Tensor]:
        return adam_state("log_variance", self._full(0.0))

    @override
    def weigh(self, losses: Tensor) -> Balance:
        precision = (-self.state["log_variance"]).exp()
        adam_step(self.state, "log_variance", 0.5 - self.factor * precision * losses, self.lr)
        return Balance(self.factor * precision, {})
