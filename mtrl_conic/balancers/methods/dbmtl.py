"""Lin et al., Dual-balancing for multi-task learning, 2023."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Direction
from mtrl_conic.balancers.kinds import JacobianBalancer, given
from mtrl_conic.balancers.positive_losses import reciprocal, small
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.gram import combine
from mtrl_conic.linalg.vectors import positive


@register("dbmtl")
class DBMTL(JacobianBalancer):
    """DB-MTL: balances the scales of the losses by their logarithms, and those of the gradients by their lengths.

    Y_i is a running mean of the gradients of log L_i, g_i / L_i, over time: Y_i <- b_t Y_i + (1 - b_t) g_i / L_i with
    b_t = beta / t^decay. Every Y_i is scaled to the length of the longest, and d is their sum (algorithm 1).

    Reduction: the sum over tasks.
    Guarantees: all tasks contribute vectors of one length; d does not change when a loss is multiplied by a constant.
    Cost: O(K P). State: Y, as large as the Jacobian. Needs losses that are not negative; the weight of one below 1e-8
    falls to zero with it.

    Statistics: `scale`, (K,), of each Y_i; `small`, the number of losses below 1e-8.

    Args:
        num_tasks: K.
        seed: not used.
        beta: share of the running mean that is kept at the first update; 0 takes the gradients as they are.
        decay: power of the number of updates by which that share falls.
    """

    paper = "Lin et al., Dual-balancing for multi-task learning, 2023"
    remembered = "means"
    remembered_type = torch.float64
    needs_losses = True
    positive_losses = True
    refuses_negative = True
    carries_gradients = True
    every_task = True

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        beta: Annotated[float, Field(ge=0, lt=1, description="share of the running mean that is kept")] = 0.9,
        decay: Annotated[float, Field(ge=0, description="power of the updates by which that share falls")] = 0.5,
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.beta, self.decay = beta, decay

    @override
    def initial_state(self) -> dict[str, Tensor]:
        return super().initial_state() | {"count": self._count()}

    @override
    def balance_jacobian(self, jacobian: Tensor, losses: Tensor | None) -> Direction:
        losses = given(losses)
        kept = (self.beta / self.state["count"].add_(1).to(torch.float64) ** self.decay).unsqueeze(-1)
        share = (reciprocal(losses) * (1 - kept)).unsqueeze(-1)
        means = self.state["means"].mul_(kept.unsqueeze(-1)).addcmul_(jacobian.to(torch.float64), share)
        lengths = torch.linalg.vector_norm(means, dim=-1)
        scales = torch.where(lengths > 0, lengths.amax(-1, keepdim=True) / positive(lengths), 0.0)
        return Direction(combine(scales, means).to(jacobian.dtype), {"scale": scales, "small": small(losses)})
