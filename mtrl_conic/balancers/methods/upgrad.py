"""Quinton and Rey, Jacobian descent for multi-objective optimization, 2024."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.cosines import conflicts, normalise
from mtrl_conic.linalg.quadratic import minimise_quadratic


@register("upgrad")
class UPGrad(Balancer):
    """UPGrad: the mean of the projections of all gradients on the cone of directions that conflict with none.

    The projection of g_i on {d : G d >= 0} is G^T v with v the minimiser of ||G^T v|| over v >= e_i: K
    quadratic problems, solved as one batch in the cosines.

    Reduction: the mean over tasks.
    Guarantees: d conflicts with no gradient; each projection grows linearly with its own gradient.
    Cost: 18 batches of K factors of a K x K matrix.

    Statistics: `conflicts`, the number of pairs with a negative inner product.
    """

    paper = "Quinton and Rey, Jacobian descent for multi-objective optimization, 2024"

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        cosines = normalise(gramian)
        # Row i is the problem of the unit gradient i: v = e_i + x, x >= 0, with the linear term C e_i.
        matrix = cosines.matrix.unsqueeze(-3).expand(*cosines.matrix.shape, self.num_tasks)
        added = minimise_quadratic(matrix, cosines.matrix)
        units = cosines.norms.unsqueeze(-1) * added
        weights = torch.ones_like(cosines.norms) + units.sum(-2) * cosines.inverse
        return Balance(weights / self.num_tasks, {"conflicts": conflicts(gramian)})
