"""Liu et al., Towards impartial multi-task learning, ICLR 2021: the part that balances gradients."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.cosines import normalise
from mtrl_conic.linalg.inverse import ridged_solve


@register("imtl_g")
class IMTLG(Balancer):
    """IMTL-G: a direction whose projections on all gradients are equal.

    w ~ D^-1 C^-1 1 with sum 1, where M = D C D: d.g_i / ||g_i|| is the same for all tasks.

    Reduction: the weights sum to one.
    Guarantees: equal projections. Weights may be negative, and the common projection too.
    Cost: one inverse.

    If projections are not equal, or the weights cannot be scaled to sum to one, the mean gradient is used.

    Statistics: `fallback`.
    """

    paper = "Liu et al., Towards impartial multi-task learning, ICLR 2021"

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        cosines = normalise(gramian)
        weights = cosines.inverse * ridged_solve(cosines.matrix, torch.ones_like(cosines.norms))
        total = weights.sum(-1, keepdim=True)
        # A sum of zero leaves infinite weights, and the mean gradient.
        return Balance(weights / total, {})

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        return {
            "equal projections": guarantees.unequal_projections(outcome, outcome.spread),
            "cancellation": guarantees.cancellation(outcome, outcome.mean_norm),
        }
