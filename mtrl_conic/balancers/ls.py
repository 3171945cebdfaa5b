"""Linear scalarisation: the mean of the losses, the baseline of every comparison."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.registry import register


@register("ls")
class LinearScalarisation(Balancer):
    """Equal weights, w_i = 1/K: the gradient of the mean loss."""

    paper = "folklore; see Kurin et al., In defense of the unitary scalarization, NeurIPS 2022"
    needs = "nothing"

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        return Balance(torch.full_like(gramian[..., 0], 1 / self.num_tasks), {})
