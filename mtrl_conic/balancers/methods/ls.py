"""Linear scalarisation: a weighted mean of the losses, the baseline of every comparison."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance
from mtrl_conic.balancers.kinds import ConstantBalancer
from mtrl_conic.balancers.preference import Preference, on, shares
from mtrl_conic.balancers.registry import register


@register("ls")
class LinearScalarisation(ConstantBalancer):
    """Equal weights, w_i = 1/K: the gradient of the mean loss; with a preference p, w = p.

    Args:
        num_tasks: K.
        seed: not used.
        preference: weights of the tasks.
    """

    paper = "folklore; see Kurin et al., In defense of the unitary scalarization, NeurIPS 2022"

    def __init__(self, num_tasks: int, *, seed: int = 0, preference: Preference = "") -> None:
        super().__init__(num_tasks, seed=seed)
        self.preference = shares(preference, num_tasks)

    @override
    def draw(self, like: Tensor) -> Balance:
        if self.preference is None:
            return Balance(torch.full_like(like, 1 / self.num_tasks), {})
        return Balance(on(like, self.preference).expand_as(like).clone(), {})
