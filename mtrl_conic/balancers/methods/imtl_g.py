"""Liu et al., Towards impartial multi-task learning, ICLR 2021: the part that balances gradients."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.cosines import normalise
from mtrl_conic.linalg.inverse import ridged_inverse


@register("imtl_g")
class IMTLG(Balancer):
    """IMTL-G: a direction whose projections on all gradients are equal.

    w ~ D^-1 C^-1 1 with sum 1, where M = D C D: d.g_i / ||g_i|| is the same for all tasks.

    Reduction: the weights sum to one.
    Guarantees: equal projections. Weights may be negative, and the common projection too.
    Cost: one inverse.

    Statistics: `fallback`, 1 where the weights cannot be scaled to sum one and the mean gradient is used.
    """

    paper = "Liu et al., Towards impartial multi-task learning, ICLR 2021"

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        cosines = normalise(gramian)
        weights = cosines.inverse * ridged_inverse(cosines.matrix).sum(-1)
        total = weights.sum(-1, keepdim=True)
        unscaled = total.abs() <= 1e-10 * weights.abs().sum(-1, keepdim=True)
        weights = torch.where(unscaled, 1 / self.num_tasks, weights / torch.where(unscaled, 1.0, total))
        return Balance(weights, {"fallback": unscaled.squeeze(-1)})
