"""Chennupati et al., MultiNet++: multi-stream feature aggregation and geometric loss strategy, CVPRW 2019."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance, LossBalancer
from mtrl_conic.balancers.positive_losses import fallbacks, raised
from mtrl_conic.balancers.registry import register


@register("gls")
class GeometricLoss(LossBalancer):
    """Geometric loss strategy: the geometric mean (prod L_i)^(1/K) of the losses.

    w_i = (prod L)^(1/K) / (K L_i), the product through the mean of the logarithms.

    Reduction: the gradient of the geometric mean.
    Cost: O(K). Needs positive losses: those below 1e-8 count as 1e-8.

    Statistics: `fallback`, the number of losses raised to 1e-8.
    """

    paper = "Chennupati et al., MultiNet++ and geometric loss strategy, CVPR workshops 2019"
    positive_losses = True

    @override
    def weigh(self, losses: Tensor) -> Balance:
        logs = raised(losses).log()
        weights = (logs.mean(-1, keepdim=True) - logs).exp() / self.num_tasks
        return Balance(weights, {"fallback": fallbacks(losses)})
