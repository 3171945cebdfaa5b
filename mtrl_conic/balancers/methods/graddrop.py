"""Chen et al., Just pick a sign: optimizing deep multitask models with gradient sign dropout, NeurIPS 2020."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Direction
from mtrl_conic.balancers.kinds import JacobianBalancer
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.gram import full_precision


@register("graddrop")
class GradDrop(JacobianBalancer):
    """GradDrop: each coordinate of the gradient keeps one sign, drawn by how much of it has that sign.

    Per coordinate: P = (1 + sum g / sum |g|) / 2; positive parts are kept where P > U, negative ones where P < U, with
    U uniform; d is the sum of what is kept. If all parts are zero, so is d.

    Reduction: the sum over tasks.
    Guarantees: no two kept parts of a coordinate conflict.
    Cost: O(K P), and one random number per coordinate; needs the gradients, not just M.

    Statistics: `purity`, the mean of |2 P - 1|: one where all tasks agree on every sign.
    """

    paper = "Chen et al., Just pick a sign: gradient sign dropout, NeurIPS 2020"
    draws = True

    @override
    def balance_jacobian(self, jacobian: Tensor, losses: Tensor | None) -> Direction:
        wide = full_precision(jacobian)
        total, size = wide.sum(-2), wide.abs().sum(-2)
        lean = total / torch.where(size > 0, size, 1.0)
        up = (1 + lean) / 2 > self._uniform(tuple(lean.shape)).to(lean)
        # The positive parts sum to (size + total) / 2, the negative ones to (total - size) / 2.
        direction = torch.where(up, size + total, total - size) / 2
        return Direction(direction.to(jacobian.dtype), {"purity": lean.abs().mean(-1)})
