"""Chennupati et al., MultiNet++: multi-stream feature aggregation and geometric loss strategy, CVPRW 2019."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance
from mtrl_conic.balancers.kinds import LossBalancer
from mtrl_conic.balancers.positive_losses import raised, reciprocal, small
from mtrl_conic.balancers.registry import register


@register("gls")
class GeometricLoss(LossBalancer):
    """Geometric loss strategy: the geometric mean (prod L_i)^(1/K) of the losses.

    w_i = (prod L)^(1/K) / (K L_i), the product through the mean of the logarithms.

    Reduction: the gradient of the geometric mean.
    Cost: O(K). Needs losses that are not negative. One below 1e-8 counts as 1e-8 in the mean, and its own weight falls
    to zero with it.

    Statistics: `small`, the number of losses below 1e-8.
    """

    paper = "Chennupati et al., MultiNet++ and geometric loss strategy, CVPR workshops 2019"
    positive_losses = True
    refuses_negative = True

    @override
    def weigh(self, losses: Tensor) -> Balance:
        mean = raised(losses).log().mean(-1, keepdim=True).exp()
        return Balance(mean * reciprocal(losses) / self.num_tasks, {"small": small(losses)})
