"""Scale-invariant weighting: the gradient of the sum of the logarithms of the losses."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance
from mtrl_conic.balancers.kinds import LossBalancer
from mtrl_conic.balancers.positive_losses import reciprocal, small
from mtrl_conic.balancers.registry import register


@register("si")
class ScaleInvariant(LossBalancer):
    """Scale-invariant weighting, w_i = 1 / L_i: the gradient of sum log L_i.

    Reduction: the sum over tasks.
    Guarantees: the direction does not change when a loss is multiplied by a constant.
    Cost: O(K). Needs losses that are not negative. Below 1e-8 the weight of a loss falls to zero with the loss.

    Statistics: `small`, the number of losses below 1e-8.
    """

    paper = "folklore; a baseline of Navon et al., Multi-task learning as a bargaining game, ICML 2022"
    positive_losses = True
    refuses_negative = True

    @override
    def weigh(self, losses: Tensor) -> Balance:
        return Balance(reciprocal(losses), {"small": small(losses)})
