"""Liu et al., Towards impartial multi-task learning, ICLR 2021: the part that balances losses."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.adam import adam_state, adam_step
from mtrl_conic.balancers.base import Balance
from mtrl_conic.balancers.kinds import LossBalancer
from mtrl_conic.balancers.registry import register


@register("imtl_l")
class IMTLL(LossBalancer):
    """IMTL-L: the loss sum_i (e^{s_i} L_i - s_i) with learned log scales s, so that all scaled losses are equal.

    w_i = e^{s_i}; s takes an Adam step on its own gradient e^{s_i} L_i - 1 and is stationary at
    e^{s_i} L_i = 1.

    Reduction: the sum over tasks.
    Cost: O(K). State: s and its Adam moments. Needs positive losses.

    Args:
        num_tasks: K.
        seed: not used.
        lr: step size of s.
    """

    paper = "Liu et al., Towards impartial multi-task learning, ICLR 2021"
    positive_losses = True
    refuses_negative = True

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        lr: Annotated[float, Field(gt=0, description="step size of the log scales")] = 0.001,
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.lr = lr

    @override
    def initial_state(self) -> dict[str, Tensor]:
        return adam_state("log_scale", self._full(0.0))

    @override
    def weigh(self, losses: Tensor) -> Balance:
        scale = self.state["log_scale"].exp()
        adam_step(self.state, "log_scale", scale * losses - 1, self.lr)
        return Balance(scale, {})
