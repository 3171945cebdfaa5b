"""Lin et al., Reasonable effectiveness of random weighting, TMLR 2022."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance
from mtrl_conic.balancers.kinds import ConstantBalancer
from mtrl_conic.balancers.registry import register


@register("rlw")
class RandomLossWeighting(ConstantBalancer):
    """Random loss weighting: w = softmax of K independent normal numbers, fresh at each update.

    Reduction: the weights sum to one.
    Guarantees: the mean of the direction over draws is the mean gradient.
    Cost: O(K). It is a baseline that shows the effect of noise in the weights alone.
    """

    paper = "Lin et al., Reasonable effectiveness of random weighting, TMLR 2022"
    draws = True

    @override
    def draw(self, like: Tensor) -> Balance:
        normal: Tensor = torch.special.ndtri(self._uniform(tuple(like.shape)))
        return Balance(normal.softmax(-1), {})
