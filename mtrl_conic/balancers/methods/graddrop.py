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

    Per coordinate: P = (1 + sum g / sum |g|) / 2; positive parts are kept where P > U, negative ones where
    P < U, with U uniform; d is the sum of what is kept. Where all parts are zero, so is d.

    Reduction: the sum over tasks.
    Guarantees: no two kept parts of a coordinate conflict.
    Cost: O(K P), and one random number a coordinate; needs the gradients, not just M.

    Statistics: `purity`, the mean of |2 P - 1|: one where all tasks agree on every sign.
    """

    paper = "Chen et al., Just pick a sign: gradient sign dropout, NeurIPS 2020"
    draws = True

    @override
    def balance_jacobian(self, jacobian: Tensor, losses: Tensor | None) -> Direction:
        wide = full_precision(jacobian)
        up, down = wide.clamp_min(0).sum(-2), wide.clamp_max(0).sum(-2)
        size = up - down
        lean = (up + down) / torch.where(size > 0, size, 1.0)
        chosen = (1 + lean) / 2 > self._uniform(tuple(lean.shape)).to(lean)
        return Direction(torch.where(chosen, up, down).to(jacobian.dtype), {"purity": lean.abs().mean(-1)})
