"""Linear scalarisation: the mean of the losses, the baseline of every comparison."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance
from mtrl_conic.balancers.kinds import ConstantBalancer
from mtrl_conic.balancers.registry import register


@register("ls")
class LinearScalarisation(ConstantBalancer):
    """Equal weights, w_i = 1/K: the gradient of the mean loss."""

    paper = "folklore; see Kurin et al., In defense of the unitary scalarization, NeurIPS 2022"

    @override
    def draw(self, like: Tensor) -> Balance:
        return Balance(torch.full_like(like, 1 / self.num_tasks), {})
